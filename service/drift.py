"""Whether what the model is asked still looks like what it was trained on: PSI, by feature.

The rule: only signals that this very model answered count, the newest 1,000 of them, and
nothing is said of fewer than 100. One feature is looked at in each turn, so that no answer
waits for eleven of them. Pure: the same signals and turns give the same words.

PSI = sum((a - e) ln(a / e)) over ten bins, a the live share and e = 0.1 the share between two
deciles of the manifest. Where nothing has changed, PSI / (1/n + 1/m) is distributed like
chi-squared with 9 degrees of freedom, n live and m training signals (B. Yurdakul and J.
Naranjo, Statistical properties of the population stability index, 2020). Eleven features are
tested at once, so each at a level of 0.001 / 11 (Bonferroni).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from struct import Struct

import msgspec
import numpy as np

from protocol.schema import FEATURE_COUNT, FEATURE_NAMES
from service.arrays import Floats
from service.model.model import Model
from service.spans import DAY_S

WINDOW = 1000
MIN_SIGNALS = 100
BINS = 10
CHI_SQUARED = 33.95636022094202
"""The 1 - 0.001 / 11 quantile of chi-squared with 9 degrees of freedom."""
LEAST_PSI = 0.2
"""Less is not called a drift however sure it is: a usual bound for a significant change."""
_SIGNAL = Struct(f"={1 + FEATURE_COUNT}d")
"""Time (s) and vector."""
_DAILY = frozenset(("session_bonus",))
"""Follows from the hour alone: only a window that has seen a whole day can be judged."""


class FeatureDrift(msgspec.Struct, frozen=True):
    """A feature's PSI, the one beyond which it drifts, and how many signals tell it apart.

    `effective` counts signals that are alike their neighbours for less than one each.
    """

    psi: float
    limit: float
    effective: float
    drifting: bool


class Drift:
    """The window of one model. `found` and `drifting` are as of each feature's last look."""

    def __init__(self) -> None:
        self.found: dict[str, FeatureDrift] = {}
        self.drifting: tuple[str, ...] = ()
        self._model: Model | None = None
        # A ring of plain numbers: a thousand tuples would be fetched from all over the memory.
        self._window = bytearray(WINDOW * _SIGNAL.size)
        self._observed = 0
        self._looked_at = [0] * FEATURE_COUNT
        self._next = 0

    @property
    def signals(self) -> int:
        """How many signals the window holds."""
        return min(self._observed, WINDOW)

    def follow(self, model: Model | None) -> None:
        """Another model begins with an empty window; the same one, reviewed, goes on."""
        before, self._model = self._model, model
        if before is not None and model is not None and before.digest == model.digest:
            return
        self.found, self.drifting = {}, ()
        self._observed = 0
        self._looked_at = [0] * FEATURE_COUNT

    def observe(self, at_s: float, values: Sequence[float]) -> None:
        """A vector (11,) that the model answered at this time (s)."""
        _SIGNAL.pack_into(self._window, self._observed % WINDOW * _SIGNAL.size, at_s, *values)
        self._observed += 1

    def look(self) -> None:
        """Look at the next feature, unless nothing was added since its last look."""
        at, self._next = self._next, (self._next + 1) % FEATURE_COUNT
        if (
            self._model is None
            or self._observed < MIN_SIGNALS
            or self._looked_at[at] == self._observed
        ):
            return
        self._looked_at[at] = self._observed
        name = FEATURE_NAMES[at]
        if name in _DAILY and np.ptp(self._column(0)) < DAY_S:
            return
        manifest = self._model.manifest
        self.found[name] = examine(
            self._column(1 + at), manifest.reference.features[name], manifest.samples.n_effective
        )
        self.drifting = tuple(
            name for name in FEATURE_NAMES if name in self.found and self.found[name].drifting
        )

    def _column(self, at: int) -> Floats:
        """One number of each signal (n,), oldest first: its time or, from 1 on, a feature."""
        window = np.frombuffer(self._window).reshape(WINDOW, -1)[: self.signals, at]
        begin = self._observed % WINDOW if self._observed > WINDOW else 0
        return np.concatenate((window[begin:], window[:begin]))


def examine(values: Floats, deciles: Sequence[float], n_reference: float) -> FeatureDrift:
    """Hold `values` (n,), oldest first, against nine deciles of `n_reference` others."""
    at = np.array(deciles)
    ordered = np.sort(values)
    counts = bin_counts(
        np.searchsorted(ordered, at, "left").tolist(),
        np.searchsorted(ordered, at, "right").tolist(),
        len(values),
    )
    ranks = np.searchsorted(at, values, "left") + np.searchsorted(at, values, "right")
    effective = effective_size(ranks.astype(np.float64))
    value = psi(counts)
    limit = max(LEAST_PSI, CHI_SQUARED * (1.0 / effective + 1.0 / max(n_reference, 1.0)))
    return FeatureDrift(value, limit, effective, value > limit)


def psi(counts: Sequence[float]) -> float:
    """PSI of ten bins that expect a tenth each; half a signal is added to each bin.

    An empty bin would make it infinite.
    """
    total = sum(counts) + 0.5 * BINS
    shares = [(count + 0.5) / total for count in counts]
    return sum((share - 0.1) * math.log(share / 0.1) for share in shares)


def bin_counts(below: Sequence[int], up_to: Sequence[int], n: int) -> list[float]:
    """How n values fall between nine deciles, where `below` are smaller and `up_to` not greater.

    A value that equals a decile may have been counted on either side when the deciles were
    made (a feature with few values has the same decile several times). Of all ways to share
    such values out the most even one is taken, which makes PSI least: the cumulative counts
    are a string through the gates below..up_to, pulled taut.
    """
    lower, upper = [*below, n], [*up_to, n]
    counts: list[float] = []
    at, height = -1, 0.0
    while at < BINS - 1:
        to, reached = _bend(lower, upper, at, height)
        counts += [(reached - height) / (to - at)] * (to - at)
        at, height = to, reached
    return counts


def _bend(lower: Sequence[int], upper: Sequence[int], at: int, height: float) -> tuple[int, float]:
    """Where the taut string from (at, height) bends next, or ends."""
    steepest, flattest = math.inf, -math.inf
    upper_at = lower_at = at
    for to in range(at + 1, BINS):
        low = (lower[to] - height) / (to - at)
        high = (upper[to] - height) / (to - at)
        if low > steepest:
            return upper_at, float(upper[upper_at])
        if high < flattest:
            return lower_at, float(lower[lower_at])
        if high <= steepest:
            steepest, upper_at = high, to
        if low >= flattest:
            flattest, lower_at = low, to
    return BINS - 1, float(lower[BINS - 1])


def effective_size(values: Floats) -> float:
    """How many independent values (n,) are worth as much: n / (1 + 2 sum(w_k rho_k)).

    Signals that follow one another see nearly the same market. w_k are Bartlett's weights over
    sqrt(n) lags (W. Newey and K. West, 1987). Values that never change count in full: what is
    stuck is to be seen.
    """
    n = len(values)
    centred = values - values.mean()
    variance = float(centred @ centred)
    if variance == 0.0:
        return float(n)
    width = math.isqrt(n) + 1
    # Two that are k apart share `width` - k of these windows: squaring weighs their products.
    sums = np.convolve(centred, np.ones(width))
    return n / max(1.0, float(sums @ sums) / width / variance)
