"""What a peer that misbehaves can cost the process of a client: neither memory nor a thread."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from harness import eventually
from wire import answering

from protocol.client import ScorerClient
from protocol.limits import MAX_SIGNALS

REPLY_BYTES = 64 << 20
ASKS = """
import sys
from protocol.client import ScorerClient

def most_bytes():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) << 10 for line in status if line.startswith("VmHWM"))

with ScorerClient(sys.argv[1], timeout_ms=1_000, retries=0) as client:
    before = most_bytes()
    assert client.score("EURUSD", 70.0).status == "unreachable"
    print(most_bytes() - before)
"""
GREETING = b"\xff" + bytes(8) + b"\x7f\3\0NULL" + bytes(16 + 1 + 31)
READY = b"\x05READY\x0bSocket-Type\0\0\0\6ROUTER"


def test_a_reply_beyond_all_bounds_takes_no_memory() -> None:
    with answering(lambda _request: bytes(REPLY_BYTES)) as server:
        done = subprocess.run(
            [sys.executable, "-c", ASKS, server.address],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
    assert int(done.stdout) < REPLY_BYTES // 4


def test_a_client_is_gone_when_it_is_dropped_though_its_peer_reads_nothing() -> None:
    texts = {"signal_id": "x" * 128, "pattern": "x" * 64, "signal_class": "x" * 64}
    signals = [{"symbol": "EURUSD", "base_score": 70.0, **texts}] * MAX_SIGNALS
    with reads_nothing() as address:
        client = ScorerClient(address, timeout_ms=500)
        assert {reply.status for reply in client.score_many(signals)} == {"unreachable"}
        del client
        eventually(lambda: "scorer-end" not in threads(), "the end of its context")


def threads() -> set[str]:
    return {thread.name for thread in threading.enumerate()}


@contextmanager
def reads_nothing() -> Iterator[str]:
    """The address of a peer that takes connections, and then no request: as a stopped process."""
    taken: list[socket.socket] = []

    def accept() -> None:
        with suppress(OSError):  # the test is over
            while True:
                taken.append(listener.accept()[0])
                taken[-1].sendall(GREETING + b"\4" + bytes([len(READY)]) + READY)

    with socket.socket() as listener:
        # Small buffers: nobody would have to wait for a request that the kernel takes whole.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 536)
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        threading.Thread(target=accept, daemon=True).start()
        yield f"tcp://127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)
    for line in taken:
        line.close()
