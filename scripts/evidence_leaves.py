"""What it costs, or gives, that a tree has as many leaves as the service finds by masks.

    python scripts/evidence_leaves.py [--seeds 8]     (make evidence-leaves)

The trainer's forest beside the same without that limit, each judged by the true probability of
20,000 fresh signals: how much of the achievable improvement of the win rate at half coverage.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from both_cores import both_cores
from evidence import FRESH, achieved
from sklearn.base import clone

from training.fit import fit_forest
from training.simulate import planted

SIGNALS = (5_000, 10_000, 20_000, 40_000)
A_DAY = 40.0
BEST_HALVES = (0.73, 0.76, 0.8)
"""By how many of the best half win, of all 70 %: a faint edge, a middling and a plain one."""


def compared(n: int, best_half: float, seed: int) -> tuple[float, float, float]:
    """The share achieved with the limit and without it, and the leaves of a tree without."""
    truth = planted.edge(0.7, best_half)
    samples = planted.samples(n, n / A_DAY, truth, seed=seed)
    x = planted.fresh(FRESH, seed=seed)
    p = truth.probability(x)
    limited = fit_forest(
        samples.x, samples.win, samples.weight, n_effective=samples.n_effective, n_jobs=1
    )
    free = clone(limited).set_params(max_leaf_nodes=None)
    free.fit(samples.x, samples.win, sample_weight=samples.weight)
    leaves = np.mean([tree.get_n_leaves() for tree in free.estimators_])
    with_limit, without = (achieved(f.predict_proba(x)[:, 1], p) for f in (limited, free))
    return with_limit, without, float(leaves)


def main() -> None:
    """Compare by number of signals and strength of the edge."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seeds", type=int, default=8)
    seeds = options.parse_args().seeds
    started = time.monotonic()
    print(f"share of what can be achieved, {seeds} seeds; 70 % of all signals win")
    print("  signals   best half wins   52 leaves at most   no limit   leaves without it")
    for n in SIGNALS:
        for best_half in BEST_HALVES:
            runs = both_cores(compared, [(n, best_half, seed) for seed in range(seeds)], f"{n}")
            limited, free, leaves = np.mean(runs, axis=0)
            print(
                f"  {n:>7,}  {best_half:>15.0%}  {limited:>18.1%}  {free:>9.1%}  {leaves:>18.0f}",
                flush=True,
            )
    print(f"  ({time.monotonic() - started:.0f} s)")


if __name__ == "__main__":
    main()
