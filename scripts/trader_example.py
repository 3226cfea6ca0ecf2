"""The report and the trader's commands on simulated signals, for docs/trader.md.

    python scripts/trader_example.py PLACE [--nothing]

PLACE gets a journal, models and reports: 80 days of signals with a known edge (or, with
--nothing, without one) in which a trainer ran twice, and 28 days which the published model
answered. The truth is stated in `training.simulate.planted`; everything else is the
product's own code. The trainer's clock is turned by hand, and all dates are moved by whole weeks,
so that the last signals are of the last days; else the same comes out each time.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from protocol.schema import FEATURE_NAMES
from service.config.settings import ScoreSection
from service.journal.writer import Journal
from service.model.model import Model
from service.scoring import Terms, Weights, blend, expected_r, take
from training.dataset.samples import Samples
from training.models.champion import current_model
from training.settings import Settings
from training.simulate import planted
from training.train import Run, train

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))
from scored_journal import outcome_row, score_row  # noqa: E402

DAYS, ANSWERED, A_DAY = 80, 28, 30
WEEK_S = 7 * planted.DAY_S
START_S = planted.START_S + WEEK_S * (
    (time.time() - (DAYS + ANSWERED) * planted.DAY_S - planted.START_S) // WEEK_S
)
TRAINED = (10, DAYS)
PATTERNS = ("LIQUIDITY_SWEEP_REVERSAL", "ORDER_BLOCK_BOUNCE", "FAIR_VALUE_GAP_FILL")
SCORE = ScoreSection()
WEIGHTS = Weights(SCORE.base_weight, SCORE.model_weight, SCORE.session_bonus_weight)
BONUS = FEATURE_NAMES.index("session_bonus")


def signals(nothing: bool) -> Samples:
    """All of them, in order of time: 45 % win, of the best half by the truth 55 %."""
    days = DAYS + ANSWERED
    truth = planted.edge(0.45, 0.55)
    rows = planted.samples(days * A_DAY, float(days), truth, seed=11, shuffled=nothing)
    moved_s = START_S - planted.START_S
    return replace(rows, time_s=rows.time_s + moved_s, end_s=rows.end_s + moved_s)


def answered(model: Model | None, x: np.ndarray, terms: Terms) -> dict[str, object]:
    """What the service would have written of its answer; nothing without a model."""
    if model is None:
        return {}
    said = model.probability(x)
    return {
        "raw_probability": said.raw,
        "win_probability": said.p,
        "final_score": blend(WEIGHTS, float(x[-1]), said.p, float(x[BONUS]))[1],
        "status": "success",
        "model_version": model.version,
        "expected_r": expected_r(said.p, terms),
        "take": take(said.low, terms, SCORE.take_margin_r),
    }


def write(journal: Path, rows: Samples, at: slice, model: Model | None) -> None:
    """The scores of `at` and their ends, as the service would have written them."""
    book = Journal(journal)
    pattern = np.random.default_rng(5).choice(PATTERNS, size=len(rows), p=(0.5, 0.35, 0.15))
    for i in range(len(rows))[at]:
        time_s, end_s = float(rows.time_s[i]), float(rows.end_s[i])
        reward = 2.0 if pattern[i] == PATTERNS[0] else 1.5
        fields: dict[str, object] = {
            "scored_at": time_s, "event_time": time_s, "symbol": str(rows.symbol[i]),
            "direction": int(rows.direction[i]), "pattern": str(pattern[i]), "reward_risk": reward,
        }  # fmt: skip
        fields |= answered(model, rows.x[i], Terms(reward, 0.05))
        end = {"closed_at": end_s, "received_at": end_s, "source": "paper"}
        book.write([score_row(i, rows.x[i], **fields), outcome_row(i, bool(rows.win[i]), **end)])
    book.close()


def truth_log(path: Path, rows: Samples) -> None:
    """A log whose labels were mostly made when the signal was, and which therefore tells little."""
    with path.open("w") as file:
        for i in range(0, len(rows), 4):
            late = 900 if i % 40 == 0 else 0
            line = {
                "signal_id": f"SIG_{i}", "symbol": str(rows.symbol[i]), "completed": True,
                "outcome": "WIN_TP" if rows.win[i] else "LOSS_SL",
                "completed_at": float(rows.time_s[i]) + late, "runtime_seconds": late,
            }  # fmt: skip
            file.write(json.dumps(line) + "\n")


def run(place: Path, nothing: bool) -> list[Run]:
    """All runs of the trainer, and the files that they leave."""
    place.mkdir(parents=True, exist_ok=True)
    rows = signals(nothing)
    truth_log(place / "truth_log.jsonl", rows)
    settings = Settings(
        journal=place / "journal.db",
        models=place / "models",
        truth_logs=(place / "truth_log.jsonl",),
        jobs=2,
    )
    runs, written = [], 0
    for day in TRAINED:
        until = int(np.searchsorted(rows.time_s, START_S + day * planted.DAY_S))
        write(settings.journal, rows, slice(written, until), current_model(settings.models))
        written = until
        runs.append(train(settings, now_s=START_S + (day + 1) * planted.DAY_S))
    write(settings.journal, rows, slice(written, None), current_model(settings.models))
    return runs


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("place", type=Path)
    parser.add_argument("--nothing", action="store_true", help="Without an edge.")
    given = parser.parse_args()
    for found in run(given.place, given.nothing):
        print(found.text)
