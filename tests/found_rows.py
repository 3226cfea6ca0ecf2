"""Candidates and what is found of them, of rows whose truth is known."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import msgspec
import numpy as np
from sample_rows import sample_rows

from training.bound import DAY_S
from training.candidate import Candidate, make
from training.dataset.join_rules import Rhythm
from training.dataset.samples import Samples
from training.report.findings import Findings, find
from training.settings import Settings

N = 1200
FEW_TREES = Settings(journal=Path("none"), models=Path("none"), jobs=1, min_new=300, trees=30)
"""As many as make a plain edge plain, in a few windows of 300: what is found of a forest depends
on neither."""
QUICK = Rhythm(step=100, embargo_s=0.0, holding_s=0.0)
MOMENTUM = 8
Judged = tuple[Candidate, Findings]


def rows_of(edge: float, **changes: object) -> Samples:
    """20 days; momentum above 50 wins more by `edge`; reward 1.5, cost 0.05."""
    plain: dict[str, object] = {"reward_risk": np.full(N, 1.5), "cost_r": np.full(N, 0.05)}
    return sample_rows(N, edge=edge, **({"every_s": 20 * DAY_S / N} | plain | changes))


def truth(rows: Samples, edge: float) -> np.ndarray:
    return 0.5 + edge * np.where(rows.x[:, MOMENTUM] > 50, 1.0, -1.0)


@cache
def unpriced() -> Judged:
    """250 signals of unknown reward and cost, of a pattern that is formula and markup."""
    settings = msgspec.structs.replace(FEW_TREES, min_new=100)
    samples = sample_rows(250, edge=0.3)
    odd = np.full(len(samples), r"$x^$ <script>&\frac{")
    candidate = make(replace(samples, pattern=odd), settings, now_s=0.0)
    return candidate, find(candidate, settings)
