"""The gain of what was taken over all that there was, and its interval."""

from __future__ import annotations

import numpy as np
import pytest
from signal_weeks import MONDAY_S, lines, weeks_of_signals

from training.bound import DAY_S, t_quantile
from training.dataset.answered import Advice
from training.gain import WEEK_S, Gain, gain


def test_the_interval_of_a_gain_covers_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(11)
    inside = 0
    for _ in range(400):
        taken = rng.random(400) < 0.4
        won = (rng.random(400) < np.where(taken, 0.6, 0.5)).astype(float)
        time_s = np.sort(rng.random(400)) * 40 * DAY_S
        found = gain(won, np.ones(400), taken, time_s)
        assert found is not None
        inside += found.low <= 0.06 <= found.high
    # 0.6 - (0.4 * 0.6 + 0.6 * 0.5) = 0.06; 90 % of 400 is 360, its standard deviation 6.
    assert 340 <= inside <= 380


def by_lot(seed: int, n: int, share: float, won: float) -> tuple[np.ndarray, np.ndarray, Gain]:
    """`n` signals of five days, a `share` of them taken by lot: won, taken, and the gain."""
    rng = np.random.default_rng(seed)
    win, taken = rng.random(n) < won, rng.random(n) < share
    taken[:2] = True, False
    time_s = MONDAY_S + np.sort(rng.random(n)) * 5 * DAY_S
    found = gain(win.astype(float), np.ones(n), taken, time_s)
    assert found is not None
    return win, taken, found


@pytest.mark.parametrize(("n", "share", "won"), [(100, 0.05, 0.85), (400, 0.2, 0.85)])
def test_what_was_taken_by_lot_is_seldom_called_better(n: int, share: float, won: float) -> None:
    better = [by_lot(seed, n, share, won)[2].better for seed in range(300)]
    # 5 % of 300 and two standard deviations of that.
    assert sum(better) <= 15 + 8


def a_day_rules(taken: tuple[int, ...], seed: int) -> Gain:
    """100 signals a day without an edge; a tenth of their luck is the day's."""
    rng = np.random.default_rng(seed)
    day = np.repeat(np.arange(len(taken)), 100)
    luck = np.sqrt(0.1) * rng.normal(size=len(taken))[day] + np.sqrt(0.9) * rng.normal(
        size=len(day)
    )
    at = np.concatenate([np.arange(100) < count for count in taken])
    found = gain((luck > 0).astype(float), np.ones(len(day)), at, (4.0 + day) * DAY_S)
    assert found is not None
    return found


def test_a_day_of_which_most_was_taken_does_not_vouch_for_itself() -> None:
    better = sum(a_day_rules((100, 5, 5, 5, 5), seed).better for seed in range(400))
    # 5 % of 400 and three standard deviations of that; by each day's share of all some 60.
    assert better <= 20 + 13


def test_where_all_that_was_taken_is_of_one_day_there_is_no_interval() -> None:
    found = a_day_rules((60, 0, 0, 0, 0), 0)
    assert (found.low, found.high) == (-np.inf, np.inf)
    samples = weeks_of_signals(600, edge=0.0)
    first = samples.time_s // DAY_S == samples.time_s[0] // DAY_S
    advice = {
        score_id: Advice("m", bool(taken))
        for score_id, taken in zip(samples.score_id.tolist(), first, strict=True)
    }
    said = " ".join(" ".join(lines(samples, advice)).split())
    assert "(one day has no interval)" in said
    assert "inf" not in said
    assert "interval holds 0" not in said


def test_few_taken_that_all_won_have_an_error() -> None:
    few = [by_lot(seed, 100, 0.05, 0.85) for seed in range(100)]
    lucky = [(won, taken, found) for won, taken, found in few if won[taken].all()]
    assert lucky
    for won, taken, found in lucky:
        rate, n, of_them = won.mean(), len(won), taken.sum()
        alone = np.sqrt(rate * (1 - rate) * (1 / of_them - 1 / n))
        assert found.high - found.low >= 2 * t_quantile(4) * alone * (1 - 1e-9)


@pytest.mark.parametrize(("won", "enough"), [(0.5, True), (0.9, False)])
def test_wins_and_losses_are_to_be_expected_in_the_smaller_part(won: float, enough: bool) -> None:
    _, taken, found = by_lot(3, 400, 0.2, won)
    assert taken.sum() >= 50
    assert found.enough is enough


def test_what_is_taken_is_held_against_its_own_weeks() -> None:
    n = 40
    week = np.arange(n) // 20
    taken = np.where(week, np.arange(n) % 4 > 0, np.arange(n) % 4 == 0)
    won = np.where(week, 1.0, 0.0)
    found = gain(won, np.ones(n), taken, MONDAY_S + WEEK_S * week + 3600.0 * np.arange(n))
    assert found is not None
    assert (found.taken, found.all) == (pytest.approx(0.75), pytest.approx(0.75))


def test_weeks_that_were_taken_nearly_all_or_not_count_for_what_they_tell() -> None:
    week = np.arange(100) // 50
    taken = np.where(week, np.arange(100) % 50 < 2, np.arange(100) % 50 >= 2)
    time_s = MONDAY_S + WEEK_S * week + 3600.0 * (np.arange(100) % 50)
    uneven = gain(np.arange(100) % 2.0, np.ones(100), taken, time_s)
    even = gain(np.arange(100) % 2.0, np.ones(100), np.arange(100) % 2 > 0, time_s)
    assert uneven is not None
    assert even is not None
    assert uneven.fewer < 10.0
    assert even.fewer == pytest.approx(50.0)
