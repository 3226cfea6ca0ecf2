"""Truth logs: every shape is read, every line accounted for, and nothing false believed."""

from __future__ import annotations

import gzip
import json
import os
import pickle
import tracemalloc
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from another_user import as_no_root
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from training.truth_check import check
from training.truth_log import Reason, Rules, TruthLog, read_truth_logs, words
from training.truth_log import files as log_files
from training.truth_log.files import with_rotated

BORN_S = 1_755_261_958
RULES = Rules()


def stamp(after_s: float) -> str:
    return datetime.fromtimestamp(BORN_S + after_s, UTC).replace(tzinfo=None).isoformat()


def born(**changes: Any) -> dict[str, Any]:
    line = {
        "signal_id": f"ELITE_GUARD_EURUSD_{BORN_S}",
        "symbol": "EURUSD",
        "direction": "BUY",
        "entry_price": 1.1000,
        "sl": 1.0990,
        "tp": 1.1015,
        "confidence": 78.0,
        "generated_at": stamp(0),
        "status": "pending",
        "completed": False,
    }
    return {k: v for k, v in (line | changes).items() if v is not None}


def ended(**changes: Any) -> dict[str, Any]:
    """The documented shape."""
    line = {
        "signal_id": f"ELITE_GUARD_EURUSD_{BORN_S}",
        "symbol": "EURUSD",
        "completed": True,
        "outcome": "WIN_TP",
        "completed_at": stamp(900),
        "max_favorable_pips": 15.2,
        "max_adverse_pips": -3.0,
        "runtime_seconds": 900,
    }
    return {k: v for k, v in (line | changes).items() if v is not None}


def tracked(**changes: Any) -> dict[str, Any]:
    line = {
        "signal_id": f"ELITE_GUARD_EURUSD_{BORN_S}",
        "symbol": "EURUSD",
        "direction": "BUY",
        "pattern": "VCB_BREAKOUT",
        "entry_price": 1.1000,
        "sl": 1.0990,
        "tp": 1.1015,
        "outcome": "WIN",
        "hit_level": "TP",
        "exit_price": 1.1016,
        "pips_result": 16.0,
        "ticks_processed": 300,
        "monitoring_started": stamp(2),
        "completed_at": stamp(900),
    }
    return {k: v for k, v in (line | changes).items() if v is not None}


def told(*lines: dict[str, Any] | str, path: Path, rules: Rules = RULES) -> TruthLog:
    text = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    path.write_text("".join(f"{line}\n" for line in text))
    log = read_truth_logs([path], rules)
    assert_adds_up(log)
    return log


def assert_adds_up(log: TruthLog) -> None:
    parts = log.blank + log.waiting + log.signal_lines + len(log.outcomes)
    assert log.lines == parts + sum(log.refused.values())


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
        ([tracked(ticks_processed=1)], Reason.FIRST_TICK),
        ([tracked(monitoring_started=stamp(3600), completed_at=stamp(7200))], Reason.WATCHED_LATE),
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
    log = told(*lines, path=path, rules=Rules(now_s=BORN_S + 86_400.0))
    assert not log.outcomes
    assert reason in log.refused


def test_an_end_a_little_ahead_of_our_clock_is_believed(path: Path) -> None:
    assert told(ended(), path=path, rules=Rules(now_s=BORN_S + 60.0)).outcomes
    assert not told(ended(), path=path, rules=Rules(now_s=BORN_S - 60.0)).outcomes


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

    assert growth(20_000) - growth(2_000) < 18_000


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
    athens = Rules(zone=ZoneInfo("Europe/Athens"))
    line = ended(signal_id="A_1", completed_at="2025-08-15T15:00:00")
    (outcome,) = told(line, path=path, rules=athens).outcomes.values()
    assert outcome.completed_s == datetime(2025, 8, 15, 12, tzinfo=UTC).timestamp()
    line = ended(signal_id="A_1", completed_at="2025-08-15T15:00:00Z")
    (outcome,) = told(line, path=path, rules=athens).outcomes.values()
    assert outcome.completed_s == datetime(2025, 8, 15, 15, tzinfo=UTC).timestamp()


def test_truncated_last_line_waits_and_is_read_when_it_is_whole(path: Path) -> None:
    text = "".join(json.dumps(line) + "\n" for line in (born(), ended()))
    for cut in range(len(json.dumps(born())) + 2, len(text) - 2):
        path.write_text(text[:cut])
        log = read_truth_logs([path], RULES)
        assert (log.waiting, len(log.outcomes)) == (1, 0)
        assert_adds_up(log)
    path.write_text(text)
    assert len(read_truth_logs([path], RULES).outcomes) == 1


def test_a_list_of_outcomes_is_no_log_and_nothing_to_wait_for(path: Path) -> None:
    path.write_text(json.dumps([born(), ended()]))
    log = read_truth_logs([path], RULES)
    assert (log.waiting, log.refused) == (0, {Reason.NOT_AN_OBJECT: 1})


def test_gzipped_rotated_and_plain_logs_are_one_log(path: Path) -> None:
    with gzip.open(path.with_name(path.name + ".1.gz"), "wt") as packed:
        packed.write(json.dumps(born()) + "\n")
    path.write_text(json.dumps(ended()) + "\n")
    path.with_name("truth_log.jsonl.bak").write_text("not ours\n")
    files = with_rotated(path)
    assert [file.name for file in files] == ["truth_log.jsonl.1.gz", "truth_log.jsonl"]
    assert len(read_truth_logs(files, RULES).outcomes) == 1


def test_rotated_logs_are_read_in_the_order_in_which_they_were_written(path: Path) -> None:
    oldest_first = [
        *("-20251101.gz", "-20251102", ".1-2", ".2025", ".2025-11-03"),
        *(".10", ".9.gz", ".2.gz", ".1", ""),
    ]
    for end in (*oldest_first, ".²", ".-"):
        path.with_name(path.name + end).touch()
    assert [file.name.removeprefix(path.name) for file in with_rotated(path)] == oldest_first


def test_the_levels_are_those_of_the_signal_not_of_its_end(path: Path) -> None:
    trailed = ended(sl=1.0995, exit_price=1.099, outcome="LOSS_SL")
    for lines in ((born(), trailed), (trailed, born())):
        (outcome,) = told(*lines, path=path).outcomes.values()
        assert (outcome.signal.stop, outcome.signal.target) == (1.0990, 1.1015)


def test_an_end_tells_the_levels_that_the_signal_does_not(path: Path) -> None:
    trailed = ended(sl=1.0995, tp=1.1015)
    for lines in ((born(tp=None), trailed), (trailed, born(tp=None))):
        (outcome,) = told(*lines, path=path).outcomes.values()
        assert (outcome.signal.stop, outcome.signal.target) == (1.0990, 1.1015)


def test_levels_of_a_later_trade_of_the_same_id_are_not_those_of_the_first(path: Path) -> None:
    """The first one's own line is rotated away; counters use ids again."""
    again = born(entry_price=1.15, sl=1.148, tp=1.152)
    won = ended(entry_price=1.1, sl=1.099, tp=1.1015, exit_price=1.1015, outcome="WIN_TP")
    (outcome,) = told(won, again, path=path).outcomes.values()
    assert outcome.win
    assert (outcome.signal.entry, outcome.signal.stop, outcome.signal.target) == (
        1.1,
        1.099,
        1.1015,
    )


class Rotating(tzinfo):
    """UTC, and whoever reads the first stamp rotates the logs by it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def utcoffset(self, _moment: datetime | None) -> timedelta:
        first = self._path.with_name(self._path.name + ".1")
        if not first.with_suffix(".2").exists():
            first.rename(first.with_suffix(".2"))
            self._path.rename(first)
            self._path.write_text(json.dumps(ended(signal_id="NEW")) + "\n")
        return timedelta(0)

    def dst(self, _moment: datetime | None) -> timedelta:
        return timedelta(0)


def test_a_log_that_is_rotated_while_it_is_read_is_a_problem(path: Path) -> None:
    path.with_name(path.name + ".1").write_text(json.dumps(ended(signal_id="OLDER")) + "\n")
    path.write_text(json.dumps(ended(signal_id="OLD")) + "\n")
    log = read_truth_logs(with_rotated(path), Rules(zone=Rotating(path)))
    assert "OLD" not in log.outcomes
    (problem,) = log.problems
    assert problem.startswith(f"{path}: ")
    assert "after a rotation" in problem
    again = read_truth_logs(with_rotated(path), RULES)
    assert (set(again.outcomes), again.problems) == ({"OLDER", "OLD", "NEW"}, ())


def test_a_byte_order_mark_costs_no_line(path: Path) -> None:
    for line in (born(), ended()):
        with path.open("a", encoding="utf-8-sig", newline="") as log:
            log.write(json.dumps(line) + "\r\n")
    assert path.read_bytes().count(b"\xef\xbb\xbf") >= 1
    log = read_truth_logs([path], RULES)
    assert (log.refused, len(log.outcomes)) == ({}, 1)


@pytest.mark.parametrize("damage", ["cut", "flip"])
def test_damaged_archive_gives_what_came_before_and_says_so(path: Path, damage: str) -> None:
    packed = gzip.compress("".join(json.dumps(born(signal_id=f"A_{i}")) + "\n" for i in range(9000))
        .encode())  # fmt: skip
    half = len(packed) // 2
    if damage == "cut":
        path.write_bytes(packed[:half])
    else:
        path.write_bytes(packed[:half] + bytes(b ^ 0xFF for b in packed[half:]))
    log = read_truth_logs([path], RULES)
    assert len(log.problems) == 1
    assert log.signals
    assert_adds_up(log)


def test_log_in_a_closed_folder_is_a_problem_not_an_error(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o000)
    with as_no_root():
        log = read_truth_logs(with_rotated(closed / "truth_log.jsonl"), RULES)
    closed.chmod(0o700)
    assert "Permission denied" in log.problems[0]


def test_what_is_no_regular_file_is_a_problem_and_keeps_nobody_waiting(tmp_path: Path) -> None:
    pipe, folder = tmp_path / "pipe", tmp_path / "folder"
    os.mkfifo(pipe)
    folder.mkdir()
    log = read_truth_logs([pipe, folder], RULES)
    assert [problem.split(": ")[1] for problem in log.problems] == ["is no regular file"] * 2


def test_a_link_to_a_log_is_followed(path: Path) -> None:
    told(ended(), path=path)
    link = path.with_name("link.jsonl")
    link.symlink_to(path)
    assert len(read_truth_logs([link], RULES).outcomes) == 1


@pytest.mark.parametrize("name", ["crypto_ml_model.pkl", "renamed.jsonl"])
def test_a_pickled_model_is_refused_unread_and_says_why(tmp_path: Path, name: str) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "it_ran",))

    (tmp_path / name).write_bytes(pickle.dumps(Trap()))
    log = read_truth_logs([tmp_path / name], RULES)
    (problem,) = log.problems
    assert log.lines == 0
    assert "refused unread" in problem
    assert "ml_training_data.jsonl" in problem
    assert not (tmp_path / "it_ran").exists()
    text = "\n".join(check([tmp_path / name], RULES))
    assert "refused unread" in text


def test_a_log_that_powershell_wrote_anew_is_told_for_what_it_is(path: Path) -> None:
    path.write_text(json.dumps(ended()) + "\n", encoding="utf-16")
    log = read_truth_logs([path], RULES)
    assert log.lines == 0
    assert "UTF-16" in log.problems[0]


def test_line_without_end_is_refused_and_the_next_one_read(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_files, "MAX_LINE_BYTES", 1000)
    log = told("x" * 5000, "y" * 999, born(), path=path)
    assert log.refused == {Reason.TOO_LONG: 1, Reason.NOT_JSON: 1}
    assert log.signal_lines == 1


OTHERS = "win pair features lifespan action created_at timestamp outcome_source runtime_minutes"
FIELDS = st.sampled_from([*born(), *ended(), *tracked(), *OTHERS.split(), "realised_r", "quality"])
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=12),
    st.sampled_from(["WIN", "LOSS", "timeout", "BUY", "SELL", stamp(0), stamp(900), "9999-99-99"]),
    st.lists(st.integers(), max_size=2),
    st.dictionaries(st.text(max_size=4), st.integers(), max_size=2),
)
OBJECTS = st.dictionaries(FIELDS, VALUES, max_size=12).map(json.dumps).map(str.encode)
LINES = st.lists(st.one_of(OBJECTS, st.binary(max_size=40)), max_size=12)


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lines=LINES, whole=st.booleans())
def test_no_bytes_raise_and_every_line_is_accounted_for(
    tmp_path: Path, lines: list[bytes], whole: bool
) -> None:
    path = tmp_path / "fuzz.jsonl"
    path.write_bytes(b"\n".join(lines) + (b"\n" if whole else b""))
    log = read_truth_logs([path], RULES)
    assert_adds_up(log)


MOVED = {"symbol": "EURUSD.r", "entry_price": 1.1001, "sl": 1.0995, "tp": 1.1017}
MUTATIONS = st.fixed_dictionaries(
    {},
    optional={
        "signal_id": st.sampled_from(["A_1", "A_2", "B_TEST"]),
        "outcome": st.sampled_from(["WIN", "LOSS", "timeout"]),
        "completed_at": st.sampled_from([stamp(3), stamp(60), stamp(900), stamp(901)]),
        "pips_result": st.sampled_from([None, 0, 5.0, -5.0]),
        "ticks_processed": st.sampled_from([1, 2]),
    },
)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.one_of(
            MUTATIONS.map(lambda m: born() | {k: v for k, v in m.items() if k == "signal_id"}),
            MUTATIONS.map(lambda m: {**ended(symbol=None), "signal_id": "A_1", **m}),
            MUTATIONS.map(lambda m: {**ended(**MOVED), "signal_id": "A_1", **m}),
            MUTATIONS.map(lambda m: {**tracked(**MOVED), "signal_id": "A_1", **m}),
        ),
        max_size=8,
    ),
    st.randoms(use_true_random=False),
)
def test_what_is_believed_does_not_depend_on_the_order_of_lines(
    tmp_path: Path, lines: list[dict[str, Any]], shuffler: Any
) -> None:
    path = tmp_path / "order.jsonl"

    def believed() -> dict[str, tuple[Any, ...]]:
        outcomes = told(*lines, path=path).outcomes.items()
        return {key: (one.signal, one.win, one.completed_s) for key, one in outcomes}

    before = believed()
    shuffler.shuffle(lines)
    assert believed() == before


def test_real_logs_give_the_counts_of_reading_them_by_hand(shared_data: Path) -> None:
    folder = shared_data / "truth_logs"
    logs = {path.name: read_truth_logs([path], RULES) for path in folder.glob("*.jsonl*")}
    assert len(logs) == 4
    for log in logs.values():
        assert_adds_up(log)
        assert not log.problems
    flat = logs["flat_20250829.jsonl.gz"]
    assert (flat.lines, len(flat.outcomes)) == (2500, 0)
    assert flat.refused == {Reason.AT_SIGNAL_TIME: 2497, Reason.TEST: 3}
    assert logs["lifecycle_20250811.jsonl"].refused[Reason.NO_RESULT] == 18
    lifecycle = logs["lifecycle_20250819.jsonl.gz"]
    assert not lifecycle.outcomes
    assert (lifecycle.refused[Reason.NO_RESULT], lifecycle.refused[Reason.TEST]) == (531, 8)
    tracker = logs["outcomes_20250819.jsonl.gz"]
    # 14 of the 2,816 lines closed on their first tick are tests. Three signals were watched
    # within a minute of their birth.
    assert tracker.refused[Reason.FIRST_TICK] + tracker.refused[Reason.TEST] == 2816
    assert tracker.refused[Reason.WATCHED_LATE] == 1136
    assert len(tracker.outcomes) == 3


def test_watched_signals_of_the_real_log_without_the_limit_on_watching(shared_data: Path) -> None:
    log = read_truth_logs(
        [shared_data / "truth_logs" / "outcomes_20250819.jsonl.gz"],
        Rules(max_watch_delay_s=float("inf")),
    )
    # 839 signals watched for more than a tick; 143 won and lost, 2 cannot have ended so.
    assert len(log.outcomes) == 839 - 143 - 2
    assert_adds_up(log)


def test_check_says_in_words_that_a_log_has_no_outcome(shared_data: Path) -> None:
    text = "\n".join(check([shared_data / "truth_logs" / "flat_20250829.jsonl.gz"], RULES))
    assert "usable outcomes   0" in text
    assert "Not one usable outcome here (label_at_signal_time)" in text
    assert all(len(line) <= 80 for line in text.splitlines())
