"""The metrics' port among clients that say nothing: few are let in, and none stays or shuts out."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from typing import Any
from urllib.request import urlopen

import pytest
from harness import eventually
from serving import ManualClock

from service.metrics.scrapes import MOST_CONNECTIONS, REQUEST_S, Server

HALF_A_REQUEST = b"GET /metrics HTTP/1.1\r\nX: "
REQUEST = HALF_A_REQUEST + b"y\r\n\r\n"


def hello(_environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"hello"]


class Held:
    """An answer that waits until it is let go."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.go = threading.Event()

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        self.asked.append(environ["PATH_INFO"])
        self.go.wait(20)
        return hello(environ, start_response)


@contextmanager
def served(app: Callable[..., list[bytes]], clock: ManualClock) -> Iterator[int]:
    """The port under which it is."""
    server = Server("127.0.0.1", 0, clock)
    server.set_app(app)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def port(clock: ManualClock) -> Iterator[int]:
    with served(hello, clock) as port:
        yield port


def connected(stack: ExitStack, port: int, said: bytes = b"") -> socket.socket:
    client = socket.create_connection(("127.0.0.1", port), timeout=20)
    client.sendall(said)
    return stack.enter_context(closing(client))


def scraped(port: int) -> bool:
    try:
        with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as reply:
            return bool(reply.read() == b"hello")
    except OSError:
        return False


def is_closed_in_time(client: socket.socket, clock: ManualClock) -> bool:
    """Whether the server has closed it, after a little more of its time."""
    clock.advance(REQUEST_S / 20)
    return is_closed(client)


def is_closed(client: socket.socket) -> bool:
    client.setblocking(False)
    try:
        return client.recv(1) == b""
    except BlockingIOError:
        return False
    except ConnectionError:  # closed before it was read
        return True


def test_slow_clients_are_bounded_in_number_and_in_time(
    port: int, clock: ManualClock, capfd: pytest.CaptureFixture[str]
) -> None:
    assert scraped(port)
    with ExitStack() as stack:
        slow = []
        for _ in range(3 * MOST_CONNECTIONS):
            slow.append(connected(stack, port, HALF_A_REQUEST))
        ours = [t for t in threading.enumerate() if "process_request_thread" in t.name]
        assert len(ours) <= MOST_CONNECTIONS
        for client in slow:
            eventually(lambda client=client: is_closed_in_time(client, clock), "its end")
        eventually(lambda: scraped(port), "room for a scrape")
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.parametrize("said", [b"", HALF_A_REQUEST])
def test_a_scrape_takes_the_place_of_the_one_that_has_not_asked_for_longest(
    port: int, said: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    with ExitStack() as stack:
        silent = [connected(stack, port, said) for _ in range(MOST_CONNECTIONS)]
        assert scraped(port)
        assert [is_closed(client) for client in silent] == [True] + [False] * (len(silent) - 1)
    assert "Traceback" not in capfd.readouterr().err


def test_one_that_has_asked_gives_its_place_to_nobody(clock: ManualClock) -> None:
    held = Held()
    with served(held, clock) as port, ExitStack() as stack:
        asking = connected(stack, port, REQUEST)
        eventually(lambda: held.asked, "its request")
        silent = [connected(stack, port) for _ in range(MOST_CONNECTIONS)]
        eventually(lambda: is_closed(silent[0]), "the end of one that has not")
        held.go.set()
        assert asking.makefile("rb").read().endswith(b"hello")


def test_where_all_have_asked_one_more_is_closed(clock: ManualClock) -> None:
    held = Held()
    with served(held, clock) as port, ExitStack() as stack:
        asking = [connected(stack, port, REQUEST) for _ in range(MOST_CONNECTIONS)]
        eventually(lambda: len(held.asked) == MOST_CONNECTIONS, "their requests")
        assert connected(stack, port).recv(1) == b""
        held.go.set()
        assert all(client.makefile("rb").read().endswith(b"hello") for client in asking)


def test_a_client_that_says_a_byte_now_and_then_has_no_longer_than_others(
    port: int, clock: ManualClock
) -> None:
    with closing(socket.create_connection(("127.0.0.1", port), timeout=20)) as client:
        client.sendall(HALF_A_REQUEST)

        def has_ended() -> bool:
            with suppress(OSError):  # it is
                client.sendall(b"x")
            return is_closed_in_time(client, clock)

        eventually(has_ended, "its end")


def test_threads_that_cannot_be_made_cost_their_connections_and_no_later_one(port: int) -> None:
    before = threading.stack_size(1 << 47)  # more than there are addresses
    try:
        assert not any(scraped(port) for _ in range(MOST_CONNECTIONS + 1))
    finally:
        threading.stack_size(before)
    assert scraped(port)


def test_no_name_server_is_asked_who_we_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getfqdn", lambda _name: pytest.fail("looked up"))
    Server("0.0.0.0", 0, ManualClock()).server_close()
