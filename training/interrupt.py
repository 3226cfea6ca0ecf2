"""Ctrl-C and the moments at which it has to wait.

The rule: an interruption before the writing begins leaves everything as it was; one that comes
while the models directory is being written to takes effect when that is whole.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def finished_first() -> Iterator[None]:
    """Within the block Ctrl-C only is remembered; it is dropped where the block ends the run.

    So a run that had begun to publish says what it published. Outside of the main thread,
    which no signal reaches, nothing is changed.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def wait(_number: int, _frame: FrameType | None) -> None:
        pass

    before = signal.signal(signal.SIGINT, wait)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
