"""The original's training manager over the trainer's command, a process of its own.

Training takes minutes: `force_training` waits for it and belongs into a script, a cron job
or a thread; `start_training` returns at once. Neither runs anything inside the caller.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import tempfile
import threading
from collections.abc import Sequence
from itertools import dropwhile, takewhile
from typing import IO, Any, NamedTuple, Protocol

DEFAULT_COMMAND = "signal-scorer-train"
TRAIN_TIMEOUT_S = 600.0
STATUS_TIMEOUT_S = 30.0
KEPT_OUTPUT_BYTES = 20_000
PUBLISHED = "published "
LAST_RUN = "last run"
UNREAD = "not read to the end: "
MOST_UNREAD_CHARS = 500
_ENDS = {
    0: "nothing to do",
    3: "rejected",
    4: "not enough samples",
    75: "another trainer is at work",
    78: "the trainer's configuration or journal cannot be used",
}
_NOT_STARTED = -1
_TIMED_OUT = -2


class Scorer(Protocol):
    """What is asked of a scorer here: `compat.CryptoMLScorer`, which imports this file."""

    def get_model_stats(self) -> dict[str, Any]:
        """Its own key of the status."""


class Ended(NamedTuple):
    """How a command ended: its exit code and the end of its output.

    The code is negative where it did not end by itself, None where the system kept none.
    """

    code: int | None
    output: str

    @property
    def last_line(self) -> str:
        """The sentence that says what came of it."""
        lines = self.output.strip().splitlines()
        return lines[-1] if lines else ""

    @property
    def text(self) -> str:
        """The last line, and what was not read before: a truth log may not be there."""
        lines = self.output.strip().splitlines()[:-1]
        unread = "; ".join(line[line.index(UNREAD) :] for line in lines if UNREAD in line)
        return f"{self.last_line} ({unread[:MOST_UNREAD_CHARS]})" if unread else self.last_line

    @property
    def published(self) -> bool:
        """Whether there is a new model."""
        return self.code in (0, None) and self.last_line.startswith(PUBLISHED)

    @property
    def verdict(self) -> str:
        """The exit code in words."""
        if self.published:
            return "published"
        return "unknown" if self.code is None else _ENDS.get(self.code, "failed")


class MLTrainingManager:
    """Runs `signal-scorer-train`; where it is installed is $SIGNAL_SCORER_TRAINER's business.

    That variable, or `command`, may hold a whole command line (a container, another
    environment's path). With `truth_tracker_path` the trainer reads that truth log,
    otherwise those of its configuration.
    """

    def __init__(
        self,
        truth_tracker_path: str | os.PathLike[str] | None = None,
        ml_scorer: Scorer | None = None,
        *,
        command: Sequence[str] | None = None,
    ) -> None:
        given = os.environ.get("SIGNAL_SCORER_TRAINER") or DEFAULT_COMMAND
        self._command = list(command) if command is not None else shlex.split(given)
        self._truth_log = None if truth_tracker_path is None else os.fspath(truth_tracker_path)
        self._scorer = ml_scorer
        self._locks: dict[int, threading.Lock] = {}
        self._last: Ended | None = None

    def force_training(self, timeout_s: float = TRAIN_TIMEOUT_S) -> bool:
        """Train and wait; True where a model was published. Never raises.

        The trainer's test is never skipped: a candidate that is not better is rejected. After
        `timeout_s` the trainer is ended; the model in service stays as it was.
        """
        if not self._running.acquire(blocking=False):
            return False
        return self._train(timeout_s)

    def start_training(self, timeout_s: float = TRAIN_TIMEOUT_S) -> bool:
        """Train beside the caller and return at once; False where it is training already.

        What came of it stands in `get_training_status()['training']`. Raises RuntimeError where
        no thread can be started.
        """
        if not self._running.acquire(blocking=False):
            return False
        thread = threading.Thread(
            target=self._train, args=(timeout_s,), name="scorer-train", daemon=True
        )
        try:
            thread.start()
        except RuntimeError:  # no thread is to be had
            self._running.release()
            raise
        return True

    def get_training_status(self, timeout_s: float = STATUS_TIMEOUT_S) -> dict[str, Any]:
        """`ml_scorer_stats`, `latest_performance`, and `training` of this manager.

        Waits for `signal-scorer-train status`, which reads the journal and the truth log:
        seconds, at most `timeout_s`. `latest_performance` holds its lines and the last verdict.
        Where it was given no scorer it makes one, and raises ValueError as `CryptoMLScorer` does.
        """
        told = self._run(["status"], timeout_s)
        lines = told.output.strip().splitlines()
        last = self._last
        return {
            "ml_scorer_stats": self._own_scorer().get_model_stats(),
            "latest_performance": {
                "available": told.code in (0, None),
                "last_run": _last_run(lines),
                "lines": lines,
            },
            "training": {
                "running": self._running.locked(),
                "verdict": None if last is None else last.verdict,
                "text": None if last is None else last.text,
                "exit_code": None if last is None else last.code,
            },
        }

    @property
    def _running(self) -> threading.Lock:
        """Held while this process trains; one that a fork inherits nobody there would release."""
        return self._locks.setdefault(os.getpid(), threading.Lock())

    def _train(self, timeout_s: float) -> bool:
        try:
            self._last = self._run(["train", "--force"], timeout_s)
        finally:
            self._running.release()
        return self._last.published

    def _own_scorer(self) -> Scorer:
        if self._scorer is None:
            from protocol.compat import get_crypto_ml_scorer

            self._scorer = get_crypto_ml_scorer()
        return self._scorer

    def _run(self, arguments: list[str], timeout_s: float) -> Ended:
        truth_log = ["--truth-log", self._truth_log] if self._truth_log else []
        try:
            return self._waited([*self._command, *arguments, *truth_log], timeout_s)
        except (OSError, ValueError) as error:  # no such program, no folder for its output
            return Ended(
                _NOT_STARTED,
                f"cannot start {shlex.join(self._command)}: {error}; "
                "install it there, or name it in $SIGNAL_SCORER_TRAINER",
            )

    def _waited(self, command: list[str], timeout_s: float) -> Ended:
        """Raises OSError or ValueError where it cannot be started."""
        # A file, not a pipe: a trainer that outlives its caller must not fail over its output.
        with tempfile.TemporaryFile() as output:
            process = subprocess.Popen(  # noqa: S603  the operator's own command
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            try:
                code = process.wait(timeout_s)
            except subprocess.TimeoutExpired:
                what = "ended" if _end(process) else "not ours to end, so not waited for"
                return Ended(_TIMED_OUT, f"{_tail(output)}\n{what} after {timeout_s:g} s")
            # Where children that end are ignored, as a parent may have set it, Python says 0.
            kept = signal.getsignal(signal.SIGCHLD) is not signal.SIG_IGN
            return Ended(code if kept else None, _tail(output))


def _last_run(lines: list[str]) -> str | None:
    """What stands behind `last run`; a long text goes on in lines that are indented."""
    found = dropwhile(lambda line: not line.startswith(LAST_RUN), lines)
    first = next(found, None)
    if first is None:
        return None
    rest = takewhile(lambda line: line.startswith(" "), found)
    return " ".join([first.removeprefix(LAST_RUN).strip(), *(line.strip() for line in rest)])


def _end(process: subprocess.Popen[bytes]) -> bool:
    """End a process and its children: gently, then not. False where they are another user's."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
            process.wait(5.0)
        except PermissionError:  # as behind sudo
            return process.poll() is not None
        except (ProcessLookupError, subprocess.TimeoutExpired):
            continue
        return True
    return process.poll() is not None


def _tail(output: IO[bytes]) -> str:
    size = output.seek(0, os.SEEK_END)
    output.seek(max(0, size - KEPT_OUTPUT_BYTES))
    return output.read().decode("utf-8", "replace")
