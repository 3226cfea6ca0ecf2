"""The threshold on another scale that passes as many."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import msgspec
import numpy as np
import pytest
from builders import NOW_S
from hypothesis import given, settings
from hypothesis import strategies as st
from journals import stored
from monitored import answer_signals
from msgspec.structs import astuple
from msgspec.structs import replace as with_fields
from scored_journal import score_row, vectors
from serving import published_model

from protocol.schema import SCHEMA
from service.features.vector import Vector, is_warm
from service.model.model import Model
from service.scoring import Weights
from training.thresholds import PatternError, asked_signals, describe, final_scores, translate

WEIGHTS = Weights(0.4, 0.6, 1.0)


@given(st.integers(0, 2**32), st.integers(50, 300), st.floats(0, 100))
@settings(max_examples=60)
def test_it_passes_as_many_as_can_be_to_a_tenth(seed: int, n: int, threshold: float) -> None:
    rng = np.random.default_rng(seed)
    base, final = rng.uniform(0, 100, n), rng.uniform(0, 100, n)
    found = translate(base, final, threshold)
    assert found.wanted == np.count_nonzero(base >= threshold)
    if found.score is None:
        assert not found.wanted
        return
    assert found.passed == np.count_nonzero(final >= found.score)
    passed = [int(np.count_nonzero(final >= at / 10)) for at in range(1001)]
    best = min(abs(count - found.wanted) for count in passed if count)
    assert abs(found.passed - found.wanted) == best


@pytest.mark.parametrize(
    ("final", "score", "passed"),
    [
        (np.array([100.0] * 80 + [60.0] * 20), 100.0, 80),  # cut at 100, and none lies above
        (np.array([90.0] * 80 + [60.0] * 20), 90.0, 80),
        (np.linspace(0.0, 100.0, 100), 90.9, 10),
    ],
)
def test_no_score_is_named_that_nothing_reaches(
    final: np.ndarray, score: float, passed: int
) -> None:
    """Whoever adopted it would trade nothing."""
    base = np.array([80.0] * 10 + [60.0] * 90)
    found = translate(base, final, 70.0)
    assert (found.wanted, found.score, found.passed) == (10, pytest.approx(score), passed)


def test_a_scale_that_only_stretches_keeps_the_threshold() -> None:
    base = np.arange(100.0)
    assert translate(base, base / 2, 70.0).score == pytest.approx(35.0)


def test_few_signals_are_not_translated() -> None:
    assert translate(np.full(49, 90.0), np.full(49, 90.0), 70.0).score is None


@pytest.fixture
def model(tmp_path: Path) -> Model:
    found = published_model(tmp_path / "models", NOW_S)
    answer_signals(tmp_path / "journal.db", found, 200)
    return found


def test_only_signals_with_the_history_that_the_service_wants_are_asked(tmp_path: Path) -> None:
    market = [feature.name for feature in SCHEMA.features if feature.needs_history]
    seen = [
        Vector(tuple(vectors(1)[0].tolist()), (*gone, "sentiment_score"), source)
        for number in range(len(market) + 1)
        for gone in combinations(market, number)
        for source in ("deals", "ticks", "none")
        if source == "deals" or "whale_activity" in gone  # which is never there without deals
    ]
    rows = [
        score_row(i, np.array(values), missing=",".join(missing), volume_source=source)
        for i, (values, missing, source) in enumerate(map(astuple, seen))
    ]
    journal = stored(tmp_path / "journal.db", rows)
    asked = {score.score_id for score in asked_signals(journal)}
    for i, one in enumerate(seen):
        assert (f"score-{i:x}" in asked) == is_warm(one), one
    assert len(asked) == 1 + 8 + 28 + 2 * (1 + 7)  # at most two of eight, whale activity with them


def test_signals_are_scored_as_the_service_would(model: Model, tmp_path: Path) -> None:
    scores = asked_signals(tmp_path / "journal.db")
    final = final_scores(model, scores, WEIGHTS)
    at = 17
    p, vector = scores[at].win_probability, np.frombuffer(scores[at].features)
    assert p is not None
    enhanced = 0.4 * vector[10] + 60.0 * p
    assert final[at] == pytest.approx(min(100.0, min(100.0, enhanced) + vector[7]))


def test_each_pattern_has_its_threshold_and_all_together(model: Model, tmp_path: Path) -> None:
    scores = asked_signals(tmp_path / "journal.db")
    shown = list(describe(model, scores, WEIGHTS, today=70.0, by_pattern={}))
    assert "200 signals" in shown[0]
    assert [line.split()[0] for line in shown[-2:]] == ["ORDER_BLOCK_BOUNCE", "all"]
    assert all(len(line) <= 80 for line in shown)


def test_a_pattern_of_older_signals_alone_is_shown_with_none(model: Model, tmp_path: Path) -> None:
    first, *scores = asked_signals(tmp_path / "journal.db")
    rare = msgspec.structs.replace(first, pattern="RARE", event_time=0.0)
    shown = list(describe(model, [rare, *scores], WEIGHTS, today=None, by_pattern={"RARE": 70.0}))
    assert shown[-1].split()[:2] == ["RARE", "0"]


def test_a_pattern_that_no_signal_has_is_named_with_those_there_are(
    model: Model, tmp_path: Path
) -> None:
    scores = asked_signals(tmp_path / "journal.db")
    there = re.escape("no signal has the pattern 'OB'; there are ORDER_BLOCK_BOUNCE")
    with pytest.raises(PatternError, match=f"^{there}$"):
        list(describe(model, scores, WEIGHTS, today=None, by_pattern={"OB": 70.0}))
    list(describe(model, scores, WEIGHTS, today=None, by_pattern={"all": 70.0}))
    bare = [msgspec.structs.replace(score, pattern=None) for score in scores]
    list(describe(model, bare, WEIGHTS, today=None, by_pattern={"(no pattern)": 70.0}))


def test_without_a_threshold_of_today_usual_ones_are_shown(model: Model, tmp_path: Path) -> None:
    scores = asked_signals(tmp_path / "journal.db")
    shown = list(describe(model, scores, WEIGHTS, today=None, by_pattern={}))
    assert shown[1].split() == ["base", "threshold", "signals", "65", "70", "75", "80"]
    base = np.array([np.frombuffer(score.features)[10] for score in scores])
    final = final_scores(model, scores, WEIGHTS)
    cells = re.findall(r"([0-9.]+) +\(([0-9]+)%\)", shown[-4])
    assert [float(score) for score, _ in cells] == [
        pytest.approx(translate(base, final, at).score) for at in (65.0, 70.0, 75.0, 80.0)
    ]
    for score, share in cells:  # the share is what the score in the same cell passes
        assert float(share) == pytest.approx(100 * np.mean(final >= float(score)), abs=0.5)


def test_a_false_end_in_the_training_does_not_make_every_signal_a_trained_one(
    model: Model, tmp_path: Path
) -> None:
    manifest = model.manifest
    frozen = replace(
        model, manifest=with_fields(manifest, samples=with_fields(manifest.samples, ended_s=2.7e9))
    )
    scores = asked_signals(tmp_path / "journal.db")
    shown = list(describe(frozen, scores, WEIGHTS, today=70.0, by_pattern={}))
    assert not any("newer than the model's training" in line for line in shown)


def test_signals_that_the_model_was_trained_on_are_not_used_unsaid(tmp_path: Path) -> None:
    model = published_model(tmp_path / "models", NOW_S)
    answer_signals(tmp_path / "journal.db", model, 60)
    scores = asked_signals(tmp_path / "journal.db")[:40]
    for count, said in ((40, "only 40 signals are"), (1, "only 1 signal is"), (0, "no signal is")):
        shown = list(describe(model, scores[:count], WEIGHTS, today=70.0, by_pattern={}))
        assert f"{said} newer" in shown[1]
    assert "too few" in shown[-1]


@pytest.mark.parametrize("today", [70.0, None])
def test_patterns_stand_in_full_as_the_option_wants_them_and_move_no_cursor(
    model: Model, tmp_path: Path, today: float | None
) -> None:
    names = ["LIQUIDITY_SWEEP_REVERSAL", "LIQUIDITY_SWEEP_REVERSAL_SHORT", "\x1b[2J"]
    scores = [
        with_fields(score, pattern=names[i % 3])
        for i, score in enumerate(asked_signals(tmp_path / "journal.db"))
    ]
    shown = "\n".join(describe(model, scores, WEIGHTS, today=today, by_pattern={})).split("\n")
    found = {line.split()[0]: line.split()[1:2] for line in shown if line.strip()}
    assert found["LIQUIDITY_SWEEP_REVERSAL"] == ["67"]
    assert found["LIQUIDITY_SWEEP_REVERSAL_SHORT"] == []  # its row is the next
    assert found["67"]
    assert found["?[2J"] == ["66"]
    assert all(line.isprintable() and len(line) <= 80 for line in shown)
