"""A server of the wire's outside, for tests of clients: real sockets, answers made by the test."""

from __future__ import annotations

import select
import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from functools import cache
from typing import Any

import msgpack
import zmq

Answer = Callable[[dict[str, Any]], "dict[str, Any] | bytes | None"]


def base_score(request: dict[str, Any]) -> dict[str, Any]:
    """The least that is an answer to a score; any other op is agreed to."""
    if request["op"] != "score":
        return {}
    base = request["base_score"]
    return {
        "status": "no_model",
        "used_base_score": True,
        "original_base_score": base,
        "final_score": base,
        "score_scale": "base",
    }


class Answering:
    """Answers each request by a function, until closed; None is no answer, bytes go as they are."""

    def __init__(self, answer: Answer = base_score, address: str = "tcp://127.0.0.1:*") -> None:
        self.requests: list[dict[str, Any]] = []
        self.peer = b""  # whose request is being answered
        self._answer = answer
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._socket = self._context.socket(zmq.ROUTER)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.bind(address)
        last = self._socket.getsockopt(zmq.LAST_ENDPOINT)
        assert isinstance(last, bytes)
        self.address = last.decode().rstrip("\0")
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def wait_for_another(self) -> None:
        """Within an answer: until another request has come, which is read after it."""
        assert self._socket.poll(20_000), "no other request came"

    def close(self) -> None:
        """Stop answering and free the address."""
        self._stop.set()
        self._thread.join()
        self._context.destroy(linger=0)

    def _run(self) -> None:
        while not self._stop.is_set():
            if not self._socket.poll(10):
                continue
            *envelope, body = self._socket.recv_multipart()
            self.peer = envelope[0]
            request = msgpack.unpackb(body)
            self.requests.append(request)
            answer = self._answer(request)
            if isinstance(answer, dict):
                answer = msgpack.packb({"v": 1, "id": request.get("id"), "ok": True} | answer)
            if answer is not None:
                self._socket.send_multipart([*envelope, answer])


@contextmanager
def answering(
    answer: Answer = base_score, address: str = "tcp://127.0.0.1:*"
) -> Iterator[Answering]:
    """An `Answering` for the block."""
    with closing(Answering(answer, address)) as server:
        yield server


@contextmanager
def held_up(address: str, holds_s: Iterable[float]) -> Iterator[str]:
    """The address of a relay that lets its connections wait, each in turn so long, for a byte."""
    host, port = address.removeprefix("tcp://").split(":")
    over = threading.Event()

    def relay(near: socket.socket, hold_s: float) -> None:
        over.wait(hold_s)
        with suppress(OSError), near, socket.create_connection((host, int(port))) as far:
            while True:
                for line in select.select([near, far], [], [])[0]:
                    told = line.recv(65_536)
                    if not told:
                        return
                    (far if line is near else near).sendall(told)

    def accept() -> None:
        with suppress(OSError):  # the test is over
            for hold_s in holds_s:
                near, _ = listener.accept()
                threading.Thread(target=relay, args=(near, hold_s), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=accept, daemon=True).start()
        yield f"tcp://127.0.0.1:{listener.getsockname()[1]}"
        over.set()
        listener.shutdown(socket.SHUT_RDWR)


def free_address() -> str:
    """An address at which nobody listens yet."""
    server = Answering()
    server.close()
    return server.address


@cache
def _bound() -> socket.socket:
    kept = socket.socket()
    kept.bind(("127.0.0.1", 0))
    return kept


def nobodys_address() -> str:
    """An address at which nobody listens nor will: its port is bound as long as the process runs.

    Who connects is refused; a port that was given back may be a server's of another test at once.
    """
    return f"tcp://127.0.0.1:{_bound().getsockname()[1]}"
