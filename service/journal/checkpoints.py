"""Moves the journal's WAL into its file on a thread of its own: an fsync takes 10 to 100 ms.

The rule: the thread has a connection of its own and nothing else, so the loop waits for the
disk at the first commit after a checkpoint, which syncs the header of the WAL that begins anew
(a power cut would else mix the two), and where the WAL would grow without end. That happens
under a load that never pauses: rows keep coming while earlier ones are moved, and SQLite begins
the WAL anew only from a moment at which all of them have been.

No checkpoint begins while all that was written has been moved: before SQLite 3.51.3 a commit that
begins the WAL anew in just that moment may be lost (sqlite.org/wal.html, "The WAL-Reset Bug").
"""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from pathlib import Path

from service.journal.file import FileId, file_at

WAL_FRAMES = 8192
"""So many pages (64 MiB) in the WAL are too many to leave it to the thread."""


class Checkpoints:
    """Checkpoints when asked; without `start` the asking thread does it itself.

    `frames` is how many pages the last one found in the WAL, `failures` how many failed: both
    for the loop to read.
    """

    def __init__(self, path: Path) -> None:
        """`path` of a journal; it is not created."""
        self.frames = 0
        self.failures = 0
        self._path = path
        self._file: FileId | None = None
        self._uri = f"{path.absolute().as_uri()}?mode=rw"
        self._asked = threading.Event()
        self._busy = False
        self._commits_after: int | None = None
        self._stopping = False
        self._thread: threading.Thread | None = None

    @property
    def overgrown(self) -> bool:
        """Whether the loop itself should see to the rest, so that the WAL begins anew."""
        return self.frames > WAL_FRAMES and not self._busy

    def start(self) -> None:
        """Begin to wait for being asked."""
        self._thread = threading.Thread(target=self._run, name="checkpoints", daemon=True)
        self._thread.start()

    def stop(self, timeout_s: float) -> None:
        """End the thread; one that waits for the disk is waited for, at most `timeout_s`."""
        self._stopping = True
        self._asked.set()
        if self._thread is not None:
            self._thread.join(timeout_s)
            self._thread = None

    def look(self, commits: int) -> None:
        """Note how many commits the asker had made when it saw the last checkpoint ended."""
        if not self._busy and self._commits_after is None:
            self._commits_after = commits

    def ask(self, commits: int, file: FileId | None) -> bool:
        """Have the WAL of `file` moved soon; False where one is under way or nothing is sure to be
        new.

        Only a commit that was made after a `look` is sure not to have been moved.
        """
        self.look(commits)
        if self._busy or commits == self._commits_after:
            return False
        self._busy, self._commits_after, self._file = True, None, file
        if self._thread is None:
            self.run_once()
            self.look(commits)
        else:
            self._asked.set()
        return True

    def moved(self, commits: int) -> None:
        """Know that the asker, who is the writer, has moved the WAL itself."""
        self.frames, self._commits_after = 0, commits

    def run_once(self) -> None:
        """One checkpoint that waits for no reader and no writer. Never raises."""
        try:
            with closing(sqlite3.connect(self._uri, uri=True, timeout=0.0)) as connection:
                # What has just been opened. In another file than the asker's its WAL would be the
                # end of that, and its shared memory begun anew the end of this process.
                if self._file is not None and file_at(self._path) != self._file:
                    return
                _, frames, _ = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        # The writer meets the same disk, and is the one to say what is wrong with it.
        except (sqlite3.Error, OSError):
            self.failures += 1
        else:
            self.frames = max(frames, 0)
        finally:
            self._busy = False

    def _run(self) -> None:
        while True:
            self._asked.wait()
            self._asked.clear()
            if self._stopping:
                return
            self.run_once()
