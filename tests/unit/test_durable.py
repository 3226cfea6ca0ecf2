"""What is flushed in which order, and errors of the disk that name the file they are about."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from service.files.durable import append_line, named, write_file

PATH = Path("/state/journal.db")


@pytest.mark.parametrize(
    "of",
    [(), ("journal.db",), ("journal.db", None, "journal.db")],
    ids=["of no file", "of a name in an open folder", "of two names"],
)
def test_an_error_says_the_whole_path_and_nothing_more(of: tuple[str | None, ...]) -> None:
    with pytest.raises(OSError, match="No space") as caught, named(PATH):
        raise OSError(errno.ENOSPC, "No space left on device", *of)
    assert str(caught.value) == f"[Errno 28] No space left on device: '{PATH}'"


def test_an_error_that_names_its_own_files_is_left_as_it_is() -> None:
    with pytest.raises(OSError, match="'/a' -> '/b'"), named(PATH):
        raise OSError(errno.EXDEV, "Invalid cross-device link", "/a", None, "/b")


def test_a_file_is_flushed_with_its_first_line_and_then_its_name(tmp_path: Path) -> None:
    path, steps = tmp_path / "history.jsonl", list[str]()
    for line in (b"one", b"two"):
        append_line(path, line, steps.append)
    append = f"append {path.name}"
    assert steps == [append, f"fsync {tmp_path.name}/", append]
    assert path.read_bytes() == b"one\ntwo\n"


def test_a_link_that_waits_for_a_file_leads_it_nowhere(tmp_path: Path) -> None:
    """Root may write where another user plants one."""
    others = tmp_path / "others"
    others.write_text("another's")
    others.chmod(0o600)
    (tmp_path / "CURRENT.json.tmp").symlink_to(others)
    write_file(tmp_path / "CURRENT.json.tmp", b"ours")
    assert (others.read_text(), others.stat().st_mode & 0o777) == ("another's", 0o600)
    assert not (tmp_path / "CURRENT.json.tmp").is_symlink()
    assert (tmp_path / "CURRENT.json.tmp").read_bytes() == b"ours"
