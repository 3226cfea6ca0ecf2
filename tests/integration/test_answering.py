"""Which model answers, by the journals of one service or of several."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from builders import NOW_S, model_of, pointer_of, small_draft
from journals import stored
from msgspec.structs import replace
from scored_journal import score_row
from serving import published_model

from protocol.schema import FEATURE_COUNT
from service.journal.records import ScoreRow
from service.model.model import Model
from training.bound import DAY_S
from training.models.publish import publish
from training.models.registry import revalidate
from training.monitor.model_in_use import look
from training.monitor.reach import reach_of
from training.settings import Settings

HOUR_S = 3600.0


@pytest.fixture
def older(tmp_path: Path) -> Model:
    return published_model(tmp_path / "models", NOW_S - 50 * DAY_S)


@pytest.fixture
def model(tmp_path: Path, older: Model) -> Model:
    return published_model(tmp_path / "models", NOW_S)


@pytest.fixture
def place(tmp_path: Path) -> Settings:
    return Settings(
        journal=tmp_path / "one.db", replicas=(tmp_path / "two.db",), models=tmp_path / "models"
    )


@pytest.fixture
def alone(place: Settings) -> Settings:
    """Without a replica."""
    return replace(place, replicas=())


def score(i: int, at_s: float, version: str | None, status: str = "success") -> ScoreRow:
    p = None if version is None else 0.5
    return score_row(
        i,
        np.full(FEATURE_COUNT, 50.0),
        scored_at=at_s,
        event_time=at_s,
        status=status,
        win_probability=p,
        model_version=version,
    )


def said(place: Settings, now_s: float) -> list[tuple[str, str]]:
    """Level and text of what is found of the model that answers, at `now_s`."""
    return [(f.level, f.text) for f in look(place, now_s=now_s).findings if f.name == "model"]


def test_a_replica_that_refuses_the_model_is_told_whichever_was_asked_last(
    place: Settings, older: Model, model: Model
) -> None:
    """Else the alert would come and go with the signals."""
    begin_s = NOW_S + HOUR_S
    stored(place.journal, [score(i, begin_s + 120.0 * i, model.version) for i in range(9)])
    stored(
        place.replicas[0],
        [score(50 + i, begin_s + 120.0 * i + 60, older.version) for i in range(9)],
    )
    for now_s in (begin_s + 121.0, begin_s + 181.0):
        ((level, text),) = said(place, now_s)
        assert level == "alert"
        assert f"the service of {place.replicas[0]} answers by {older.version}, and not" in text
        found = look(place, now_s=now_s)
        assert found.model is not None
        assert (found.model.version, found.published) == (model.version, True)


def test_what_a_replica_answers_is_read_though_another_has_no_model(
    place: Settings, older: Model, model: Model
) -> None:
    begin_s = NOW_S + HOUR_S
    first = score(0, NOW_S - 49 * DAY_S, older.version)
    stored(place.journal, [first, score(3, begin_s, older.version)])
    rows = [score(1, begin_s + 60.0, model.version), score(2, begin_s + 120.0, None, "no_model")]
    stored(place.replicas[0], rows)
    now_s = begin_s + HOUR_S
    found = look(place, now_s=now_s)
    assert found.model is not None
    assert found.model.version == older.version
    assert not found.published
    assert "score-0" in reach_of(place, now_s=now_s).ids
    ((_, text),) = said(place, now_s)
    assert f"the service of {place.journal} answers by {older.version}" in text
    assert f"the service of {place.replicas[0]} answers by no model, and not by" in text


def test_only_base_scores_of_an_expired_model_are_told_while_the_published_one_is_young(
    alone: Settings, older: Model, model: Model
) -> None:
    """The service refused the published one and went on with one that has expired since."""
    begin_s = NOW_S + HOUR_S
    stored(alone.journal, [score(0, begin_s, None, "expired_model")])
    ((level, text),) = said(alone, begin_s + HOUR_S)
    assert level == "alert"
    assert "answers by no model" in text
    # Nor is it forgotten when the published one's time is over too.
    assert said(alone, begin_s + 40 * DAY_S)[0][0] == "alert"


def test_base_scores_while_the_review_ran_that_renews_the_model_tell_nothing(
    alone: Settings, older: Model, model: Model
) -> None:
    begin_s = NOW_S + 40 * DAY_S
    written_s = begin_s + 600.0
    revalidate(alone.models, now_s=begin_s, why="still better")
    os.utime(alone.models / "CURRENT.json", (written_s, written_s))
    stored(alone.journal, [score(0, begin_s + 300.0, None, "expired_model")])
    assert [level for level, _ in said(alone, written_s + HOUR_S)] == ["unknown"]
    journal = alone.journal.with_name("later.db")
    stored(journal, [score(0, written_s + 120.0, None, "expired_model")])
    later = replace(alone, journal=journal)
    assert [level for level, _ in said(later, written_s + HOUR_S)] == ["alert"]


@pytest.mark.parametrize("at_s", [NOW_S - 2 * DAY_S, NOW_S + 36 * DAY_S])
def test_base_scores_from_before_the_review_and_after_its_time_tell_nothing(
    alone: Settings, older: Model, model: Model, at_s: float
) -> None:
    rows = [score(0, at_s, None, "expired_model"), score(1, at_s + 60.0, None, "off")]
    stored(alone.journal, rows)
    text = "not yet known: no model has answered since 60 s after it was published"
    assert said(alone, at_s + 3 * DAY_S) == [("unknown", text)]


def test_a_pointer_of_a_clock_that_was_ahead_does_not_hide_who_answers(
    alone: Settings, older: Model, model: Model
) -> None:
    begin_s = NOW_S + HOUR_S
    published_model(alone.models, NOW_S + 30 * DAY_S)
    stored(alone.journal, [score(0, begin_s, older.version)])
    ((level, text),) = said(alone, begin_s + DAY_S)
    assert level == "alert"
    assert f"answers by {older.version}, and not" in text


def test_what_was_answered_while_the_trainer_ran_says_nothing_of_its_model(
    alone: Settings, older: Model
) -> None:
    begin_s, moved_s = NOW_S, NOW_S + 600.0
    forest, draft = small_draft(1)
    publish(alone.models, forest, draft, b"", now_s=begin_s, why="better", clock=lambda: moved_s)
    model = model_of(alone.models)
    assert (model.manifest.created_at, model.reviewed_at) == (begin_s, begin_s)
    assert pointer_of(alone.models).published_at == moved_s
    stored(alone.journal, [score(0, begin_s + 300.0, older.version)])
    ((level, _),) = said(alone, moved_s + HOUR_S)
    assert level == "unknown"
    found = look(alone, now_s=moved_s + HOUR_S)
    assert found.model is not None
    assert (found.model.version, found.published) == (model.version, True)


def test_no_rollback_is_advised_to_a_version_that_is_gone(alone: Settings, older: Model) -> None:
    stored(alone.journal, [score(0, NOW_S, older.version)])
    (alone.models / "CURRENT.json").unlink()
    (alone.models / older.version).rename(alone.models.parent / "gone")
    ((level, text),) = said(alone, NOW_S + HOUR_S)
    assert level == "alert"
    assert "rollback" not in text
    assert "its folder is gone" in text
