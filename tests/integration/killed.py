"""Does something once for every step that it takes, each time killed just before that step."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

from service.files.durable import Step


def killed_at_each(count: int, run: Callable[[int, Step], None]) -> None:
    """`run` gets the number of the step at which it will be killed, and what to tell of steps."""
    for k in range(count):
        child = os.fork()
        if child == 0:
            left = k

            def step(_name: str) -> None:
                nonlocal left
                if left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)
                left -= 1

            run(k, step)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        assert os.WIFSIGNALED(status), f"step {k} was not reached"
