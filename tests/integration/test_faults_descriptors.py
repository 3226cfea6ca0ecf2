"""Peers that use up the descriptors: what needs a new one waits, and everything else goes on.

And nothing of ours uses them up.
"""

from __future__ import annotations

import socket
import subprocess
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
from builders import NOW_S, small_model
from harness import descriptors, eventually, running
from scarce import descriptors_left
from serving import Parts, published_model
from wire import answering, base_score

from protocol.client import ScorerClient
from protocol.manifest import POINTER_NAME
from service.housekeeping import TURN_S
from service.mode_file import Command, Look, ModeWatch, write
from service.model.watch import Loaded, ModelWatch, Rejected
from service.sockets.zap import AllowList


@pytest.mark.parametrize("left", [0, 1])  # none for the pointer, or none for a file of the bundle
def test_a_model_is_not_to_blame_for_the_machine(tmp_path: Path, left: int) -> None:
    watch = ModelWatch(tmp_path)
    small_model(tmp_path)
    assert isinstance(watch.poll_once(), Loaded)
    later = small_model(tmp_path, now_s=NOW_S + 1)
    with descriptors_left(left):
        found = [watch.poll_once() for _ in range(5)]
    assert isinstance(found[0], Rejected)
    assert "Too many open files" in found[0].detail
    assert found[1:] == [None] * 4  # it is told once
    found = [watch.poll_once() for _ in range(3)]
    assert isinstance(found[0], Loaded)
    assert found[0].model.version == later
    assert found[1:] == [None, None]


def test_a_model_that_was_not_published_anew_is_not_read_again(tmp_path: Path) -> None:
    watch = ModelWatch(tmp_path)
    small_model(tmp_path)
    assert isinstance(watch.poll_once(), Loaded)
    watch.poll_once()  # no date tells apart two writes that follow each other at once
    with descriptors_left(0):
        assert watch.poll_once() is None
    assert watch.poll_once() is None


def test_a_checkpoint_without_a_descriptor_is_counted_and_costs_nothing_else(
    tmp_path: Path,
) -> None:
    parts = Parts(tmp_path)
    parts.score(signal_id="S1")

    def turned(turns: int) -> bytes:
        """What the file alone holds after so many seconds."""
        for _ in range(turns):
            parts.clock.advance(1.0)
            parts.housekeeping.turn()
        return parts.config.journal_path.read_bytes()

    with descriptors_left(0):
        for _ in range(12):
            parts.clock.advance(1.0)
            parts.housekeeping.turn()
        assert parts.score(signal_id="S2")["journalled"] is True
    assert b"S2" not in turned(1)
    assert b"S2" in turned(12)
    assert (parts.journal.errors, parts.journal.fault) == (1, None)
    parts.journal.close()


@pytest.mark.parametrize("retries", [0, 1])
def test_a_client_that_could_open_no_other_socket_asks_by_one_as_soon_as_it_can(
    retries: int,
) -> None:
    def answer(request: dict[str, Any]) -> dict[str, Any] | None:
        return None if request["base_score"] == 2.0 else base_score(request)

    with (
        answering(answer) as server,
        ScorerClient(server.address, timeout_ms=2_000, retries=retries) as client,
    ):
        assert client.score("EURUSD", 1.0).status == "no_model"
        with descriptors_left(0):
            assert "Too many open files" in str(client.score("EURUSD", 2.0).error)
        assert client.score("EURUSD", 3.0).status == "no_model"


def test_a_commanded_mode_is_read_as_soon_as_there_is_a_descriptor(tmp_path: Path) -> None:
    watch = ModeWatch(tmp_path)
    write(tmp_path, Command("off"))
    with descriptors_left(0):
        assert watch.look() is None
    assert watch.look() == Look(Command("off"))
    assert watch.look() is None


def test_a_commanded_mode_stands_where_a_reload_cannot_look_at_it(tmp_path: Path) -> None:
    parts = Parts(tmp_path)
    write(tmp_path, Command("off", "me"))
    parts.housekeeping.turn()
    shadow = msgspec.structs.replace(parts.config.score, mode="shadow")
    with descriptors_left(0):
        parts.housekeeping.reconfigure(msgspec.structs.replace(parts.config, score=shadow))
    assert parts.engine.mode == "off"
    write(tmp_path, None)  # which is news, though nobody could look meanwhile
    parts.clock.advance(TURN_S)
    parts.housekeeping.turn()
    assert parts.engine.mode == "shadow"


@pytest.mark.parametrize("name", [POINTER_NAME, "{}/manifest.json", "{}/forest.npz"])
def test_a_folder_in_the_place_of_a_models_file_keeps_no_descriptor(
    tmp_path: Path, name: str
) -> None:
    path = tmp_path / name.format(small_model(tmp_path))
    path.unlink()
    path.mkdir()
    watch = ModelWatch(tmp_path)
    before = descriptors()
    found = [watch.poll_once() for _ in range(3)]
    assert isinstance(found[0], Rejected)
    assert found[1:] == [None, None]
    assert descriptors() == before


def test_a_folder_in_the_place_of_a_clients_key_keeps_no_descriptor(tmp_path: Path) -> None:
    (tmp_path / "elite_guard.pub").mkdir()
    allowed = AllowList(tmp_path)
    before = descriptors()
    assert [allowed.look() for _ in range(3)] == [True, False, False]
    assert descriptors() == before


def test_it_goes_on_without_a_descriptor_and_recovers(tmp_path: Path) -> None:
    with running(tmp_path, with_feed=True, FEED_SILENCE_S="0.5") as service:
        lines: list[socket.socket] = []
        with service.client() as client:
            assert client.health()["model"] is None
            assert service.process
            pid = str(service.process.pid)
            used = descriptors(pid)
            limited = ["prlimit", "--pid", pid, f"--nofile={used + 2}:"]
            if subprocess.run(limited, check=False).returncode:
                pytest.skip("prlimit is not there to take the descriptors away")
            host, port = service.address.removeprefix("tcp://").split(":")
            for _ in range(20):
                lines.append(socket.socket())
                lines[-1].setblocking(False)
                lines[-1].connect_ex((host, int(port)))
            version = published_model(tmp_path / "models", time.time()).version
            eventually(
                lambda: any(one.get("event") == "feed socket not rebuilt" for one in service.log),
                "the feed's socket to be wanted anew",
            )
            assert client.score("EURUSD", 50.0).journalled is True
            for line in lines:
                line.close()
            subprocess.run(["prlimit", "--pid", pid, "--nofile=1024:"], check=True)
            eventually(lambda: client.health()["model"], "the model")
            assert client.health()["model"]["version"] == version
        assert service.terminate()[0] == 0
