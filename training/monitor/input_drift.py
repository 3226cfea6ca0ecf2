"""Input drift as the monitor judges it: the service's PSI, with days counted where days matter.

The rule: signals of one day see one market, so they are worth no more than their days tell. The
service looks at what is next to each other only, since it looks at every signal.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from msgspec.structs import replace

from service.arrays import Floats
from service.drift import CHI_SQUARED, LEAST_PSI, Drift, FeatureDrift
from service.model.model import Model
from training.bound import days


def examine(model: Model, answered: Sequence[tuple[float, Floats]]) -> dict[str, FeatureDrift]:
    """By feature, of vectors (11,) with their times (UTC s), oldest first.

    Empty for fewer than 100. `session_bonus` is left out until a whole day has been seen.
    """
    drift = Drift()
    drift.follow(model)
    for at_s, vector in answered:
        drift.observe(at_s, vector.tolist())
    for _ in model.manifest.feature_names:
        drift.look()
    return by_days(drift.found, model, answered)


def by_days(
    found: Mapping[str, FeatureDrift], model: Model, answered: Sequence[tuple[float, Floats]]
) -> dict[str, FeatureDrift]:
    """The same findings with limits that count what the days of the signals are worth."""
    if not found:
        return {}
    x = np.array([vector for _, vector in answered])
    day = days(np.array([at_s for at_s, _ in answered]))
    names = model.manifest.feature_names
    m = max(model.manifest.samples.n_effective, 1.0)
    return {
        name: _with(seen, worth(x[:, names.index(name)], day), m) for name, seen in found.items()
    }


def worth(values: Floats, day: np.ndarray[tuple[int], np.dtype[np.int64]]) -> float:
    """How many independent values (n,) are worth as much as these of their days: n / deff.

    deff is the variance of the mean by days over that of independent values (L. Kish, Survey
    sampling, 1965), by ranks. At least 1; values that never change count in full.
    """
    ranks = np.argsort(np.argsort(values, kind="stable"), kind="stable").astype(np.float64)
    _, first, member = np.unique(values, return_index=True, return_inverse=True)
    if len(first) < 2:
        return float(len(values))
    # Equal values share the mean of their ranks.
    ranks = (np.bincount(member, weights=ranks) / np.bincount(member))[member]
    centred = ranks - ranks.mean()
    _, group = np.unique(day, return_inverse=True)
    sums = np.bincount(group, weights=centred)
    count = len(sums)
    if count < 2:
        return float(len(values))
    effect = float(np.sum(sums**2)) * count / (count - 1) / float(np.sum(centred**2))
    return len(values) / max(1.0, effect)


def _with(seen: FeatureDrift, by_day: float, m: float) -> FeatureDrift:
    effective = min(seen.effective, by_day)
    limit = max(LEAST_PSI, CHI_SQUARED * (1.0 / effective + 1.0 / m))
    return replace(seen, effective=effective, limit=limit, drifting=seen.psi > limit)
