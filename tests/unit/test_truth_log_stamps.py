"""Stamps of truth logs: read in every form that writers use, or a reason to refuse the line."""

from __future__ import annotations

from datetime import UTC
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from made_market import write_lines

from training.truth_log import ReadingRules, Reason, TruthLog, read_truth_logs, words

BORN = "2025.08.11 02:46:00"
BORN_S = 1_754_880_360.0


def told(path: Path, **changes: Any) -> TruthLog:
    """One line of a terminal's own writer."""
    line = {"signal_id": "X1", "symbol": "EURUSD", "completed": True, "outcome": "WIN_TP"}
    write_lines(path, [line | {"generated_at": BORN} | changes])
    return read_truth_logs([path], ReadingRules())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "truth_log.jsonl"


@pytest.mark.parametrize(
    "stamp",
    [
        BORN,
        "2025.08.11 02:46",
        "2025-08-11T02:46:00",
        "2025-08-11 04:46:00+02:00",
        "1754880360",
        "1754880360000",
        1754880360,
        1754880360000.0,
    ],
)
def test_every_form_of_a_stamp_is_the_same_moment(stamp: str | float) -> None:
    assert words.time_of(stamp, UTC) == BORN_S


def test_a_terminals_stamp_is_read_in_the_configured_zone() -> None:
    assert words.time_of("2025.08.11 05:46:00", ZoneInfo("Europe/Athens")) == BORN_S


@pytest.mark.parametrize("none", [None, "", 0, 0.0])
def test_no_stamp_is_no_moment(none: str | float | None) -> None:
    assert words.time_of(none, UTC) is None


NEVER = "soon", "2025.13.11 02:46:00", "11.08.2025 02:46", "1999-12-31", "0001-01-01T00:00+14:00"


@pytest.mark.parametrize("stamp", [*NEVER, "99", "9" * 400, float("nan"), float("inf"), -5.0])
def test_what_can_be_no_moment_is_said_to_be_none(stamp: str | float) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  the words differ by what is wrong
        words.time_of(stamp, UTC)


@pytest.mark.parametrize(
    ("ended", "reason"),
    [
        ("2025.08.11 02:46:01", Reason.AT_SIGNAL_TIME),
        ("1754880361", Reason.AT_SIGNAL_TIME),
        ("2025.08.11 00:46:00", Reason.BEFORE_SIGNAL),
        ("soon", Reason.NO_TIME),
    ],
)
def test_no_form_of_a_stamp_switches_the_check_of_times_off(
    path: Path, ended: str, reason: Reason
) -> None:
    log = told(path, completed_at=ended)
    assert not log.outcomes
    assert log.refused == {reason: 1}


def test_a_terminals_own_stamps_make_an_outcome(path: Path) -> None:
    (outcome,) = told(path, completed_at="2025.08.11 03:01:00").outcomes.values()
    assert outcome.completed_s == BORN_S + 900
    assert outcome.signal.time_s == BORN_S


ENDED = {"completed_at": "2025.08.11 03:01:00", "runtime_seconds": 900}
TRACKED = {"hit_level": "TP", "ticks_processed": 900, "monitoring_started": "2025.08.11 02:46:10"}


@pytest.mark.parametrize("ticket", [1_234_567_890, 2_098_765_432])
@pytest.mark.parametrize(
    "shape",
    [{}, TRACKED, {"outcome_source": "MT5_OUTCOME_CAPTURE"}, {"features": {"base_score": 70}}],
)
def test_a_tickets_ten_digits_are_no_time(path: Path, ticket: int, shape: dict[str, Any]) -> None:
    ended = {"created_at": BORN, "runtime_minutes": 15, "outcome": True}
    log = told(
        path,
        signal_id=f"ORDER_{ticket}",
        generated_at=None,
        **(ended if "features" in shape else ENDED),
        **shape,
    )
    assert (log.refused, len(log.outcomes)) == ({}, 1)


@pytest.mark.parametrize("ticket", [1_234_567_890, 2_098_765_432])
@pytest.mark.parametrize(
    "beside", [{}, {"runtime_seconds": 900}, TRACKED, {"win": True, "lifespan": 900}]
)
def test_without_an_end_to_hold_them_against_a_tickets_digits_are_no_time(
    path: Path, ticket: int, beside: dict[str, Any]
) -> None:
    line = {"signal_id": f"ORDER_{ticket}", "completed": True, "outcome": "WIN_TP"} | beside
    write_lines(path, [line])
    log = read_truth_logs([path], ReadingRules(now_s=BORN_S + 86_400.0))
    assert (log.refused, len(log.outcomes)) == ({}, 1)


def test_a_stamp_tells_the_time_whatever_line_names_the_ticket_first(path: Path) -> None:
    lines = [
        {"signal_id": "ORDER_1234567890", "completed": True, "outcome": "WIN_TP", **ENDED},
        {"signal_id": "ORDER_1234567890", "symbol": "EURUSD", "generated_at": BORN},
    ]
    for order in (lines, lines[::-1]):
        write_lines(path, order)
        (outcome,) = read_truth_logs([path], ReadingRules()).outcomes.values()
        assert outcome.signal.time_s == BORN_S


@pytest.mark.parametrize(
    ("days", "reason"), [(-100, Reason.WATCHED_LATE), (100, Reason.BEFORE_SIGNAL)]
)
def test_months_away_from_the_end_an_ids_epoch_is_still_one(
    path: Path, days: int, reason: Reason
) -> None:
    born_s = int(BORN_S) + 86_400 * days
    late = {"completed_at": "2025.08.11 03:01:00"} | TRACKED
    log = told(path, signal_id=f"ELITE_{born_s}", generated_at=None, **late)
    assert log.refused == {reason: 1}


def test_a_ticket_that_no_end_was_beside_yet_is_no_stamp_for_a_later_line(path: Path) -> None:
    lines = [
        {"signal_id": "ORDER_1234567890", "pair": "EURUSD", "quality": 80},
        {"signal_id": "ORDER_1234567890", "completed": True, "outcome": "WIN_TP", **ENDED},
    ]
    write_lines(path, lines)
    log = read_truth_logs([path], ReadingRules())
    assert (log.refused, len(log.outcomes)) == ({}, 1)
