"""The join of a real journal with outcomes: what becomes a sample, and why the rest does not."""

from __future__ import annotations

import sqlite3
import tracemalloc
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from journals import Journal
from scored_journal import EVERY_S, START_S, outcome_row, score_row, vectors

from service.records import OutcomeRow, ScoreRow
from training.dataset import Dataset, JoinRules, read_dataset
from training.measure import net_r
from training.status import describe
from training.truth_log import Outcome, Signal

RULES = JoinRules(max_holding_s=600.0)
LATER_S = START_S + 1e6
DAY_S = 86_400.0
X = vectors(64)

Read = Callable[..., Dataset]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Write rows with the service's own writer and read them as the trainer does."""

    def read_rows(
        *rows: ScoreRow | OutcomeRow,
        reported: dict[str, Outcome] | None = None,
        rules: JoinRules = RULES,
        now_s: float = LATER_S,
    ) -> Dataset:
        path = tmp_path / "journal.db"
        path.unlink(missing_ok=True)
        journal = Journal(path)
        assert all(written.journalled for written in journal.write(rows))
        data = read_dataset(path, reported or {}, rules, now_s=now_s)
        journal.close()
        assert data.scored == len(data.samples) + sum(data.excluded.values())
        return data

    return read_rows


def said(i: int, win: bool, **changes: Any) -> dict[str, Outcome]:
    """What a truth log reports of the i-th signal."""
    values: dict[str, Any] = {
        "word": "WIN" if win else "LOSS",
        "completed_s": START_S + EVERY_S * i + 300,
    }
    outcome = Outcome(Signal(f"SIG_{i}"), win, **(values | changes))
    return {f"SIG_{i}": outcome}


def test_a_sample_carries_the_recorded_vector_bit_by_bit(read: Read) -> None:
    data = read(score_row(0, X[0]), score_row(1, X[1]), outcome_row(1, True))
    assert np.array_equal(data.samples.x, X[1:2])
    assert data.samples.win.tolist() == [True]
    assert data.samples.end_s.tolist() == [START_S + EVERY_S + 300]
    assert data.excluded == {"no_outcome": 1}


def test_truth_log_and_score_id_join_too(read: Read) -> None:
    by_score = outcome_row(1, False, signal_id=None, score_id="score-1")
    data = read(
        score_row(0, X[0]),
        score_row(1, X[1], signal_id=None),
        by_score,
        reported=said(0, True),
    )
    assert data.samples.win.tolist() == [True, False]
    assert data.samples.label_source.tolist() == ["truth_log", "request"]


def test_signals_that_run_together_weigh_as_one(read: Read) -> None:
    together = {"event_time": START_S + 1.0, "scored_at": START_S + 1.0}
    data = read(
        score_row(0, X[0]),
        score_row(2, X[2], **together),
        outcome_row(0, True),
        outcome_row(2, False, closed_at=START_S + 301, received_at=START_S + 302),
    )
    assert len(data.samples) == 2
    assert 1.0 < data.samples.n_effective < 1.1


def test_samples_come_in_order_of_event_time(read: Read) -> None:
    rows = [score_row(i, X[i], event_time=START_S - 1000 * i) for i in range(5)]
    data = read(*rows, *(outcome_row(i, i % 2 == 0) for i in range(5)))
    assert (np.diff(data.samples.time_s) > 0).all()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"fingerprint": "0" * 16}, "other_features"),
        ({"features": b"\0" * 80}, "damaged_features"),
        ({"features": np.full(11, np.nan).tobytes()}, "damaged_features"),
        (
            {"missing": "atr_volatility,volume_delta,tf_alignment,spread_quality"},
            "features_missing",
        ),
        ({"signal_id": "A_TEST_1"}, "test"),
    ],
)
def test_an_unfit_score_is_excluded_for_its_reason(
    read: Read, changes: dict[str, Any], reason: str
) -> None:
    row = score_row(0, X[0], **changes)
    data = read(row, outcome_row(0, True, signal_id=row.signal_id))
    assert data.excluded == {reason: 1}


def test_missing_sentiment_is_not_a_missing_market_feature(read: Read) -> None:
    missing = "sentiment_score,volume_delta,whale_activity,correlation_check"
    data = read(score_row(0, X[0], missing=missing), outcome_row(0, True))
    assert len(data.samples) == 1


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"closed_at": START_S + 2}, "label_at_signal_time"),
        ({"runtime_s": 0.0}, "label_at_signal_time"),
        ({"closed_at": START_S - 3600}, "ended_before_signal"),
        ({"closed_at": None, "received_at": START_S + 4.9}, "label_at_signal_time"),
        ({"closed_at": None, "received_at": START_S - 3600}, "ended_before_signal"),
        ({"closed_at": 1000 * START_S}, "ended_in_the_future"),
        ({"closed_at": None, "runtime_s": 1e9}, "ended_in_the_future"),
        ({"closed_at": 2e9, "source": "paper"}, "ended_in_the_future"),
        ({"realised_r": 1e300}, "impossible_levels"),
        ({"realised_r": -1.0}, "result_contradicts_levels"),
        ({"win": False, "outcome": "LOSS_SL", "final_pips": 7.0}, "result_contradicts_levels"),
        ({"win": None, "outcome": "timeout"}, "timeout_without_result"),
        ({"win": None, "outcome": "perhaps"}, "unknown_outcome"),
    ],
)
def test_an_unbelievable_outcome_is_excluded_for_its_reason(
    read: Read, changes: dict[str, Any], reason: str
) -> None:
    data = read(score_row(0, X[0]), outcome_row(0, True, **changes))
    assert data.excluded == {reason: 1}


@pytest.mark.parametrize(
    "changes",
    [
        {"closed_at": START_S + 5.1},
        {"closed_at": None, "received_at": START_S + 5.1},
        {"runtime_s": 5.1},
    ],
)
def test_an_end_five_seconds_after_its_signal_is_believed(
    read: Read, changes: dict[str, Any]
) -> None:
    assert len(read(score_row(0, X[0]), outcome_row(0, True, **changes)).samples) == 1


def test_a_timeout_is_judged_by_its_realised_r(read: Read) -> None:
    row = outcome_row(0, None, "timeout", realised_r=-0.2)
    assert read(score_row(0, X[0]), row).samples.win.tolist() == [False]


LEVELS = {"direction": 1, "entry": 1.1, "stop": 1.099, "target": 1.1015}


def made_of(read: Read, levels: dict[str, Any], win: bool, **changes: Any) -> list[float]:
    """R of a signal of reward 1.5 and cost 0.05 that a truth log with `levels` tells the end of."""
    (outcome,) = said(0, win, **changes).values()
    outcome = msgspec.structs.replace(outcome, signal=Signal("SIG_0", **levels))
    rows = score_row(0, X[0]), score_row(1, X[1]), outcome_row(1, False)
    made: list[float] = net_r(read(*rows, reported={"SIG_0": outcome}).samples).tolist()
    return made[:-1]


@pytest.mark.parametrize("levels", [LEVELS, {}])
def test_a_win_or_loss_in_words_costs_the_spread_with_levels_and_without(
    read: Read, levels: dict[str, Any]
) -> None:
    assert made_of(read, levels, True) == pytest.approx([1.45])
    assert made_of(read, levels, False) == pytest.approx([-1.05])


def test_a_reported_end_is_what_it_says(read: Read) -> None:
    assert made_of(read, LEVELS, True, exit=1.1014) == pytest.approx([1.4])
    assert made_of(read, LEVELS, True, exit=1.1014, realised_r=1.3) == pytest.approx([1.3])


def test_without_a_target_a_loss_in_words_makes_as_little_known_as_a_win(read: Read) -> None:
    scores = [score_row(i, X[i], reward_risk=None, cost_r=None) for i in range(2)]
    reported = said(0, True) | said(1, False)
    levels = Signal("SIG_0", direction=1, entry=1.1, stop=1.099)
    told = {key: msgspec.structs.replace(o, signal=levels) for key, o in reported.items()}
    data = read(*scores, score_row(2, X[2]), outcome_row(2, True), reported=told)
    assert net_r(data.samples) == pytest.approx([np.nan, np.nan, 1.45], nan_ok=True)


PRICED = {"entry_price": 150.0, "stop_loss": 150.2, "symbol": "USDJPY"}


@pytest.mark.parametrize(
    ("changes", "pips", "r"),
    [
        (PRICED, 3.0, 0.15),
        (PRICED, -5.0, -0.25),
        (PRICED | {"entry_price": 1.1, "stop_loss": 1.098, "symbol": "EURUSD.r"}, 5.0, 0.25),
        (PRICED | {"symbol": "XAUUSD"}, 3.0, np.nan),  # whose pip nobody agrees on
        (PRICED | {"stop_loss": None}, -3.0, np.nan),
        (PRICED, 1e300, np.nan),
    ],
)
def test_a_timeout_made_what_its_pips_say_whoever_reports_it(
    read: Read, changes: dict[str, Any], pips: float, r: float
) -> None:
    score = score_row(0, X[0], **changes)
    by_request = outcome_row(0, None, "timeout", final_pips=pips)
    assert net_r(read(score, by_request).samples) == pytest.approx([r], nan_ok=True)
    told = said(0, pips > 0, word="TIMEOUT", pips=pips)
    data = read(score, outcome_row(1, True), reported=told)
    assert net_r(data.samples) == pytest.approx([r], nan_ok=True)


@pytest.mark.parametrize(
    ("word", "realised_r", "at_level"),
    [
        ("WIN_TP", 1.5, True),
        ("LOSS_SL", -1.1, True),
        ("EXPIRED", 0.1, False),
        ("timeout", -0.2, False),
        ("CLOSED_TP", -0.1, False),
    ],
)
@pytest.mark.parametrize("source", ["paper", "request", "truth_log"])
def test_an_end_at_neither_level_is_told_from_one_at_a_level_though_its_r_is_known(
    read: Read, word: str, realised_r: float, at_level: bool, source: str
) -> None:
    win = realised_r > 0
    if source == "truth_log":
        told = said(0, win, word=word, realised_r=realised_r)
        data = read(score_row(0, X[0]), outcome_row(1, True), reported=told)
    else:
        end = outcome_row(0, win, word, source=source, realised_r=realised_r)
        data = read(score_row(0, X[0]), end)
    assert data.samples.at_level.tolist() == [at_level]
    assert net_r(data.samples) == pytest.approx([realised_r])


def test_of_an_end_at_neither_level_without_r_or_pips_no_r_is_known(read: Read) -> None:
    data = read(score_row(0, X[0]), outcome_row(0, True, "CLOSED"))
    assert np.isnan(net_r(data.samples)).tolist() == [True]


def test_the_levels_of_a_truth_log_serve_where_the_score_has_none(read: Read) -> None:
    told = LEVELS | {"symbol": "EURUSD"}
    assert made_of(read, told, True, word="EXPIRED", pips=4.0) == pytest.approx([0.4])


def test_only_the_first_score_of_a_signal_counts(read: Read) -> None:
    again = score_row(1, X[1], signal_id="SIG_0")
    data = read(score_row(0, X[0]), again, outcome_row(0, True))
    assert np.array_equal(data.samples.x, X[:1])
    assert data.excluded == {"later_revision": 1}


def test_contradicting_reports_are_excluded_across_sources(read: Read) -> None:
    data = read(score_row(0, X[0]), outcome_row(0, True), reported=said(0, False))
    assert data.excluded == {"contradicting_outcomes": 1}


@pytest.mark.parametrize("preferred", ["paper", "reported"])
@pytest.mark.parametrize(
    ("first", "second", "counted"),
    [(2.0, 0.1, 1), (None, 0.1, 1), (2.0, None, 0), (2.0, 2.004, 0)],
)
def test_of_two_reports_the_first_counts_and_another_r_is_told(
    read: Read, preferred: Any, first: float | None, second: float | None, counted: int
) -> None:
    data = read(
        score_row(0, X[0]),
        outcome_row(0, True, realised_r=first),
        outcome_row(0, True, realised_r=second, received_at=START_S + 900),
        reported=said(0, True, realised_r=1.0),
        rules=JoinRules(max_holding_s=600.0, prefer=preferred),
    )
    assert np.array_equal(data.samples.realised_r, [first or np.nan], equal_nan=True)
    assert data.said_other_r == counted
    status = list(describe(data, [], "", min_samples=400, holding_s=600.0, now_s=LATER_S))
    line = "reported again with another R: 1; the first report counts"
    assert (line in status) == bool(counted)


@pytest.mark.parametrize(
    ("preferred", "gap", "counted"),
    [("paper", False, 0), ("paper", True, 1), ("reported", False, 1)],
)
def test_another_r_of_a_report_is_told_only_where_the_report_counts(
    read: Read, preferred: Any, gap: bool, counted: int
) -> None:
    # A void position of its symbol takes a paper outcome beside it away.
    named = {"score_id": "score-2", "closed_at": START_S + 2 * EVERY_S}
    void = outcome_row(2, None, "VOID", source="paper", **named)
    data = read(
        score_row(0, X[0]),
        *([score_row(2, X[2]), void] if gap else []),
        outcome_row(0, True, source="paper", realised_r=0.5),
        outcome_row(0, True, realised_r=2.0),
        outcome_row(0, True, realised_r=0.1, received_at=START_S + 900),
        rules=JoinRules(max_holding_s=3 * EVERY_S, prefer=preferred),
    )
    assert data.samples.realised_r[0] == (2.0 if counted else 0.5)
    assert data.said_other_r == counted


@pytest.mark.parametrize(("prefer", "win"), [("paper", True), ("reported", False)])
def test_where_paper_and_report_differ_the_setting_decides(
    read: Read, prefer: Any, win: bool
) -> None:
    data = read(
        score_row(0, X[0]),
        outcome_row(0, True, source="paper"),
        outcome_row(0, False),
        rules=JoinRules(max_holding_s=600.0, prefer=prefer),
    )
    assert data.samples.win.tolist() == [win]
    assert data.differ == 1


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


def test_outcomes_of_signals_never_scored_are_counted(read: Read) -> None:
    assert read(score_row(0, X[0]), reported=said(7, True)).unmatched == 1


def test_outcomes_that_name_no_signal_are_counted_one_by_one(read: Read) -> None:
    nameless = {"score_id": None, "signal_id": None}
    lost = [outcome_row(i, True, **nameless) for i in range(1, 4)]
    assert read(score_row(0, X[0]), *lost).unmatched == 3


def test_outcomes_of_signals_never_scored_cost_little_memory(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.db")
    journal.write([score_row(0, X[0])])
    journal.close()
    (outcome,) = said(0, True).values()
    many = {f"SIG_{i}": outcome for i in range(50_000)}
    read_dataset(journal.path, {}, RULES, now_s=LATER_S)
    tracemalloc.start()
    try:
        data = read_dataset(journal.path, many, RULES, now_s=LATER_S)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (len(data.samples), data.unmatched) == (1, 49_999)
    assert peak < 100 * len(many)


def test_a_cohort_ripens_on_the_feeds_clock_or_on_the_wall(read: Read) -> None:
    rows = [score_row(i, X[i]) for i in range(4)] + [outcome_row(i, True) for i in range(4)]
    now_s = START_S + 3 * EVERY_S + 301
    rules = JoinRules(max_holding_s=2 * EVERY_S)
    assert read(*rows, rules=rules, now_s=now_s).excluded == {"cohort_still_open": 2}
    assert len(read(*rows, rules=rules, now_s=LATER_S).samples) == 4


def test_a_score_stamped_in_the_future_is_no_sample_and_ripens_no_cohort(read: Read) -> None:
    ahead = score_row(4, X[4], event_time=2e9)
    rows = [*(score_row(i, X[i]) for i in range(4)), ahead]
    now_s = START_S + 3 * EVERY_S + 301
    data = read(
        *rows,
        *(outcome_row(i, True) for i in range(4)),
        outcome_row(4, True, closed_at=None, runtime_s=60.0),
        rules=JoinRules(max_holding_s=2 * EVERY_S),
        now_s=now_s,
    )
    assert data.excluded == {"cohort_still_open": 2, "scored_in_the_future": 1}


def test_signals_whose_end_nobody_told_in_time_are_kept_apart(read: Read) -> None:
    rows = [score_row(i, X[i]) for i in range(4)]
    data = read(*rows, outcome_row(1, True), now_s=START_S + 3 * EVERY_S + 1.0)
    # The last one still has time.
    assert data.silent_s == (START_S, START_S + 2 * EVERY_S)
    assert data.excluded == {"no_outcome": 3}


@pytest.mark.parametrize(
    ("end", "reason"),
    [
        (outcome_row(1, None, "timeout"), "timeout_without_result"),
        (outcome_row(1, None, "VOID", source="paper"), "void"),
        (outcome_row(1, None, "BREAKEVEN"), "unknown_outcome"),
        (outcome_row(1, None, "CLOSED_PARTIAL", realised_r=0.5), "unknown_outcome"),
        (outcome_row(1, True, realised_r=-1.0), "result_contradicts_levels"),
        (outcome_row(1, True, closed_at=START_S + EVERY_S + 1.0), "label_at_signal_time"),
    ],
)
def test_a_signal_of_whose_end_nothing_is_believed_is_as_silent_as_one_not_told_of(
    read: Read, end: OutcomeRow, reason: str
) -> None:
    rows = [score_row(i, X[i]) for i in range(3)]
    data = read(*rows, outcome_row(0, True), end, outcome_row(2, False))
    assert data.silent_s == (START_S + EVERY_S,)
    assert data.excluded == {reason: 1}


def test_directed_and_undirected_signals_are_not_mixed(read: Read) -> None:
    rows = [score_row(i, X[i], direction=(1, -1, 0)[i]) for i in range(3)]
    data = read(*rows, *(outcome_row(i, True) for i in range(3)))
    assert data.excluded == {"undirected": 1}
    assert data.samples.direction.tolist() == [1, -1]


def test_an_empty_journal_gives_no_samples(read: Read) -> None:
    data = read(outcome_row(0, True))
    assert data.samples.x.shape == (0, 11)


def test_no_journal_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="has the service run"):
        read_dataset(tmp_path / "none.db", {}, RULES, now_s=LATER_S)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(
            st.integers(8, 63),
            st.booleans(),
            st.sampled_from(["request", "paper"]),
            st.floats(5, 1e5),
        ),
        max_size=12,
        unique_by=lambda row: row[0],
    )
)
def test_what_comes_later_changes_no_sample_there_is(
    read: Read, future: list[tuple[int, bool, str, float]]
) -> None:
    now = [score_row(i, X[i]) for i in range(8)] + [outcome_row(i, i % 3 == 0) for i in range(8)]
    later: list[ScoreRow | OutcomeRow] = []
    for i, win, source, after_s in future:
        end = outcome_row(i, win, source=source, closed_at=START_S + EVERY_S * i + after_s)
        later += [score_row(i, X[i]), end]
    before, after = read(*now).samples, read(*now, *later).samples
    assert np.array_equal(after.x[: len(before)], before.x)
    assert np.array_equal(after.win[: len(before)], before.win)
    assert np.array_equal(after.end_s[: len(before)], before.end_s)


def test_a_row_whose_types_are_not_those_of_its_columns_is_left_out_and_counted(
    read: Read, tmp_path: Path
) -> None:
    read(*(score_row(i, X[i]) for i in range(4)), *(outcome_row(i, True) for i in range(4)))
    with closing(sqlite3.connect(tmp_path / "journal.db")) as connection, connection:
        connection.execute("UPDATE scores SET event_time = 'no time' WHERE score_id = 'score-1'")
        connection.execute("UPDATE outcomes SET closed_at = x'00' WHERE signal_id = 'SIG_2'")
    data = read_dataset(tmp_path / "journal.db", {}, RULES, now_s=LATER_S)
    assert data.samples.score_id.tolist() == ["score-0", "score-3"]
    assert data.scored == 4
    assert data.excluded == {"damaged_row": 1, "no_outcome": 1}


def test_a_paper_outcome_within_seconds_is_believed_and_a_void_one_is_not(read: Read) -> None:
    quick = outcome_row(0, False, source="paper", closed_at=START_S + 2, runtime_s=2.0)
    void = outcome_row(1, None, "VOID", source="paper")
    data = read(score_row(0, X[0]), score_row(1, X[1]), quick, void)
    assert data.samples.win.tolist() == [False]
    assert data.excluded == {"void": 1}
