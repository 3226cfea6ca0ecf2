"""The review: a model's age is renewed by what it did since, however little that is."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from builders import NOW_S
from sample_rows import sample_rows
from serving import published_model

from service.files.durable import TrainerLock
from service.model.model import Model
from training.dataset.samples import Samples
from training.models.champion import unseen
from training.models.publish import current_pointer
from training.models.registry import revalidate, rollback
from training.models.review import due, gain_over_constant, review, since_review
from training.settings import Settings

DAY_S = 86_400.0
LATER_S = NOW_S + 30 * DAY_S
DAY = f"{datetime.fromtimestamp(NOW_S + 60.0, UTC):%Y-%m-%d}"


@pytest.fixture
def model(tmp_path: Path) -> Model:
    return published_model(tmp_path / "models", NOW_S)


@pytest.fixture
def place(tmp_path: Path) -> Settings:
    return Settings(journal=tmp_path / "journal.db", models=tmp_path / "models")


def came(model: Model, n: int, *, every_s: float, right: bool = True, seed: int = 1) -> Samples:
    """`n` signals since `model` was made, which won as it says or the other way round."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(0.0, 100.0, (n, 11))
    p = np.array([answer.p for answer in model.probabilities(x)])
    win = rng.random(n) < (p if right else 2.0 * model.manifest.samples.base_rate - p)
    time_s = NOW_S + 60.0 + every_s * np.arange(n)
    return sample_rows(n, x=x, win=win, time_s=time_s, end_s=time_s + 60.0)


def reviewed_at(place: Settings) -> float:
    pointer = current_pointer(place.models)
    assert pointer is not None
    return pointer.reviewed_at


def test_it_is_due_from_four_fifths_of_the_life_on_and_after_it(
    model: Model, place: Settings
) -> None:
    assert not due(place, now_s=NOW_S + 27.9 * DAY_S)
    assert due(place, now_s=NOW_S + 28.0 * DAY_S)
    # Four weekly runs later, one that starts sooner than the first did, by an hour in spring.
    assert due(place, now_s=NOW_S + 28.0 * DAY_S - 3600.3)
    assert due(place, now_s=NOW_S + 90.0 * DAY_S)
    never = Settings(journal=place.journal, models=place.models, expire_after_days=0.0)
    assert not due(never, now_s=NOW_S + 900.0 * DAY_S)


def ahead(place: Settings) -> None:
    """Its last review has the stamp of a clock that was a year ahead."""
    with TrainerLock(place.models):
        revalidate(place.models, now_s=LATER_S + 365 * DAY_S, why="a clock that was ahead")


def test_a_review_that_renews_replaces_one_that_lies_ahead(model: Model, place: Settings) -> None:
    ahead(place)
    text = review(came(model, 400, every_s=3600.0), place, now_s=LATER_S)
    assert text.startswith("Re-validated: still 0.")
    assert reviewed_at(place) == LATER_S


def test_a_clock_that_is_behind_does_not_age_the_model(model: Model, place: Settings) -> None:
    """All that came lies in the future then; no date that this clock gives is to be believed."""
    pointer = (place.models / "CURRENT.json").read_bytes()
    behind_s = NOW_S - 60 * DAY_S
    assert not due(place, now_s=behind_s)
    assert "too few to review" in review(came(model, 0, every_s=60.0), place, now_s=behind_s)
    assert (place.models / "CURRENT.json").read_bytes() == pointer


def test_a_rollback_by_a_clock_that_is_behind_keeps_the_age(model: Model, place: Settings) -> None:
    published_model(place.models, NOW_S + DAY_S)
    rollback(place.models, model.version, now_s=NOW_S - 50 * DAY_S, why="test")
    assert reviewed_at(place) == NOW_S


def test_without_a_model_nothing_is_due(place: Settings) -> None:
    assert not due(place, now_s=NOW_S)
    assert review(sample_rows(9), place, now_s=NOW_S) == ""


def test_a_model_that_goes_on_winning_is_renewed(model: Model, place: Settings) -> None:
    text = review(came(model, 400, every_s=3600.0), place, now_s=LATER_S)
    assert text.startswith("Re-validated: still 0.")
    assert text.endswith(f"below a constant on 400 signals since {DAY}.")
    assert reviewed_at(place) == LATER_S
    event = json.loads((place.models / "history.jsonl").read_text().splitlines()[-1])
    assert (event["event"], event["reviewed_at"]) == ("re-validated", LATER_S)


def test_a_model_that_is_wrong_ages_on(model: Model, place: Settings) -> None:
    text = review(came(model, 400, every_s=3600.0, right=False), place, now_s=LATER_S)
    assert f"not found better than a constant on 400 signals since {DAY}, so" in text
    assert reviewed_at(place) == NOW_S


def test_a_model_that_is_a_little_worse_than_a_constant_ages_on(
    model: Model, place: Settings
) -> None:
    rows = came(model, 400, every_s=3600.0)
    said = np.array([answer.p for answer in model.probabilities(rows.x)])
    share = model.manifest.samples.base_rate
    # One vector, of which the model says a little more than the share of wins that goes on.
    x = np.tile(rows.x[np.argmin(np.abs(said - (share + 0.04)))], (400, 1))
    win = np.diff(np.floor(share * np.arange(401))) > 0.0
    level = sample_rows(400, x=x, win=win, time_s=rows.time_s, end_s=rows.end_s)
    assert -0.01 < gain_over_constant(model, level, level) < 0.0
    assert "was not found better than a constant" in review(level, place, now_s=LATER_S)
    assert reviewed_at(place) == NOW_S


def test_four_days_are_too_few(model: Model, place: Settings) -> None:
    text = review(came(model, 400, every_s=600.0), place, now_s=LATER_S)
    assert "fewer than 5 days" in text
    assert reviewed_at(place) == NOW_S


def test_what_was_reviewed_before_does_not_count_again(model: Model, place: Settings) -> None:
    good = came(model, 600, every_s=3600.0)
    reviewed_s = float(good.time_s[-1]) + 1.0
    assert "Re-validated" in review(good, place, now_s=reviewed_s)
    wrong = came(model, 60, every_s=3600.0, right=False, seed=2)
    both = sample_rows(
        660,
        x=np.concatenate([good.x, wrong.x]),
        win=np.concatenate([good.win, wrong.win]),
        time_s=NOW_S + 60.0 + 3600.0 * np.arange(660),
        end_s=NOW_S + 120.0 + 3600.0 * np.arange(660),
    )
    assert gain_over_constant(model, both, both) > 0.0
    assert "its age goes on" in review(both, place, now_s=LATER_S)


@pytest.mark.parametrize(
    ("every_s", "new", "weighed"), [(3600.0, 200, 200), (7200.0, 10, 60), (40_000.0, 10, 50)]
)
def test_a_review_weighs_what_came_since_and_never_less_than_50_of_five_days(
    model: Model, every_s: float, new: int, weighed: int
) -> None:
    rows = came(model, 300, every_s=every_s)
    seen = since_review(rows, float(rows.time_s[-new - 1]))
    assert seen.time_s[-1] == rows.time_s[-1]
    assert len(seen) == weighed


def test_what_it_was_trained_on_or_was_backfilled_is_not_asked(model: Model) -> None:
    rows = came(model, 10, every_s=3600.0)
    before = sample_rows(4, time_s=NOW_S - 10.0 + np.arange(4), end_s=NOW_S + 60.0 + np.arange(4))
    backfilled = sample_rows(4, time_s=rows.time_s[:4], backfilled=np.ones(4, bool))
    assert unseen(model, rows).all()
    assert not unseen(model, before).any()
    assert not unseen(model, backfilled).any()


def test_the_constant_learns_so_a_drift_of_all_wins_is_no_skill(model: Model) -> None:
    rows = came(model, 2000, every_s=3600.0)
    said = np.array([answer.p for answer in model.probabilities(rows.x)])
    highest = np.tile(rows.x[np.argmax(said)], (2000, 1))
    p, base_rate = float(said.max()), model.manifest.samples.base_rate
    # From now on as many win as it happens to say, of every signal.
    win = np.random.default_rng(2).random(2000) < p
    drifted = sample_rows(2000, x=highest, win=win, time_s=rows.time_s, end_s=rows.end_s)
    over_fixed = np.where(win, np.log(p / base_rate), np.log((1 - p) / (1 - base_rate))).mean()
    assert over_fixed > 0.01
    assert gain_over_constant(model, drifted, drifted) < 0.5 * over_fixed
    # Nor does it forget at each review what came before.
    last = drifted.take(slice(1900, None))
    told = gain_over_constant(model, last, drifted)
    assert told < 0.5 * gain_over_constant(model, last, last)


def test_the_constant_knows_what_had_ended_whichever_signal_came_first(model: Model) -> None:
    rows = came(model, 400, every_s=3600.0)
    lives_s = np.random.default_rng(3).uniform(60.0, 10 * DAY_S, 400)
    rows = replace(rows, end_s=rows.time_s + lives_s)
    by_end = rows.take(np.argsort(rows.end_s))
    assert gain_over_constant(model, rows, rows) == gain_over_constant(model, rows, by_end)


def test_the_constant_learns_nothing_of_the_day_that_it_is_asked_about(model: Model) -> None:
    rows = came(model, 200, every_s=3600.0)
    day = np.floor(rows.time_s / DAY_S)
    asked, before = rows.take(day == day[100]), rows.take(day < day[100])
    assert gain_over_constant(model, asked, rows) == gain_over_constant(model, asked, before)
    assert gain_over_constant(model, asked, asked) != gain_over_constant(model, asked, before)


def test_signals_that_share_their_luck_count_once(model: Model) -> None:
    rows = came(model, 400, every_s=3600.0)
    times = np.where(rows.win, 3, 1)
    together = rows.take(np.repeat(np.arange(400), times))
    together = replace(together, weight=np.repeat(1.0 / times, times))
    once = gain_over_constant(model, rows, rows)
    assert gain_over_constant(model, together, together) == pytest.approx(once)
