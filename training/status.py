"""`status`: how far the collection of outcomes has come, and what the last run said."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from textwrap import wrap

from service.model.history import Event, last_trained
from training.bound import DAY_S
from training.dataset.join import Dataset
from training.train import fewer
from training.walk_forward import CALIBRATION_SHARE, FIRST_SHARE
from training.wording import WIDTH, behind, day, meaning, percent

# Measured on real signals (docs/evidence.md): fewer cannot show two points of win rate.
UNSEEN_FOR_TWO_POINTS = 14_000
# The walk-forward's first samples only train and calibrate.
SIGNALS_FOR_TWO_POINTS = round(UNSEEN_FOR_TWO_POINTS / (1.0 - FIRST_SHARE - CALIBRATION_SHARE))


_SOURCES = {
    "paper": "followed on paper",
    "request": "reported by request",
    "truth_log": "from truth logs",
}


def describe(
    data: Dataset,
    history: list[Event],
    serves: str,
    *,
    min_samples: int,
    holding_s: float,
    now_s: float,
) -> Iterator[str]:
    """Lines of text: samples, exclusions, pace, expected dates, the last run, `serves`."""
    samples = data.samples
    n = len(samples)
    rate = f", {percent(samples.base_rate)} won" if n else ""
    yield f"samples          {n} of {data.scored} scored signals{rate}"
    made = int(samples.backfilled.sum())
    if made:
        yield f"backfilled       {made} of them: they train, and never evaluate"
    if 0 < made < n:
        live = samples.take(~samples.backfilled)
        yield f"scored live      {n - made} of them, {percent(live.base_rate)} won"
    sources = Counter(samples.label_source.tolist())
    if sources:
        named = ", ".join(f"{count} {_SOURCES.get(s, s)}" for s, count in sources.most_common())
        yield from behind("outcomes         ", named)
    for reason, count in data.excluded.items():
        yield from behind(f"  {reason:<20} {count:>7}  ", meaning(reason))
    if data.unmatched:
        yield f"outcomes without a score in the journal: {data.unmatched}"
    if data.differ:
        yield f"paper and reported outcome differ: {data.differ}"
    if data.said_other_r:
        yield f"reported again with another R: {data.said_other_r}; the first report counts"
    if longer := samples.outlasting(holding_s):
        yield from wrap(longer, WIDTH)
    times_s = samples.time_s[~samples.backfilled].tolist()
    if len(times_s) >= 2:
        yield from _pace(times_s, n, min_samples, now_s)
    last = last_trained(history)
    if last is None:
        yield "last run         none yet"
    else:
        text = f"{day(last.at)}: {last.event} on {last.n} samples. {last.why}"
        yield from behind("last run         ", text)
        yield from wrap(fewer(data, last), WIDTH)
    yield from behind("model            ", serves)


def _pace(times_s: list[float], n: int, min_samples: int, now_s: float) -> Iterator[str]:
    """How fast samples come, of those scored live at `times_s`; with backfilled ones they are n."""
    days = max((times_s[-1] - times_s[0]) / DAY_S, 1 / 24)
    pace = len(times_s) / days
    yield f"pace             {pace:.1f} samples a day over {days:.1f} days"
    enough = f"first {min_samples}"
    if len(times_s) < min_samples <= n:  # training counts them all
        yield f"{enough:<16} reached, with backfilled ones"
        enough = "  scored live"
    yield _reached(enough, times_s, min_samples, pace, now_s)
    name = f"first {SIGNALS_FOR_TWO_POINTS:,}"
    yield _reached(name, times_s, SIGNALS_FOR_TWO_POINTS, pace, now_s)
    text = (
        "the earliest that only two points more wins could be established, a larger gain "
        f"shows sooner: with {UNSEEN_FOR_TWO_POINTS:,} signals that trained no model before "
        "they were tested on, of so many"
    )
    yield from behind(" " * 17, text)


def _reached(name: str, times_s: list[float], goal: int, pace: float, now_s: float) -> str:
    if len(times_s) >= goal:
        return f"{name:<16} reached on {day(times_s[goal - 1])}"
    wait_s = (goal - len(times_s)) / pace * DAY_S
    if now_s + wait_s > 32_503_680_000:  # the year 3000
        return f"{name:<16} not in sight at this pace"
    return f"{name:<16} about {day(now_s + wait_s)} at this pace"
