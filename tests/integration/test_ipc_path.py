"""The ipc path with real processes: one holder, stale sockets replaced, a mode that keeps out."""

from __future__ import annotations

import os
import socket
import stat
from contextlib import closing
from pathlib import Path

import pytest
from another_user import as_no_root
from command import invoke
from harness import Service, eventually, running

from protocol.client import ScorerClient, ScorerUnavailable
from service.sockets.addresses import BindError, claim


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run" / "score.sock"


def refused(service: Service) -> tuple[int, str]:
    service.launch()
    code = service.wait()
    said = eventually(
        lambda: next((line["text"] for line in service.log if "text" in line), None), "a reason"
    )
    return code, said


def uptime_s(path: Path) -> float:
    with ScorerClient(f"ipc://{path}", 10_000) as client:
        return float(client.health()["uptime_s"])


def test_a_second_server_on_a_path_is_refused_and_the_first_goes_on(tmp_path: Path, path: Path):
    with running(tmp_path / "a", SCORE_BIND=f"ipc://{path}") as first:
        assert first.process
        inode = path.stat().st_ino
        code, said = refused(Service(tmp_path / "b", SCORE_BIND=f"ipc://{path}"))
        assert code == 69
        assert str(path) in said
        assert str(first.process.pid) in said
        assert path.stat().st_ino == inode
        assert uptime_s(path) > 0


def test_the_socket_of_a_killed_process_is_replaced(tmp_path: Path, path: Path):
    with running(tmp_path / "a", SCORE_BIND=f"ipc://{path}") as service:
        service.kill()
        assert path.is_socket()
        service.start()
        assert uptime_s(path) > 0


@pytest.mark.parametrize(("setting", "mode"), [({}, 0o660), ({"SCORE_IPC_MODE": "0600"}, 0o600)])
def test_the_socket_has_the_mode_of_the_setting(
    tmp_path: Path, path: Path, setting: dict[str, str], mode: int
):
    with running(tmp_path / "a", SCORE_BIND=f"ipc://{path}", **setting):
        assert stat.S_IMODE(path.stat().st_mode) == mode


def test_a_file_that_is_no_socket_is_never_replaced(tmp_path: Path):
    path = tmp_path / "notes.txt"
    path.write_text("mine")
    code, said = refused(Service(tmp_path / "a", SCORE_BIND=f"ipc://{path}"))
    assert code == 69
    assert "no socket" in said
    assert path.read_text() == "mine"


@pytest.mark.parametrize(
    ("address", "word"),
    [
        ("ipc:///tmp/" + "x" * 110, "107"),
        ("ipc://@abstract", "path"),
        ("ipc://*", "path"),
        ("ipc://", "path"),
        ("udp://127.0.0.1:1", "no address"),
    ],
)
def test_addresses_that_cannot_be_guarded_are_refused_with_advice(address: str, word: str):
    done = invoke("config", "--check", SCORE_BIND=address)
    assert done.returncode == 78
    assert word in done.stderr


def test_a_claim_is_given_back_with_its_descriptor_only(path: Path):
    held = claim(path)
    with pytest.raises(BindError):
        claim(path)
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(path))
    os.close(held)
    os.close(claim(path))


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(BindError, match="writable"):
        claim(tmp_path / "file" / "score.sock")


def test_a_client_that_may_not_use_the_socket_is_told_so(tmp_path: Path, path: Path):
    path.parent.mkdir()
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    path.chmod(0o000)
    with (
        closing(listener),
        as_no_root(),
        ScorerClient(f"ipc://{path}", 100, strict=True) as client,
        pytest.raises(ScorerUnavailable, match="socket's group"),
    ):
        client.health()
