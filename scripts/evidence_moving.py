"""Whether a share of wins that moves passes for an edge, and whether an edge is found beside it.

    python scripts/evidence_moving.py [--count 24]      (make evidence-moving)

2,000 planted signals over 60 days whose log odds of a win rise, fall or swing with time; in the
last two rows a feature moves with them, as if the broker had been changed. Without an edge the
features tell no signal from others of its time, so whatever is published or called better is wrong.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from both_cores import both_cores
from evidence import SETTINGS

from protocol.schema import FEATURE_NAMES
from service.arrays import Floats
from training.candidate import make
from training.logit import logit, sigmoid
from training.report.coverage import rating, taken
from training.simulate import planted

N, DAYS = 2_000, 60.0
SPREAD, POINTS = FEATURE_NAMES.index("spread_quality"), 20.0
"""The feature that moves along, and by how much as the log odds rise by 1."""
MOVES: dict[str, tuple[str, Callable[[Floats], Floats]]] = {
    "stays": ("stays at 50 %", lambda t: 0.0 * t),
    "rises": ("rises from 35 % to 65 %", lambda t: 1.24 * (t - 0.5)),
    "falls": ("falls from 65 % to 35 %", lambda t: 1.24 * (0.5 - t)),
    "jumps": ("jumps from 40 % to 65 %", lambda t: np.where(t < 0.5, -0.41, 0.62)),
    "swings": ("swings between 35 % and 65 %", lambda t: 0.62 * np.sin(6.0 * np.pi * t)),
    "rises beside": ("rises, and a feature with it", lambda t: 1.24 * (t - 0.5)),
    "jumps beside": ("jumps, and a feature with it", lambda t: np.where(t < 0.5, -0.41, 0.62)),
}


def judged(move: str, best_half: float, seed: int) -> tuple[bool, bool]:
    """Whether a candidate is published, and its better half called better."""
    truth = planted.edge(0.5, best_half) if best_half > 0.5 else planted.Edge(0.0, 0.0, 0.5)
    samples = planted.samples(N, DAYS, truth, seed=seed)
    share = (samples.time_s - samples.time_s[0]) / np.ptp(samples.time_s)
    moved = MOVES[move][1](share)
    p = sigmoid(logit(truth.probability(samples.x)) + moved)
    win = np.random.default_rng([seed, 1]).random(N) < p
    x = samples.x.copy()
    if move.endswith("beside"):
        x[:, SPREAD] = np.clip(x[:, SPREAD] + POINTS * moved, 0.0, 100.0)
    found = make(replace(samples, x=x, win=win), SETTINGS, now_s=0.0)
    walk = found.walk
    half = taken(rating(walk.level(walk.p), walk.test).score, walk.p, walk.test, 0.5).more_wins
    return found.verdict.published, half is not None and half.better


def main() -> None:
    """A row for each way in which the share of wins moves."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=24, help="Candidates a cell.")
    count = parser.parse_args().count
    begun = time.perf_counter()
    print(f"{N:,} signals over {DAYS:.0f} days, {count} candidates a cell")
    print(f"{'':<31}{'no edge':<28}best half wins 60 %, not 50 %")
    print(f"{'the share of wins':<31}{'published':<12}{'called better':<16}published")
    for move, (words, _) in MOVES.items():
        jobs = [(move, half, seed) for half in (0.5, 0.6) for seed in range(count)]
        found = both_cores(judged, jobs, move)
        nothing, edge = np.array(found[:count]).sum(axis=0), np.array(found[count:]).sum(axis=0)
        cells = (f"{nothing[0]}/{count}", f"{nothing[1]}/{count}", f"{edge[0]}/{count}")
        print(f"{words:<31}{cells[0]:<12}{cells[1]:<16}{cells[2]}", flush=True)
    print(f"  ({time.perf_counter() - begun:.0f} s)")


if __name__ == "__main__":
    main()
