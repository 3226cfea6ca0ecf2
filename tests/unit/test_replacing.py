"""A page or a file of metrics is the new one or the old one, whoever else is at work there."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest

from training.monitor import alerts
from training.replacing import replace

CONTENTS = (b"a" * 5_000, b"b" * 70_000)
STATES = tuple(alerts.State(dict.fromkeys(names, "alert")) for names in ("ab", "cdefghi"))


def a_page(path: Path, which: int) -> None:
    replace(path, CONTENTS[which])
    assert path.read_bytes() in CONTENTS


def a_state(path: Path, which: int) -> None:
    alerts.write_state(path, STATES[which])
    assert alerts.read_state(path) in STATES


Writer = Callable[[Path, int], None]
both = pytest.mark.parametrize("write", [a_page, a_state])


def many(write: Writer, path: Path, which: int) -> None:
    for _ in range(300):
        write(path, which)


def test_a_link_that_waits_in_the_folder_leads_it_nowhere(tmp_path: Path) -> None:
    """Root may write where another user plants one."""
    others, page = tmp_path / "others", tmp_path / "scorer.prom"
    others.write_text("another's")
    others.chmod(0o600)
    (tmp_path / f".scorer.prom.incoming-{os.getpid()}").symlink_to(others)
    replace(page, b"ours", 0o644)
    assert (others.read_text(), others.stat().st_mode & 0o777) == ("another's", 0o600)
    assert (page.is_symlink(), page.read_bytes()) == (False, b"ours")
    assert page.stat().st_mode & 0o777 == 0o644


@pytest.fixture(scope="module")
def two() -> Iterator[ProcessPoolExecutor]:
    with ProcessPoolExecutor(2, get_context("spawn")) as pool:
        yield pool


@both
def test_two_who_write_the_same_file_are_not_in_each_others_way(
    tmp_path: Path, two: ProcessPoolExecutor, write: Writer
) -> None:
    list(two.map(many, [write] * 2, [tmp_path / "file"] * 2, range(2)))
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("name", ["file", "a **[1].html"])
@both
def test_what_a_kill_leaves_the_next_writer_removes(
    tmp_path: Path, write: Writer, name: str
) -> None:
    gone = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True
    )
    (tmp_path / f".{name}.incoming-{gone.stdout.strip()}").touch()
    write(tmp_path / name, 0)
    assert [path.name for path in tmp_path.iterdir()] == [name]
