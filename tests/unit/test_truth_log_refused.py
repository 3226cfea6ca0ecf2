"""Refused lines of a truth log: they fill in what sound ones lack, and contradict none."""

from __future__ import annotations

import json
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from truth_lines import born, ended, stamp, told, tracked

from training.truth_log import Reason

HOUR_S = 3600.0
NAME = "sig-a"  # bears no time


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
REFUSED = [
    written_at_the_end(30 * HOUR_S),
    tracked(**OTHER_TRADE, ticks_processed=1),
    tracked(signal_id=NAME, symbol="USDJPY", entry_price=149.0, sl=148, tp=151, ticks_processed=1),
    {**OTHER_TRADE, "action": "breakeven"},
    ended(**OTHER_TRADE, outcome="timeout"),
    ended(**OTHER_TRADE, outcome_source="PROJECTION"),
]


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


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    refused=st.lists(st.sampled_from(REFUSED), max_size=4),
    shuffler=st.randoms(use_true_random=False),
)
def test_what_is_believed_is_what_it_is_without_the_refused_lines_of_another_trade(
    path: Path, refused: list[dict[str, Any]], shuffler: Any
) -> None:
    before = dict(told(*sound(30 * HOUR_S), path=path).outcomes)
    lines = sound(30 * HOUR_S) + refused
    shuffler.shuffle(lines)
    log = told(*lines, path=path)
    assert dict(log.outcomes) == before
    assert sum(log.refused.values()) == len(refused)
    assert not log.signals.conflicting


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
