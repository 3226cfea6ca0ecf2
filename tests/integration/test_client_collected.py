"""A client that is dropped within a cycle of references is collected, and the process goes on.

In a process of its own: what is tested for would hang the garbage collector for ever.
"""

from __future__ import annotations

import subprocess
import sys

import pytest
from wire import answering

SYNC = """
import gc, os, sys
from protocol.client import ScorerClient

class Engine:
    def __init__(self):
        self.scorer = ScorerClient(sys.argv[1], 20_000)
        self.handler = self.on_signal  # the cycle

    def on_signal(self):
        return self.scorer.score("EURUSD", 70.0).final_score

assert Engine().on_signal() == 70.0
"""
ASYNC = """
import asyncio, gc, os, sys
from protocol.aio import AsyncScorerClient

loop = asyncio.new_event_loop()

def work():
    scorer = AsyncScorerClient(sys.argv[1], 20_000)
    scorer.itself = scorer
    assert loop.run_until_complete(scorer.score("EURUSD", 70.0)).final_score == 70.0

work()
"""
AFTER = """
import time

before = len(os.listdir("/proc/self/fd"))
assert gc.collect()
deadline = time.monotonic() + 20
while len(os.listdir("/proc/self/fd")) >= before:  # the context ends on a thread of its own
    assert time.monotonic() < deadline, "nothing was closed"
    time.sleep(0.001)
"""


@pytest.mark.parametrize("program", [SYNC, ASYNC], ids=["sync", "async"])
def test_a_dropped_client_is_closed_by_the_garbage_collector(program: str) -> None:
    with answering() as peer:
        done = subprocess.run(
            [sys.executable, "-c", f"import gc; gc.disable()\n{program}{AFTER}", peer.address],
            capture_output=True,
            text=True,
            timeout=30,
        )
    assert done.returncode == 0, done.stderr
