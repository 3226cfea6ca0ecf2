"""What the process counts of itself."""

from __future__ import annotations

import pytest

from service.vitals import Vitals


def test_what_an_answer_took_is_told_in_milliseconds_and_its_histogram_is_of_seconds() -> None:
    vitals = Vitals(0.0)
    vitals.took("score", 4.0)
    vitals.took("score_many", 60.0)
    assert list(vitals.latencies_ms) == [4.0, 60.0]
    assert vitals.latency["score"].sum_s == pytest.approx(0.004)
    buckets = dict(vitals.latency["score"].cumulative())
    assert (buckets["0.002"], buckets["0.005"]) == (0, 1)
