"""What a demo showed, in numbers that a program can read (`--json`). Counted, never assumed.

The comparison: signals that a model scored and whose end is known, taken by the model, and
as many of them chosen by the truth itself. `expected` rates are means of the true p, so that
luck does not decide who looks better; `won` is what the drawn outcomes were.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import msgspec
import numpy as np

from training.simulate.account import Account, Scored
from training.simulate.truth import best, best_log_loss, expected_log_loss

CLIENT_DEFAULT_MS = 50.0
FEWEST = 20
"""Below so many signals a comparison says nothing."""


class Choice(msgspec.Struct, frozen=True):
    """A choice of signals: how many, what share won, what the truth expects, R a signal."""

    name: str
    n: int
    won: float | None
    expected: float | None
    mean_r: float | None


class LogLoss(msgspec.Struct, frozen=True):
    """Expected log loss in nats of a constant, of the model, and the lowest there can be."""

    constant: float
    model: float
    best: float

    @property
    def share(self) -> float | None:
        """How much of what can be known the model knew; None where nothing can be known."""
        possible = self.constant - self.best
        return (self.constant - self.model) / possible if possible > 1e-6 else None


class Percentiles(msgspec.Struct, frozen=True):
    """Of a latency, in ms."""

    n: int
    p50: float
    p95: float
    p99: float
    longest: float


class Training(msgspec.Struct, frozen=True):
    """A run of the trainer: exit code, what it said last, wall seconds."""

    code: int
    said: str
    seconds: float


class Swap(msgspec.Struct, frozen=True):
    """A model that came into service. `delay_s`: from publication to its first reply.

    `in_flight` counts the requests under way at that reply.
    """

    version: str
    delay_s: float
    in_flight: int


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """All of it. `sent` = `answered` + `lost`; files by what they are."""

    interrupted: bool
    seconds: float
    market_days: float
    frames: int
    strength: float
    base_rate: float
    seed: int
    sent: int
    answered: int
    lost: int
    traded: int
    ended: int
    outcome_requests: dict[str, int]
    statuses: dict[str, int]
    before: Choice
    choices: tuple[Choice, ...]
    log_loss: LogLoss | None
    round_trip_ms: Percentiles | None
    service_ms: Percentiles | None
    over_client_default: int
    models: dict[str, int]
    swaps: tuple[Swap, ...]
    trainings: tuple[Training, ...]
    exit_codes: dict[str, int]
    files: dict[str, str]
    bytes_on_disk: int


def choice(name: str, signals: Sequence[Scored]) -> Choice:
    """What trading exactly these signals would have brought."""
    if not signals:
        return Choice(name, 0, None, None, None)
    return Choice(
        name,
        len(signals),
        float(np.mean([s.win for s in signals])),
        float(np.mean([s.p_true for s in signals])),
        float(np.mean([s.made_r for s in signals])),
    )


def comparison(signals: Sequence[Scored]) -> tuple[Choice, ...]:
    """All; those the model took and as many of the best; its upper half and the best half."""
    p_true = np.array([s.p_true for s in signals])
    said = np.array([s.win_probability or 0.0 for s in signals])
    taken = [s for s in signals if s.take]
    half = (len(signals) + 1) // 2
    return (
        choice("all signals", signals),
        choice("the model would have taken", taken),
        choice("best possible, as many", [signals[i] for i in best(p_true, len(taken))]),
        choice("the model's better half", [signals[i] for i in best(said, half)]),
        choice("best possible half", [signals[i] for i in best(p_true, half)]),
    )


def log_loss(signals: Sequence[Scored]) -> LogLoss | None:
    """Judged by the truth, on signals that a model scored; the constant is told their mean p."""
    if len(signals) < FEWEST:
        return None
    p_true = np.array([s.p_true for s in signals])
    said = np.array([s.win_probability or 0.0 for s in signals])
    constant = np.full(len(p_true), float(np.mean(p_true)))
    return LogLoss(
        expected_log_loss(p_true, constant), expected_log_loss(p_true, said), best_log_loss(p_true)
    )


def percentiles(values: Sequence[float]) -> Percentiles | None:
    """Of latencies in ms; None where there are none."""
    if not values:
        return None
    p50, p95, p99 = np.percentile(np.array(values), (50, 95, 99)).tolist()
    return Percentiles(len(values), p50, p95, p99, max(values))


def scored_by_model(account: Account) -> list[Scored]:
    """The ended signals that a model had scored."""
    return [s for s in account.closed if s.model_version is not None]


def models(account: Account) -> dict[str, int]:
    """Replies by model version, in the order in which the models came; `none`: base scores."""
    counts = Counter(e.model_version or "none" for e in account.exchanges if not e.lost)
    order = ["none", *account.first_replies]
    return {version: counts[version] for version in order if counts[version]}
