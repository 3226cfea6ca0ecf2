"""Which Python `install.sh` builds with, the first time and at each later one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from installer import run_steps

STAND_IN = '#!/bin/sh\ncase $2 in *realpath*) echo "$0" ;; esac\n'
"""As much of an interpreter as is asked for: new enough, able, and where it lies."""


def interpreter(path: Path) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(STAND_IN)
    path.chmod(0o755)
    return path


def used(folder: Path, given: str = "") -> str:
    """What an installation says and takes; on the PATH is one that it finds by itself."""
    found = interpreter(folder / "found/python3")
    return run_steps(
        folder,
        f"PATH={found.parent}:$PATH python='{given}'\nmkdir -p $prefix\n"
        "find_python\nkeep_python\necho takes $python",
    )


def test_without_a_choice_it_is_the_one_that_is_found(tmp_path: Path) -> None:
    for _ in range(2):
        assert used(tmp_path) == f"takes {tmp_path}/found/python3\n"


def test_the_one_that_was_chosen_stays_chosen(tmp_path: Path) -> None:
    chosen = interpreter(tmp_path / "other/python3.12")
    for given in (str(chosen), "", ""):
        assert used(tmp_path, given) == f"takes {chosen}\n"
    # What is found next time may be another one: a name is no path.
    for given in ("python3", ""):
        assert used(tmp_path, given) == f"takes {tmp_path}/found/python3\n"


def test_a_choice_that_is_gone_is_told_and_comes_back_with_it(tmp_path: Path) -> None:
    chosen = interpreter(tmp_path / "other/python3.12")
    used(tmp_path, str(chosen))
    chosen.unlink()
    note, takes = used(tmp_path).splitlines()
    assert f"note: {chosen}" in note
    assert takes == f"takes {tmp_path}/found/python3"
    interpreter(chosen)
    assert used(tmp_path) == f"takes {chosen}\n"


def test_a_choice_is_kept_wherever_the_next_run_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = interpreter(tmp_path / "other/python3.12")
    monkeypatch.chdir(tmp_path)
    used(tmp_path, "other/python3.12")
    monkeypatch.chdir(os.sep)
    assert used(tmp_path) == f"takes {chosen}\n"
