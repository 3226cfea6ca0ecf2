"""What became of the signals that a model answered, for the monitor's tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from builders import NOW_S
from journals import stored
from scored_journal import outcome_row, score_row

from protocol.schema import FEATURE_COUNT
from service.model.model import Model

EVERY_S = 3600.0
FIRST_S = NOW_S + 86_400.0


def answer_signals(
    journal: Path,
    model: Model,
    n: int,
    *,
    holds: bool = True,
    worse_by: float = 0.0,
    shift: float = 0.0,
    seed: int = 5,
    truth: Model | None = None,
) -> None:
    """`n` signals an hour apart that `model` answered, with their outcomes, from FIRST_S on.

    They win as often as it says (or `truth` does), less `worse_by`; without `holds` all with the
    base rate. All features are `shift` higher than those it was trained on.
    """
    rng = np.random.default_rng(seed)
    x = rng.uniform(0.0, 100.0, (n, FEATURE_COUNT)) + shift
    said = np.array([answer.p for answer in model.probabilities(x)])
    true = np.array([answer.p for answer in (truth or model).probabilities(x)])
    if not holds:
        true = np.full(n, model.manifest.calibration.base_rate)
    win = rng.random(n) < true - worse_by
    rows: list[object] = []
    for i in range(n):
        at_s = FIRST_S + EVERY_S * i
        rows.append(
            score_row(
                i,
                x[i],
                scored_at=at_s,
                event_time=at_s,
                status="success",
                win_probability=float(said[i]),
                model_version=model.version,
                take=bool(said[i] > model.manifest.calibration.base_rate),
            )
        )
        rows.append(outcome_row(i, bool(win[i]), closed_at=at_s + 300, received_at=at_s + 301))
    stored(journal, rows)
