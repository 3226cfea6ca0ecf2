"""Truth logs: every shape is read, every line accounted for, and nothing false believed."""

from __future__ import annotations

import json
import tracemalloc
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from truth_lines import BORN_S, RULES, born, ended, stamp, told, tracked

from training.truth_log import ReadingRules, Reason, read_truth_logs, words


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "truth_log.jsonl"


def test_documented_completion_is_joined_with_its_signal(path: Path) -> None:
    log = told(born(), ended(), path=path)
    (outcome,) = log.outcomes.values()
    assert outcome.win
    assert outcome.completed_s == BORN_S + 900
    assert outcome.signal.stop == 1.0990
    assert log.shapes == {"lifecycle": 1, "documented": 1}


def test_tracker_line_that_was_watched_is_believed(path: Path) -> None:
    (outcome,) = told(tracked(), path=path).outcomes.values()
    assert outcome.win
    assert outcome.pips == 16.0


def test_flat_line_with_a_lifespan_is_an_outcome(path: Path) -> None:
    line = {
        "signal_id": f"ELITE_SNIPER_NZDUSD_{BORN_S}",
        "pair": "NZDUSD",
        "confidence": 70.9,
        "win": False,
        "lifespan": 1200,
        "timestamp": stamp(1200),
        "direction": "SELL",
    }
    log = told(line, path=path)
    assert [outcome.win for outcome in log.outcomes.values()] == [False]
    assert log.shapes == {"flat": 1}


def test_an_end_five_seconds_after_its_signal_is_believed(path: Path) -> None:
    for runtime_s in (None, 5.1):
        line = ended(completed_at=stamp(5.1), runtime_seconds=runtime_s)
        assert told(born(), line, path=path).outcomes


def test_the_only_stamp_of_a_flat_line_is_not_of_its_beginning_and_its_end(path: Path) -> None:
    line = {"signal_id": "ELITE_7", "pair": "EURUSD", "win": True, "timestamp": stamp(1200)}
    (outcome,) = told({**line, "lifespan": 1200}, path=path).outcomes.values()
    assert (outcome.signal.time_s, outcome.completed_s) == (BORN_S, BORN_S + 1200)
    assert told({**line, "lifespan": 0}, path=path).refused == {Reason.AT_SIGNAL_TIME: 1}
    log = told(line, path=path)
    assert log.refused == {Reason.NO_RUNTIME: 1}
    assert log.signals["ELITE_7"].time_s is None


def recorded(win: bool, kind: str, pips: float) -> dict[str, Any]:
    """A line of the original's training file."""
    return {
        "signal_id": "ELITE_GUARD_BTCUSD_7",
        "features": {"atr_volatility": 31.0, "base_score": 74.5, "symbol": "BTCUSD"},
        "outcome": win,
        "outcome_type": kind,
        "runtime_minutes": 42.0,
        "final_pips": pips,
        "created_at": stamp(2520),
    }


def test_training_file_of_the_original_gives_outcome_and_base_score(path: Path) -> None:
    (outcome,) = told(recorded(True, "WIN_TP", 120.0), path=path).outcomes.values()
    assert outcome.win
    assert outcome.runtime_s == 2520
    assert (outcome.signal.base_score, outcome.signal.symbol) == (74.5, "BTCUSD")


@pytest.mark.parametrize(
    ("outcome", "kind", "pips", "said"),
    [
        (True, "WIN_TP", 0, True),
        (False, "LOSS_SL", 0, False),
        (False, "UNKNOWN", 0, False),
        (False, "WIN_TP", 0, Reason.CONTRADICTING),  # `== "WIN"` said the original
        (False, "TIMEOUT", 0, Reason.NO_RESULT),
        (False, "TIMEOUT", -3.0, False),
        (False, "TIMEOUT", 3.0, Reason.CONTRADICTING),
        (True, "CLOSED_PARTIAL", 3.0, Reason.UNKNOWN_OUTCOME),
    ],
)
def test_the_type_of_an_outcome_of_the_original_must_agree_with_it(
    path: Path, outcome: bool, kind: str, pips: float, said: bool | Reason
) -> None:
    log = told(recorded(outcome, kind, pips), path=path)
    if isinstance(said, Reason):
        assert log.refused == {said: 1}
    else:
        assert [found.win for found in log.outcomes.values()] == [said]


@pytest.mark.parametrize(
    ("source", "usable"),
    [
        ("MT5_OUTCOME_TP", True),
        ("MT5_EXECUTING", False),
        ("FIRE_SENT", False),
        ("NOT_EXECUTED", False),
        ("PROJECTION", False),
        ("ERROR", False),
        ("SOMETHING_NEW", False),
    ],
)
def test_only_the_terminals_own_outcome_source_counts(
    path: Path, source: str, usable: bool
) -> None:
    log = told(born(), ended(outcome_source=source), path=path)
    assert bool(log.outcomes) == usable
    assert (Reason.SOURCE in log.refused) != usable


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ([born(), ended(completed_at=stamp(4.9), runtime_seconds=None)], Reason.AT_SIGNAL_TIME),
        ([born(), ended(runtime_seconds=0)], Reason.AT_SIGNAL_TIME),
        ([born(), ended(completed_at=stamp(-7200))], Reason.BEFORE_SIGNAL),
        ([ended(completed_at="2055-03-12T17:28:44")], Reason.IN_FUTURE),
        ([born(), ended(completed_at=None, runtime_seconds=9e8)], Reason.IN_FUTURE),
        ([born(), ended(completed_at=stamp(7200))], Reason.CONTRADICTS_RUNTIME),
        (
            [born(), ended(completed_at=stamp(7200), runtime_seconds=3600)],  # a zone of an hour
            Reason.CONTRADICTS_RUNTIME,
        ),
        ([tracked(ticks_processed=1)], Reason.FIRST_TICK),
        ([tracked(monitoring_started=stamp(3600), completed_at=stamp(7200))], Reason.WATCHED_LATE),
        ([tracked(monitoring_started=stamp(3600), completed_at=None)], Reason.WATCHED_LATE),
        ([tracked(sl=1.1005)], Reason.IMPOSSIBLE_LEVELS),
        ([tracked(tp=1.0995)], Reason.IMPOSSIBLE_LEVELS),
        ([tracked(sl=1.0999999)], Reason.IMPOSSIBLE_LEVELS),
        ([tracked(entry_price=5e-324, tp=5e-324, sl=None)], Reason.IMPOSSIBLE_LEVELS),
        ([tracked(direction="SELL")], Reason.IMPOSSIBLE_LEVELS),
        ([born(sl=1.1005), ended()], Reason.IMPOSSIBLE_LEVELS),
        ([tracked(exit_price=1.0995, pips_result=None)], Reason.CONTRADICTS_LEVELS),
        ([tracked(exit_price=1.1005, pips_result=None)], Reason.CONTRADICTS_LEVELS),
        ([tracked(exit_price=1.1166, pips_result=166)], Reason.CONTRADICTS_LEVELS),
        ([tracked(pips_result=-16.0)], Reason.CONTRADICTS_LEVELS),
        ([ended(realised_r=-1.0)], Reason.CONTRADICTS_LEVELS),
        ([ended(realised_r=1e300)], Reason.IMPOSSIBLE_LEVELS),
        ([ended(outcome="LOSS", realised_r=-2000.0)], Reason.IMPOSSIBLE_LEVELS),
        ([born(), ended(outcome="timeout", exit_price=149.5, pips=4)], Reason.IMPOSSIBLE_LEVELS),
        ([born(), ended(outcome="timeout", pips_result=0)], Reason.NO_RESULT),
        ([born(), ended(outcome="timeout")], Reason.NO_RESULT),
        ([born(), ended(outcome="perhaps")], Reason.UNKNOWN_OUTCOME),
        ([born(signal_id="CLEAN_WRITER_TEST_2140")], Reason.TEST),
        ([{"fresh_start": "today", "timestamp": stamp(0)}], Reason.NO_SIGNAL_ID),
        ([{"signal_id": "A_1", "action": "positive_close_attempt"}], Reason.NOTE),
        (["[]"], Reason.NOT_AN_OBJECT),
        (['{"signal_id": "A_1", "outcome": [1]}'], Reason.WRONG_TYPE),
        (['{"signal_id": "A_1", "pips_result": NaN}'], Reason.NOT_JSON),
        (["HEARTBEAT"], Reason.NOT_JSON),
    ],
)
def test_what_cannot_be_true_is_refused_for_its_reason(
    path: Path, lines: list[dict[str, Any] | str], reason: Reason
) -> None:
    log = told(*lines, path=path, rules=ReadingRules(now_s=BORN_S + 86_400.0))
    assert not log.outcomes
    assert reason in log.refused


def test_an_end_a_little_ahead_of_our_clock_is_believed(path: Path) -> None:
    assert told(ended(), path=path, rules=ReadingRules(now_s=BORN_S + 60.0)).outcomes
    assert not told(ended(), path=path, rules=ReadingRules(now_s=BORN_S - 60.0)).outcomes


def test_a_runtime_in_whole_minutes_from_a_late_watch_contradicts_nothing(path: Path) -> None:
    assert told(born(), ended(runtime_seconds=780), path=path).outcomes


@pytest.mark.parametrize(
    "line",
    [
        ended(win=False),
        ended(win="LOSS"),
        ended(outcome="LOSS_SL", win=True, pair="EURUSD", lifespan=3600, completed=None),
        tracked(win=False),
    ],
)
def test_a_line_that_contradicts_itself_is_refused(path: Path, line: dict[str, Any]) -> None:
    log = told(born(), line, path=path)
    assert not log.outcomes
    assert log.refused == {Reason.CONTRADICTING: 1}


def test_an_end_that_is_said_twice_is_timed_by_the_line_that_has_a_time(path: Path) -> None:
    for ends in ([ended(completed_at=None), ended()], [ended(), ended(completed_at=None)]):
        (outcome,) = told(born(), *ends, path=path).outcomes.values()
        assert outcome.completed_s == BORN_S + 900


def test_an_end_that_is_said_twice_alike_is_believed(path: Path) -> None:
    assert told(ended(win=True), path=path).won == 1
    (outcome,) = told(ended(win=False, outcome="LOSS_SL"), path=path).outcomes.values()
    assert not outcome.win


@pytest.mark.parametrize("extra", [{"quality": 81.0}, {"pair": "EURUSD", "symbol": None}])
def test_an_end_in_words_counts_beside_a_pair_or_a_quality(
    path: Path, extra: dict[str, Any]
) -> None:
    (outcome,) = told(ended(**extra, runtime_seconds=None), path=path).outcomes.values()
    assert (outcome.win, outcome.completed_s) == (True, BORN_S + 900)
    at_once = ended(**extra, completed_at=stamp(1), runtime_seconds=None)
    assert told(at_once, path=path).refused == {Reason.AT_SIGNAL_TIME: 1}
    late = ended(**extra, completed_at=None, runtime_seconds=None, lifespan=900)
    (outcome,) = told(late, path=path).outcomes.values()
    assert (outcome.completed_s, outcome.runtime_s) == (None, 900)
    pending = told(born(**extra, outcome="LOSS"), path=path)
    assert (pending.signal_lines, len(pending.outcomes)) == (1, 0)


@pytest.mark.parametrize(
    ("word", "pips", "win"),
    [("timeout", 4.0, True), ("EXPIRED", -0.1, False), ("CLOSED_BY_HAND", 2.0, True)],
)
def test_open_ends_are_judged_by_their_pips(path: Path, word: str, pips: float, win: bool) -> None:
    log = told(born(), ended(outcome=word, pips_result=pips), path=path)
    assert [outcome.win for outcome in log.outcomes.values()] == [win]


@pytest.mark.parametrize("last", ["WIN_TP", "LOSS_SL"])
@pytest.mark.parametrize("part", ["CLOSED_PARTIAL", "closed_partially", "CLOSED_TP1_PARTIAL"])
def test_a_part_that_was_closed_is_not_the_end(path: Path, part: str, last: str) -> None:
    lines = (
        born(),
        ended(outcome=part, pips_result=10),
        ended(outcome=last, completed_at=stamp(950)),
    )
    log = told(*lines, path=path)
    (outcome,) = log.outcomes.values()
    assert (outcome.word, outcome.completed_s) == (last, BORN_S + 950)
    assert log.refused == {Reason.UNKNOWN_OUTCOME: 1}


def test_contradicting_outcomes_of_one_signal_refuse_both(path: Path) -> None:
    log = told(born(), ended(), ended(outcome="LOSS_SL"), path=path)
    assert not log.outcomes
    assert log.refused == {Reason.CONTRADICTING: 2}


def test_unbelievable_line_does_not_contradict_a_believable_one(path: Path) -> None:
    wrong = tracked(outcome="LOSS", ticks_processed=1)
    assert len(told(tracked(), wrong, path=path).outcomes) == 1


def test_lines_of_one_id_about_two_trades_are_refused(path: Path) -> None:
    log = told(born(), born(direction="SELL", sl=1.1010, tp=1.0985), ended(), path=path)
    assert log.refused == {Reason.CONTRADICTING_SIGNALS: 1}


@pytest.mark.parametrize(
    ("symbol", "other"),
    [("EURUSD", "EURUSD.r"), ("EURUSD", "EURUSDm"), ("EUR/USD", "eurusd"), ("XAUUSD", "GOLD")],
)
def test_lines_of_one_trade_may_bear_another_brokers_name(
    path: Path, symbol: str, other: str
) -> None:
    for lines in ((born(symbol=symbol), tracked(symbol=other)),
                  (tracked(symbol=other), born(symbol=symbol))):  # fmt: skip
        assert len(told(*lines, path=path).outcomes) == 1


@pytest.mark.parametrize("changes", [{"entry_price": 1.1023}, {"entry_price": None}])
def test_another_symbol_at_another_price_is_another_trade(
    path: Path, changes: dict[str, Any]
) -> None:
    log = told(born(symbol="GBPUSD", **changes), tracked(), path=path)
    assert log.refused == {Reason.CONTRADICTING_SIGNALS: 1}


def test_repetition_counts_once_and_the_first_report_stands(path: Path) -> None:
    log = told(ended(completed_at=stamp(1800)), ended(), born(), path=path)
    assert [outcome.completed_s for outcome in log.outcomes.values()] == [BORN_S + 900]
    assert log.refused == {Reason.REPEATED: 1}


@pytest.mark.parametrize(("first", "second"), [(2.0, 0.1), (None, 0.1)])
def test_an_r_that_is_corrected_is_told_as_that(
    path: Path, first: float | None, second: float
) -> None:
    lines = (born(), ended(realised_r=first), ended(realised_r=second), ended(pips_result=1))
    log = told(*lines, path=path)
    assert [outcome.realised_r for outcome in log.outcomes.values()] == [first]
    assert log.refused == {Reason.OTHER_R: 1, Reason.REPEATED: 1}


def test_a_line_that_is_written_again_and_again_takes_no_memory(path: Path) -> None:
    def growth(lines: int) -> int:
        with path.open("w") as log:
            log.writelines([json.dumps(ended()) + "\n"] * lines)
        tracemalloc.start()
        try:
            found = read_truth_logs([path], RULES)
            left, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert found.refused == {Reason.REPEATED: lines - 1}
        assert (found.lines, found.won) == (lines, 1)
        return left

    assert growth(6_000) - growth(1_000) < 5_000


@pytest.mark.parametrize(
    ("signal_id", "test"),
    [
        ("TEST_SIGNAL_1", True),
        ("ELITE_GUARD_TEST_1754681237", True),
        ("LONDON_TEST2", True),
        ("a-test-b", True),
        ("LATEST_1", False),
        ("CONTESTED_2", False),
        ("TESTNET_1", False),
    ],
)
def test_a_test_is_an_id_with_test_as_a_token(signal_id: str, test: bool) -> None:
    assert words.is_test(signal_id) == test


def test_naive_stamps_are_read_in_the_configured_zone(path: Path) -> None:
    athens = ReadingRules(zone=ZoneInfo("Europe/Athens"))
    line = ended(signal_id="A_1", completed_at="2025-08-15T15:00:00")
    (outcome,) = told(line, path=path, rules=athens).outcomes.values()
    assert outcome.completed_s == datetime(2025, 8, 15, 12, tzinfo=UTC).timestamp()
    line = ended(signal_id="A_1", completed_at="2025-08-15T15:00:00Z")
    (outcome,) = told(line, path=path, rules=athens).outcomes.values()
    assert outcome.completed_s == datetime(2025, 8, 15, 15, tzinfo=UTC).timestamp()
