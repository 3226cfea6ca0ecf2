"""The client that docs/protocol.md prints, as it stands there, against the real service."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from itertools import chain, repeat
from typing import Any

import pytest
import zmq
from harness import Service, eventually, running
from wire import held_up
from wire_document import DOCUMENT

PATIENCE_MS = 20_000


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with running(tmp_path_factory.mktemp("documented"), with_feed=True) as service:
        service.warm()
        yield service


@pytest.fixture(scope="module")
def documented() -> dict[str, Any]:
    """What the document's Python defines."""
    names: dict[str, Any] = {}
    exec(DOCUMENT.python()[0], names)
    return names


def test_the_documents_client_and_its_example_work(
    service: Service, documented: dict[str, Any]
) -> None:
    documented["Client"].__init__.__defaults__ = (service.address, PATIENCE_MS / 1000, 2, 0.5)
    names = dict(documented)
    exec(DOCUMENT.python()[1], names)
    assert names["score"] == 72.5
    assert names["reply"]["status"] == "no_model"
    client = names["client"]
    assert client.ask("health")["ready"] is True
    with pytest.raises(ValueError, match="too large"):
        client.ask("score", pad="x" * 300_000)
    client.context.destroy(linger=0)


def test_the_documents_client_gives_up_in_time_and_recovers(documented: dict[str, Any]) -> None:
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    deaf = context.socket(zmq.ROUTER)
    port = deaf.bind_to_random_port("tcp://127.0.0.1")
    client = documented["Client"](f"tcp://127.0.0.1:{port}", budget_s=0.3, tries=3)
    assert client.ask("health") is None
    sent = []
    while deaf.poll(100):
        sent.append(deaf.recv_multipart()[-1])
    assert sent
    assert len(set(sent)) == 1, "the same bytes again"
    client.context.destroy(linger=0)
    context.destroy(linger=0)


def test_the_documents_client_waits_for_a_slow_handshake_over_several_calls(
    service: Service, documented: dict[str, Any]
) -> None:
    slow = threading.Event()

    def one_connection() -> Iterator[float]:
        slow.wait()
        yield 0.0

    with held_up(service.address, one_connection()) as address:
        client = documented["Client"](address, budget_s=0.02, connecting_s=PATIENCE_MS / 1000)
        assert client.ask("health") is None
        slow.set()
        client.budget_s = PATIENCE_MS / 1000
        assert client.ask("health")["ready"] is True
        client.context.destroy(linger=0)


def test_the_documents_client_does_not_wait_for_a_connection_that_hangs(
    service: Service, documented: dict[str, Any]
) -> None:
    with held_up(service.address, chain([3600.0], repeat(0.0))) as address:
        client = documented["Client"](address, budget_s=0.2)
        # Before libzmq itself gives it up, after 30 s.
        eventually(lambda: client.ask("health"), "an answer", PATIENCE_MS / 1000)
        client.context.destroy(linger=0)
