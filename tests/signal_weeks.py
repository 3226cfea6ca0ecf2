"""Three weeks of signals and the advice on them, and what `results` shows of it."""

from __future__ import annotations

from sample_rows import sample_rows

from training.dataset.answered import Advice
from training.dataset.samples import Samples
from training.gain import WEEK_S
from training.results import describe

MONDAY_S = 1_757_894_400.0  # 2025-09-15
WEEKS = 3


def weeks_of_signals(n: int, *, edge: float, **changes: object) -> Samples:
    """`n` signals over three weeks from a Monday on; momentum above 50 wins more by `edge`."""
    every_s = WEEKS * WEEK_S / n
    samples = sample_rows(n, edge=edge, every_s=every_s)
    time_s = samples.time_s + MONDAY_S
    return sample_rows(
        n, edge=edge, every_s=every_s, **({"time_s": time_s, "end_s": time_s + 60.0} | changes)
    )


def advice_of(samples: Samples) -> dict[str, Advice]:
    """Takes what has momentum above 50."""
    return {
        score_id: Advice("m", bool(samples.x[i, 8] > 50))
        for i, score_id in enumerate(samples.score_id.tolist())
    }


def lines(samples: Samples, advice: dict[str, Advice], weeks: int = 12) -> list[str]:
    now_s = MONDAY_S + WEEKS * WEEK_S - 1.0
    return list(describe(samples, advice, weeks=weeks, now_s=now_s))
