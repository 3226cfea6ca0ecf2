"""What lies behind a link that the service's user made: root is told to open nothing of it.

Whoever owns the state folder chooses where its links lead, and `chmod` and `chown` follow them.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from another_user import NOBODY, as_root
from builders import small_model
from doctored import Setup

from protocol.manifest import FOREST_NAME, POINTER_NAME
from service.keygen import keygen

pytestmark = as_root


@pytest.fixture
def closed(open_folder: Path) -> Path:
    """A folder of root's that keeps all others out."""
    folder = open_folder / "root's"
    folder.mkdir(mode=0o700)
    return folder


def link(at: Path, to: Path, uid: int = NOBODY) -> Path:
    at.symlink_to(to)
    os.chown(at, uid, uid, follow_symlinks=False)
    return at


def asks_to_look(setup: Setup, check: str, at: Path) -> None:
    """Each advice that would touch something says instead whose link is on the way."""
    advised = [found.advice for found in setup.findings(check) if "may not" in found.text]
    assert advised
    for advice in advised:
        assert f"look first where it leads: ls -l {at}" in advice
        assert "chmod" not in advice
        assert "chown" not in advice


@pytest.mark.parametrize("below", [".", "deeper/models"])
def test_the_folder_of_the_models(served_by_nobody: Setup, closed: Path, below: str) -> None:
    (closed / below).mkdir(parents=True, exist_ok=True)
    at = link(served_by_nobody.state / "linked", closed)
    served_by_nobody.values["MODEL_DIRECTORY"] = str(at / below)
    asks_to_look(served_by_nobody, "files", at)


def test_a_link_of_roots_is_no_trap(served_by_nobody: Setup, closed: Path) -> None:
    at = link(served_by_nobody.models, closed, uid=0)
    assert served_by_nobody.fault("files", "may not read").advice == f"chmod a+rx {at}"


@pytest.mark.parametrize("whose", ["forest", "pointer"])
def test_models(served_by_nobody: Setup, open_folder: Path, whose: str) -> None:
    behind = open_folder / "behind"
    version = small_model(behind, now_s=time.time())
    at = link(served_by_nobody.models, behind)
    if whose == "forest":
        (behind / version / FOREST_NAME).chmod(0o600)
    else:
        (behind / POINTER_NAME).chmod(0o600)
    asks_to_look(served_by_nobody, "model", at)


@pytest.mark.parametrize("folder", [".", "new"])
def test_a_folder_in_which_no_journal_can_be_made(
    served_by_nobody: Setup, closed: Path, folder: str
) -> None:
    at = link(served_by_nobody.state / "linked", closed)
    served_by_nobody.values["JOURNAL_PATH"] = str(at / folder / "journal.db")
    asks_to_look(served_by_nobody, "journal", at)


@pytest.mark.parametrize("mode", [0o700, 0o755])
def test_the_journal_and_its_folder(served_by_nobody: Setup, closed: Path, mode: int) -> None:
    at = link(served_by_nobody.state / "linked", closed)
    served_by_nobody.journal = at / "journal.db"
    served_by_nobody.write_journal()
    (closed / "journal.db.lock").touch(0o600)
    closed.chmod(mode)
    served_by_nobody.values["JOURNAL_PATH"] = str(served_by_nobody.journal)
    asks_to_look(served_by_nobody, "journal", at)


@pytest.mark.parametrize("mode", [0o700, 0o755])
def test_a_key(served_by_nobody: Setup, closed: Path, mode: int) -> None:
    secret = keygen(closed, "client").server_secret
    closed.chmod(mode)
    at = link(served_by_nobody.state / "linked", closed)
    served_by_nobody.values |= {
        "CURVE_SERVER_SECRET_FILE": str(at / secret.name),
        "CURVE_CLIENTS_DIR": str(closed.parent),
    }
    asks_to_look(served_by_nobody, "keys", at)
