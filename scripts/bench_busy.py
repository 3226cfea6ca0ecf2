"""Scoring beside programs that take every processor, by the weight of the service's group.

    python scripts/bench_busy.py [--rounds 3]

Linux shares processors out among groups of processes first: a unit's (systemd, `CPUWeight=`), or
where there are none a session's (sched(7), autogroup). The service stands alone in a group here,
once with the usual weight and once with what deploy/systemd/signal-scorer.service asks for; as
many busy loops as there are processors stand in another, with the feed and the client. Needs root
and a kernel with autogroups.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import zmq
from bench_load import Publisher, Service, request_body, wait_until_scored
from usual_model import publish_model

UNIT = Path(__file__).parent.parent / "deploy" / "systemd" / "signal-scorer.service"
USUAL = 100
"""systemd's weight of a unit that names none."""
NICE_STEP = 1.25
"""By so much one step of niceness changes a weight (sched(7))."""
BUDGET_MS = 50.0
EVERY_S = 0.02
RATES = (2_000, 20_000)
"""Ticks a second: usual, and as when a market opens."""


def main() -> None:
    """Run both weights in turn, round by round, and print a table."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--seconds", type=float, default=8.0, help="of each block")
    options.add_argument("--loops", type=int, default=os.cpu_count(), help="busy beside it")
    given = options.parse_args()
    weights = (USUAL, unit_weight())
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        publish_model(folder / "models")
        feed = stack.enter_context(Publisher())
        service = stack.enter_context(Service(folder, feed.address, start_new_session=True))
        weigh(service.process.pid, USUAL)
        feed.warm()
        wait_until_scored(service.address)
        print(f"a request each {EVERY_S * 1e3:.0f} ms, round trips in ms")
        print(f"{'':48}{'n':>6}{'p50':>9}{'p99':>9}{'longest':>9}{'over 50':>9}")
        for rate in RATES:
            feed.rate(rate)
            show(f"{rate} ticks/s, nothing beside it", ask(service.address, given.seconds))
            took: dict[int, list[float]] = {weight: [] for weight in weights}
            with busy(given.loops):
                for _, weight in itertools.product(range(given.rounds), weights):
                    weigh(service.process.pid, weight)
                    took[weight] += ask(service.address, given.seconds)
            for weight, times in took.items():
                show(f"{rate} ticks/s, {given.loops} busy loops, CPUWeight={weight}", times)


def unit_weight() -> int:
    """What the unit asks for."""
    found = re.search(r"^CPUWeight=(\d+)$", UNIT.read_text(), re.MULTILINE)
    if found is None:
        raise SystemExit(f"no CPUWeight= in {UNIT}")
    return int(found[1])


def weigh(pid: int, weight: int) -> None:
    """Give the group of this session's leader the nearest weight that there is."""
    nice = round(-np.log(weight / USUAL) / np.log(NICE_STEP))
    try:
        Path(f"/proc/{pid}/autogroup").write_text(str(nice))
    except OSError as error:
        raise SystemExit(f"the service's group cannot be weighed here: {error}") from error


@contextlib.contextmanager
def busy(loops: int) -> Iterator[None]:
    """Programs that never rest."""
    command = [sys.executable, "-c", "while True: pass"]
    programs = [subprocess.Popen(command) for _ in range(loops)]
    try:
        yield
    finally:
        for program in programs:
            program.kill()
            program.wait()


def ask(address: str, seconds: float) -> list[float]:
    """Round trips in ms of one client that asks at a steady pace."""
    times: list[float] = []
    with zmq.Context() as context, context.socket(zmq.REQ) as socket:
        socket.connect(address)
        end_s = time.perf_counter() + seconds
        while (started_s := time.perf_counter()) < end_s:
            socket.send(request_body(len(times)))
            socket.recv()
            took_s = time.perf_counter() - started_s
            times.append(took_s * 1e3)
            time.sleep(max(0.0, EVERY_S - took_s))
    return times


def show(name: str, times: list[float]) -> None:
    """One line of the table."""
    p50, p99 = np.percentile(times, (50, 99))
    over = sum(ms > BUDGET_MS for ms in times)
    print(f"{name:48}{len(times):6d}{p50:9.2f}{p99:9.1f}{max(times):9.1f}{over:9d}")


if __name__ == "__main__":
    main()
