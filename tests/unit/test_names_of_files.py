"""Names that others gave their files, on the terminal of whoever looks at them."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from trained import give

ODD = "m\x1b]0;owned\x07\x1b[2Jx.pkl"
SHOWN = "m?]0;owned??[2Jx.pkl"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "old\nroot# rm"
    folder.mkdir()
    (folder / ODD).touch()
    (folder / "truth_log.jsonl").touch()
    return folder


@pytest.mark.parametrize(("command", "name"), [(["original"], "."), (["truth", "check"], ODD)])
def test_no_name_of_a_file_acts_on_the_terminal(
    folder: Path, command: list[str], name: str
) -> None:
    told = give(*command, folder / name).output
    assert SHOWN in told
    assert all(line.isprintable() and "root#" not in line[:5] for line in told.split("\n"))


def test_an_empty_folder_is_named_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "old\nroot# rm").mkdir()
    assert give("original", tmp_path / "old\nroot# rm").output.count("\n") == 1


def test_the_next_commands_can_be_copied_whatever_the_folder_is_called(tmp_path: Path) -> None:
    log = tmp_path / "its own; rm $HOME" / "truth_log.jsonl"
    log.parent.mkdir()
    log.touch()
    for line in give("original", log.parent).output.splitlines()[-2:]:
        assert shlex.split(line)[-2:] == ["--truth-log", str(log)]
