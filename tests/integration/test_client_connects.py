"""A new connection may take its time: it is waited for, and not begun anew."""

from __future__ import annotations

import select
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from wire import answering

from protocol.client import ScorerClient


def test_a_connection_that_takes_more_than_half_of_the_budget_is_waited_for() -> None:
    with (
        answering() as server,
        held_up(server.address, 1.2) as address,
        ScorerClient(address, timeout_ms=2_000, retries=1) as client,
    ):
        assert client.score("EURUSD", 50.0).status == "no_model"


@contextmanager
def held_up(address: str, hold_s: float) -> Iterator[str]:
    """The address of a relay that lets each connection wait before its first byte."""
    host, port = address.removeprefix("tcp://").split(":")

    def relay(near: socket.socket) -> None:
        time.sleep(hold_s)
        with suppress(OSError), near, socket.create_connection((host, int(port))) as far:
            while True:
                for line in select.select([near, far], [], [])[0]:
                    told = line.recv(65_536)
                    if not told:
                        return
                    (far if line is near else near).sendall(told)

    def accept() -> None:
        with suppress(OSError):  # the test is over
            while True:
                near, _ = listener.accept()
                threading.Thread(target=relay, args=(near,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=accept, daemon=True).start()
        yield f"tcp://127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)
