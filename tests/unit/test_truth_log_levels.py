"""Levels of truth logs: the signal's own judge its end, whose stop may have moved."""

from __future__ import annotations

from datetime import UTC
from pathlib import Path
from typing import Any

import pytest
from truth_lines import BORN_S, born, ended, stamp, told, tracked

from training.backfill.signals import Wanted, add_told
from training.dataset.labels import of_truth_log
from training.truth_log import Reason


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "truth_log.jsonl"


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


DAY_S = 86_400.0
FIRST = {"entry_price": 1.1, "sl": 1.099, "tp": 1.1015}
LATER = {"entry_price": 1.103, "sl": 1.102, "tp": 1.1045}
FIRST_ENDED = ended(**FIRST, exit_price=1.1015)
LATER_CAME = born(**LATER, generated_at=stamp(3 * DAY_S), confidence=88.0)
LATER_END = {"completed_at": stamp(3 * DAY_S + 900), "runtime_seconds": None}
LATER_ENDED = ended(**LATER, **LATER_END, exit_price=1.1045)


@pytest.mark.parametrize(
    "lines",
    [
        [FIRST_ENDED, LATER_CAME],  # the first one's own line is rotated away
        [FIRST_ENDED, LATER_CAME, LATER_ENDED],
        [born(), LATER_CAME, ended(**LATER_END)],
        [born(), born(**LATER), ended()],
        [born(), born(entry_price=None, sl=None, tp=None, generated_at=stamp(3 * DAY_S)), ended()],
        [
            born(confidence=None),
            born(generated_at=stamp(3 * DAY_S), entry_price=None, sl=None, tp=None, confidence=None,
                direction=None),
            ended(),
        ],
    ],
)  # fmt: skip
def test_an_id_that_two_trades_bear_is_neither_ones(
    path: Path, lines: list[dict[str, Any]]
) -> None:
    """Counters use ids again: the time of one and the levels of the other are no signal."""
    for order in (lines, lines[::-1]):
        log = told(*order, path=path)
        assert not log.outcomes
        assert set(log.refused) <= {Reason.CONTRADICTING_SIGNALS, Reason.BEFORE_SIGNAL}
        wanted = Wanted()
        add_told(log.signals, UTC, wanted)
        assert wanted.refused == {Reason.CONTRADICTING_SIGNALS: 1}


COIN = {"symbol": "BTCUSD", "entry_price": 60_000.0, "sl": 59_700.0, "tp": 60_450.0}


@pytest.mark.parametrize(
    "said",
    [
        [ended(**COIN | {"entry_price": 60_075.0}, exit_price=60_450.0)],  # filled in a fast market
        [ended(**COIN | {"entry_price": 59_860.0}, exit_price=60_450.0)],
        [
            {"signal_id": born()["signal_id"], "action": "breakeven"}
            | {"entry_price": 60_100.0, "sl": 60_100.0},
            ended(**COIN, exit_price=60_450.0),
        ],
    ],
)
def test_an_entry_less_than_half_the_way_to_the_stop_away_is_of_the_same_trade(
    path: Path, said: list[dict[str, Any]]
) -> None:
    for lines in ([born(**COIN), *said], [*said, born(**COIN)]):
        (outcome,) = told(*lines, path=path).outcomes.values()
        assert (outcome.win, outcome.signal.entry) == (True, 60_000.0)


def test_an_entry_further_away_is_of_another(path: Path) -> None:
    log = told(born(**COIN), ended(**COIN | {"entry_price": 60_400.0}), path=path)
    assert log.refused == {Reason.CONTRADICTING_SIGNALS: 1}


IN_PROFIT = {"entry_price": 1.1, "sl": 1.1005, "tp": 1.1015}
AT_ENTRY = {**IN_PROFIT, "sl": 1.1}
SHORT_OF_ENTRY = {**IN_PROFIT, "sl": 1.09999}  # a spread's width
MOVED = [IN_PROFIT, AT_ENTRY, SHORT_OF_ENTRY]
STOPPED = {**IN_PROFIT, "outcome": "CLOSED_STOP", "exit_price": 1.1005}


@pytest.mark.parametrize(
    ("end", "r"),
    [
        *[(ended(**moved, exit_price=1.1015), 1.5) for moved in MOVED],
        (tracked(**IN_PROFIT, exit_price=1.1015, pips_result=15.0), 1.5),
        (ended(**STOPPED, pips_result=5.0), 0.5),
        (ended(**STOPPED, realised_r=0.4), 0.4),
        (ended(**AT_ENTRY, outcome="CLOSED_STOP", exit_price=None, pips_result=-1), -0.1),
        (ended(**AT_ENTRY, outcome="LOSS_SL", realised_r=-0.02), -0.02),
        (ended(**AT_ENTRY, outcome="LOSS_SL", exit_price=1.1), 0.0),
    ],
)
def test_a_stop_that_was_moved_to_the_entry_or_beyond_refuses_no_end(
    path: Path, end: dict[str, Any], r: float
) -> None:
    for lines in ((born(), end), (end, born())):
        log = told(*lines, path=path)
        (outcome,) = log.outcomes.values()
        assert (outcome.signal.stop, outcome.win) == (1.0990, r > 0)
        assert of_truth_log(outcome).realised_r == pytest.approx(r)


def test_winners_whose_stops_were_moved_are_as_many_as_they_were(path: Path) -> None:
    lines = []
    for number in range(40):
        name, won = f"A_{number}", number % 2 == 0
        lines += [
            born(signal_id=name),
            ended(
                signal_id=name,
                **(AT_ENTRY if won else {}),
                outcome="WIN_TP" if won else "LOSS_SL",
                exit_price=1.1015 if won else 1.0990,
            ),
        ]
    log = told(*lines, path=path)
    assert (len(log.outcomes), log.won) == (40, 20)


@pytest.mark.parametrize("moved", MOVED)
@pytest.mark.parametrize(
    "others",
    [
        [],
        [ended(symbol=None)],  # says nothing of levels
        [ended(signal_id="B_7")],
        [tracked(ticks_processed=1)],  # refused, with sound levels
        [born(entry_price=None, sl=None, tp=None)],
        [born(sl=None)],
    ],
)
def test_without_its_signals_own_stop_an_end_is_judged_by_its_own(
    path: Path, moved: dict[str, Any], others: list[dict[str, Any]]
) -> None:
    end = ended(**moved, exit_price=1.1015, completed_at=stamp(901))
    for lines in ([*others, end], [end, *others]):
        log = told(*lines, path=path)
        assert all(one.completed_s != BORN_S + 901 for one in log.outcomes.values())
        assert log.refused[Reason.IMPOSSIBLE_LEVELS] >= 1


@pytest.mark.parametrize(
    "end",
    [
        ended(**IN_PROFIT, outcome="LOSS_SL", exit_price=1.1005),
        ended(**{**IN_PROFIT, "tp": 1.0995}, direction="BUY"),
        ended(**IN_PROFIT, exit_price=1.1166),
        ended(**IN_PROFIT, exit_price=1.0995),
        ended(**IN_PROFIT, realised_r=-1.0),
        ended(**IN_PROFIT, realised_r=1e300),
    ],
)
def test_a_moved_stop_excuses_nothing_else(path: Path, end: dict[str, Any]) -> None:
    for lines in ((born(), end), (end, born())):
        log = told(*lines, path=path)
        assert not log.outcomes
        levels = {Reason.IMPOSSIBLE_LEVELS, Reason.CONTRADICTS_LEVELS}
        assert set(log.refused) <= levels | {Reason.GAINED_AT_STOP}
