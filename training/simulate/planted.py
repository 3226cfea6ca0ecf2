"""Samples by the thousand whose truth is known, for what must be shown about the trainer.

    g = sqrt(1 - BEND^2) * line + BEND * bent,  scaled to standard deviation 1
    p = sigmoid(intercept + strength * g)

`line` is a sum over TERMS as in `truth`, `bent` an interaction and a curve that no
straight line follows. The base score tells little, as on real signals. The rule: what a
signal wins by is p alone, plus luck that signals of one cluster and of one day share; so
the best that anyone can do is known.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from protocol.schema import FEATURE_NAMES
from service.arrays import Bools, Floats
from training.dataset.overlap import uniqueness
from training.dataset.samples import Samples
from training.simulate.truth import Term, best_win_rate, line

TERMS = (
    Term("tf_alignment", 50.0, 33.0, 0.60),
    Term("volume_delta", 50.0, 12.0, 0.50),
    Term("spread_quality", 80.0, 10.0, 0.40),
    Term("atr_volatility", 50.0, 7.0, -0.40),
    Term("base_score", 75.0, 7.0, 0.20),
)
BEND = 0.35
START_S = 1_735_689_600.0
"""Wednesday 2025-01-01 00:00 UTC."""
DAY_S = 86_400.0
SYMBOLS = ("BTCUSD", "EURUSD", "GBPJPY", "XAUUSD", "US30", "AUDNZD", "USDCAD", "GER40")
_REFERENCE_ROWS = 40_000
_MOMENTUM, _ALIGNMENT, _LEVELS = (
    FEATURE_NAMES.index(name)
    for name in ("momentum_strength", "tf_alignment", "support_resistance")
)


@dataclass(frozen=True, slots=True)
class Edge:
    """p = sigmoid(intercept + strength * g); `best_half` is the win rate of the best half."""

    intercept: float
    strength: float
    best_half: float

    def probability(self, x: Floats) -> Floats:
        """The true probability of a win (n,) of vectors `x` (n, 11)."""
        return _sigmoid(self.intercept + self.strength * score(x))


@dataclass(frozen=True, slots=True)
class Bend:
    """p = low + (high - low) * sigmoid(6 * (g - at)): a step, with no straight line in its odds."""

    low: float
    high: float
    at: float

    def probability(self, x: Floats) -> Floats:
        """The true probability of a win (n,) of vectors `x` (n, 11)."""
        share = 1.0 / (1.0 + np.exp(-6.0 * (score(x) - self.at)))
        result: Floats = self.low + (self.high - self.low) * share
        return result


@dataclass(frozen=True, slots=True)
class Crowd:
    """How signals come. `size` signals a cluster on average, close in time, of one symbol.

    `shared` and `daily` (0..1, sum below 1) are the parts of the variance of features and
    luck that a cluster and a day have in common.
    """

    size: float = 1.0
    shared: float = 0.0
    daily: float = 0.0


ALONE = Crowd()


def score(x: Floats) -> Floats:
    """g (n,) of vectors `x` (n, 11): mean about 0, standard deviation about 1."""
    scale_line, middle_bent, scale_bent = _scales()
    straight, bent = line(TERMS, x) / scale_line, (_bent(x) - middle_bent) / scale_bent
    result: Floats = math.sqrt(1.0 - BEND**2) * straight + BEND * bent
    return result


@functools.cache
def edge(base_rate: float = 0.7, best_half: float = 0.8) -> Edge:
    """The edge by which `base_rate` of all signals win, and `best_half` of the best half.

    Raises ValueError where none does, as where the best half is to win no more often than all.
    """
    from scipy.optimize import brentq  # type: ignore[import-untyped]

    g = score(_reference())

    def with_strength(strength: float) -> Edge:
        odds = strength * g
        intercept = brentq(lambda by: float(np.mean(_sigmoid(by + odds))) - base_rate, -30.0, 30.0)
        return Edge(intercept, strength, best_win_rate(_sigmoid(intercept + odds), 0.5))

    return with_strength(brentq(lambda by: with_strength(by).best_half - best_half, 0.0, 20.0))


def samples(
    n: int,
    days: float,
    truth: Edge | Bend,
    *,
    seed: int,
    crowd: Crowd = ALONE,
    shuffled: bool = False,
) -> Samples:
    """`n` signals over `days`, with wins drawn from `truth` and weights by uniqueness.

    `shuffled`: the wins belong to other vectors of the same clusters and days, so that
    there is nothing to learn though overlapping signals still share their luck.
    """
    rng = np.random.default_rng([seed, n, round(days)])
    time_s, cluster, symbol = _arrivals(n, days, crowd, rng)
    day = np.floor((time_s - START_S) / DAY_S).astype(np.intp)
    x = vectors(_moods(cluster, day, crowd, rng), time_s)
    winning = vectors(_moods(cluster, day, crowd, rng), time_s) if shuffled else x
    luck = _moods(cluster, day, crowd, rng, columns=1)[:, 0]
    win = _uniform(luck) < truth.probability(winning)
    end_s = time_s + _lives(win, rng)
    unknown = np.full(n, np.nan)
    return Samples(
        x=x,
        win=win,
        time_s=time_s,
        end_s=end_s,
        weight=uniqueness(symbol, time_s, end_s),
        realised_r=unknown,
        reward_risk=np.ones(n),
        cost_r=np.full(n, 0.05),
        at_level=np.ones(n, dtype=np.bool_),
        win_probability=unknown,
        stop_spreads=unknown,
        direction=np.where(rng.random(n) < 0.5, 1, -1).astype(np.int8),
        backfilled=np.zeros(n, dtype=np.bool_),
        symbol=symbol,
        pattern=np.full(n, "ORDER_BLOCK_BOUNCE"),
        score_id=np.array([f"planted-{seed}-{i}" for i in range(n)]),
        label_source=np.full(n, "paper"),
    )


def _lives(win: Bools, rng: np.random.Generator) -> Floats:
    """Lives (n,), s: as a near stop is reached sooner than a target, winners run twice as long."""
    life_s = np.where(win, 2.0, 1.0) * rng.lognormal(6.9, 0.8, len(win))
    result: Floats = np.clip(life_s, 60.0, 5_400.0)
    return result


def vectors(moods: Floats, time_s: Floats) -> Floats:
    """Vectors (n, 11) out of standard normal `moods` (n, 11), distributed as features are."""
    share = _uniform(moods)
    columns = {
        "atr_volatility": 50.0 + 7.0 * moods[:, 0],
        "volume_delta": 50.0 + 12.0 * moods[:, 1],
        "tf_alignment": np.round(6.0 * share[:, 2]) * (100.0 / 6.0),
        "sentiment_score": np.where(share[:, 3] < 0.2, 500.0 * share[:, 3], 50.0),
        "whale_activity": np.where(share[:, 4] > 0.7, 20.0 + 100.0 * (share[:, 4] - 0.7), 0.0),
        "spread_quality": 80.0 + 10.0 * moods[:, 5],
        "correlation_check": 50.0 + 20.0 * moods[:, 6],
        "session_bonus": np.array([10.0, 15.0, 20.0, 25.0])[
            np.floor(time_s % DAY_S / DAY_S * 4.0).astype(np.intp)
        ],
        "momentum_strength": 50.0 + 20.0 * moods[:, 8],
        "support_resistance": 100.0 * share[:, 9],
        "base_score": np.round(75.0 + 7.0 * moods[:, 10], 1),
    }
    x = np.column_stack([columns[name] for name in FEATURE_NAMES])
    result: Floats = np.clip(x, 0.0, 100.0)
    return result


def fresh(n: int, *, seed: int) -> Floats:
    """Vectors (n, 11) of signals that nobody has seen, each on its own."""
    rng = np.random.default_rng([seed, 99])
    time_s = START_S + DAY_S * rng.random(n)
    return vectors(rng.standard_normal((n, len(FEATURE_NAMES))), time_s)


def _arrivals(
    n: int, days: float, crowd: Crowd, rng: np.random.Generator
) -> tuple[Floats, NDArray[np.intp], NDArray[np.str_]]:
    """Times in order, the cluster of each, its symbol."""
    count = max(1, round(n / crowd.size))
    cluster = np.sort(rng.integers(count, size=n)) if crowd.size > 1 else np.arange(n)
    begins_s = START_S + days * DAY_S * rng.random(cluster.max() + 1)
    time_s = begins_s[cluster] + rng.uniform(0.0, 1_200.0, n) * (crowd.size > 1)
    time_s = np.minimum(time_s, START_S + days * DAY_S - 1.0)
    symbol = np.array(SYMBOLS)[rng.integers(len(SYMBOLS), size=cluster.max() + 1)][cluster]
    order = np.argsort(time_s, kind="stable")
    return time_s[order], cluster[order], symbol[order]


def _moods(
    cluster: NDArray[np.intp],
    day: NDArray[np.intp],
    crowd: Crowd,
    rng: np.random.Generator,
    columns: int = len(FEATURE_NAMES),
) -> Floats:
    """Standard normal (n, columns), in part common to a cluster and to a day."""
    of_cluster = rng.standard_normal((int(cluster.max()) + 1, columns))[cluster]
    of_day = rng.standard_normal((int(day.max()) + 1, columns))[day]
    own = rng.standard_normal((len(cluster), columns))
    alone = 1.0 - crowd.shared - crowd.daily
    moods: Floats = (
        math.sqrt(crowd.shared) * of_cluster
        + math.sqrt(crowd.daily) * of_day
        + math.sqrt(alone) * own
    )
    return moods


def _bent(x: Floats) -> Floats:
    def z(column: int, spread: float) -> Floats:
        clipped: Floats = np.clip((x[:, column] - 50.0) / spread, -2.0, 2.0)
        return clipped

    crossed = z(_MOMENTUM, 20.0) * z(_ALIGNMENT, 35.0)
    result: Floats = crossed + 0.8 * z(_LEVELS, 29.0) ** 2
    return result


@functools.cache
def _reference() -> Floats:
    return fresh(_REFERENCE_ROWS, seed=0)


@functools.cache
def _scales() -> tuple[float, float, float]:
    x = _reference()
    straight, bent = line(TERMS, x), _bent(x)
    return float(straight.std()), float(bent.mean()), float(bent.std())


def _sigmoid(odds: Floats) -> Floats:
    result: Floats = 1.0 / (1.0 + np.exp(-odds))
    return result


def _uniform(normal: Floats) -> Floats:
    """The standard normal's distribution function."""
    from scipy.special import ndtr  # type: ignore[import-untyped]

    result: Floats = ndtr(normal)
    return result
