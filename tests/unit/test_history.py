"""The trainer's history, in a folder whose owner is another user than its reader."""

from __future__ import annotations

import os
from pathlib import Path

from service.model.history import HISTORY_NAME, Event, read_history


def test_of_a_history_that_is_none_or_without_end_nobody_waits(tmp_path: Path) -> None:
    path = tmp_path / HISTORY_NAME
    assert read_history(tmp_path) == []
    os.mkfifo(path)
    assert read_history(tmp_path) == []
    path.unlink()
    path.symlink_to("/dev/zero")
    assert read_history(tmp_path) == []
    path.unlink()
    path.write_bytes(b"[" * 100_000 + b"\n")
    os.truncate(path, 1 << 40)
    with path.open("ab") as file:
        file.write(b'\n{"event": "published"}\n')
    assert read_history(tmp_path) == [Event("published")]
