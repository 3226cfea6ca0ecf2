"""Serves a client who asks more than may wait for him and leaves, and after some time another.

Run as `python left_with_a_full_queue.py FOLDER`; says `answered` at the end.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import zmq
from served import Served
from serving import body

HEARTBEAT_DUE_S = 11.0
"""Later than a heartbeat of every ten seconds would be due. The thread of libzmq has no clock
that could be turned."""

served = Served(Path(sys.argv[1]))
with zmq.Context[zmq.Socket[bytes]]() as context:
    many = context.socket(zmq.DEALER)
    many.setsockopt(zmq.SNDHWM, 0)
    many.connect(served.address)
    many.send(body("health"))
    served.turn_until(lambda: many.poll(0), "the connection")
    for _ in range(100_000):
        many.send(body("health"))
    time.sleep(0.5)
    many.close(linger=0)
    time.sleep(HEARTBEAT_DUE_S)
    other = context.socket(zmq.DEALER)
    other.connect(served.address)
    other.send(body("health"))
    served.turn_until(lambda: other.poll(0), "the other's answer")
    other.close(linger=0)
served.close()
print("answered")
