"""A client asks for more than may wait for him and leaves; is the service there for another?

    .venv/bin/python scripts/fuzz_left.py

With heartbeats libzmq aborts the process where two are due to him who left before his queue is
read: this one would then end by SIGABRT.
"""

from __future__ import annotations

import logging
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

import structlog
import zmq

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from served import Served
from serving import body

HEARTBEATS_DUE_S = 24.0
"""Later than two heartbeats of every ten seconds would be due: at the first one it is noticed that
he left, and at the second libzmq aborts. Its thread has no clock that could be turned."""


def main() -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    with (
        tempfile.TemporaryDirectory(prefix="fuzz-left-") as folder,
        closing(Served(Path(folder))) as served,
        zmq.Context[zmq.Socket[bytes]]() as context,
    ):
        many = context.socket(zmq.DEALER)
        many.setsockopt(zmq.SNDHWM, 0)
        many.connect(served.address)
        many.send(body("health"))
        served.turn_until(lambda: many.poll(0), "the connection")
        for _ in range(100_000):
            many.send(body("health"))
        time.sleep(0.5)
        many.close(linger=0)
        time.sleep(HEARTBEATS_DUE_S)
        other = context.socket(zmq.DEALER)
        other.connect(served.address)
        other.send(body("health"))
        served.turn_until(lambda: other.poll(0), "the other's answer")
        other.close(linger=0)
    print("one left with his queue full: another is answered")


if __name__ == "__main__":
    main()
