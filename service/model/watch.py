"""Following `CURRENT.json`: a helper thread loads what it names, the loop takes the result.

The rule: the thread hands over immutable values through a bounded queue and touches nothing
else of the loop's. A candidate that fails is reported once for each reason and left alone until the
pointer's content or a file of it changes; where the disk or a limit kept a file from being read it
is tried again.
Whatever goes wrong here, the loop goes on with what it has.
"""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections import deque
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from protocol.manifest import POINTER_NAME
from service.errors import ModelRejected, RejectReason, passes
from service.model.bundle import DEFAULT_LIMITS, ModelLimits, load
from service.model.model import Model
from service.model.pointer import decode_pointer, read_pointer_bytes

MAX_WAITING = 8
MOST_FILES = 32
"""Of a refused model that are looked at; one of ours has three."""
PAUSE_S = 0.004
"""Between the parts of a load, so that a request seldom meets more than one."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """A verified model."""

    model: Model


@dataclass(frozen=True, slots=True)
class Rejected:
    """What the pointer names is not to be used. `version`, if it said one."""

    reason: RejectReason
    detail: str
    version: str | None


@dataclass(frozen=True, slots=True)
class Removed:
    """The pointer was there and is gone."""


Event = Loaded | Rejected | Removed
Signature = tuple[int, ...] | None


class ModelWatch:
    """Looks at the pointer every `interval_s` seconds; content decides, not its date.

    `poll_once` is one look without a thread: for the start, before READY, and for tests.
    Between `start` and `stop` it is the thread's alone.
    """

    def __init__(
        self,
        models_dir: Path,
        *,
        interval_s: float = 1.0,
        limits: ModelLimits = DEFAULT_LIMITS,
    ) -> None:
        self._models_dir = models_dir
        self._limits = limits
        self._interval_s = interval_s
        self._waiting: deque[Event] = deque()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._seen: str | None = None
        self._signature: Signature = None
        self._settled = False
        self._passing = False
        self._refused: tuple[str, Signature] | None = None
        self._told: tuple[RejectReason, str | None] | None = None

    def start(self) -> None:
        """Begin to look, at once and then every `interval_s`."""
        self._thread = threading.Thread(target=self._run, name="model-watch", daemon=True)
        self._thread.start()

    def stop(self, timeout_s: float = 5.0) -> None:
        """End the thread; one that is loading is waited for, at most `timeout_s`."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(timeout_s)
            self._thread = None

    def take(self) -> Event | None:
        """Return the oldest event that waits, if one does. Called by the loop."""
        return self._waiting.popleft() if self._waiting else None

    def poll_once(self) -> Event | None:
        """Look once; what is new since the last look is returned, and waits for `take`.

        Never raises. While MAX_WAITING events wait it does not look: a loop that takes
        nothing is not to be buried, and what is there then is found later.
        """
        if len(self._waiting) >= MAX_WAITING:
            return None
        event = self._look()
        if event is not None:
            self._waiting.append(event)
        return event

    def _look(self) -> Event | None:
        try:
            signature = self._sign()
            again = self._passing or self._is_other_now()
            # A date tells two writes apart only when some time lies between them: read
            # until one look has found the signature unchanged.
            if signature == self._signature and self._settled and not again:
                return None
            self._settled = signature == self._signature
            self._signature = signature
            content = read_pointer_bytes(self._models_dir)
        except ModelRejected as error:
            # The way to it may be at fault, of which its signature says nothing.
            self._settled = False
            # No content, no digest: what is wrong stands in for it.
            digest = hashlib.sha256(str(error).encode()).hexdigest()
            return self._once(digest, Rejected(error.reason, error.detail, None))
        # A fault of ours is to be told, not to end the thread.
        except Exception as error:
            self._settled = False
            detail = f"looking at {POINTER_NAME}: {type(error).__name__}: {error}"
            digest = hashlib.sha256(detail.encode()).hexdigest()
            return self._once(digest, Rejected(RejectReason.INTERNAL, detail, None))
        if content is None:
            return self._gone()
        digest = hashlib.sha256(content).hexdigest()
        if digest == self._seen and not again:
            return None
        self._passing, self._refused = False, None
        event = self._load(content)
        if isinstance(event, Loaded):
            self._seen = digest
            return event
        return self._once(digest, event)

    def _load(self, content: bytes) -> Loaded | Rejected:
        version = None
        try:
            pointer = decode_pointer(content)
            version = pointer.version
            # It may not be whole yet: signed before it is read, what comes later is another.
            self._refused = version, self._sign_files(version)
            model = load(self._models_dir, pointer, self._limits, pause=self._pause)
            self._refused = None
            return Loaded(model)
        except ModelRejected as error:
            self._passing = passes(error.__cause__)
            return Rejected(error.reason, error.detail, version)
        # For example MemoryError: this candidate is not for us.
        except Exception as error:
            detail = f"{type(error).__name__}: {error}"
            return Rejected(RejectReason.INTERNAL, detail, version)

    def _pause(self) -> None:
        """Let go of the interpreter.

        A thread that computes without a pause is sooner or later taken off its processor while
        it holds the interpreter, and the loop then waits for milliseconds.
        """
        if self._thread is not None:
            time.sleep(PAUSE_S)

    def _once(self, digest: str, event: Rejected) -> Rejected | None:
        told = event.reason, event.version
        if digest == self._seen and told == self._told:
            return None
        self._seen, self._told = digest, told
        return event

    def _gone(self) -> Event | None:
        was_there, self._seen = self._seen is not None, None
        return Removed() if was_there else None

    def _sign(self) -> Signature:
        """Raises ModelRejected."""
        try:
            return _signature(self._models_dir / POINTER_NAME)
        except FileNotFoundError:
            return None
        except OSError as error:
            detail = f"{POINTER_NAME}: {error.strerror}"
            raise ModelRejected(RejectReason.UNREADABLE, detail) from error

    def _is_other_now(self) -> bool:
        """Whether the files of the refused model, if one is, are not what they were."""
        if self._refused is None:
            return False
        version, files = self._refused
        return files != self._sign_files(version)

    def _sign_files(self, version: str) -> Signature:
        folder = self._models_dir / version
        try:
            signature = _signature(folder)
            with os.scandir(folder) as entries:
                for entry in islice(entries, MOST_FILES):
                    signature += _signature(folder / entry.name)
        except OSError:
            return None
        return signature

    def _run(self) -> None:
        while not self._stopping.is_set():
            self.poll_once()
            self._stopping.wait(self._interval_s)


def _signature(path: Path) -> tuple[int, ...]:
    """What tells one state of a file or folder from another. Raises OSError."""
    status = path.lstat()
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
