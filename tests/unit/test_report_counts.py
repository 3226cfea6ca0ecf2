"""The report's two counts of signals without an outcome: what each is of stands beside them."""

from __future__ import annotations

import pytest
from found_rows import Judged, unpriced

from training.dataset.join import Dataset
from training.report.page import render
from training.truth_log import ReadingRules, read_truth_logs


@pytest.fixture(scope="module")
def judged() -> Judged:
    return unpriced()


def page_of(judged: Judged, silent_s: tuple[float, ...], no_outcome: int) -> str:
    candidate, found = judged
    read = Dataset(candidate.samples, 250, {"no_outcome": no_outcome}, 0, 0, silent_s=silent_s)
    return render(candidate, found, read, read_truth_logs([], ReadingRules()), [], {})


def test_what_was_read_says_how_many_of_it_are_counted_at_the_top(judged: Judged) -> None:
    first_s, last_s = judged[0].samples.time_s[[0, -1]].tolist()
    silent_s = (first_s - 1.0, first_s, first_s + 1.0, last_s, last_s + 1.0)
    top, rows = page_of(judged, silent_s, 6).split("<h2>What was read</h2>")
    assert "4 more signals since the first it learned from" in top
    assert '<code>no_outcome</code></td><td class="n">6</td>' in rows
    assert "The 4 signals above without an outcome that is believed are among these" in rows


def test_nothing_is_said_of_counts_that_are_not_there(judged: Judged) -> None:
    first_s = float(judged[0].samples.time_s[0])
    assert "signals above without" not in page_of(judged, (first_s - 1.0,), 1)
