"""Ends that name where the trade was filled: exits are measured from there, and no level moved."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from truth_lines import born, ended, told, tracked

from training.dataset.labels import Label, of_truth_log

ENTRY, RISK, REWARD = 1.1, 0.0005, 0.001
BUY = {"entry_price": ENTRY, "sl": ENTRY - RISK, "tp": ENTRY + REWARD}
SLIPS = [-0.0002, -0.00003, 0.00003, 0.0001, 0.0002, 0.0008]
TOLD = [
    *(
        (way, words)
        for way in ("word", "exit")
        for words in (("WIN_TP", "LOSS_SL"), ("WIN", "LOSS"))
    ),
    ("pips", ("CLOSED_TP", "CLOSED_SL")),
    ("pips", ("WIN_TP", "LOSS_SL")),
]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "truth_log.jsonl"


def label_of(path: Path, levels: dict[str, float], end: dict[str, Any]) -> Label | None:
    """What is believed of an end beside its signal's own line, in either order."""
    found = []
    for lines in ((born(**levels), end), (end, born(**levels))):
        outcomes = told(*lines, path=path).outcomes.values()
        found.append(next((of_truth_log(outcome) for outcome in outcomes), None))
    assert found[0] == found[1]
    return found[0]


def way_of(way: str, exit_price: float, fill: float) -> dict[str, Any]:
    """How an end tells what it made beyond its word."""
    pips = {"pips_result": (exit_price - fill) / 1e-4}
    return {"word": {}, "exit": {"exit_price": exit_price}, "pips": pips}[way]


@pytest.mark.parametrize("slip", SLIPS)
@pytest.mark.parametrize(("way", "words"), TOLD)
@pytest.mark.parametrize("shape", [ended, tracked])
def test_levels_set_by_the_fill_are_not_moved(
    path: Path, slip: float, way: str, words: tuple[str, str], shape: Any
) -> None:
    """The trade risked and could make what its signal said, wherever it was filled."""
    by_fill = {name: price + slip for name, price in BUY.items()}
    for word, level, r in ((words[0], "tp", REWARD / RISK), (words[1], "sl", -1.0)):
        tells = way_of(way, by_fill[level], by_fill["entry_price"])
        clear = {"exit_price": None, "pips_result": None, "hit_level": None}
        label = label_of(path, BUY, shape(**clear | by_fill | {"outcome": word} | tells))
        assert label is not None
        assert label.realised_r == pytest.approx(r)
        assert label.win is (level == "tp")
        # Nothing but the word told: the costs are still to be taken off.
        by_word = way != "exit" and not word.startswith("CLOSED")
        assert label.nominal is by_word


@pytest.mark.parametrize("slip", [-0.0002, -0.00003, 0.00003, 0.0001, 0.0002])
@pytest.mark.parametrize("way", ["word", "exit"])
@pytest.mark.parametrize("named", [BUY, {"sl": BUY["sl"]}, {}])
def test_beside_a_fill_a_word_is_of_the_signals_own_level_and_an_exit_from_the_fill(
    path: Path, slip: float, way: str, named: dict[str, float]
) -> None:
    """Of a word the costs are still to be taken off, and slippage is mostly the spread."""
    fill = {**named, "entry_price": ENTRY + slip}
    for word, level in (("WIN_TP", "tp"), ("LOSS_SL", "sl")):
        end = ended(**fill, outcome=word, **way_of(way, BUY[level], fill["entry_price"]))
        label = label_of(path, BUY, end)
        assert label is not None
        began = ENTRY if way == "word" else fill["entry_price"]
        assert label.realised_r == pytest.approx((BUY[level] - began) / RISK)
        assert label.at_level


@pytest.mark.parametrize("slip", [0.0002, -0.0002])
def test_closed_between_the_signals_price_and_the_fill_it_is_judged_by_the_fill(
    path: Path, slip: float
) -> None:
    fill = {**BUY, "entry_price": ENTRY + slip}
    between = {"outcome": "CLOSED_MANUAL", "exit_price": ENTRY + slip / 2}
    for pips in (-1.0, 1.0):
        label = label_of(path, BUY, ended(**fill, **between, pips_result=pips))
        assert (label is not None) == ((pips > 0) == (slip < 0))
        if label is not None:
            assert (label.win, label.realised_r) == (pips > 0, pytest.approx(-slip / 2 / RISK))


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    slip=st.floats(-0.00015, 0.00015),
    word=st.sampled_from(["WIN_TP", "LOSS_SL", "WIN", "LOSS", "CLOSED_STOP", "EXPIRED"]),
    # Either the signal's own or clearly moved, from wherever one measures.
    stop=st.sampled_from([-RISK, -0.0002, 0.0, 0.0004]),
    target=st.sampled_from([REWARD, 0.0007, 0.0015]),
    exit_price=st.one_of(st.none(), st.floats(-0.003, 0.003)),
    r=st.one_of(st.none(), st.sampled_from([-1.0, -0.2, 0.2, 2.0])),
)
@example(slip=0.00013, word="LOSS_SL", stop=0.0, target=REWARD, exit_price=-0.00112, r=None)
def test_where_a_trade_was_filled_changes_nothing_else(
    path: Path,
    slip: float,
    word: str,
    stop: float,
    target: float,
    exit_price: float | None,
    r: float | None,
) -> None:
    """The whole trade moved by `slip` is believed alike and made as much.

    But an exit that is right as seen from the signal's own price is believed too.
    """

    def moved(by: float) -> Label | None:
        end = {"entry_price": ENTRY + by, "sl": ENTRY + stop + by, "tp": ENTRY + target + by}
        leave = None if exit_price is None else ENTRY + exit_price + by
        return label_of(path, BUY, ended(**end, outcome=word, exit_price=leave, realised_r=r))

    plain, shifted = moved(0.0), moved(slip)
    if plain is None and shifted is not None and exit_price is not None:
        way = (exit_price + slip) / (REWARD if shifted.win else -RISK)
        assert 0.9 - 1e-9 <= way <= 2.0 + 1e-9
        return
    if plain is None or shifted is None:
        assert plain is shifted
        return
    assert plain.win is shifted.win
    known = plain.realised_r
    assert shifted.realised_r == (None if known is None else pytest.approx(known, abs=1e-6))


@pytest.mark.parametrize("key", ["pips_result", "final_pips"])
@pytest.mark.parametrize(
    ("word", "moved", "r"),
    [
        ("WIN_TP", {"sl": ENTRY}, 2.0),
        ("WIN", {"sl": ENTRY}, None),
        (True, {"sl": ENTRY + 0.00005}, None),
        ("WIN", {"sl": ENTRY + 0.0002}, 2.0),
        ("WIN", {"sl": ENTRY - 0.0002}, 2.0),
        ("WIN", {"tp": ENTRY + 0.0008}, 1.6),
        ("WIN", {}, 2.0),
        ("LOSS_SL", {"sl": ENTRY}, 0.0),
        ("LOSS", {"sl": ENTRY + 0.00005}, 0.0),
        ("LOSS", {"sl": ENTRY - 0.00005}, -0.1),
        ("WIN", {"sl": ENTRY - 0.00005}, 2.0),
        ("WIN", {"sl": ENTRY - 0.000005}, None),
        ("LOSS", {"sl": ENTRY - 0.000005}, 0.0),
        ("LOSS", {"sl": ENTRY + 0.0002}, None),
        ("LOSS", {"sl": ENTRY - 0.0002}, -0.4),
        ("LOSS", {"tp": ENTRY + 0.0008}, -1.0),
        ("LOSS", {}, -1.0),
    ],
)
def test_pips_of_0_leave_it_to_the_word_but_where_a_win_may_have_been_none(
    path: Path, key: str, word: Any, moved: dict[str, float], r: float | None
) -> None:
    """They may be true, or what a writer puts where it has none."""
    for named in (BUY, {}):  # the end may name no more than the level that was moved
        label = label_of(path, BUY, ended(**named | moved, outcome=word, **{key: 0.0}))
        assert label is not None
        assert label.realised_r == (None if r is None else pytest.approx(r))
        if r is None:
            assert not label.at_level


@pytest.mark.parametrize("side", [1.0, -1.0])
@pytest.mark.parametrize(
    ("worse", "stop", "win_r", "loss_r"),
    [
        (0.08, 0.0, None, -0.08),
        (0.2, 0.0, None, -0.2),
        (0.2, 0.1, None, -0.1),
        (0.4, 0.0, None, -0.4),
        (0.2, 0.2, None, 0.0),
        (0.2, -0.1, 2.0, -0.3),
        (0.4, 0.3, 2.0, -0.1),
        (-0.1, 0.0, None, 0.0),
        (-0.2, 0.0, None, None),
        (-0.2, -0.2, None, 0.0),
        (-0.4, 0.3, 2.0, None),
    ],
)
def test_pips_of_0_may_be_counted_from_the_signals_price_and_a_loss_cost_what_the_fill_says(
    path: Path, side: float, worse: float, stop: float, win_r: float | None, loss_r: float | None
) -> None:
    """By how many R the fill was worse, and where the stop was moved to, from the signal's own."""
    own = {"entry_price": ENTRY, "sl": ENTRY - side * RISK, "tp": ENTRY + side * REWARD}
    began = born(direction="BUY" if side > 0 else "SELL", **own)
    own["entry_price"] += side * worse * RISK
    own["sl"] = ENTRY + side * stop * RISK
    for word, r in (("WIN", win_r), ("WIN_TP", 2.0), ("LOSS", loss_r), ("LOSS_SL", loss_r)):
        end = ended(**own, outcome=word, pips_result=0.0)
        (outcome,) = told(began, end, path=path).outcomes.values()
        made_r = of_truth_log(outcome).realised_r
        assert made_r == (None if r is None else pytest.approx(r, abs=1e-6)), word


@pytest.mark.parametrize(("slip", "nominal"), [(0.0, True), (0.0001, False)])
def test_of_what_is_measured_from_a_fill_no_spread_is_taken_off(
    path: Path, slip: float, nominal: bool
) -> None:
    moved = {"entry_price": ENTRY + slip, "sl": ENTRY - 0.0002, "tp": ENTRY + 0.0015}
    for word, r in (("LOSS_SL", -0.4 - slip / RISK), ("WIN_TP", 3.0 - slip / RISK)):
        label = label_of(path, BUY, ended(**moved, outcome=word))
        assert label is not None
        assert (label.realised_r, label.nominal) == (pytest.approx(r), nominal)


def test_a_stop_is_measured_from_the_entry_of_its_own_line(path: Path) -> None:
    by_fill = {name: price + 0.0002 for name, price in BUY.items()}
    for word, level, r in (("WIN_TP", "tp", REWARD / RISK), ("LOSS_SL", "sl", -1.0)):
        end = ended(**by_fill, outcome=word, exit_price=by_fill[level])
        label = label_of(path, {"entry_price": ENTRY, "sl": None, "tp": None}, end)
        assert label is not None
        assert label.realised_r == pytest.approx(r)


@pytest.mark.parametrize(("win", "exit_price"), [(True, 1.108), (False, 1.09)])
def test_an_r_of_the_other_sign_is_not_known(path: Path, win: bool, exit_price: float) -> None:
    """Its line says neither direction nor target, so that the stop alone tells the side."""
    line = {"signal_id": "B", "pair": "EURUSD", "win": win, "lifespan": 3600.0}
    line |= {"timestamp": "2026-03-02T12:00:00", "entry_price": 1.1, "sl": 1.105}
    (outcome,) = told(line | {"exit_price": exit_price}, path=path).outcomes.values()
    label = of_truth_log(outcome)
    assert (label.realised_r, label.at_level) == (None, False)
