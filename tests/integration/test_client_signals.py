"""Signals caught while the client waits: none lengthens its budget or leaves it spoiled."""

from __future__ import annotations

import subprocess
import sys
from statistics import median

import pytest
from wire import answering, free_address

BUDGET_MS, CALLS = 200, 5
SCORES_UNDER_A_TIMER = f"""
import signal, sys, time
from protocol.client import ScorerClient

signal.signal(signal.SIGALRM, lambda *_: None)
client = ScorerClient(sys.argv[1], timeout_ms={BUDGET_MS}, open_after=0)
signal.setitimer(signal.ITIMER_REAL, 0.02, 0.02)
for _ in range({CALLS}):
    began_s = time.monotonic()
    client.score("EURUSD", 50.0)
    print(1000.0 * (time.monotonic() - began_s))
signal.setitimer(signal.ITIMER_REAL, 0)
"""


def took_ms(address: str) -> list[float]:
    """How long each call lasted in a process whose timer fires 50 times a second."""
    done = subprocess.run(
        [sys.executable, "-c", SCORES_UNDER_A_TIMER, address],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return [float(line) for line in done.stdout.split()]


@pytest.mark.parametrize("listening", [True, False])
def test_a_timers_signals_neither_lengthen_nor_shorten_the_budget(listening: bool) -> None:
    with answering(lambda _request: None) as silent:
        waited_ms = took_ms(silent.address if listening else free_address())
    assert len(waited_ms) == CALLS
    assert min(waited_ms) >= BUDGET_MS
    assert median(waited_ms) < 3 * BUDGET_MS
