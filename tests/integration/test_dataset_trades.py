"""Whether an outcome is of the trade that was scored, and when that ended."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from joined import DAY_S, RULES, Read, reader, said
from scored_journal import START_S, outcome_row, score_row, vectors

from training.dataset.join_rules import JoinRules
from training.truth_log import Signal

X = vectors(64)


@pytest.fixture
def read(tmp_path: Path) -> Read:
    return reader(tmp_path)


@pytest.mark.parametrize(
    ("signal", "believed"),
    [
        (Signal("SIG_0", symbol="EURUSD", direction=1), True),
        (Signal("SIG_0", symbol="EUR/USD.r"), True),
        (Signal("SIG_0"), True),
        (Signal("SIG_0", symbol="EURUSD", direction=-1), False),
        (Signal("SIG_0", symbol="GBPJPY"), False),
        (Signal("SIG_0", symbol="GBPJPY", entry=188.2), False),
        (Signal("SIG_0", symbol="6E", direction=1, entry=1.1004), True),
    ],
)
def test_an_outcome_of_another_trade_under_the_same_id_is_not_the_signals(
    read: Read, signal: Signal, believed: bool
) -> None:
    told = msgspec.structs.replace(said(0, True)["SIG_0"], signal=signal)
    scored = score_row(0, X[0], entry_price=1.1)
    data = read(scored, score_row(1, X[1]), outcome_row(1, False), reported={"SIG_0": told})
    assert len(data.samples) == 1 + believed
    assert data.excluded.get("contradicting_signals", 0) == 1 - believed


@pytest.mark.parametrize(("days", "believed"), [(-2.0, False), (0.5, True), (2.0, False)])
@pytest.mark.parametrize("stamped", [True, False])
def test_a_trade_that_began_days_away_is_another_under_the_same_id(
    read: Read, days: float, believed: bool, stamped: bool
) -> None:
    began_s = START_S + 86_400.0 * days
    times: dict[str, Any] = {"completed_s": began_s + 300.0, "runtime_s": 300.0}
    if stamped:
        times = {"signal": Signal("SIG_0", time_s=began_s), "completed_s": None}
    told = msgspec.structs.replace(said(0, True)["SIG_0"], **times)
    data = read(
        score_row(0, X[0]), score_row(1, X[1]), outcome_row(1, False), reported={"SIG_0": told}
    )
    assert data.excluded == ({} if believed else {"contradicting_signals": 1})


def test_a_trade_that_waited_for_its_fill_ends_that_much_later(read: Read) -> None:
    """Else it would train for a window that began before its end."""
    late = Signal("SIG_0", time_s=START_S + 20 * 3600.0)
    times: dict[str, Any] = {"signal": late, "completed_s": None, "runtime_s": 300.0}
    told = msgspec.structs.replace(said(0, True)["SIG_0"], **times)
    other = outcome_row(1, True)
    data = read(score_row(0, X[0]), score_row(1, X[1]), other, reported={"SIG_0": told})
    assert data.samples.end_s[:1].tolist() == [START_S + 20 * 3600.0 + 300.0]


@pytest.mark.parametrize("behind_s", [0.0, 40_000.0])
def test_what_was_reported_without_a_time_had_ended_when_it_came(
    read: Read, behind_s: float
) -> None:
    """Else a trade of two days would train before its label was known."""
    came_s = START_S + 2 * 86_400.0
    report = outcome_row(0, True, closed_at=None, received_at=came_s)
    # Both are the machine's stamps; the feed may have stood for hours.
    score = score_row(0, X[0], event_time=START_S - behind_s)
    (end_s,) = read(score, report).samples.end_s
    assert end_s == came_s - behind_s
    known = msgspec.structs.replace(report, runtime_s=900.0)
    (end_s,) = read(score, known).samples.end_s
    assert end_s == START_S - behind_s + 900.0


def test_a_beginning_years_before_the_end_is_a_tickets_number(read: Read) -> None:
    ticket = Signal("SIG_0", time_s=1_100_012_345.0)
    times: dict[str, Any] = {"signal": ticket, "completed_s": START_S + 400.0}
    for runtime_s, believed in ((None, True), (300.0, True), (3 * 86_400.0, False)):
        told = msgspec.structs.replace(said(0, True)["SIG_0"], runtime_s=runtime_s, **times)
        data = read(
            score_row(0, X[0]), score_row(1, X[1]), outcome_row(1, False), reported={"SIG_0": told}
        )
        assert (len(data.samples) == 2) == believed


def test_a_tickets_number_without_any_stamp_is_no_beginning(read: Read) -> None:
    name = "XAU_2087654321"
    told = msgspec.structs.replace(said(0, True)["SIG_0"], signal=Signal(name), completed_s=None)
    rows = score_row(0, X[0], signal_id=name), score_row(1, X[1]), outcome_row(1, False)
    data = read(*rows, reported={name: told})
    assert data.samples.end_s[:-1].tolist() == [START_S + RULES.max_holding_s]


def test_a_trade_may_begin_as_late_as_one_may_run(read: Read) -> None:
    told = said(0, True)["SIG_0"]
    late = Signal("SIG_0", time_s=START_S + 2 * 86_400.0)
    told = msgspec.structs.replace(told, signal=late, completed_s=None)
    for days, doubted in ((1.0, 1), (3.0, 0)):
        rules = JoinRules(max_holding_s=days * 86_400.0)
        rows = score_row(0, X[0]), score_row(1, X[1]), outcome_row(1, False)
        data = read(*rows, reported={"SIG_0": told}, rules=rules, now_s=START_S + 10 * 86_400.0)
        assert data.excluded.get("contradicting_signals", 0) == doubted


@pytest.mark.parametrize("source", ["request", "paper"])
def test_a_report_that_names_a_score_of_days_later_is_not_of_the_ids_first_signal(
    read: Read, source: str
) -> None:
    days_later = START_S + 3 * 86_400.0
    again = score_row(1, X[1], signal_id="SIG_0", event_time=days_later)
    names: dict[str, Any] = {"source": source, "score_id": "score-1", "signal_id": "SIG_0"}
    later = outcome_row(1, True, closed_at=days_later + 300.0, **names)
    rows = score_row(0, X[0]), again, later
    assert read(*rows).excluded == {"contradicting_signals": 1, "later_revision": 1}
    own = outcome_row(0, False, source=source, score_id="score-0")
    assert read(*rows, own).samples.win.tolist() == [False]


@pytest.mark.parametrize(
    ("report", "believed"),
    [
        ({"closed_at": None}, False),
        ({"closed_at": None, "runtime_s": 300.0}, False),
        ({"closed_at": START_S + 3 * DAY_S + 300.0}, False),
        ({"closed_at": START_S + 300.0}, True),
    ],
)
def test_a_report_that_names_no_score_is_of_the_last_use_of_its_id(
    read: Read, report: dict[str, Any], believed: bool
) -> None:
    report = {"received_at": START_S + 3 * DAY_S + 301.0, **report}
    again = {"signal_id": "SIG_0", "scored_at": START_S + 3 * DAY_S}
    again["event_time"] = again["scored_at"]
    rows = score_row(0, X[0]), score_row(1, X[1], **again), outcome_row(0, True, **report)
    assert len(read(*rows).samples) == believed
    # Within a day it is the same signal, scored anew.
    again["event_time"] = again["scored_at"] = START_S + 3600.0
    rows = score_row(0, X[0]), score_row(1, X[1], **again), outcome_row(0, True, **report)
    assert read(*rows).excluded == {"later_revision": 1}


def test_a_report_whose_runtime_says_that_it_began_days_later_is_of_another_trade(
    read: Read,
) -> None:
    end_s = START_S + 3 * DAY_S
    for runtime_s, doubted in ((300.0, 1), (end_s - START_S, 0)):
        report = outcome_row(0, True, closed_at=end_s, runtime_s=runtime_s)
        data = read(score_row(0, X[0]), report)
        assert data.excluded.get("contradicting_signals", 0) == doubted


@pytest.mark.parametrize("source", ["truth_log", "request"])
def test_what_ended_months_later_is_of_another_trade(read: Read, source: str) -> None:
    """A sweep of what was left over says of all that they ended today."""
    for days, holding_days, believed in ((30.9, 1, 1), (31.1, 1, 0), (50.0, 60, 1), (61.0, 60, 0)):
        end_s = START_S + days * DAY_S
        rows: list[Any] = [score_row(0, X[0]), score_row(1, X[1]), outcome_row(1, False)]
        reported = {}
        if source == "truth_log":
            told = msgspec.structs.replace(said(0, True)["SIG_0"], completed_s=end_s)
            reported["SIG_0"] = told
        else:
            rows.append(outcome_row(0, True, closed_at=end_s))
            waited = outcome_row(0, True, closed_at=None, received_at=end_s)
            assert len(read(*rows[:-1], waited, now_s=START_S + 300 * DAY_S).samples) == 2
        rules = JoinRules(max_holding_s=holding_days * DAY_S)
        data = read(*rows, reported=reported, rules=rules, now_s=START_S + 300 * DAY_S)
        assert data.excluded.get("contradicting_signals", 0) == 1 - believed, days
        assert len(data.samples) == 1 + believed, days
        if source == "request":  # nor does a runtime alone say so
            ran = {"closed_at": None, "runtime_s": end_s - START_S, "received_at": end_s}
            given = outcome_row(0, True, **ran)
            data = read(*rows[:-1], given, rules=rules, now_s=START_S + 300 * DAY_S)
            assert len(data.samples) == 1 + believed, days
