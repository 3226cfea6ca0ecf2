"""Floods of requests and of ticks over real sockets: neither starves the other.

Turned by hand and judged by counts, so that a slow machine changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import pytest
from flooded import TICKS, Flooded
from harness import eventually
from serving import body

from protocol import codec
from service.housekeeping import CHECKPOINT_ROWS, TURN_S
from service.responder import Responder, Waiting
from service.server import FRAME_BYTES, LINE_BYTES, TICKS_A_REQUEST


@pytest.fixture
def flooded(tmp_path: Path) -> Iterator[Flooded]:
    flooded = Flooded(tmp_path, LIMITS_WAITING_REQUESTS="100000")
    yield flooded
    flooded.close()


def test_a_flood_of_requests_lets_ticks_go_on(flooded: Flooded) -> None:
    flooded.send_ticks()
    flooded.ask(*range(TICKS))
    answered = 0

    def all_ticks() -> bool:
        nonlocal answered
        before = flooded.ticks
        work = flooded.served.server.turn()
        answered += work - (flooded.ticks - before)
        return flooded.ticks == TICKS

    eventually(all_ticks, "every tick")
    # There was no turn without a request that waited.
    assert 0 < answered < TICKS
    came: list[dict[str, object]] = []

    def all_replies() -> bool:
        flooded.served.server.turn()
        came.extend(flooded.replies())
        return len(came) == TICKS

    eventually(all_replies, "every reply")
    assert [reply["id"] for reply in came] == list(range(TICKS))
    assert all(reply["ok"] for reply in came)


def test_a_flood_of_ticks_lets_requests_go_on(flooded: Flooded) -> None:
    flooded.send_ticks(sent := TICKS)
    for n in range(50):
        if sent - flooded.ticks < TICKS // 2:
            sent += TICKS
            flooded.send_ticks()
        flooded.ask(n)
        before = flooded.ticks
        assert flooded.served.server._feeds[0].socket.poll(20_000)
        # It has arrived, so the very next turn answers it, and takes some ticks as well.
        assert flooded.served.server.turn() > 1
        assert 0 < flooded.ticks - before <= flooded.served.config.limits.ticks_per_cycle
        assert flooded.client.poll(20_000), "no reply after one turn"
        (reply,) = flooded.replies()
        assert (reply["ok"], reply["id"]) == (True, n)


def test_ticks_stop_for_a_request_that_comes_among_them(flooded: Flooded) -> None:
    flooded.send_ticks()
    server = flooded.served.server
    flooded.ask(1)
    # As if it had come after the turn had looked for requests.
    assert server._apply_ticks(server._feeds[0], TICKS_A_REQUEST) == TICKS_A_REQUEST
    assert server._apply_ticks(server._feeds[0], 3 * TICKS_A_REQUEST) == 3 * TICKS_A_REQUEST


def test_beyond_the_limit_is_refused_in_the_same_turn(tmp_path: Path) -> None:
    with closing(
        Flooded(tmp_path, LIMITS_WAITING_REQUESTS="8", LIMITS_REQUESTS_PER_CYCLE="2")
    ) as flooded:
        flooded.ask(*range(400))
        came: list[dict[str, object]] = []

        def refused() -> bool:
            waited = len(flooded.served.server._arrived)
            flooded.served.server.turn()
            came.extend(flooded.replies())
            assert len(flooded.served.server._arrived) <= 8
            return waited > 0 and any(not reply["ok"] for reply in came)

        eventually(refused, "a refusal")

        # Eight wait and two a turn are answered: the refusals have overtaken them.
        def all_came() -> bool:
            flooded.served.server.turn()
            came.extend(flooded.replies())
            return len(came) == 400

        eventually(all_came, "all replies")
    late = [reply for reply in came if not reply["ok"]]
    assert {reply["error"]["code"] for reply in late} == {"overloaded"}  # type: ignore[index]
    assert all(reply["fallback"] == reply["id"] % 100 for reply in late)  # type: ignore[operator]
    assert len(flooded.served.rows()) == 400 - len(late)
    assert flooded.served.vitals.requests["refused_overloaded"] == len(late)


def test_the_deadline_counts_the_time_in_line(tmp_path: Path) -> None:
    with closing(Flooded(tmp_path, LIMITS_REQUESTS_PER_CYCLE="1")) as flooded:
        for deadline_ms in (5.0, 5.0, 50.0):
            content = {"symbol": "EURUSD", "base_score": 70.0, "deadline_ms": deadline_ms}
            flooded.client.send(body("score", **content))
        server, came = flooded.served.server, []
        # The first turn takes all three off the socket, at one moment.
        eventually(lambda: server._scoring.poll(0), "a request")
        server._accept()
        eventually(lambda: server._accept() or len(server._arrived) == 3, "three requests")
        for _ in range(3):
            server._answer()
            flooded.served.clock.advance(0.01)
        eventually(lambda: came.extend(flooded.replies()) or len(came) == 3, "three replies")
    assert [reply["status"] for reply in came] == ["unknown_symbol", "deadline", "unknown_symbol"]
    assert all(reply["final_score"] == 70.0 for reply in came)


@pytest.mark.parametrize(("waiting", "together"), [(1, [1]), (5, [4, 1]), (20, [10, 5, 4, 1])])
def test_half_of_those_who_wait_are_answered_at_a_time(
    flooded: Flooded, monkeypatch: pytest.MonkeyPatch, waiting: int, together: list[int]
) -> None:
    server, sizes, answer = flooded.served.server, [], Responder.answer

    def counted(responder: Responder, asked: Sequence[Waiting]) -> list[bytes]:
        sizes.append(len(asked))
        return answer(responder, asked)

    monkeypatch.setattr(Responder, "answer", counted)
    flooded.ask(*range(waiting))
    eventually(lambda: server._accept() or len(server._arrived) == waiting, "all of them")
    assert server._answer() == waiting
    assert sizes == together
    came: list[dict[str, object]] = []
    eventually(lambda: came.extend(flooded.replies()) or len(came) == waiting, "the replies")
    assert all(reply["ok"] for reply in came)


def burst(flooded: Flooded, count: int) -> None:
    """So many scores, all answered."""
    flooded.ask(*range(count))
    came: list[dict[str, object]] = []

    def all_came() -> bool:
        flooded.served.server.turn()
        came.extend(flooded.replies())
        return len(came) == count

    eventually(all_came, "the replies")


def test_under_load_the_journal_is_checkpointed_early(flooded: Flooded) -> None:
    journal, sizes = flooded.served.journal, []
    wal = journal.path.with_name(journal.path.name + "-wal")
    for _ in range(4):
        burst(flooded, 2 * CHECKPOINT_ROWS)
        # Far less than a checkpoint's usual interval passes between the bursts.
        flooded.served.clock.advance(TURN_S)
        flooded.served.server.turn()
        assert journal.in_wal < CHECKPOINT_ROWS
        sizes.append(wal.stat().st_size)
    # What was moved is written over: the file does not grow with the load.
    assert sizes[-1] < 1.5 * sizes[0]


def test_large_bodies_that_stand_in_line_are_few(tmp_path: Path) -> None:
    with closing(Flooded(tmp_path, LIMITS_REQUESTS_PER_CYCLE="1")) as flooded:
        server, large = flooded.served.server, codec.pack({"v": 1, "text": ["x" * 1000] * 200})
        for _ in range(20):
            flooded.client.send(large)
        answered = 0
        while answered < 8:
            answered += server.turn()
            bodies = [arrived.body for arrived in server._arrived]
            assert sum(map(len, bodies)) < LINE_BYTES + len(large)


def test_frames_count_towards_what_is_taken_at_once(tmp_path: Path) -> None:
    with closing(Flooded(tmp_path)) as flooded:
        server, refused = flooded.served.server, flooded.served.vitals.requests
        for _ in range(12):
            flooded.client.send_multipart([b"x"] * (LINE_BYTES // FRAME_BYTES))

        def all_refused() -> bool:
            before = refused["refused_malformed"]
            server._accept()
            assert refused["refused_malformed"] <= before + 1
            return refused["refused_malformed"] == 12

        eventually(all_refused, "every refusal")
