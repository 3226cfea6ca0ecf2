"""Peers that ask for much and read nothing: bounded in bytes, told so, no trouble to others."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import zmq
from harness import eventually
from served import Served
from serving import body, unpacked

from service.sockets.held_replies import MOST_BYTES, HeldReplies

MIB = 1 << 20
PATIENCE_MS = 20_000
BATCH = body("score_many", signals=[{"symbol": "EURUSD", "base_score": 61.5}] * 256)

Socket = zmq.Socket[bytes]
Sockets = Callable[..., Socket]


@pytest.fixture
def sockets() -> Iterator[Sockets]:
    """Opens sockets that are closed with the test."""
    with contextlib.ExitStack() as opened:
        context = opened.enter_context(zmq.Context())

        def socket(kind: int, **options: int) -> Socket:
            socket = opened.enter_context(context.socket(kind))
            for name, value in ({"LINGER": 0} | options).items():
                socket.setsockopt(getattr(zmq, name), value)
            return socket

        yield socket


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    # Of TCP the kernel ends a connection whose peer has read nothing for 30 s.
    served = Served(tmp_path, SCORE_BIND=f"ipc://{tmp_path}/s").run()
    yield served
    served.close()


def deaf(sockets: Sockets, address: str) -> Socket:
    peer = sockets(zmq.DEALER, RCVHWM=1, RCVBUF=4096, SNDHWM=0)
    peer.connect(address)
    return peer


def honest(sockets: Sockets, address: str) -> Socket:
    peer = sockets(zmq.REQ)
    peer.connect(address)
    return peer


def ask(socket: Socket, request: bytes) -> dict[str, Any]:
    socket.send(request)
    assert socket.poll(PATIENCE_MS), "no reply came"
    return unpacked(socket.recv())


def test_who_reads_nothing_is_refused_in_time_and_loses_no_reply(
    served: Served, sockets: Sockets
) -> None:
    peer, other = deaf(sockets, served.address), honest(sockets, served.address)
    sent = 0

    def refused() -> int:
        nonlocal sent
        for _ in range(5):
            peer.send(BATCH)
        sent += 5
        assert ask(other, body("health"))["ok"]
        return served.vitals.requests["refused_overloaded"]

    eventually(refused, "a refusal")
    assert ask(other, BATCH)["ok"]
    replies = []
    while len(replies) < sent and peer.poll(PATIENCE_MS):
        replies.append(unpacked(peer.recv()))
    assert len(replies) == sent
    errors = [reply["error"] for reply in replies if not reply["ok"]]
    assert len(errors) < sent // 2
    assert {error["code"] for error in errors} == {"overloaded"}
    assert errors[0]["message"] == "read the replies that wait first"
    eventually(lambda: ask(peer, BATCH)["ok"], "room again")


def test_envelopes_count_where_the_replies_are_small(served: Served, sockets: Sockets) -> None:
    peer, other = deaf(sockets, served.address), honest(sockets, served.address)
    envelope = [b"x" * (15 << 10)] * 60

    def dropped() -> int:
        for _ in range(10):
            peer.send_multipart([*envelope, b"", body("health")])
        assert ask(other, body("health"))["ok"]
        return served.vitals.requests["reply_dropped"]

    eventually(dropped, "a reply that is too much")


def router(sockets: Sockets) -> tuple[Socket, str]:
    socket = sockets(zmq.ROUTER, SNDHWM=0)
    port = socket.bind_to_random_port("tcp://127.0.0.1")
    return socket, f"tcp://127.0.0.1:{port}"


def fill(held: HeldReplies, socket: Socket, peer: bytes) -> int:
    """MiB sent to a peer until there is no room for more of them."""
    for count in range(100):
        frame = held.frame(peer, bytes(MIB), MIB)
        if frame is None:
            return count
        socket.send(peer, zmq.SNDMORE)
        socket.send(frame)
    raise AssertionError("no end")


def test_each_peer_leaves_as_much_free_as_it_takes(sockets: Sockets) -> None:
    socket, address = router(sockets)
    peers = [deaf(sockets, address) for _ in range(3)]
    for peer in peers:
        peer.send(b"here")
    names = [socket.recv_multipart()[0] for _ in peers]
    held = HeldReplies()
    # A few MiB of each have left for the kernel's buffers.
    first, second, third = (fill(held, socket, name) for name in names)
    most = MOST_BYTES // MIB
    assert most // 2 <= first < most
    assert most // 4 <= second < first
    assert most // 8 <= third < second
    assert all(held.crowded(name) for name in names)
    assert not held.crowded(b"somebody else")


@pytest.mark.parametrize("how", ["reads", "leaves"])
def test_what_a_peer_held_is_free_again_when_it(how: str, sockets: Sockets) -> None:
    socket, address = router(sockets)
    peer = deaf(sockets, address)
    peer.send(b"here")
    name = socket.recv_multipart()[0]
    held = HeldReplies()
    before = fill(held, socket, name)
    if how == "leaves":
        peer.close(linger=0)
        # libzmq notices a peer that is gone where its socket is used.
        eventually(lambda: socket.getsockopt(zmq.EVENTS) and not held.crowded(name), "room")
        return
    for _ in range(before):
        assert peer.poll(PATIENCE_MS)
        assert len(peer.recv()) == MIB
    eventually(lambda: not held.crowded(name), "room")
    assert fill(held, socket, name) >= before // 2
