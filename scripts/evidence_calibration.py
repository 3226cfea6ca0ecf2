"""Platt's line against isotonic, from 3,000 effective samples on, on straight and bent truths.

    python scripts/evidence_calibration.py [--count SEEDS]    (make evidence-calibration)

Every calibration is fitted to the same out-of-sample answers and judged on 20,000 fresh signals
by their true probability.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from both_cores import both_cores
from evidence import FRESH, SETTINGS

from training.bound import blocks, days
from training.calibration.calibrate import Curve, fit_curve, shrink_weight
from training.calibration.isotonic import Isotonic, binned, fit_isotonic
from training.calibration.platt import fit_platt
from training.candidate import grower
from training.dataset.join_rules import Rhythm
from training.measure import calibration_error
from training.simulate import planted
from training.simulate.truth import best_log_loss, expected_log_loss
from training.walk_forward import walk_forward

BENT = {
    "straight, faint": planted.edge(0.7, 0.74),
    "straight, as stated": planted.edge(0.7, 0.8),
    "straight, strong": planted.edge(0.7, 0.87),
    "the best fifth wins more": planted.Bend(0.62, 0.90, 0.8),
    "the worst fifth wins less": planted.Bend(0.40, 0.76, -0.8),
}
# Fewer windows than by default, for time: what is compared are calibrations of one forest.
SIX_WINDOWS = Rhythm(step=700)


def calibration_seed(name: str, seed: int) -> dict[str, float]:
    """Platt, isotonic, and what the trainer chooses, on the same answers of 4,500 samples."""
    truth = BENT[name]
    samples = planted.samples(4500, 136.0, truth, seed=seed + 7000)
    walk = walk_forward(samples, grower(SETTINGS), SIX_WINDOWS)
    past, raw = walk.past, walk.past_raw
    x = planted.fresh(FRESH, seed=seed + 7000)
    p, base = truth.probability(x), samples.base_rate
    forest = grower(SETTINGS)(samples)(x)
    grouped = {"groups": days(past.time_s), "blocks": blocks(past.time_s), "base_rate": base}
    chosen = fit_curve(raw, past.win, n_effective=past.n_effective, weight=past.weight, **grouped)
    w = shrink_weight(raw, past.win, past.weight, grouped["blocks"])
    steps = fit_isotonic(binned(raw), past.win, past.weight)
    assert steps is not None
    line = Curve(fit_platt(raw, past.win, past.weight), w, base)
    found = {"effective": past.n_effective, "isotonic chosen": isinstance(chosen.shape, Isotonic)}
    for kind, curve in (("line", line), ("steps", Curve(steps, w, base)), ("chosen", chosen)):
        said = curve.served(forest)
        found[f"loss {kind}"] = expected_log_loss(p, said) - best_log_loss(p)
        found[f"ece {kind}"] = calibration_error(said, p, np.ones(len(p)))
    return found


def calibration(seeds: int) -> None:
    """All truths, a row each."""
    print(
        f"log loss above the best possible in nats, and expected calibration error; {seeds} seeds"
    )
    print(
        "medians over seeds; 'change' is of what is chosen against Platt alone, its mean and worst"
    )
    print(
        "truth                        Platt           isotonic        chosen          isotonic in"
    )
    for name in BENT:
        runs = both_cores(calibration_seed, [(name, seed) for seed in range(seeds)], name)
        column = {key: np.array([run[key] for run in runs], float) for key in runs[0]}
        cells = [
            f"{np.median(column[f'loss {kind}']):.4f}, {np.median(column[f'ece {kind}']):.4f}"
            for kind in ("line", "steps", "chosen")
        ]
        change = column["loss chosen"] - column["loss line"]
        print(
            f"{name:<27}  {'  '.join(cells)}  {column['isotonic chosen'].mean():.0%}"
            f"   change {change.mean():+.5f}, {change.max():+.5f}"
            f"   (effective n {np.median(column['effective']):.0f})",
            flush=True,
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=16, help="Seeds.")
    begun = time.perf_counter()
    calibration(parser.parse_args().count)
    print(f"  ({time.perf_counter() - begun:.0f} s)")
