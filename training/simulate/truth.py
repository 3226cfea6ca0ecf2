"""The stated function by which simulated signals win, and the best that anyone can do about it.

    g = sum of weight * clip((feature - centre) / scale, -2, 2)   over TERMS
    p = sigmoid(logit(base_rate) + strength * g)

g has about mean 0 and standard deviation 1 on the simulated market, so `strength` is the
spread of the log odds; with 0 every signal wins with `base_rate` and there is nothing to
learn. Since p is known, so is the best result: nobody can rank signals better than by p,
nor expect a lower log loss than p's own entropy. The rule: only features as recorded enter.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from protocol.schema import FEATURE_COUNT, FEATURE_NAMES
from service.arrays import Floats

_LIMIT = 2.0


class Term(NamedTuple):
    """What one feature adds to g. `centre` and `scale` are its usual level and spread here."""

    feature: str
    centre: float
    scale: float
    weight: float


TERMS = (
    Term("tf_alignment", 50.0, 35.0, 0.60),
    Term("volume_delta", 50.0, 12.0, 0.50),
    Term("spread_quality", 84.0, 11.0, 0.40),
    Term("atr_volatility", 50.0, 7.0, -0.35),
    Term("base_score", 75.0, 7.0, 0.35),
)


def line(terms: Iterable[Term], x: Floats) -> Floats:
    """The sum (n,) of what each term adds for vectors `x` (n, 11)."""
    total = np.zeros(len(x))
    for term in terms:
        column = x[:, FEATURE_NAMES.index(term.feature)]
        total += term.weight * np.clip((column - term.centre) / term.scale, -_LIMIT, _LIMIT)
    return total


class Truth:
    """p of a recorded vector. `base_rate` in 0..1 exclusive, `strength` in log odds, from 0 up."""

    def __init__(self, base_rate: float = 0.45, strength: float = 1.5) -> None:
        if not 0.0 < base_rate < 1.0 or not 0.0 <= strength <= 10.0:
            raise ValueError("base_rate lies between 0 and 1, strength between 0 and 10")
        self.base_rate = base_rate
        self.strength = strength
        self._intercept = math.log(base_rate / (1.0 - base_rate))

    def edge(self, x: Floats) -> Floats:
        """g (n,) of vectors `x` (n, 11) in schema order."""
        return line(TERMS, x)

    def probability(self, x: Floats) -> Floats:
        """The probability of a win (n,) of vectors `x` (n, 11)."""
        if x.ndim != 2 or x.shape[1] != FEATURE_COUNT:
            raise ValueError(f"x is {x.shape}, due is (n, {FEATURE_COUNT})")
        odds = self._intercept + self.strength * self.edge(x)
        result: Floats = 1.0 / (1.0 + np.exp(-odds))
        return result


def best(p: Floats, count: int) -> NDArray[np.intp]:
    """The `count` signals with the highest true `p` (n,): no choice of as many wins more often."""
    return np.argsort(-p, kind="stable")[:count]


def best_win_rate(p: Floats, coverage: float) -> float:
    """The expected win rate of the best `coverage` (0..1) of signals with true `p` (n,)."""
    count = max(1, round(coverage * len(p)))
    return float(np.mean(p[best(p, count)]))


def expected_log_loss(p: Floats, said: Floats) -> float:
    """The log loss in nats that predictions `said` (n,) expect under the true `p` (n,)."""
    said = np.clip(said, 1e-12, 1.0 - 1e-12)
    return float(np.mean(-(p * np.log(said) + (1.0 - p) * np.log1p(-said))))


def best_log_loss(p: Floats) -> float:
    """The lowest log loss that anyone can expect: the mean entropy of the true `p` (n,)."""
    return expected_log_loss(p, p)
