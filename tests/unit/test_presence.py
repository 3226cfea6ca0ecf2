"""What is hidden from us is not taken for what is not there, on any version of Python."""

from __future__ import annotations

import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from another_user import as_nobody, as_root

from service.files.presence import exists, is_dir, is_file, is_socket

KINDS = (is_dir, is_file, is_socket)


@pytest.fixture
def folder() -> Iterator[Path]:
    """Where every user may look."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


def test_what_is_there_is_told_by_its_kind(folder: Path) -> None:
    (folder / "file").touch()
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(folder / "socket"))
    for name, kind in zip((".", "file", "socket"), KINDS, strict=True):
        link = folder / f"to {name}"
        link.symlink_to(folder / name)
        for seen in (folder / name, link):
            assert exists(seen)
            assert [one for one in KINDS if one(seen)] == [kind]


def test_what_nobody_can_have_made_is_not_there(folder: Path) -> None:
    (folder / "file").touch()
    (folder / "loop").symlink_to("loop")
    (folder / "dangling").symlink_to("nowhere")
    for path in ("none", "file/below", "loop", "dangling", "\0"):
        assert not any(kind(folder / path) for kind in (exists, *KINDS))


@as_root
def test_what_we_may_not_look_at_is_no_no(folder: Path) -> None:
    (folder / "hidden").mkdir(0o700)
    for kind in (exists, *KINDS):
        with as_nobody(), pytest.raises(PermissionError):
            kind(folder / "hidden" / "journal.db")
