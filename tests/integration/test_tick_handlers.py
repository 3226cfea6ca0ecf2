"""A signal's handler may push a tick while its thread pushes one: neither waits for the other."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import signal
from protocol.compat import CryptoMLScorer

scorer = CryptoMLScorer("tcp://127.0.0.1:1", "tcp://127.0.0.1:1")
tick = {"bid": 1.1, "ask": 1.2}
left = 300

def beat(*_):
    global left
    left -= 1
    scorer.update_market_data("EURUSD", tick)
    signal.setitimer(signal.ITIMER_REAL, 0.001)

signal.signal(signal.SIGALRM, beat)
beat()
while left > 0:
    scorer.update_market_data("EURUSD", tick)
signal.signal(signal.SIGALRM, signal.SIG_IGN)
"""


def test_a_handler_pushes_beside_its_thread() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
