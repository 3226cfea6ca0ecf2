"""What a hostile or broken surrounding does to the running process: nothing that lasts."""

from __future__ import annotations

import socket
import sqlite3
import struct
from pathlib import Path

import pytest
import zmq
from harness import Service, descriptors, eventually, running
from serving import Parts, body, unpacked

from protocol.client import ScorerRefused


def in_the_file_alone(journal: Path) -> int:
    """Scores that the database file holds without its WAL."""
    connection = sqlite3.connect(f"{journal.as_uri()}?mode=ro&immutable=1", uri=True)
    try:
        found = connection.execute("SELECT count(*) FROM scores").fetchone()
    except sqlite3.OperationalError:
        return 0  # not even the tables are there yet
    finally:
        connection.close()
    return int(found[0])


def test_one_that_is_killed_again_and_again_does_not_grow_its_wal(tmp_path: Path) -> None:
    with running(tmp_path) as service:
        with service.client() as client:
            for number in range(50):
                client.score("EURUSD", number)
        service.kill()
        assert in_the_file_alone(service.journal_path) < 50
        again: Service = service.start()
        assert in_the_file_alone(again.journal_path) == 50


def test_what_was_written_is_moved_to_the_file_itself_every_ten_seconds(tmp_path: Path) -> None:
    parts = Parts(tmp_path)
    parts.housekeeping.turn()
    for number in (1, 2):
        parts.score(signal_id=f"S{number}")
        found = []
        for _ in range(11):
            parts.clock.advance(1.0)
            parts.housekeeping.turn()
            found.append(in_the_file_alone(parts.config.journal_path))
        assert found[:8] == [number - 1] * 8
        assert found[-1] == number
    parts.journal.close()


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE scores SET reply = x'81a2c3f3a178' WHERE seq = (SELECT min(seq) FROM scores)",
        "UPDATE scores SET signal_id = x'ff' WHERE seq = (SELECT min(seq) FROM scores)",
        "UPDATE scores SET scored_at = 'x' WHERE seq = (SELECT min(seq) FROM scores)",
        "UPDATE paper SET direction = 0 WHERE signal_id = 'S0'",
        "UPDATE paper SET stop_loss = 9e999 WHERE signal_id = 'S0'",
        "UPDATE paper SET opened_at = 1.0 WHERE signal_id = 'S0'",
    ],
)
def test_a_row_that_nobody_wrote_costs_only_itself(
    tmp_path: Path, damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = Parts(tmp_path)
    before.journal.open()
    before.warm()
    levels = {"entry_price": 1.1, "stop_loss": 1.09, "take_profit": 1.12, "direction": "BUY"}
    first = [before.score(signal_id=f"S{n}", **levels)["score_id"] for n in range(3)]
    before.housekeeping.save_all()
    before.journal.close()
    connection = sqlite3.connect(before.config.journal_path)
    with connection:
        assert connection.execute(damage).rowcount == 1
    connection.close()

    after = Parts(tmp_path, before.clock)
    after.journal.open()
    after.housekeeping.restore()
    assert ("damaged rows" in "".join(capsys.readouterr())) is bool(after.journal.errors)
    again = [after.score(signal_id=f"S{n}", **levels)["score_id"] for n in range(3)]
    assert again[1:] == first[1:]
    assert len(after.engine.paper) >= 2
    for _ in range(20):
        after.clock.advance(0.2)
        after.warm()
        after.housekeeping.turn()
    assert after.ask("health")["ready"] is True
    after.journal.close()


def test_clients_that_leave_before_their_reply_leave_nothing_behind(tmp_path: Path) -> None:
    with running(tmp_path) as service, service.client() as client:
        client.health()
        assert service.process
        pid = service.process.pid
        before = descriptors(pid)
        context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        for number in range(100):
            with context.socket(zmq.DEALER) as dealer:
                dealer.setsockopt(zmq.LINGER, 0 if number % 2 else 200)
                dealer.connect(service.address)
                for _ in range(20):
                    dealer.send_multipart([b"", body("score", symbol="EURUSD", base_score=1.0)])
        context.destroy(linger=200)
        host, port = service.address.removeprefix("tcp://").split(":")
        for _ in range(100):
            line = socket.create_connection((host, int(port)))
            # A reset rather than an orderly end.
            line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            line.close()
        eventually(lambda: descriptors(pid) <= before, "their connections to be closed")
        assert client.score("EURUSD", 50.0).journalled is True
        assert client.health()["ready"] is True


def test_replies_to_one_who_never_reads_are_dropped_and_counted(tmp_path: Path) -> None:
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    try:
        with running(tmp_path) as service, service.client() as client:
            deaf = context.socket(zmq.DEALER)
            deaf.setsockopt(zmq.RCVHWM, 1)
            deaf.setsockopt(zmq.RCVBUF, 4096)
            deaf.connect(service.address)

            def dropped() -> int:
                for _ in range(500):
                    deaf.send_multipart([b"", body("stats")])
                try:
                    return int(client.stats()["requests"].get("reply_dropped", 0))
                except ScorerRefused:  # overloaded: the deaf one's requests wait before ours
                    return 0

            eventually(dropped, "its queue to be full")
            eventually(lambda: client.score("EURUSD", 50.0).journalled, "a score")
    finally:
        context.destroy(linger=0)


@pytest.mark.parametrize("marks", [0, 1])
def test_a_message_of_very_many_frames_is_refused_and_not_kept(tmp_path: Path, marks: int) -> None:
    with running(tmp_path) as service, service.client() as client:
        context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        dealer = context.socket(zmq.DEALER)
        dealer.connect(service.address)
        envelope = [b"mark"] * marks + [b""] * (1 - marks)
        dealer.send_multipart([*envelope, *[b"x"] * 5_000])
        assert dealer.poll(10_000)
        *echoed, reply = dealer.recv_multipart()
        assert echoed[:1] == envelope
        assert len(echoed) <= 64
        assert unpacked(reply)["error"]["code"] == "malformed"
        dealer.send_multipart([b"", body("health")])
        assert dealer.poll(10_000)
        assert unpacked(dealer.recv_multipart()[-1])["ok"] is True
        assert not dealer.poll(50)
        assert client.health()["ready"] is True
        context.destroy(linger=0)
