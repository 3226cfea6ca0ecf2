"""Signals caught while the client waits: none lengthens its budget or leaves it spoiled."""

from __future__ import annotations

import ctypes
import subprocess
import sys
import threading
from statistics import median
from typing import Any

import pytest
from harness import eventually
from wire import answering, base_score, nobodys_address

from protocol.client import ScorerClient

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
UNANSWERED = 50.0
ALARM_AS_IT_OPENS = f"""
import sys, threading, time
from protocol.breaker import Breaker
from protocol.client import ScorerClient

address, name, wanted = sys.argv[1:]
owner, method = name.split(".")
where = getattr(getattr(threading, owner), method).__code__
opening = False

def look(frame, event, _):
    global opening
    opening = opening or frame.f_code is Breaker.timed_out.__code__
    if opening and (frame.f_code, event) == (where, wanted):
        sys.setprofile(None)
        raise TimeoutError("a guard's alarm")  # as a signal's handler might just here

client = ScorerClient(address, 20, 0, open_after=1, probe_interval_s=0.5)
sys.setprofile(look)
try:
    client.score("EURUSD", {UNANSWERED})
except TimeoutError as error:
    print(error, client.circuit_open)
while (status := client.score("EURUSD", 60.0).status) == "unreachable":
    time.sleep(0.01)
print(status)
"""
QUICK: dict[str, Any] = {"timeout_ms": 20, "retries": 0, "open_after": 1, "probe_interval_s": 0.02}


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
        waited_ms = took_ms(silent.address if listening else nobodys_address())
    assert len(waited_ms) == CALLS
    assert min(waited_ms) >= BUDGET_MS
    assert median(waited_ms) < 3 * BUDGET_MS


@pytest.mark.parametrize(
    "where",
    [
        "Thread.__init__ call",
        "Thread.start call",
        "Event.wait call",
        "Condition.__enter__ return",  # which leaves the condition's lock held for ever
    ],
)
def test_a_handler_that_raises_where_the_circuit_opens_leaves_none_open_for_ever(
    where: str,
) -> None:
    def answer(request: dict[str, Any]) -> dict[str, Any] | None:
        return None if request.get("base_score") == UNANSWERED else base_score(request)

    with answering(answer) as server:
        done = subprocess.run(
            [sys.executable, "-c", ALARM_AS_IT_OPENS, server.address, *where.split()],
            capture_output=True,
            text=True,
            timeout=60,
        )
    assert (done.stdout.split(), done.stderr) == (["a", "guard's", "alarm", "True", "no_model"], "")


@pytest.mark.filterwarnings("ignore:Exception in thread scorer-probe")
def test_a_probe_that_ended_however_it_did_is_followed_by_another() -> None:
    speaks = threading.Event()
    with (
        answering(lambda request: base_score(request) if speaks.is_set() else None) as server,
        ScorerClient(server.address, **QUICK) as client,
    ):
        assert client.score("EURUSD", 50.0).status == "unreachable"
        (probe,) = probes()
        assert probe.ident
        raised = ctypes.pythonapi.PyThreadState_SetAsyncExc(
            ctypes.c_ulong(probe.ident), ctypes.py_object(MemoryError)
        )
        assert raised == 1
        eventually(lambda: not probe.is_alive(), "the probe to end")
        assert client.circuit_open
        speaks.set()
        eventually(lambda: client.score("EURUSD", 50.0).status == "no_model", "an answer")


def probes() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "scorer-probe"]
