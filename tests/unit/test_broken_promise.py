"""Expected R that promised too much, and fewer wins among the half that is rated best."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from found_rows import FEW_TREES, Judged, N, rows_of, truth
from found_rows import unpriced as unpriced_judged

from training.candidate import make
from training.dataset.samples import Samples
from training.gain import week_of
from training.report.answers import answers
from training.report.coverage import chosen, promise
from training.report.findings import find
from training.wording import signed


@pytest.fixture(scope="module")
def unpriced() -> Judged:
    return unpriced_judged()


def ending(expiring: float, seed: int = 1) -> Samples:
    """No edge: targets of 3 R, of which `expiring` end at neither level, at +0.1 or -0.15 R."""
    rng = np.random.default_rng(seed)
    expired = rng.random(N) < expiring
    win = rng.random(N) < np.where(expired, 0.6, 0.25)
    made = np.where(win, np.where(expired, 0.1, 3.0), np.where(expired, -0.15, -1.0))
    terms = {"reward_risk": np.full(N, 3.0), "cost_r": np.zeros(N)}
    return rows_of(0.0, win=win, realised_r=made, at_level=~expired, **terms)


@pytest.mark.parametrize(("expiring", "broken"), [(1 / 3, True), (0.0, False)])
def test_where_ends_before_the_target_pay_less_take_is_said_to_be_too_kind(
    expiring: float, broken: bool
) -> None:
    candidate = make(ending(expiring), FEW_TREES, now_s=0.0)
    first = answers(candidate, find(candidate, FEW_TREES), [])[1].text[0]
    assert first.startswith("Expected R promised too much of all signals: ") == broken
    if broken:
        assert "what ends at neither level pays less" in first


FAR = np.arange(N) % 2 > 0


def in_turns(share: np.ndarray) -> np.ndarray:
    """Which of the signals win: of each kind that `share` (n,) tells its share, none by luck."""
    win = np.zeros(len(share), dtype=np.bool_)
    for each in np.unique(share):
        kind = share == each
        win[kind] = np.diff(each * np.arange(np.count_nonzero(kind) + 1) // 1) > 0
    return win


def mixed(near: float, far: float, expiring: float = 0.0, **changes: object) -> Samples:
    """Every second signal has a reward of 3 R, the others 1 R; no costs.

    Of them `near` and `far` (0..1) win at target or stop. `expiring` of the far ones end at
    neither: six in ten at +0.1 R, the others at -0.15 R.
    """
    reward = np.where(FAR, 3.0, 1.0)
    expired = np.zeros(N, dtype=np.bool_)
    expired[FAR] = in_turns(np.full(N // 2, expiring))
    win = in_turns(np.where(expired, 0.6, np.where(FAR, far, near)))
    made = np.where(win, np.where(expired, 0.1, reward), np.where(expired, -0.15, -1.0))
    terms = {"reward_risk": reward, "cost_r": np.zeros(N), "realised_r": made}
    return rows_of(0.0, **({"win": win, "at_level": ~expired} | terms | changes))


SLIPPED = mixed(0.5, 0.25)
FEWER = "Fewer won than it said: 37.5 % promised, 33.0 % won."
BY_REWARD = "Of signals with a high reward fewer won than it said, of those with a low one more."
BETWEEN = "It counts a win as the whole target, and what ends at neither level pays less."
SLIPPAGE = (
    "At the levels less was made than the levels say: slippage, costs that were not sent, or "
    "trades closed before the level."
)


@pytest.mark.parametrize(
    ("rows", "said", "cause"),
    [
        (mixed(0.44, 0.22), 0.375, FEWER),
        (mixed(0.5, 0.25), 0.375, BY_REWARD),
        (mixed(0.5, 0.25, 0.5), np.where(FAR, 0.425, 0.5), BETWEEN),
        # Of 1.2 points fewer wins come 0.04 R, of time-outs 0.35 R.
        (mixed(0.5, 0.25, 0.5), np.where(FAR, 0.437, 0.512), BETWEEN),
        (
            replace(SLIPPED, realised_r=SLIPPED.realised_r - np.where(SLIPPED.win, 0.1, 0.25)),
            np.where(FAR, 0.25, 0.5),
            SLIPPAGE,
        ),
        # A few time-outs make not what fills far from the levels cost.
        (
            replace(
                mixed(0.5, 0.25, 0.05), realised_r=mixed(0.5, 0.25, 0.05).realised_r - 0.3 * ~FAR
            ),
            np.where(FAR, 0.267, 0.5),
            SLIPPAGE,
        ),
    ],
)
def test_a_broken_promise_is_laid_to_the_larger_part_of_what_is_missing(
    rows: Samples, said: np.ndarray | float, cause: str, unpriced: Judged
) -> None:
    candidate, found = unpriced
    broken = promise(np.full(N, said), rows)
    assert broken is not None
    assert sum(broken.missing) == pytest.approx(broken.promised - broken.made.value)
    text = answers(candidate, found._replace(promise=broken), [])[1].text[0]
    whole = f"all signals: {signed(broken.promised)} R each, but {signed(broken.made.value)}"
    assert text.startswith(f"Expected R promised too much of {whole} was made (")
    assert text.endswith(
        f"). {cause} `take` goes by the low end of expected R: a higher score.take_margin_r takes "
        "fewer signals."
    )


def test_a_promise_of_signals_whose_r_is_known_is_none_of_all(unpriced: Judged) -> None:
    candidate, found = unpriced
    rows = mixed(0.44, 0.22, reward_risk=np.where(np.arange(N) < N // 2, np.nan, 2.0))
    broken = promise(np.full(N, 0.9), rows)
    text = answers(candidate, found._replace(promise=broken), [])[1].text[0]
    whose = "the 600 of 1,200 signals whose reward and R are known: +1.70 R each"
    assert text.startswith(f"Expected R promised too much of {whose}")


def test_a_promise_that_too_few_wins_break_is_not_laid_to_their_pay() -> None:
    rows = ending(0.0)
    found = promise(np.full(N, 0.4), rows)
    assert found is not None
    assert found.promised == pytest.approx(0.6)
    assert found.missing == pytest.approx((0.6 - found.made.value, 0.0, 0.0, 0.0))
    assert found.broken
    assert not promise(np.full(N, 0.25), rows).broken  # type: ignore[union-attr]


def test_of_few_signals_or_unknown_results_no_promise_is_called_broken() -> None:
    rows = ending(0.0)
    few = promise(np.full(90, 0.9), rows.take(slice(0, N, N // 90)).take(slice(0, 90)))
    assert few is not None
    assert not few.broken
    unknown = replace(rows, reward_risk=np.full(N, np.nan))
    assert promise(np.full(N, 0.9), unknown) is None


def judged_by_reward(made_r: float, far_r: float) -> Judged:
    """A candidate that takes 3 R before 1 R, which make `far_r` and `made_r`, beside an edge."""
    reward = np.where(FAR, 3.0, 1.0)
    rows = rows_of(0.0, reward_risk=reward, cost_r=np.zeros(N))
    p = (1.0 + np.where(FAR, far_r, made_r)) / (1.0 + reward) + 0.5 * (truth(rows, 0.1) - 0.5)
    candidate = make(
        replace(rows, win=np.random.default_rng(3).random(N) < p), FEW_TREES, now_s=0.0
    )
    return candidate, find(candidate, FEW_TREES)


GOOD = "Fewer wins, but not less R, as higher rewards bring with them: the half that"


def test_fewer_wins_for_a_higher_reward_are_called_no_harm() -> None:
    candidate, found = judged_by_reward(0.6, 0.9)
    by_wins, by_r = answers(candidate, found, [])[0].text
    assert by_wins.startswith(GOOD)
    assert "harms" not in by_r
    assert answers(candidate, found._replace(by_r=False), [])[0].text[0].startswith("It harms")
    nowhere = found._replace(told=[taken._replace(more_wins=None) for taken in found.told])
    assert answers(candidate, nowhere, [])[0].text == (
        "In each week it rates all or none among the best half: nothing to hold it against.",
        by_r,
    )


def test_fewer_wins_than_the_higher_reward_makes_good_are_harm() -> None:
    candidate, found = judged_by_reward(-0.4, -0.8)
    assert answers(candidate, found, [])[0].text[0].startswith("It harms: the half that")


def of_wins(at: np.ndarray, rows: Samples, judged: Judged) -> str:
    """What is said of the wins where `at` (N,) is the half that is rated best."""
    candidate, found = judged
    half = chosen(at, np.full(N, 0.5), rows)
    assert half.more_wins is not None
    assert half.more_wins.worse
    return answers(candidate, found._replace(by_r=True, told=[half] * 5), [])[0].text[0]


UNKNOWN = {"realised_r": np.full(N, np.nan), "at_level": np.zeros(N, dtype=np.bool_)}


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (mixed(0.5, 0.26), GOOD),
        (mixed(0.5, 0.24), "It harms"),  # by R not surely
        (mixed(0.5, 0.1), "It harms"),
        # Worse far targets, which expire half of the time: 7.5 points fewer win, many at +0.1 R.
        (mixed(0.5, 0.1, 0.5), "It harms"),
        (mixed(0.5, 0.26, **UNKNOWN), "It harms"),
        (mixed(0.5, 0.26, **(UNKNOWN | {"at_level": np.arange(N) < 60})), "It harms"),
    ],
)
def test_fewer_wins_are_harm_unless_as_much_r_was_made(
    rows: Samples, said: str, unpriced: Judged
) -> None:
    assert of_wins(FAR, rows, unpriced).startswith(said)


@pytest.mark.parametrize("known", [N, N // 2])
def test_what_was_made_with_fewer_wins_is_told_with_how_many_it_is_known_of(
    known: int, unpriced: Judged
) -> None:
    rows = mixed(0.5, 0.26)
    made = np.where(np.arange(N) < known, rows.realised_r, np.nan)
    text = of_wins(FAR, replace(rows, realised_r=made, at_level=np.isfinite(made)), unpriced)
    found = re.search(r"; after costs it made \+0.0. R a signal, all \+0.0.(.*)\.$", text)
    assert found is not None
    assert found[1] == ("" if known == N else f", of the {known:,} whose R is known")


def test_rewards_that_are_higher_in_other_weeks_excuse_no_fewer_wins(unpriced: Judged) -> None:
    rng = np.random.default_rng(5)
    rows = rows_of(0.0)
    week = week_of(rows.time_s) - week_of(rows.time_s).min()
    at = rng.random(N) < np.array([0.2, 0.5, 0.8, 0.8])[week.astype(int)]
    made = np.where(FAR, 1.0, -1.0) + 0.1 * at
    win = rng.random(N) < np.where(at, 0.4, 0.6)
    rows = replace(rows, reward_risk=1.0 + week, realised_r=made, win=win)
    assert of_wins(at, rows, unpriced).startswith("It harms")
