"""Ends far beyond their levels: believed where the line's own R says the same, won or lost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from truth_lines import born, ended, told

from training.dataset.labels import of_truth_log
from training.truth_log import Reason

ENTRY, RISK = 1.1, 0.002
LEVELS = {"entry_price": ENTRY, "sl": ENTRY - RISK, "tp": ENTRY + 1.5 * RISK}
NAMED = [
    {},  # the end names no levels
    LEVELS,
    LEVELS | {"sl": ENTRY - 0.3 * RISK},  # its stop was moved up
    LEVELS | {"sl": ENTRY},
    LEVELS | {"sl": ENTRY + 0.2 * RISK},
    LEVELS | {"tp": ENTRY + 0.5 * RISK},
]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "truth_log.jsonl"


def far(word: str, exit_r: float, r: float | None = None, fill: float = 0.0) -> dict[str, Any]:
    """An end at `exit_r` from the fill, which is named where it lies `fill` R off the entry."""
    named = {"entry_price": ENTRY + fill * RISK} if fill else {}
    leave = ENTRY + (exit_r + fill) * RISK
    return ended(**{"outcome": word, "exit_price": leave, "realised_r": r} | named)


@pytest.mark.parametrize("named", NAMED)
@pytest.mark.parametrize(
    ("word", "r"), [("LOSS_SL", -2.5), ("LOSS", -40.0), ("WIN_TP", 3.5), ("WIN", 40.0)]
)
@pytest.mark.parametrize("cost", [0.0, 0.1])
def test_an_r_that_agrees_with_its_exit_is_believed_however_far_it_ran(
    path: Path, named: dict[str, float], word: str, r: float, cost: float
) -> None:
    """Stops slip in news and over weekends."""
    end = far(word, r, r - cost) | named
    for lines in ((born(**LEVELS), end), (end, born(**LEVELS))):
        (outcome,) = told(*lines, path=path).outcomes.values()
        label = of_truth_log(outcome)
        assert (label.win, label.realised_r) == (r > 0, r - cost)


@pytest.mark.parametrize("fill", [-0.3, 0.3])
@pytest.mark.parametrize(("word", "r"), [("LOSS_SL", -2.5), ("WIN_TP", 3.5)])
def test_it_is_measured_from_the_fill(path: Path, fill: float, word: str, r: float) -> None:
    assert told(born(**LEVELS), far(word, r, r, fill), path=path).outcomes


@pytest.mark.parametrize("named", NAMED)
@pytest.mark.parametrize(
    ("word", "exit_r", "r"),
    [
        ("LOSS_SL", -2.5, None),
        ("LOSS_SL", -2.5, -1.0),
        ("LOSS_SL", -2.5, -2.0),
        ("LOSS_SL", 2.5, -2.5),
        ("LOSS_SL", -2.5, 2.5),
        ("WIN_TP", 3.5, None),
        ("WIN_TP", 3.5, 1.5),
        ("WIN_TP", 3.5, 4.5),
        ("WIN_TP", -3.5, 3.5),
        ("WIN_TP", 1001.0, 1001.0),
    ],
)
def test_what_contradicts_itself_is_refused(
    path: Path, named: dict[str, float], word: str, exit_r: float, r: float | None
) -> None:
    assert not told(born(**LEVELS), far(word, exit_r, r) | named, path=path).outcomes


def test_without_a_stop_no_r_agrees(path: Path) -> None:
    log = told(born(**LEVELS | {"sl": None}), far("WIN_TP", 3.5, 3.5), path=path)
    assert log.refused == {Reason.CONTRADICTS_LEVELS: 1}


@pytest.mark.parametrize("word", ["LOSS_SL", "CLOSED_SL"])
def test_a_moved_stop_may_slip_as_the_signals_own(path: Path, word: str) -> None:
    """By its own line alone it ended three times as far as its stop."""
    moved = LEVELS | {"sl": ENTRY - 0.1 * RISK}
    end = ended(**moved, outcome=word, exit_price=ENTRY - 0.3 * RISK, pips_result=-6.0)
    (outcome,) = told(born(**LEVELS), end, path=path).outcomes.values()
    assert of_truth_log(outcome).realised_r == pytest.approx(-0.3)


@pytest.mark.parametrize(
    ("stop", "word", "exit_r", "r"),
    [(-0.1, "LOSS", -1.9, -1.0), (-0.1, "WIN", 2.9, 1.5), (0.1, "WIN", 2.9, 1.5)],
)
def test_nor_is_a_moved_level_an_excuse_for_another_r(
    path: Path, stop: float, word: str, exit_r: float, r: float
) -> None:
    """Near enough to the signal's own level, and too far for that of its line."""
    moved = LEVELS | {"sl": ENTRY + stop * RISK, "tp": ENTRY + 0.5 * RISK}
    log = told(born(**LEVELS), far(word, exit_r, r) | moved, path=path)
    assert log.refused == {Reason.CONTRADICTS_LEVELS: 1}
