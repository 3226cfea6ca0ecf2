"""Refused lines of a truth log: they tell of their signal as others do, but for its time."""

from __future__ import annotations

import json
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
from truth_lines import born, ended, stamp, told, tracked

from training.truth_log import Reason

HOUR_S = 3600.0
NAME = "sig-a"  # bears no time
LEVELS = {"entry_price": 1.1, "sl": 1.099, "tp": 1.1015}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "truth_log.jsonl"


def sound(life_s: float) -> list[dict[str, Any]]:
    return [
        born(signal_id=NAME),
        ended(signal_id=NAME, completed_at=stamp(life_s), runtime_seconds=None),
    ]


def written_at_the_end(life_s: float) -> dict[str, Any]:
    end = {"timestamp": stamp(life_s), "completed_at": stamp(life_s)}
    return {"signal_id": NAME, "win": True, **end}


OTHER_TRADE = {"signal_id": NAME, "entry_price": 1.2, "sl": 1.3, "tp": 1.1, "direction": "SELL"}


@pytest.mark.parametrize("life_s", [HOUR_S, 30 * HOUR_S, 48 * HOUR_S])
def test_a_line_that_was_written_at_the_end_takes_no_outcome_away(
    path: Path, life_s: float
) -> None:
    for lines in permutations([*sound(life_s), written_at_the_end(life_s)]):
        log = told(*lines, path=path)
        assert (log.won, log.refused) == (1, {Reason.AT_SIGNAL_TIME: 1})


def test_nor_where_the_signals_own_line_is_not_there(path: Path) -> None:
    end = sound(30 * HOUR_S)[1]
    for lines in permutations([end, written_at_the_end(30 * HOUR_S)]):
        log = told(*lines, path=path)
        assert (log.won, log.refused) == (1, {Reason.AT_SIGNAL_TIME: 1})


@pytest.mark.parametrize("life_s", [HOUR_S, 30 * HOUR_S])
@pytest.mark.parametrize("word", ["CLOSED_PARTIAL", "BE", "TIMEOUT"])
def test_nor_does_the_end_of_a_part(path: Path, life_s: float, word: str) -> None:
    part = {"signal_id": NAME, "outcome": word, "timestamp": stamp(life_s / 2)}
    part["completed_at"] = part["timestamp"]
    for lines in permutations([*sound(life_s), part]):
        assert told(*lines, path=path).won == 1
    for lines in permutations([sound(life_s)[1], part]):
        (outcome,) = told(*lines, path=path).outcomes.values()
        assert outcome.signal.time_s is None


def test_lines_of_another_trade_take_it_away_whether_they_are_believed_or_not(path: Path) -> None:
    """Which trade an end without levels is of, nobody knows."""
    for other in (tracked(**OTHER_TRADE, ticks_processed=1), {**OTHER_TRADE, "action": "moved"}):
        for lines in permutations([*sound(HOUR_S), other]):
            log = told(*lines, path=path)
            assert (len(log.outcomes), log.refused[Reason.CONTRADICTING_SIGNALS]) == (0, 1)


def test_the_levels_of_a_first_tick_go_before_a_stop_that_was_moved_later(path: Path) -> None:
    first_tick = tracked(ticks_processed=1)
    end = ended(**LEVELS | {"sl": 1.0995}, outcome="LOSS_SL", exit_price=1.0995)
    (outcome,) = told(first_tick, end, path=path).outcomes.values()
    assert outcome.signal.stop == LEVELS["sl"]


def test_a_refused_line_of_the_same_trade_fills_in_what_is_not_known(path: Path) -> None:
    first_tick = tracked(ticks_processed=1)
    for lines in ([first_tick, ended()], [ended(), first_tick]):
        (outcome,) = told(*lines, path=path).outcomes.values()
        assert (outcome.signal.entry, outcome.signal.stop) == (1.1000, 1.0990)


def test_refused_lines_of_two_trades_contradict_each_other(path: Path) -> None:
    """A signal that no sound line speaks of may yet be asked for: not with a mixture of two."""
    lines = [tracked(signal_id=NAME, ticks_processed=1), tracked(**OTHER_TRADE, ticks_processed=1)]
    for order in (lines, lines[::-1]):
        log = told(*map(json.dumps, order), path=path)
        assert log.signals.conflicting == {NAME}
