"""What a training leaves: made once, for all tests here that go on from it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from click.testing import Result
from scored_journal import write_journal
from trained import run


@pytest.fixture
def edge(tmp_path: Path) -> Path:
    write_journal(tmp_path / "journal.db", 400, edge=0.3)
    return tmp_path


@pytest.fixture(scope="session")
def first_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    place = tmp_path_factory.mktemp("trained")
    write_journal(place / "journal.db", 400, edge=0.3)
    result = run(place, "train", "--textfile", str(place / "train.prom"))
    assert result.exit_code == 0, result.output
    return place, result


@pytest.fixture
def trained(first_run: tuple[Path, Result], tmp_path: Path) -> Path:
    """A copy of what the first run on a planted edge left: one published model."""
    return shutil.copytree(first_run[0], tmp_path / "place")
