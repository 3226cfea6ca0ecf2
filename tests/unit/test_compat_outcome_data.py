"""What an outcome's data say: numbers and times in whatever form, and what could not be read."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from protocol.market_features import outcome_request, unread_of
from protocol.messages import OutcomeRequest
from service.replies import outcome_row


def report(data: dict[str, Any]) -> OutcomeRequest:
    return outcome_request("EG_1", None, True, data)


def test_numbers_of_an_outcome_may_be_text() -> None:
    said = {"realised_r": "1.5", "final_pips": " -12.5", "runtime_minutes": "45"}
    request = report(said | {"closed_at": "1757944800"})
    assert (request.realised_r, request.final_pips) == (1.5, -12.5)
    assert (request.runtime_seconds, request.closed_at) == (2700.0, 1_757_944_800.0)


def test_of_a_runtime_in_seconds_and_in_minutes_the_seconds_count() -> None:
    assert report({"runtime_seconds": 900.0, "runtime_minutes": 14}).runtime_seconds == 900.0


@pytest.mark.parametrize(
    ("stamp", "is_read"),
    [
        *[(stamp, True) for stamp in ("2025-09-15T14:00:00Z", " 2025-09-15 ", "2025-09-15Z")],
        *[(stamp, False) for stamp in ("2026-11-28 18:00:00 UTC", "2026-11-28 6:00 PM", "-1")],
        *[(stamp, False) for stamp in ("2026-13-45", "20251128180000", "1764352800123456")],
    ],
)
def test_a_time_is_sent_only_if_the_service_can_read_it(stamp: str, is_read: bool) -> None:
    data = {"closed_at": stamp}
    request = report(data)
    assert (request.closed_at is not None) == is_read
    assert (outcome_row(request, 0.0).closed_at is not None) == is_read
    assert unread_of(data, request) == ([] if is_read else ["closed_at"])


@pytest.mark.parametrize("closed_at", [None, math.nan, "", "0", 0, "NaT", "2026.11.28"])
def test_what_is_no_time_does_not_hide_one_that_is(closed_at: Any) -> None:
    data = {"closed_at": closed_at, "completed_at": 1_764_352_800}
    assert report(data).closed_at == 1_764_352_800.0
    assert unread_of(data, report(data)) == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("realised_r", "1,5"),
        ("realised_r", True),
        ("final_pips", math.inf),
        ("max_adverse_pips", [1.0]),
        ("runtime_seconds", "-3"),
        ("closed_at", "2026.11.28 18:00:00"),  # by the broker's clock: it names no zone
        ("closed_at", "yesterday"),
        ("completed_at", datetime(2026, 11, 28, tzinfo=UTC)),
    ],
)
def test_what_could_not_be_read_of_an_outcome_is_named(name: str, value: Any) -> None:
    data = {name: value}
    field = "closed_at" if name == "completed_at" else name
    request = report(data)
    assert getattr(request, field) is None
    assert unread_of(data, request) == [field]


@pytest.mark.parametrize("nothing", [None, math.nan, np.float64("nan"), "", " ", "NaN", "0", 0.0])
def test_what_an_outcome_lacks_is_nothing_that_could_not_be_read(nothing: Any) -> None:
    data = dict.fromkeys(["realised_r", "runtime_minutes", "closed_at"], nothing)
    assert unread_of(data | {"comment": "x"}, report(data)) == []
    assert unread_of(None, report({})) == []


class Unspeakable:
    """As a class of a caller's, of which nothing may be asked."""

    def __str__(self) -> str:
        raise RuntimeError("not shown")


def test_what_cannot_even_be_shown_is_one_of_those() -> None:
    data = {"realised_r": Unspeakable()}
    assert unread_of(data, report(data)) == ["realised_r"]
