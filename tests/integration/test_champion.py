"""A published model that the trainer cannot hold a candidate against: it stays, or that is said."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import pytest
from another_user import NOBODY, as_no_root
from builders import pointer_of
from saved_state import turned
from scored_journal import write_journal
from trained import first_published, history, run

from training.settings import Settings
from training.train import train

UNCOMPARED = (
    "Nothing was compared with the published model, which the service would not load: "
    "digest: forest.npz is not the file that was published"
)


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return first_published(tmp_path_factory.mktemp("published"))


@pytest.fixture
def place(published: Path, tmp_path: Path) -> Path:
    """A model, and the signals that it goes on winning on: too few to displace it."""
    shutil.copytree(published / "models", tmp_path / "models")
    write_journal(tmp_path / "journal.db", 600, edge=0.3)
    return tmp_path


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
