"""What `install.sh` does as root in folders that other users may change meanwhile."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "deploy/install.sh"
SWAP = """#!/bin/sh
# The user swaps the folder between root's look and its deed.
case "$*" in
    *shadow*) mv "{models}/a" "{models}/b" && ln -s "{victim}" "{models}/a" ;;
esac
exec {chown} "$@"
"""


@pytest.fixture
def state(tmp_path: Path) -> Path:
    if os.geteuid() != 0:
        pytest.skip("only root can give files away")
    return tmp_path / "state"


def make_folders(tmp_path: Path, path: str = os.environ["PATH"]) -> None:
    """The script's own function, with users that every system has, on folders of the test."""
    text = SCRIPT.read_text().replace('\nmain "$@"\n', "\nmake_folders\n")
    for users, others in (("scorer-trainer", "daemon"), ("-o scorer -g scorer", "-o bin -g bin")):
        text = text.replace(users, others)
    text = text.replace("scorer:scorer", "bin:bin").replace("daemon:scorer", "daemon:bin")
    text = text.replace("-o daemon -g scorer", "-o daemon -g bin")
    for name, place in (("prefix", "opt"), ("etc", "etc"), ("state", "state")):
        lines = [f"{name}={tmp_path / place}" if line.startswith(f"{name}=/") else line
                 for line in text.split("\n")]  # fmt: skip
        text = "\n".join(lines)
    text = text.replace("/var/cache/signal-scorer", str(tmp_path / "cache"))
    subprocess.run(["sh", "-c", text], check=True, env=os.environ | {"PATH": path})


@pytest.mark.parametrize("path", ["{}", "{}:", ".:{}:bin"])
def test_what_root_left_behind_is_given_to_its_users(
    tmp_path: Path, state: Path, path: str
) -> None:
    make_folders(tmp_path)
    (state / "journal.db").touch()
    (state / "models/new").touch()
    make_folders(tmp_path, path.format(os.environ["PATH"]))
    owners = {path.name: path.owner() for path in (state, *state.rglob("*"))}
    assert owners == {"state": "bin", "models": "daemon", "journal.db": "bin", "new": "daemon"}
    assert (state / "models").stat().st_mode & 0o777 == 0o750


def test_a_link_in_a_folders_place_is_not_followed(tmp_path: Path, state: Path) -> None:
    make_folders(tmp_path)
    victim = tmp_path / "victim"
    victim.mkdir(mode=0o755)
    (state / "models").rmdir()
    (state / "models").symlink_to(victim)
    make_folders(tmp_path)
    assert (victim.owner(), victim.stat().st_mode & 0o777) == ("root", 0o755)


def test_a_folder_swapped_for_a_link_meanwhile_leads_nowhere(tmp_path: Path, state: Path) -> None:
    make_folders(tmp_path)
    victim, models = tmp_path / "victim", state / "models"
    for folder in (victim, models / "a"):
        folder.mkdir()
        (folder / "shadow").touch()
    tools = tmp_path / "tools"
    tools.mkdir()
    swapping = SWAP.format(models=models, victim=victim, chown=shutil.which("chown"))
    (tools / "chown").write_text(swapping)
    (tools / "chown").chmod(0o755)
    make_folders(tmp_path, f"{tools}:{os.environ['PATH']}")
    assert (models / "a").is_symlink()
    assert (victim / "shadow").owner() == "root"
    assert (models / "b/shadow").owner() == "daemon"
