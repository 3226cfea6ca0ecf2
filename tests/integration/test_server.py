"""The ROUTER and the duty cycle over real sockets, turned by hand or run in a thread."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import msgpack
import pytest
import zmq
from harness import Feed, eventually
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from served import PATIENCE_MS, Served
from serving import ManualClock, body, unpacked

from protocol.limits import MAX_BODY_BYTES, MAX_MESSAGE_BYTES
from service.errors import ConfigError
from service.server import split
from service.sockets.addresses import BindError

SCORE = {"symbol": "EURUSD", "base_score": 61.5}

Socket = zmq.Socket[bytes]


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    served = Served(tmp_path).run()
    yield served
    served.close()


@pytest.fixture
def still(tmp_path: Path) -> Iterator[Served]:
    """Not running: turned by hand."""
    served = Served(
        tmp_path, LIMITS_WAITING_REQUESTS="4", LIMITS_REQUESTS_PER_CYCLE="3", FEED_ENDPOINTS="[]"
    )
    yield served
    served.close()


def received(socket: Socket) -> list[bytes]:
    assert socket.poll(PATIENCE_MS), "no reply came"
    return socket.recv_multipart()


def nothing_more(socket: Socket, kind: int = zmq.DEALER) -> bool:
    """Whether no second reply is under way: a health request overtakes nothing."""
    envelope = [b""] if kind == zmq.DEALER else []
    socket.send_multipart([*envelope, body("health", id="last")])
    return unpacked(received(socket)[-1])["id"] == "last"


@pytest.mark.parametrize(
    "options", [{}, {"REQ_CORRELATE": 1}, {"REQ_CORRELATE": 1, "REQ_RELAXED": 1}]
)
def test_a_req_gets_one_reply_in_one_frame(
    served: Served, peers: Any, options: dict[str, int]
) -> None:
    client = peers(zmq.REQ, served.address, **options)
    for n in range(3):
        client.send(body("score", id=n, **SCORE))
        (reply,) = received(client)
        assert unpacked(reply)["id"] == n
        assert unpacked(reply)["final_score"] == 61.5


@pytest.mark.parametrize("envelope", [[], [b""], [b"hop", b""], [b"hop", b"hop", b""], [b"hop"]])
def test_a_dealer_gets_one_reply_under_its_own_envelope(
    served: Served, peers: Any, envelope: list[bytes]
) -> None:
    client = peers(zmq.DEALER, served.address)
    client.send_multipart([*envelope, body("score", id=1, **SCORE)])
    *echoed, reply = received(client)
    assert echoed == envelope
    assert unpacked(reply)["id"] == 1
    assert nothing_more(client)


def test_a_relaxed_client_that_gave_up_gets_the_answer_to_its_last_question(
    served: Served, peers: Any
) -> None:
    client = peers(zmq.REQ, served.address, REQ_CORRELATE=1, REQ_RELAXED=1)
    for n in range(5):
        client.send(body("score", id=n, **SCORE))
    assert unpacked(received(client)[0])["id"] == 4


def test_a_refusal_counts_the_frames_as_its_client_does(served: Served, peers: Any) -> None:
    client = peers(zmq.DEALER, served.address)
    for number, taken in ((63, True), (64, False)):
        client.send_multipart([b"own"] * (number - 2) + [b"", body("health")])
        reply = unpacked(received(client)[-1])
        assert reply["ok"] == taken
    assert reply["error"]["message"] == "more than 63 frames; send one"


@pytest.mark.parametrize("kind", [zmq.REQ, zmq.DEALER])
def test_a_body_of_several_frames_is_refused_once(served: Served, peers: Any, kind: int) -> None:
    client = peers(kind, served.address)
    envelope = [b""] if kind == zmq.DEALER else []
    client.send_multipart([*envelope, body("score", id=3, **SCORE), b"more", b""])
    *echoed, reply = received(client)
    assert echoed == envelope
    refusal = unpacked(reply)
    assert (refusal["error"]["code"], refusal["fallback"], refusal["id"]) == ("malformed", 61.5, 3)
    assert nothing_more(client, kind)


@pytest.mark.parametrize(
    ("frames", "envelope", "bodies"),
    [
        ([b"id", b"body"], [b"id"], [b"body"]),
        ([b"id", b"", b"body"], [b"id", b""], [b"body"]),
        ([b"id", b"\0\0\0\1", b"", b"body"], [b"id", b"\0\0\0\1", b""], [b"body"]),
        ([b"id", b""], [b"id"], [b""]),
        ([b"id", b"", b""], [b"id", b""], [b""]),
        ([b"id", b"", b"one", b"two"], [b"id", b""], [b"one", b"two"]),
        ([b"id", b"", b"one", b""], [b"id", b""], [b"one", b""]),
    ],
)
def test_the_envelope_ends_with_the_first_empty_frame(
    frames: list[bytes], envelope: list[bytes], bodies: list[bytes]
) -> None:
    assert split(frames) == (envelope, bodies)


def test_a_malformed_frame_gets_its_code_and_the_next_request_its_answer(
    served: Served, peers: Any
) -> None:
    client = peers(zmq.REQ, served.address)
    for sent, code in ((b"", "malformed"), (b"x" * (MAX_BODY_BYTES + 1), "too_large")):
        client.send(sent)
        assert unpacked(received(client)[0])["error"]["code"] == code
        client.send(body("score", **SCORE))
        assert unpacked(received(client)[0])["ok"] is True


def test_a_message_over_the_sockets_limit_costs_its_sender_only(served: Served, peers: Any) -> None:
    flood, other = peers(zmq.DEALER, served.address), peers(zmq.REQ, served.address)
    with flood.get_monitor_socket(zmq.EVENT_DISCONNECTED) as cut_off:
        flood.send(b"x" * (MAX_MESSAGE_BYTES + 1))
        for n in range(10):
            other.send(body("score", id=n, **SCORE))
            assert unpacked(received(other)[0])["id"] == n
        assert cut_off.poll(PATIENCE_MS), "its sender was not cut off"
        assert not flood.poll(0)
        flood.disable_monitor()


frames = st.lists(st.binary(max_size=12) | st.just(b""), min_size=1, max_size=4)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(frames, min_size=1, max_size=5))
def test_any_frames_get_one_reply_each(
    served: Served, peers: Any, messages: list[list[bytes]]
) -> None:
    client = peers(zmq.DEALER, served.address)
    for message in messages:
        client.send_multipart(message)
    for _ in messages:
        assert unpacked(received(client)[-1])["ok"] is False
    assert nothing_more(client)
    client.close(linger=0)


def test_many_clients_each_get_their_own_answers(served: Served, peers: Any) -> None:
    clients = [peers(zmq.REQ, served.address) for _ in range(40)]
    for round_ in range(5):
        for n, client in enumerate(clients):
            client.send(body("score", id=f"{n}/{round_}", symbol="EURUSD", base_score=n))
        for n, client in enumerate(clients):
            reply = unpacked(received(client)[0])
            assert (reply["id"], reply["final_score"]) == (f"{n}/{round_}", float(n))


def test_a_cycle_answers_no_more_than_its_share(still: Served, peers: Any) -> None:
    client = peers(zmq.DEALER, still.address)
    client.send(body("health", id="first"))
    still.turn_until(lambda: client.poll(0), "the connection")
    client.recv()
    for n in range(4):
        client.send(body("health", id=n))
    eventually(lambda: still.server._accept() or len(still.server._arrived) == 4, "all four")
    assert [still.server.turn(), still.server.turn()] == [3, 1]


@pytest.fixture
def sockets(tmp_path: Path) -> Iterator[list[Socket]]:
    """The scoring socket, a feed's and the one for pushed ticks."""
    with (
        closing(Feed()) as feed,
        closing(
            Served(tmp_path, FEED_ENDPOINTS=feed.address, FEED_INGEST="tcp://127.0.0.1:*")
        ) as served,
    ):
        yield [served.server._scoring, *(one.socket for one in served.server._feeds)]


def test_no_heartbeats_are_sent_at_which_libzmq_would_abort(sockets: list[Socket]) -> None:
    # It does where one is due to a peer that closed while its queue here was full.
    assert [socket.getsockopt(zmq.HEARTBEAT_IVL) for socket in sockets] == [0, 0, 0]


def test_no_peer_is_waited_for_that_has_vanished_or_says_nothing(sockets: list[Socket]) -> None:
    for socket in sockets:
        idle_s, every_s, count = (
            int(socket.getsockopt(option))
            for option in (zmq.TCP_KEEPALIVE_IDLE, zmq.TCP_KEEPALIVE_INTVL, zmq.TCP_KEEPALIVE_CNT)
        )
        assert idle_s + every_s * count == 30
        assert socket.getsockopt(zmq.TCP_MAXRT) == 30_000
        assert socket.getsockopt(zmq.HANDSHAKE_IVL) == 5_000


def test_a_peer_can_fill_memory_with_so_many_messages_of_so_many_bytes(
    sockets: list[Socket],
) -> None:
    assert [socket.getsockopt(zmq.RCVHWM) for socket in sockets] == [64, 100_000, 100_000]
    assert sockets[0].getsockopt(zmq.SNDHWM) == 4096
    assert {socket.getsockopt(zmq.MAXMSGSIZE) for socket in sockets} == {MAX_MESSAGE_BYTES}


def test_whoever_sends_large_bodies_waits_behind_himself(tmp_path: Path, peers: Any) -> None:
    with closing(Served(tmp_path, FEED_INGEST="tcp://127.0.0.1:*")) as served:
        (ingest,) = served.server._feeds
        greedy = served.connected(peers(zmq.DEALER, served.address))
        modest = served.connected(peers(zmq.DEALER, served.address))
        large = msgpack.packb({"v": 1, "op": "score", "text": ["x" * 1000] * 200})
        for _ in range(60):
            greedy.send(large)
        # His queue here is full, and nothing was taken from it before the first turn.
        greedy.poll(200)
        modest.send(body("health", id="modest"))
        # Where a tick has come that left after it, it is there.
        peers(zmq.PUSH, ingest.socket.getsockopt_string(zmq.LAST_ENDPOINT)).send(b"{}")
        assert ingest.socket.poll(PATIENCE_MS)
        work = []

        def answered() -> bool:
            work.append(served.server.turn())
            return bool(modest.poll(20))

        eventually(answered, "the modest one's answer")
        assert sum(work) <= 8, work


def test_at_the_end_what_was_accepted_is_answered_and_who_comes_later_is_told(
    tmp_path: Path, peers: Any
) -> None:
    limits = {"LIMITS_REQUESTS_PER_CYCLE": "1", "LIMITS_WAITING_REQUESTS": "4"}
    served = Served(tmp_path, **limits)
    client = peers(zmq.DEALER, served.address)
    for n in range(20):
        client.send(body("score", id=n, **SCORE))
    assert served.server._scoring.poll(PATIENCE_MS)
    served.server.turn()
    served.close()
    replies = [unpacked(received(client)[-1]) for _ in range(20)]
    assert sorted(reply["id"] for reply in replies) == list(range(20))
    answered = [reply for reply in replies if reply["ok"]]
    refused = [reply for reply in replies if not reply["ok"]]
    assert {reply["error"]["code"] for reply in refused} == {"overloaded", "shutting_down"}
    assert {reply["fallback"] for reply in refused} == {61.5}
    assert len(served.rows()) == len(answered) > 1


def test_at_the_end_what_has_not_been_read_yet_is_refused(tmp_path: Path, peers: Any) -> None:
    served = Served(tmp_path)
    client = served.connected(peers(zmq.DEALER, served.address))
    client.send(body("score", **SCORE))
    assert served.server._scoring.poll(PATIENCE_MS)
    served.close()
    refusal = unpacked(received(client)[-1])
    assert (refusal["error"]["code"], refusal["fallback"]) == ("shutting_down", 61.5)


class Watched(ManualClock):
    """A clock that does something at each look."""

    at_a_look: Callable[[], None] = staticmethod(lambda: None)

    def monotonic_s(self) -> float:
        self.at_a_look()
        return super().monotonic_s()


def test_at_the_end_who_goes_on_asking_is_told_so_for_50_ms(tmp_path: Path, peers: Any) -> None:
    clock, ids = Watched(), itertools.count()
    served = Served(tmp_path, clock)
    client = served.connected(peers(zmq.DEALER, served.address))

    def one_more() -> None:
        clock.advance(0.02)
        client.send(body("score", id=next(ids), **SCORE))
        assert served.server._scoring.poll(PATIENCE_MS)

    clock.at_a_look = one_more
    served.close()
    replies = [unpacked(received(client)[-1]) for _ in range(3)]
    assert [reply["id"] for reply in replies] == [0, 1, 2]
    assert {reply["error"]["code"] for reply in replies} == {"shutting_down"}
    assert next(ids) == 4, "but for the one that came when the time was over"


def test_an_ipc_address_serves_and_its_folder_is_made(tmp_path: Path, peers: Any) -> None:
    address = f"ipc://{tmp_path}/run/score.sock"
    for _ in range(2):  # whoever ended has left the path to the next
        with closing(Served(tmp_path, SCORE_BIND=address).run()):
            client = peers(zmq.REQ, address)
            client.send(body("health"))
            assert unpacked(received(client)[0])["ok"] is True


@pytest.mark.parametrize("host", ["192.0.2.1", "nothing0"])  # of a document, of no interface
def test_an_address_that_the_machine_does_not_have_is_said_to_be_none(
    tmp_path: Path, host: str
) -> None:
    with pytest.raises(BindError, match="no interface of this machine has it"):
        Served(tmp_path, SCORE_BIND=f"tcp://{host}:5561", SCORE_ALLOW_INSECURE="true")


def test_an_address_that_is_taken_is_said_to_be_anothers(served: Served, tmp_path: Path) -> None:
    with pytest.raises(BindError, match=r"another service.*signal-scorer doctor. names it"):
        Served(tmp_path / "other", SCORE_BIND=served.address)


def test_a_feed_address_that_is_none_is_a_configuration_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"feed\.endpoints"):
        Served(tmp_path, FEED_ENDPOINTS="tcp://nonsense")
