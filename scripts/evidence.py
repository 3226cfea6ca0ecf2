"""What is claimed of the trainer, measured: each command prints its numbers and the target.

    python scripts/evidence.py edge | null | results | small | scale    (make evidence-edge, ...)

Samples come from `training.simulate.planted`, whose truth is known. Everything goes through
the trainer's own `make` (and, for scale, its command line); nothing is measured on a copy.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from both_cores import both_cores
from processes import trainer
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from targets import at_least, at_most, leave, missed

from service.arrays import Floats
from training.bound import DAY_S
from training.calibration.calibrate import Curve, curve_of, served
from training.candidate import Candidate, final_calibration, make
from training.dataset.samples import Samples
from training.gain import WEEK_S, gain
from training.measure import best_first, best_half, calibration_error
from training.settings import Settings
from training.simulate import planted
from training.simulate.truth import best_win_rate, expected_log_loss
from training.walk_forward import NotEnough

ROOT = Path(__file__).resolve().parents[1]
FRESH = 20_000
SETTINGS = Settings(journal=Path("none"), models=Path("none"), jobs=1)
NOTHING = planted.Edge(float(np.log(0.7 / 0.3)), 0.0, 0.7)
CROWD = planted.Crowd(size=6.0, shared=0.5, daily=0.15)
# Original's parameters, as its documentation gives them.
ORIGINAL = {"n_estimators": 150, "max_depth": 12, "min_samples_split": 10, "min_samples_leaf": 5}


def candidate(samples: Samples) -> Candidate | None:
    """What the trainer makes of samples; None where they do not suffice."""
    try:
        return make(samples, SETTINGS, now_s=0.0)
    except NotEnough:
        return None


def achieved(score: Floats, p: Floats) -> float:
    """The share of the achievable improvement of the win rate at half coverage."""
    best = best_win_rate(p, 0.5) - p.mean()
    return float((p[best_half(score)].mean() - p.mean()) / best)


def answers(found: Candidate, x: Floats) -> tuple[Floats, Floats, Floats, Curve]:
    """What a candidate, as it would be published, serves: p, the interval's ends, and its curve."""
    calibration = final_calibration(found.walk, found.samples)
    raw = found.forest.predict_many(x)
    low, high = (np.interp(raw, calibration.at, end) for end in (calibration.low, calibration.high))
    p = served(calibration, raw)
    return p, np.minimum(low, p), np.maximum(high, p), curve_of(calibration)


# The demo's weights, under which the rule on the base score knows more.
HEAVIER = {"base_score": 0.35, "atr_volatility": -0.35}


def edge_seed(seed: int, heavier: bool) -> dict[str, float]:
    """One trainer on 2,000 outcomes with the planted edge, and its rivals."""
    if heavier:
        planted.TERMS = tuple(
            term._replace(weight=HEAVIER.get(term.feature, term.weight)) for term in planted.TERMS
        )
        planted._scales.cache_clear()
        planted.edge.cache_clear()
    truth = planted.edge(0.7, 0.8)
    samples = planted.samples(2000, 60.0, truth, seed=seed)
    found = candidate(samples)
    assert found is not None
    x = planted.fresh(FRESH, seed=seed)
    p = truth.probability(x)
    said, low, high, curve = answers(found, x)
    tenths = np.array_split(best_first(said)[::-1], 10)
    true, least, most = ([values[part].mean() for part in tenths] for values in (p, low, high))
    original = RandomForestClassifier(**ORIGINAL, random_state=42, n_jobs=1)
    original.fit(samples.x, samples.win)
    scale = StandardScaler().fit(samples.x)
    line = LogisticRegression(C=1e6, max_iter=500).fit(scale.transform(samples.x), samples.win)
    metrics = found.verdict.metrics
    return {
        "won": float(samples.win.mean()),
        "effective": samples.n_effective,
        "model": achieved(said, p),
        "half": float(p[best_half(said)].mean()),
        "best": best_win_rate(p, 0.5),
        "original": achieved(original.predict_proba(x)[:, 1], p),
        "line": achieved(line.decision_function(scale.transform(x)), p),
        "ece": calibration_error(said, p, np.ones(len(p))),
        "inside": float(np.mean(np.less_equal(least, true) & np.less_equal(true, most))),
        "below": float(true[0] < least[0]),
        "above": float(true[-1] > most[-1]),
        "published": float(found.verdict.published),
        "slope": metrics["challenger"].get("calibration_slope", 0.0),
        "bound": metrics["constant"]["improvement_low"],
        "rule": metrics["logit_base_score"]["improvement_low"],
        "w": curve.shrink_weight,
        "tested": metrics["challenger"]["n"],
    }


def edge(seeds: int, heavier: bool) -> None:
    """Planted edge: 70 % win, 80 % of the best half, 2,000 outcomes."""
    runs = both_cores(edge_seed, [(seed, heavier) for seed in range(seeds)], "edge")
    column = {name: np.array([run[name] for run in runs]) for name in runs[0]}
    middle = {name: float(np.median(values)) for name, values in column.items()}
    print(f"planted edge, 2,000 outcomes over 60 days, {seeds} seeds; medians over seeds")
    print(f"  all signals won                   {middle['won']:.1%}")
    print(f"  effective n                       {middle['effective']:.0f}")
    print(f"  best half, by the truth           {middle['best']:.1%}")
    print(f"  model's half, out of sample       {middle['half']:.1%}")
    low, high = np.quantile(column["model"], [0.1, 0.9])
    target = at_least(100 * middle["model"], 85, " %")
    print(
        f"  share of what can be achieved     {middle['model']:.1%}   {target}  "
        f"(10 % to 90 % of seeds: {low:.1%} to {high:.1%})"
    )
    print(f"    the original's parameters       {middle['original']:.1%}")
    print(f"    a logistic regression           {middle['line']:.1%}")
    within = np.mean(column["ece"] <= 0.03)
    target = f"{at_most(middle['ece'], 0.03)}  ({within:.0%} of seeds within)"
    print(f"  expected calibration error        {middle['ece']:.4f}   {target}")
    inside, below, above = (column[name].mean() for name in ("inside", "below", "above"))
    print(
        f"  tenths within their interval      {inside:.1%}   "
        f"(mean; the worst below it in {below:.0%} of seeds, the best above in {above:.0%})"
    )
    passed = 100 * column["published"].mean()
    print(f"  gate publishes                    {passed:.1f}%   {at_least(passed, 95, ' %')}")
    print(f"  calibration slope                 {middle['slope']:.2f}")
    print(f"  bound against the constant        {middle['bound']:+.4f} nats")
    print(f"  bound against the base score      {middle['rule']:+.4f} nats")
    print(f"  trust w                           {middle['w']:.2f}")


def null_seed(days: float, a_day: float, seed: int) -> tuple[float, list[str]]:
    """One candidate where there is nothing to find: unseen days, conditions that failed."""
    n = round(days * a_day)
    truth = planted.edge(0.7, 0.8)
    samples = planted.samples(n, days, truth, seed=seed, crowd=CROWD, shuffled=True)
    found = candidate(samples)
    if found is None:
        return 0.0, ["not enough"]
    return found.verdict.metrics["constant"]["days"], [
        condition.split(" (")[0][:40] for condition in found.verdict.failed
    ]


def null(candidates: int) -> None:
    """No edge: labels of other vectors, in clusters that share their luck."""
    print(
        f"no edge: labels shuffled by cluster; clusters of {CROWD.size:.0f} signals that share "
        f"{CROWD.shared:.0%} of features and luck, days {CROWD.daily:.0%}"
    )
    for unseen, span, a_day in ((5, 7.0, 60.0), (10, 14.0, 60.0), (30, 43.0, 30.0)):
        runs = null_runs(span, a_day, candidates)
        spans = [found for found, _ in runs]
        passed = sum(not failed for _, failed in runs)
        bound = sum(not any(f.startswith("no better than the con") for f in x) for _, x in runs)
        print(
            f"  {unseen:>2} days of unseen signals (of {span:.0f}, {round(span * a_day)} signals; "
            f"found {min(spans):.0f} to {max(spans):.0f}): {passed} of {len(runs)} pass = "
            f"{passed / len(runs):.1%}   {at_most(100 * passed / len(runs), 5, ' %')}"
        )
        print(
            f"     the bound against the constant alone would pass {bound / len(runs):.1%}",
            flush=True,
        )


def null_runs(days: float, a_day: float, count: int) -> list[tuple[float, list[str]]]:
    """As many candidates as could be judged; those with fewer than five days do not count."""
    found: list[tuple[float, list[str]]] = []
    seed = 0
    while len(found) < count and seed < 4 * count:
        batch = range(seed, seed + max(10, count - len(found)))
        runs = both_cores(null_seed, [(days, a_day, each) for each in batch], f"{days:.0f} days")
        found += [run for run in runs if run[1] != ["not enough"]]
        seed = batch.stop
    return found[:count]


def results(nulls: int) -> None:
    """How often `results` calls a choice established that was made by lot."""
    rng = np.random.default_rng(0)
    print(f"signals taken by lot, {nulls:,} nulls a cell; target: established in at most 5 %")
    print("  signals   days   taken    won    established   interval above 0, few or not")
    for signals, span in ((100, 5), (400, 5), (400, 30), (2000, 60)):
        for share in (0.05, 0.2, 0.5):
            for won in (0.5, 0.85):
                found = [by_lot(rng, signals, span, share, won) for _ in range(nulls)]
                better, above = np.mean(found, axis=0)
                print(
                    f"  {signals:>7}  {span:>5}  {share:>6.0%}  {won:>5.0%}  {better:>13.1%}"
                    f"  {above:>29.1%}{missed(better > 0.05)}"
                )
    print("20 % of them taken at first and 80 % in the end, while the won rise from 35 % to 65 %")
    for signals, span in ((400, 30), (2000, 60)):
        found = [by_lot(rng, signals, span, 0.5, 0.5, rise=0.3) for _ in range(nulls)]
        better, above = np.mean(found, axis=0)
        cells = f"{better:>28.1%}  {above:>29.1%}{missed(better > 0.05)}"
        print(f"  {signals:>7}  {span:>5}  {cells}")
    print("half of them taken by lot, looked at each week for a year, five weeks at a time")
    for signals in (50, 400):
        looks = np.array([year_by_lot(rng, signals) for _ in range(max(1, nulls // 5))])
        print(
            f"  {signals:>3} a week: {looks.mean():.1%} of the looks establish it, "
            f"{looks.any(axis=1).mean():.0%} of the years at least one"
        )


def year_by_lot(rng: np.random.Generator, signals: int) -> list[bool]:
    """Whether each look of a year at its last five weeks calls a choice by lot established."""
    time_s = np.sort(rng.random(52 * signals)) * 52 * WEEK_S
    win, taken = rng.random((2, len(time_s))) < 0.5
    found = []
    for end in np.arange(5, 53) * WEEK_S:
        at = slice(*np.searchsorted(time_s, (end - 5 * WEEK_S, end)))
        made = gain(win[at].astype(np.float64), np.ones(len(win[at])), taken[at], time_s[at])
        found.append(made is not None and made.better)
    return found


def by_lot(
    rng: np.random.Generator,
    signals: int,
    span: float,
    share: float,
    won: float,
    *,
    rise: float = 0.0,
) -> tuple[bool, bool]:
    """Whether one null is called established, and whether its interval alone lies above 0.

    In all the share of wins rises by `rise`, and what is taken by twice as much.
    """
    time_s = rng.random(signals) * span * DAY_S
    more = rise * (time_s / (span * DAY_S) - 0.5)
    win = (rng.random(signals) < won + more).astype(np.float64)
    made = gain(win, np.ones(signals), rng.random(signals) < share + 2.0 * more, time_s)
    return (False, False) if made is None else (made.better, made.low > 0.0)


def small_seed(n: int, days: float, half: float, seed: int) -> tuple[bool, float, float]:
    """Published or not, its log loss above the constant's out of sample, its trust w."""
    truth = NOTHING if half <= 0.7 else planted.edge(0.7, half)
    samples = planted.samples(n, days, truth, seed=seed + 5000)
    found = candidate(samples)
    if found is None:
        return False, float("nan"), float("nan")
    x = planted.fresh(FRESH, seed=seed + 5000)
    p = truth.probability(x)
    said, _, _, curve = answers(found, x)
    constant = np.full(len(p), samples.base_rate)
    harm = expected_log_loss(p, said) - expected_log_loss(p, constant)
    return found.verdict.published, harm, curve.shrink_weight


def small(seeds: int, size: int | None, best_half: float | None) -> None:
    """Published models on few samples are never worse than the constant."""
    print(
        "log loss above the constant's, out of sample, in nats (below 0: better); target <= 0.002"
    )
    print("at the median of what passed the gate; 'all' is every candidate, passed or not")
    print("     n  best half  passed   median of passed  worst of passed  median of all  median w")
    for n, days, share in ((100, 25.0, 1), (300, 40.0, 1), (1000, 60.0, 1), (3000, 120.0, 0.4)):
        count = max(8, round(seeds * share))
        for half in (0.70, 0.74, 0.78, 0.82, 0.87):
            if size not in (None, n) or best_half not in (None, half):
                continue
            jobs = [(n, days, half, seed) for seed in range(count)]
            runs = both_cores(small_seed, jobs, f"n {n}, best half {half:.0%}")
            passed = [harm for ok, harm, _ in runs if ok]
            every = [harm for _, harm, _ in runs]
            median, worst = (
                (f"{np.median(passed):+.4f}", f"{max(passed):+.4f}") if passed else ("-", "-")
            )
            print(
                f"  {n:>4}  {half:>8.0%}  {len(passed):>3}/{count:<3}  {median:>15}  {worst:>15}"
                f"  {np.nanmedian(every):>+13.4f}  {np.nanmedian([w for *_, w in runs]):>8.2f}"
                f"{missed(bool(passed) and np.median(passed) > 0.002)}",
                flush=True,
            )


def scale(n: int) -> None:
    """The trainer's command on a journal of 5,000 samples: time and memory, all included."""
    sys.path.insert(0, str(ROOT / "tests"))
    from scored_journal import outcome_row, score_row

    from service.journal.writer import Journal

    samples = planted.samples(n, 150.0, planted.edge(0.7, 0.8), seed=1)
    with tempfile.TemporaryDirectory() as place:
        journal = Journal(Path(place) / "journal.db")
        for i in range(n):
            time_s, end_s = float(samples.time_s[i]), float(samples.end_s[i])
            given = {"scored_at": time_s, "event_time": time_s, "symbol": str(samples.symbol[i])}
            end = outcome_row(i, bool(samples.win[i]), closed_at=end_s, received_at=end_s)
            journal.write([score_row(i, samples.x[i], **given), end])
        journal.close()
        places = ["--journal", f"{place}/journal.db", "--models", f"{place}/models"]
        code, said, seconds, cpu_s, peak = trainer("train", "--jobs", "2", *places)
    print(f"{n:,} samples: walk-forward, fit, gate, report and publication, {os.cpu_count()} cores")
    print(f"  wall time   {seconds:.1f} s     {at_most(seconds, 90, ' s')}")
    busy = os.getloadavg()[0]
    print(f"  of it work  {cpu_s:.1f} s of processor time (load of the machine {busy:.1f})")
    print(f"  peak memory {peak:.0f} MiB   {at_most(peak, 700, ' MiB')}")
    print(f"  exit code   {code}; {said.strip().splitlines()[-1]}")


def main() -> None:
    """One command."""
    commands = {
        "edge": (edge, 50),
        "null": (null, 200),
        "results": (results, 5000),
        "small": (small, 30),
        "scale": (scale, 5000),
    }
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("command", choices=commands)
    parser.add_argument("--count", type=int, help="Seeds, candidates or samples.")
    parser.add_argument("--size", type=int, help="small: only this many samples.")
    parser.add_argument("--best-half", type=float, help="small: only this edge, 0.78 say.")
    parser.add_argument(
        "--heavier-base-score", action="store_true", help="edge: the base score tells more."
    )
    given = parser.parse_args()
    more = {
        "edge": (given.heavier_base_score,),
        "small": (given.size, given.best_half),
    }.get(given.command, ())
    command, count = commands[given.command]
    begun = time.perf_counter()
    command(given.count or count, *more)
    print(f"  ({time.perf_counter() - begun:.0f} s)")
    leave()


if __name__ == "__main__":
    main()
