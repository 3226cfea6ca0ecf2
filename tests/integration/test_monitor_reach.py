"""How much the monitor reads: what its findings need, however old journal and truth log are."""

from __future__ import annotations

import json
import tracemalloc
from dataclasses import fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builders import NOW_S, model_of, small_draft
from journals import stored
from msgspec.structs import replace as with_fields
from scored_journal import outcome_row, score_row
from serving import published_model

from protocol.schema import FEATURE_COUNT
from service.journal.records import OutcomeRow, ScoreRow
from service.model.model import Model
from training.bound import DAY_S
from training.dataset.join import Dataset
from training.dataset.join_rules import JoinRules
from training.dataset.overlap import uniqueness
from training.models.publish import publish
from training.monitor.look import Seen
from training.monitor.look import look as looked
from training.monitor.reach import reach_of
from training.settings import Settings
from training.train import gather

OLD, SERVED = 1200, 600
EVERY_S = 3600.0
FIRST_S = NOW_S + DAY_S
"""The model's first answer; it went on for 25 days."""
SYMBOLS = ("EURUSD", "GBPUSD", "BTCUSD")
LATER_S = FIRST_S + EVERY_S * SERVED + 40 * DAY_S


class Told:
    """Rows for two replicas and lines for a truth log."""

    def __init__(self) -> None:
        self.rows: tuple[list[ScoreRow | OutcomeRow], ...] = ([], [])
        self.lines: list[str] = []

    def write(self, place: Path) -> Settings:
        journals = [place / f"replica{k}.db" for k in range(2)]
        for path, rows in zip(journals, self.rows, strict=True):
            stored(path, rows)
        log = place / "truth_log.jsonl"
        log.write_text("\n".join(self.lines) + "\n")
        return Settings(
            journal=journals[0],
            replicas=(journals[1],),
            models=place / "models",
            truth_logs=(log,),
            joining=JoinRules(max_holding_s=5 * EVERY_S),
        )

    def end(self, i: int, at_s: float, life_s: float, won: bool) -> None:
        """One end in one of the ways in which the field reports them."""
        here, there = self.rows[i % 2], self.rows[1 - i % 2]
        ends: dict[str, Any] = {"closed_at": at_s + life_s, "received_at": at_s + life_s + 1.0}
        paper = {"source": "paper", "score_id": f"score-{i:x}", "signal_id": None}
        kind = i % 8
        if i % 61 == 0:  # lost sight of: what runs beside it counts by what is reported alone
            here.append(outcome_row(i, None, "VOID", **ends, **paper, opened_at=at_s))
        elif kind < 3:
            here.append(outcome_row(i, won, **ends, **paper))
        elif kind == 3:
            there.append(outcome_row(i, won, **ends))
        elif kind < 6:
            self.tell(i, at_s + life_s, life_s, won)
            if kind == 5:
                here.append(outcome_row(i, won ^ (i % 16 == 5), **ends, **paper))
        elif kind == 6:  # three weeks late, and it does not say when it ended
            late = {"closed_at": None, "received_at": at_s + 21 * DAY_S, "runtime_s": None}
            there.append(outcome_row(i, won, **late))

    def tell(self, i: int, end_s: float, life_s: float, won: bool) -> None:
        line = {
            "signal_id": f"SIG_{i}",
            "symbol": SYMBOLS[i % 3],
            "completed": True,
            "outcome": "WIN_TP" if won else "LOSS_SL",
            "completed_at": datetime.fromtimestamp(end_s, UTC).replace(tzinfo=None).isoformat(),
            "runtime_seconds": life_s,
        }
        self.lines.append(json.dumps(line))


def history(model: Model, before: Model) -> Told:
    """A hundred days of signals: unanswered, then the other model's, then half of them ours."""
    told, rng = Told(), np.random.default_rng(3)
    x = rng.uniform(0.0, 100.0, (OLD + SERVED, FEATURE_COUNT))
    p = {one.version: [a.p for a in one.probabilities(x)] for one in (model, before)}
    for i in range(OLD + SERVED):
        at_s = FIRST_S + EVERY_S * (i - OLD) * (2.0 if i < OLD else 1.0)
        served = None if i < OLD // 2 else before.version
        if i >= OLD and i % 5:
            served = model.version
        said = p[served][i] if served else None
        changes: dict[str, Any] = {"scored_at": at_s, "event_time": at_s, "symbol": SYMBOLS[i % 3]}
        if served:
            changes |= {"status": "success", "win_probability": said, "model_version": served}
        if i > OLD and i % 50 == 1:  # an id of months ago, used again
            changes["signal_id"] = f"SIG_{i - OLD}"
        told.rows[i % 2].append(score_row(i, x[i], **changes))
        life_s = float(rng.uniform(0.5, 5.0)) * EVERY_S * (1 + i % 3) / 3.0
        told.end(i, at_s, life_s, bool(rng.random() < (said or 0.5) - 0.2))
        if i % 40 == 0:  # a retry that the other replica answered
            again = {"seq": 10_000 + i, "score_id": f"score-{10_000 + i:x}"}
            told.rows[1 - i % 2].append(score_row(i, x[i], **changes | again))
    return told


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Journals and a truth log of all time, which are only read."""
    folder = tmp_path_factory.mktemp("place")
    before = published_model(folder / "models", NOW_S - 60 * DAY_S)
    forest, draft = small_draft(1)
    publish(folder / "models", forest, draft, b"", now_s=NOW_S, why="better", keep=5)
    return history(model_of(folder / "models"), before).write(folder)


@pytest.fixture(scope="module")
def whole(place: Settings) -> Dataset:
    return gather(place, now_s=LATER_S)[1]


def bounded(settings: Settings) -> Dataset:
    reach = reach_of(settings, now_s=LATER_S)
    return gather(settings, now_s=LATER_S, reach=reach)[1]


def look(data: Dataset, settings: Settings) -> Seen:
    return looked(data, settings, now_s=LATER_S)


def test_what_the_model_answered_is_read_as_from_the_whole(place: Settings, whole: Dataset) -> None:
    read = bounded(place).samples
    ours, theirs = (one.take(one.time_s >= FIRST_S) for one in (read, whole.samples))
    assert len(ours) > SERVED // 2
    for field in fields(ours):
        if field.name != "weight":
            a, b = getattr(ours, field.name), getattr(theirs, field.name)
            assert np.array_equal(a, b, equal_nan=a.dtype.kind == "f"), field.name
    assert ours.weight.mean() < 0.9  # they overlap
    assert len(read) < 0.7 * len(whole.samples)


def test_the_findings_are_those_of_the_whole_with_the_lives_of_what_is_read(
    place: Settings, whole: Dataset
) -> None:
    read = bounded(place)
    of_read = np.isin(whole.samples.score_id, read.samples.score_id)
    cut = whole.samples.take(of_read)
    assert len(cut) == len(read.samples)
    longest_s = place.joining.max_holding_s
    weight = uniqueness(cut.symbol, cut.time_s, cut.end_s, longest_s)
    alike = with_fields(whole, samples=replace(cut, weight=weight))
    assert look(read, place) == look(alike, place)


def test_the_findings_are_near_those_with_the_lives_of_all_time(
    place: Settings, whole: Dataset
) -> None:
    found, of_all = look(bounded(place), place), look(whole, place)
    assert found.live == of_all.live > SERVED // 2
    assert {"calibration", "win_rate"} <= {f.name for f in found.findings if f.level == "alert"}
    for ours, theirs in zip(found.findings, of_all.findings, strict=True):
        assert (ours.name, ours.level) == (theirs.name, theirs.level)
        assert ours.facts == pytest.approx(theirs.facts, rel=0.03, abs=0.03)


def peak_bytes(settings: Settings) -> int:
    """What Python holds at most while the monitor reads."""
    tracemalloc.start()
    try:
        bounded(settings)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def served_for_a_day(place: Path, older: int) -> Settings:
    """24 answers, and so many scores with their ends from before the month that is read too."""
    model = published_model(place / "models", NOW_S)
    told, x = Told(), np.random.default_rng(1).uniform(0.0, 100.0, (24 + older, FEATURE_COUNT))
    for i in range(24 + older):
        at_s = FIRST_S + EVERY_S * i if i < 24 else FIRST_S - 60 * DAY_S - EVERY_S * i
        changes: dict[str, Any] = {"scored_at": at_s, "event_time": at_s}
        if i < 24:
            changes |= {"win_probability": 0.5, "model_version": model.version}
        told.rows[0].append(score_row(i, x[i], **changes))
        told.rows[1].append(outcome_row(i, True, closed_at=at_s + 900.0, received_at=at_s + 900.0))
        told.tell(i, at_s + 900.0, 900.0, True)
    return told.write(place)


def test_memory_does_not_grow_with_the_journals_age(tmp_path: Path) -> None:
    places = [tmp_path / "young", tmp_path / "old"]
    settings = [
        served_for_a_day(place, older) for place, older in zip(places, (0, 3000), strict=True)
    ]
    peak_bytes(settings[0])  # what is imported late comes once
    young, old = (peak_bytes(one) for one in settings)
    assert old < young + 300 * 1024  # of a 3,000th each, 0.1 KiB a score


def test_a_model_that_nobody_asked_needs_nothing_of_the_journal(tmp_path: Path) -> None:
    settings = served_for_a_day(tmp_path, 10)
    forest, draft = small_draft(1)
    at_s = {"now_s": NOW_S + 1.0}
    publish(tmp_path / "models", forest, draft, b"", why="better", keep=5, **at_s)
    assert reach_of(settings, now_s=FIRST_S - 1.0).ids == set()
    # Until it is asked the one before answers.
    assert len(reach_of(settings, now_s=LATER_S).ids) == 48
