"""Bars after kill -9: written by the minute, and back, in a second of work, when it is ready."""

from __future__ import annotations

import time
from contextlib import closing
from pathlib import Path

from harness import Feed, Service, eventually
from serving import history, rows, tick

SYMBOLS = tuple(f"SYM{number:03}" for number in range(100))
BARS = 40
READY_S = 1.0

OTHER_TIME = """
import sys
import time

real, behind_s = time.time, float(sys.argv.pop())
time.time = lambda: real() - behind_s

from service.__main__ import main

main()
"""
"""The program on a clock that is behind the real one by the seconds that are given last."""


def test_what_was_warm_is_so_again_within_two_minutes_of_kill_9(tmp_path: Path) -> None:
    """Bars of the minute that ended while it ran are back too, within a second of work."""
    minute = int(time.time()) // 60
    with closing(Feed()) as feed, closing(Service(tmp_path / "var", feed)) as service:
        # The stamps lag: by its machine's time no minute ends for the next fifty-nine seconds.
        start_at(service, minute + 2, 1)
        feed.send(*history(SYMBOLS, 60.0 * minute + 1), *ticks(minute, 20, 40))
        feed.send(*ticks(minute + 1, 0, 30))
        bars = (BARS + 1) * len(SYMBOLS)
        eventually(lambda: kept(service) >= bars, "the bars up to the minute that ended")
        service.kill()
        start_at(service, minute + 3, 25)
        busy_s = service.busy_s()
        assert are_warm(service, ticks(minute + 3, 26, 27, 28, 29, 30))
        # Of its own: how long it waits for a processor is a matter of what else runs here.
        assert busy_s < READY_S
        # Three minutes are missing now, and with a fourth the bars of before would not count.
        assert are_warm(service, ticks(minute + 4, 0, 1))


def start_at(service: Service, minute: int, second: int) -> None:
    """Start it at this time of its machine."""
    behind_s = time.time() - (60.0 * minute + second)
    service.program, service.options = ("-c", OTHER_TIME), (str(behind_s),)
    service.start()


def ticks(minute: int, *seconds: int) -> list[bytes]:
    """A tick of each symbol in each of these seconds."""
    return [tick(name, 60.0 * minute + second) for second in seconds for name in SYMBOLS]


def are_warm(service: Service, frames: list[bytes]) -> bool:
    """Whether all symbols are after these frames."""
    before = service.received()
    service.feed.send(*frames)
    eventually(lambda: service.received() == before + len(frames), "the frames")
    with service.client() as client:
        return all(client.features(name)["warm"] for name in SYMBOLS)


def kept(service: Service) -> int:
    return int(rows(service.journal_path, "SELECT count(*) AS n FROM bars")[0]["n"])
