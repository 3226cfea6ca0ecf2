"""A published model that the trainer cannot hold a candidate against: it stays, or that is said."""

from __future__ import annotations

import itertools
import os
import shutil
import time
from functools import partial
from pathlib import Path

import pytest
from another_user import NOBODY, as_no_root
from builders import pointer_of
from saved_state import turned
from scored_journal import write_journal
from trained import begin_anew, history, run

from protocol.manifest import POINTER_NAME
from service.model import bundle
from training.models import champion, publish, registry
from training.monitor import model_in_use
from training.settings import Settings
from training.train import train

UNCOMPARED = (
    "Nothing was compared with the published model, which the service would not load: "
    "digest: forest.npz is not the file that was published"
)


@pytest.fixture
def place(trained: Path) -> Path:
    """A model, and the signals that it goes on winning on: too few to displace it."""
    begin_anew(trained, 600)
    return trained


def forest(place: Path) -> Path:
    return place / "models" / pointer_of(place / "models").version / "forest.npz"


def test_one_that_may_not_be_read_is_not_displaced(place: Path, open_folder: Path) -> None:
    place = shutil.copytree(place, open_folder / "place")
    if os.geteuid() == 0:
        for path in (place, *place.rglob("*")):
            os.chown(path, NOBODY, NOBODY)
    forest(place).chmod(0)
    before = pointer_of(place / "models")
    with as_no_root():
        result = run(place, "train")
    assert result.exit_code == 73, result.output
    (line,) = [text for text in result.stderr.splitlines() if "signal-scorer-train: " in text]
    assert line.startswith(f"signal-scorer-train: {forest(place).parent}: Permission denied")
    assert pointer_of(place / "models") == before
    assert len(history(place / "models")) == 1


def test_one_that_is_damaged_is_displaced_and_every_word_says_that_nothing_was_compared(
    place: Path,
) -> None:
    turned(forest(place))
    result = run(place, "train")
    assert result.exit_code == 0, result.output
    event = history(place / "models")[-1]
    assert event["event"] == "published"
    assert "champion" not in event["verdict"]["metrics"]  # type: ignore[index]
    page = (place / "models" / "last-report.html").read_text()
    for told in (result.output, str(event["why"]), page):
        assert UNCOMPARED in told


def test_a_review_of_one_that_is_damaged_says_that_there_was_none(place: Path) -> None:
    settings = Settings(journal=place / "journal.db", models=place / "models", min_samples=10**6)
    turned(forest(place))
    done = train(settings, now_s=time.time())
    assert done.result == "not_enough"
    assert "The published model was not reviewed: the service would not load it" in done.text


def test_beside_one_that_is_damaged_the_same_samples_are_rejected_once(place: Path) -> None:
    (place / "journal.db").unlink()
    write_journal(place / "journal.db", 600, edge=0.0, seed=7)
    turned(forest(place))
    assert run(place, "train").exit_code == 3
    assert UNCOMPARED in str(history(place / "models")[-1]["why"])
    result = run(place, "train")
    assert (result.exit_code, "nothing to do: 0 new" in result.output) == (0, True), result.output
    assert len(history(place / "models")) == 2


def test_beside_one_that_is_damaged_what_the_service_would_refuse_is_tried_once(
    place: Path,
) -> None:
    settings = Settings(journal=place / "journal.db", models=place / "models")
    turned(forest(place))
    refused = train(settings, now_s=4.05e9)  # no manifest may be of the year 2098
    assert "the service would refuse it" in refused.text
    assert train(settings, now_s=4.05e9).result == "nothing_to_do"


def test_what_this_machine_was_too_busy_for_is_tried_again(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(journal=place / "journal.db", models=place / "models")
    turned(forest(place))
    seconds = itertools.count()
    with monkeypatch.context() as busy:
        busy.setattr(publish, "load", partial(bundle.load, clock=lambda: float(next(seconds))))
        assert "the service would refuse it: latency" in train(settings, now_s=time.time()).text
    assert train(settings, now_s=time.time()).text.startswith("published ")


def test_a_pointer_that_is_damaged_is_no_reason_to_publish_without_new_samples(
    trained: Path,
) -> None:
    """Whether it was pinned, nobody can read any more."""
    models = trained / "models"
    run(trained, "pin", pointer_of(models).version, journal=False)
    pointer = models / POINTER_NAME
    pointer.write_bytes(pointer.read_bytes()[:100])
    assert "nothing to do" in run(trained, "train").output
    assert history(models)[-1]["event"] == "pinned"


def test_one_that_this_machine_is_too_busy_for_is_sound(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = itertools.count()
    slow = partial(bundle.load, clock=lambda: float(next(seconds)))
    for module in (model_in_use, champion, registry):
        monkeypatch.setattr(module, "load", slow)
    models = place / "models"
    assert [listed.problem for listed in registry.list_models(models)] == [""]
    registry.pin(models, pointer_of(models).version, now_s=time.time())
    settings = Settings(journal=place / "journal.db", models=models)
    assert model_in_use.look(settings, now_s=time.time()).published
    assert run(place, "train").exit_code == 3
    assert "champion" in history(models)[-2]["verdict"]["metrics"]  # type: ignore[index]
