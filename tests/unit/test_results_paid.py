"""Whether what was taken paid, said in `results` whatever it is worth beside all signals."""

from __future__ import annotations

import numpy as np
import pytest
from sample_rows import sample_rows
from signal_weeks import MONDAY_S, WEEKS, advice_of, lines, weeks_of_signals

from training.bound import DAY_S, clustered, days, t_quantile
from training.dataset.answered import Advice
from training.dataset.samples import Samples
from training.gain import WEEK_S, mean_made
from training.measure import net_r

BEGINS = ("What it took", "Whether what it took")


def said_of(samples: Samples, advice: dict[str, Advice] | None = None) -> list[str]:
    shown = " ".join(" ".join(lines(samples, advice or advice_of(samples))).split())
    return [part for part in shown.split(". ") if part.startswith(BEGINS)]


def priced(n: int, won: float, **changes: object) -> Samples:
    """Of the half that is taken `won` (0..1), of the rest none; a reward of 1 R, a cost of 0.05."""
    rows = weeks_of_signals(n, edge=0.0)
    win = (rows.x[:, 8] > 50) & (np.random.default_rng(3).random(n) < won)
    terms = {"reward_risk": np.ones(n), "cost_r": np.full(n, 0.05)}
    return weeks_of_signals(n, edge=0.0, **({"win": win} | terms | changes))


@pytest.mark.parametrize(
    ("won", "begins", "low", "high"),
    [
        (0.38, "What it took lost money: the ", -0.5, -0.2),
        (0.80, "What it took paid: the ", 0.4, 0.7),
        (0.53, "Whether what it took paid is not established: the ", -0.2, 0.2),
    ],
)
def test_it_is_said_with_its_interval_beside_what_is_better_than_all(
    won: float, begins: str, low: float, high: float
) -> None:
    rows = priced(900, won)
    taken = rows.x[:, 8] > 50
    (said,) = said_of(rows)
    assert said.startswith(f"{begins}{taken.sum():,} taken made ")
    found = mean_made(rows.take(taken), 0.0)
    assert low < found.low < found.high < high
    assert f"made {found.value:+.2f} R a signal (90 % interval {found.low:+.2f} to" in said
    assert any(line.startswith("Established: the") for line in lines(rows, advice_of(rows)))


def test_it_is_said_where_all_were_taken() -> None:
    rows = priced(300, 0.4)
    (said,) = said_of(rows, {i: Advice("m", True) for i in rows.score_id.tolist()})
    assert said.startswith("What it took lost money: the 300 taken made")


def test_of_few_it_is_not_established() -> None:
    for rows in (priced(90, 0.1), priced(900, 0.02)):  # 45 taken; 9 wins
        (said,) = said_of(rows)
        assert said.startswith("Whether what it took paid is not established: so far the ")
    (said,) = said_of(sample_rows(60, every_s=600.0, win=np.arange(60) % 3 == 0,
        reward_risk=np.ones(60), cost_r=np.zeros(60)))  # fmt: skip
    assert "so far the" in said
    assert "one day has no interval" in said


def test_nothing_is_said_of_r_that_is_not_known_or_of_nothing_taken() -> None:
    assert not said_of(weeks_of_signals(600, edge=0.2))
    rows = priced(300, 0.4)
    assert not said_of(rows, {i: Advice("m", False) for i in rows.score_id.tolist()})


def test_those_of_known_r_are_said_to_be_that() -> None:
    reward = np.where(np.arange(900) % 2, 1.0, np.nan)
    rows = priced(900, 0.38, reward_risk=reward)
    known = np.count_nonzero((rows.x[:, 8] > 50) & np.isfinite(reward))
    (said,) = said_of(rows)
    assert f"the {known:,} taken whose R is known made" in said


def test_its_error_is_by_days_and_never_below_that_of_signals_on_their_own() -> None:
    rng = np.random.default_rng(4)
    day = np.arange(400) // 20
    shared = sample_rows(400, every_s=DAY_S / 20, realised_r=rng.normal(size=20)[day])
    by_days = clustered(net_r(shared), shared.weight, days(shared.time_s))
    assert mean_made(shared, 0.0) == by_days
    # Each day alike, so that days alone would tell of no error at all.
    r = np.where(np.arange(400) % 2, 1.0, -1.0)
    alike = sample_rows(400, every_s=DAY_S / 20, realised_r=r, weight=np.full(400, 0.25))
    found = mean_made(alike, 0.0)
    assert found.error == pytest.approx(1.0 / np.sqrt(100.0))
    assert found.high - found.low == pytest.approx(2 * t_quantile(19) * found.error)


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(5)
    inside = 0
    for _ in range(300):
        time_s = MONDAY_S + np.sort(rng.random(400)) * WEEKS * WEEK_S
        r = np.where(rng.random(400) < 0.4, 1.5, -1.0)
        found = mean_made(sample_rows(400, time_s=time_s, end_s=time_s + 60.0, realised_r=r), 0.0)
        inside += found.low <= 0.0 <= found.high
    # 90 % of 300 is 270, its standard deviation 5.2; the larger of two errors covers a little more.
    assert 259 <= inside <= 290
