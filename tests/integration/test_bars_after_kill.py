"""Bars after kill -9: written by the minute, and back, in a second of work, when it is ready."""

from __future__ import annotations

import time
from collections import Counter
from contextlib import closing
from pathlib import Path

from harness import Feed, Service, eventually
from serving import history, rows, tick

SYMBOLS = tuple(f"SYM{number:03}" for number in range(100))
BARS = 40
OF_BARS = {
    "atr_volatility",
    "tf_alignment",
    "correlation_check",
    "momentum_strength",
    "support_resistance",
}
READY_S = 1.0

MINUTE_LATER = """
import pathlib
import sys
import time

real, ahead_s, later = time.time, float(sys.argv.pop()), pathlib.Path(sys.argv.pop())
time.time = lambda: real() - ahead_s + 60.0 * later.exists()

from service.__main__ import main

main()
"""
"""The program on a clock that is a minute further once there is the file that is named, and
behind the real one by the seconds that are given last."""


def test_after_kill_9_all_bars_are_back_within_a_second_of_work(tmp_path: Path) -> None:
    later = tmp_path / "later"
    ahead_s = time.time() % 60.0 - 5.0  # its minute has just begun, and does not end by itself
    with closing(Feed()) as feed, closing(Service(tmp_path / "var", feed)) as service:
        service.program, service.options = ("-c", MINUTE_LATER), (str(later), str(ahead_s))
        candles = history(SYMBOLS, time.time() - ahead_s)
        service.start().feed.send(*candles)
        eventually(lambda: service.received() == len(candles), "the history")
        assert kept(service) == 0
        later.touch()
        eventually(lambda: kept(service) >= BARS * len(SYMBOLS), "the minute's bars in the journal")
        service.kill()
        service.program, service.options = ("-m", "service"), ()
        service.start()
        busy_s = service.busy_s()
        # How far a price is from its levels wants one.
        feed.send(*(tick(name, time.time()) for name in SYMBOLS))
        eventually(lambda: service.received() == len(SYMBOLS), "a tick of each")
        with service.client() as client:
            missing = [set(client.features(name)["missing"]) for name in SYMBOLS]
        # The third of this history and every eleventh from there stand still, like nothing else.
        assert Counter(name for each in missing for name in each & OF_BARS) == {
            "correlation_check": 9
        }
        # Of its own: how long it waits for a processor is a matter of what else runs here.
        assert busy_s < READY_S


def kept(service: Service) -> int:
    return int(rows(service.journal_path, "SELECT count(*) AS n FROM bars")[0]["n"])
