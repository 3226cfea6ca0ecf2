"""What is claimed of the monitor, measured: false alarms while the edge lasts, and the delay after.

    python scripts/evidence_monitor.py [--models 24] [--runs 16]      (make evidence-monitor)

Models come from the trainer itself, on 2,000 outcomes with a planted edge (70 % of all win, 80 %
of the best half), where its gate would publish them. Each is then asked about signals that it has
not seen, 33 a day, and their outcomes are drawn from the truth. The checks are the monitor's own:
calibration and loss, and win rate, after every outcome; input drift at every tenth signal.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
from evidence import CROWD, candidate
from joblib import Parallel, delayed
from targets import at_most, leave

from service.drift import MIN_SIGNALS
from service.files.durable import TrainerLock
from service.model.model import Model
from training.candidate import draft
from training.dataset.samples import Samples
from training.models.champion import current_model
from training.models.publish import publish
from training.monitor.checks import input_drift, win_rate
from training.monitor.cusum import Limit, chart, increments, limit_of, promise_of
from training.monitor.live import Live
from training.simulate import planted

LASTING, BEFORE, AFTER = 500, 200, 1300
A_DAY = 33
NEVER = 10**6
SHARED = planted.Crowd(size=3.0, shared=0.3, daily=0.05)


class Published(NamedTuple):
    """A model as the service would load it, and what the monitor makes of its manifest."""

    seed: int
    model: Model
    base_rate: float
    limit: Limit


class First(NamedTuple):
    """The outcome after which each check raised its alert first; NEVER where none did."""

    loss: int
    win_rate: int
    drift: int

    @property
    def any(self) -> int:
        return min(self)


def published(seed: int) -> Published | None:
    """A trainer's run; None where the gate keeps the candidate back."""
    found = candidate(planted.samples(2000, 60.0, planted.edge(0.7, 0.8), seed=seed))
    if found is None or not found.verdict.published:
        return None
    with tempfile.TemporaryDirectory() as place:
        models = Path(place)
        with TrainerLock(models):
            publish(models, found.forest, draft(found), b"", now_s=planted.START_S, why="measured")
        model = current_model(models)
        assert model is not None
    promise = promise_of(model.manifest)
    return Published(seed, model, promise.base_rate, limit_of(promise))


def stream(seed: int, n: int, crowd: planted.Crowd) -> Samples:
    """`n` signals that nobody has seen, with wins by the truth."""
    truth = planted.edge(0.7, 0.8)
    return planted.samples(n, n / A_DAY, truth, seed=seed + 900_000, crowd=crowd)


def live_of(model: Published, rows: Samples, gone_after: int | None, lower: float) -> Live:
    """What the model answered; from `gone_after` on all win with one rate, `lower` by so much."""
    win = rows.win.copy()
    if gone_after is not None:
        rng = np.random.default_rng([model.seed, int(rows.x[0].sum() * 1e6)])
        late = len(win) - gone_after
        win[gone_after:] = rng.random(late) < 0.7 - lower
    p = np.array([answer.p for answer in model.model.probabilities(rows.x)])
    return Live(rows.x, p, win, rows.weight, rows.time_s)


def first_alerts(model: Published, live: Live, start: int) -> First:
    """When each check raises its first alert after the outcome `start`."""
    steps = increments(live.p, live.win, model.base_rate)
    alarm = np.zeros(len(live), dtype=bool)
    for step in steps.values():
        alarm |= chart(live.weight * step, model.limit.nats).alarm
    loss = _first(alarm[start:])
    rate = NEVER
    for n in range(start + 1, len(live) + 1):
        if n - start > min(loss, LASTING):
            break
        found = win_rate(live.take(slice(0, n)), window_days=30.0, warn_points=5.0)
        if found.level == "alert":
            rate = n - start
            break
    return First(loss, rate, _drift(model, live, start))


def _drift(model: Published, live: Live, start: int) -> int:
    if start:
        return NEVER  # only the outcomes change there
    for n in range(MIN_SIGNALS, LASTING + 1, 10):
        answered = list(zip(live.time_s[:n].tolist(), live.x[:n], strict=True))
        if input_drift(model.model, answered).level == "alert":
            return n
    return NEVER


def _first(alarm: np.ndarray) -> int:
    return int(alarm.argmax()) + 1 if alarm.any() else NEVER


Runs = dict[str, list[First]]


def measured(seed: int, runs: int) -> tuple[float, float, Runs] | None:
    """All streams of one model: its limit, the delay that it predicts, first alerts."""
    model = published(seed)
    if model is None:
        return None
    found: Runs = {name: [] for name in ("lasts", "shared", "crowd", "gone", "lower")}
    for run in range(runs):
        number = 10_000 * seed + run
        for name, crowd in (("lasts", planted.ALONE), ("shared", SHARED), ("crowd", CROWD)):
            rows = stream(number, LASTING, crowd)
            found[name].append(first_alerts(model, live_of(model, rows, None, 0.0), 0))
        rows = stream(number, BEFORE + AFTER, planted.ALONE)
        for name, lower in (("gone", 0.0), ("lower", 0.1)):
            live = live_of(model, rows, BEFORE, lower)
            first = first_alerts(model, live, BEFORE)
            # An alert from before the change is a false one, not a quick one.
            if _quiet(model, live):
                found[name].append(first)
    return model.limit.nats, model.limit.noticed_after, found


def _quiet(model: Published, live: Live) -> bool:
    steps = increments(live.p, live.win, model.base_rate)
    return not any(
        chart((live.weight * step)[:BEFORE], model.limit.nats).alarm.any()
        for step in steps.values()
    )


def alerted(firsts: list[First]) -> float:
    """The share of runs with an alert of any check within LASTING outcomes."""
    return float(np.mean([f.any <= LASTING for f in firsts]))


def share(firsts: list[First]) -> str:
    """Of runs, those with an alert within LASTING outcomes: by any check and by each."""
    by = [np.mean([getattr(f, name) <= LASTING for f in firsts]) for name in First._fields]
    return f"{alerted(firsts):6.1%}   (loss {by[0]:.1%}, win rate {by[1]:.1%}, drift {by[2]:.1%})"


def waits(firsts: list[First]) -> list[int]:
    """Outcomes until the first alert of loss or win rate: 10 % quantile, median, 90 %."""
    each = np.array([min(f.loss, f.win_rate) for f in firsts])
    return [int(n) for n in np.quantile(each, [0.1, 0.5, 0.9], method="higher")]


def delays(firsts: list[First]) -> str:
    low, middle, high = waits(firsts)
    shown = ["more" if value == NEVER else str(value) for value in (low, high)]
    return f"{middle:4d}   (10 % to 90 % of runs: {shown[0]} to {shown[1]})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=int, default=24, help="Trained models.")
    parser.add_argument("--runs", type=int, default=16, help="Streams a model and a case.")
    given = parser.parse_args()
    begun = time.perf_counter()
    tried = Parallel(2)(delayed(measured)(seed, given.runs) for seed in range(given.models))
    done = [found for found in tried if found is not None]
    runs: Runs = {name: [f for *_, found in done for f in found[name]] for name in done[0][2]}
    limits = [nats for nats, *_ in done]
    print(
        f"{len(done)} of {given.models} trained models published, {len(runs['lasts'])} runs a "
        f"case, {A_DAY} signals a day; limit {min(limits):.1f} to {max(limits):.1f} nats"
    )
    print(f"an alert within {LASTING} outcomes while the edge lasts")
    target = at_most(100 * alerted(runs["lasts"]), 5, " %")
    print(f"  signals on their own              {share(runs['lasts'])}   {target}")
    print(f"  in threes that share 30 %         {share(runs['shared'])}")
    print(f"  in sixes that share 50 %, days 15 %{share(runs['crowd'])}")
    print("outcomes from the end of the edge to the alert of loss or win rate, median")
    target = at_most(waits(runs["gone"])[1], 250)
    print(f"  all win 70 %, whatever it says    {delays(runs['gone'])}   {target}")
    print(f"  all win 60 %                      {delays(runs['lower'])}")
    predicted = np.median([after for _, after, _ in done])
    print(f"  what the monitor itself predicts  {predicted:4.0f}   (median over models)")
    print(f"  ({time.perf_counter() - begun:.0f} s)")
    leave()


if __name__ == "__main__":
    main()
