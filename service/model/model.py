"""A model as the engine holds it: the forest, its calibration and what was promised of it.

The rule: nothing here changes once made; what a vector is worth depends on the vector alone.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from protocol.manifest import CLIP, Calibration, Manifest
from protocol.messages import Explanation
from protocol.schema import FEATURE_NAMES
from service.arrays import Floats
from service.model.forest import Forest

CLOCK_AHEAD_S = 900.0
"""By so much another machine's clock may be ahead of ours; of more than that one is wrong."""


class Probability(msgspec.Struct, frozen=True, gc=False):
    """Of a win, each 0..1: the forest's own, calibrated, and the served `p` with its interval."""

    raw: float
    calibrated: float
    p: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Model:
    """A verified model.

    `reviewed_at` (UTC s) is the pointer's; `digest` (hex) is the manifest's SHA-256.
    """

    version: str
    manifest: Manifest
    forest: Forest
    digest: str
    reviewed_at: float

    def reviewed_ahead(self, now_s: float) -> bool:
        """Whether the review lies ahead: this clock is behind, or one was ahead then.

        Which of them, the machine cannot know. A model with a false review outlives its time.
        """
        return self.reviewed_at > now_s + CLOCK_AHEAD_S

    @property
    def directed(self) -> bool:
        """Whether it may only be asked about signals that have a direction."""
        return self.manifest.directed

    def probability(self, row: Sequence[float] | Floats) -> Probability:
        """Answer one vector (features,) of finite values."""
        return calibrate(self.manifest.calibration, self.forest.predict(row))

    def probabilities(self, rows: Sequence[Sequence[float]] | Floats) -> list[Probability]:
        """Answer each row of (n, features), as `probability` would."""
        raw = self.forest.predict_many(rows).tolist()
        return [calibrate(self.manifest.calibration, value) for value in raw]

    def explain(self, row: Floats) -> Explanation:
        """Say what each feature of one vector added to or took from the probability."""
        bias, shares = self.forest.contributions(row)
        answer = self.probability(row)
        return Explanation(
            bias=bias,
            contributions=dict(zip(FEATURE_NAMES, shares.tolist(), strict=True)),
            calibration_shift=answer.p - answer.raw,
        )


def calibrate(calibration: Calibration, raw: float) -> Probability:
    """Turn the forest's probability into the served one; formulas in `manifest.Calibration`."""
    if calibration.kind == "platt":
        clipped = min(max(raw, CLIP), 1.0 - CLIP)
        logit = math.log(clipped / (1.0 - clipped))
        calibrated = sigmoid(calibration.slope * logit + calibration.intercept)
    else:
        calibrated = interpolate(raw, calibration.points, calibration.values)
    base_rate = calibration.base_rate
    p = base_rate + calibration.shrink_weight * (calibrated - base_rate)
    # Rounding may carry the sum beyond 0..1 by an ulp.
    p = min(max(p, 0.0), 1.0)
    low = min(interpolate(raw, calibration.at, calibration.low), p)
    high = max(interpolate(raw, calibration.at, calibration.high), p)
    return Probability(raw, calibrated, p, low, high)


def sigmoid(z: float) -> float:
    """1 / (1 + exp(-z)), without overflow on either side."""
    if z >= 0.0:
        return 1.0 / (1.0 + math.exp(-z))
    e = math.exp(z)
    return e / (1.0 + e)


def interpolate(x: float, at: tuple[float, ...], values: tuple[float, ...]) -> float:
    """`numpy.interp` for one value over rising points `at`: the ends hold beyond them."""
    after = bisect_right(at, x)
    if after == 0:
        return values[0]
    if after == len(at):
        return values[-1]
    x0, y0 = at[after - 1], values[after - 1]
    share = (x - x0) / (at[after] - x0)
    return y0 + share * (values[after] - y0)
