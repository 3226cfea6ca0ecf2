"""Ends whose levels were moved: what is believed of them does not depend on whether they won."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sample_rows import sample_rows
from truth_lines import born, ended, told

from training.dataset.labels import of_truth_log
from training.measure import net_r
from training.truth_check import account
from training.truth_log import TruthLog

ENTRY, RISK, PIP = 1.1, 0.001, 1e-4
LEVELS = {"entry_price": ENTRY, "sl": ENTRY - RISK, "tp": ENTRY + RISK}
BEYOND = [1.09999, 1.1, 1.1005]
"""Stops a spread's width from the entry, upon it, and in profit."""
WORDS = {"WIN": "LOSS", "WIN_TP": "LOSS_SL", "CLOSED_STOP": "CLOSED_STOP"}
MIRRORED = WORDS | {loss: win for win, loss in WORDS.items()}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "truth_log.jsonl"


def of_ends(path: Path, *ends: dict[str, Any]) -> TruthLog:
    """Each end beside a signal of its own, of which the target is as far as the stop."""
    lines = []
    for number, end in enumerate(ends):
        lines += [born(signal_id=f"A_{number}", **LEVELS), ended(signal_id=f"A_{number}", **end)]
    return told(*lines, path=path)


def made(log: TruthLog) -> dict[str, tuple[bool, float | None]]:
    """Of each believed end whether it won, and its R where that is known."""
    labels = {name: of_truth_log(outcome) for name, outcome in log.outcomes.items()}
    return {name: (bool(label.win), label.realised_r) for name, label in labels.items()}


def end_of(word: str, stop: float | None, way: str, r: float) -> dict[str, Any]:
    """An end that made `r`, and tells it in one way or in none."""
    ways: dict[str, Any] = {
        "word": {},
        "pips": {"pips_result": r * RISK / PIP},
        "r": {"realised_r": r},
        "exit": {"exit_price": ENTRY + r * RISK},
        "r and exit": {"realised_r": r, "exit_price": ENTRY + r * RISK},
    }
    levels = {} if stop is None else {"entry_price": ENTRY, "sl": stop, "tp": ENTRY + RISK}
    return {"outcome": word, **levels, **ways[way]}


R = st.sampled_from([-900.0, -2.5, -1.1, -0.95, -0.5, -0.01])
ENDS = st.tuples(
    st.sampled_from(sorted(MIRRORED)),
    st.sampled_from([None, ENTRY - RISK, *BEYOND]),
    st.sampled_from(["word", "pips", "r", "exit", "r and exit"]),
    st.one_of(R, R.map(lambda r: -r), st.just(0.0)),
)


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ends=st.lists(ENDS, min_size=1, max_size=6))
def test_the_mirror_of_a_log_is_believed_as_its_mirror(
    path: Path, ends: list[tuple[str, float | None, str, float]]
) -> None:
    """Wins made losses and losses wins, with what they made: the stops stay as they were told."""
    before = made(of_ends(path, *(end_of(*end) for end in ends)))
    after = made(of_ends(path, *(end_of(MIRRORED[w], stop, way, -r) for w, stop, way, r in ends)))
    assert before.keys() == after.keys()
    # Pips of 0 leave it to the word, or unknown beside a moved level.
    ways = {
        f"A_{n}": "word" if way == "pips" and not r else way
        for n, (_, _, way, r) in enumerate(ends)
    }
    for name, (win, r) in before.items():
        assert after[name][0] is not win
        if ways[name] != "word":  # which tells of the level, and the mirror moves the stop alone
            assert after[name][1] == (None if r is None else pytest.approx(-r))


@pytest.mark.parametrize("stop", [None, 1.0985, 1.0990, 1.0995, *BEYOND])
@pytest.mark.parametrize("way", ["word", "pips", "r", "exit"])
@pytest.mark.parametrize("words", [("WIN", "LOSS"), ("WIN_TP", "LOSS_SL")])
def test_a_stop_wherever_it_was_moved_refuses_neither_wins_nor_losses(
    path: Path, stop: float | None, way: str, words: tuple[str, str]
) -> None:
    won, lost = words
    at_stop = -0.005 if stop in BEYOND else -1.0 if stop is None else (stop - ENTRY) / RISK
    log = of_ends(path, end_of(won, stop, way, 1.0), end_of(lost, stop, way, at_stop))
    if way == "word":  # a loss was made at the stop that its line names, but for one in profit
        at_stop = -1.0 if stop is None else (stop - ENTRY) / RISK
    lost_r = -1.0 if way == "pips" and stop in (None, 1.0990) else at_stop
    assert made(log) == {
        "A_0": (True, pytest.approx(1.0)),
        "A_1": (False, None if lost_r > 1e-9 else pytest.approx(lost_r)),
    }


@pytest.mark.parametrize("target", [1.1005, 1.1008, 1.1015])
@pytest.mark.parametrize("way", ["word", "pips", "r", "exit"])
def test_nor_does_a_target_that_was_moved(path: Path, target: float, way: str) -> None:
    at_target = (target - ENTRY) / RISK
    moved = {"entry_price": ENTRY, "sl": ENTRY - RISK, "tp": target}
    win, loss = end_of("WIN_TP", None, way, at_target), end_of("LOSS_SL", None, way, -1.0)
    assert made(of_ends(path, win | moved, loss | moved)) == {
        "A_0": (True, pytest.approx(at_target)),
        "A_1": (False, pytest.approx(-1.0)),
    }


def test_the_words_of_a_log_whose_stops_move_to_the_entry_tell_its_mean_r(path: Path) -> None:
    """Who moves it at 1 R: every winner was there, and losers that were there lost nothing."""
    levels = LEVELS | {"tp": ENTRY + 2 * RISK}
    lines = []
    ends = [("WIN_TP", ENTRY)] * 20 + [("LOSS_SL", ENTRY)] * 10 + [("LOSS_SL", ENTRY - RISK)] * 10
    for number, (word, stop) in enumerate(ends):
        lines.append(born(signal_id=f"A_{number}", **levels))
        lines.append(ended(signal_id=f"A_{number}", outcome=word, **levels | {"sl": stop}))
    r = [value for _, value in made(told(*lines, path=path)).values()]
    assert np.mean([value for value in r if value is not None]) == pytest.approx(0.75)
    assert len(r) == 40


@pytest.mark.parametrize("words", [("WIN_TP", "LOSS_SL"), ("WIN", "LOSS")])
@pytest.mark.parametrize(
    "end", [{"pips_result": -0.5}, {"exit_price": 1.09995}, {"realised_r": -0.05}, {}]
)
def test_break_even_losses_are_as_many_as_they_were(
    path: Path, words: tuple[str, str], end: dict[str, Any]
) -> None:
    at_entry = LEVELS | {"sl": ENTRY}
    wins = [{"outcome": words[0], **at_entry, "pips_result": 10.0}] * 20
    log = of_ends(path, *wins, *[{"outcome": words[1], **at_entry, **end}] * 30)
    assert (len(log.outcomes), log.won) == (50, 20)


@pytest.mark.parametrize("symbol", ["BTCUSD", "EURUSD"])
@pytest.mark.parametrize("word", ["WIN_TP", "LOSS_SL"])
def test_pips_of_a_coin_leave_it_to_the_word(path: Path, symbol: str, word: str) -> None:
    won = word == "WIN_TP"
    pips = {"pips_result": 5.0 if won else -5.0} if symbol == "BTCUSD" else {}
    end = ended(symbol=symbol, **LEVELS | {"sl": ENTRY}, outcome=word, **pips)
    (outcome,) = told(born(symbol=symbol, **LEVELS), end, path=path).outcomes.values()
    label = of_truth_log(outcome)
    made_r = pytest.approx(1.0 if won else 0.0)
    assert (label.realised_r, label.nominal, label.at_level) == (made_r, True, won)


def test_of_a_loss_in_word_alone_at_a_stop_in_profit_no_r_is_known(path: Path) -> None:
    end = ended(**LEVELS | {"sl": 1.1005}, outcome="LOSS_SL")
    (outcome,) = told(born(**LEVELS), end, path=path).outcomes.values()
    label = of_truth_log(outcome)
    assert (label.realised_r, label.at_level) == (None, False)
    row = sample_rows(1, reward_risk=np.ones(1), at_level=np.array([label.at_level]))
    assert np.isnan(net_r(row)).all()


@pytest.mark.parametrize("lines", [(0, 1), (1, 0)])
def test_a_stop_in_profit_takes_no_end_of_another_line_away(path: Path, lines: Any) -> None:
    """Neither is beside a line of the signal's own."""
    ends = [ended(realised_r=0.8), ended(**LEVELS | {"sl": 1.1005})]
    log = told(*(ends[place] for place in lines), path=path)
    assert made(log) == dict.fromkeys(log.outcomes, (True, 0.8))
    assert (len(log.outcomes), log.refused) == (1, {"impossible_levels": 1})


GAINS = [{"pips_result": 5.0}, {"exit_price": 1.1005}, {"realised_r": 0.5}]


@pytest.mark.parametrize("gain", GAINS)
def test_losses_that_gained_at_a_stop_in_profit_are_counted_apart(
    path: Path, gain: dict[str, Any]
) -> None:
    log = of_ends(path, {**LEVELS, "sl": 1.1005, "outcome": "LOSS_SL", **gain})
    assert log.refused == {"loss_with_gain_at_moved_stop": 1}
    assert "CLOSED_STOP" in " ".join(account("log", log))
