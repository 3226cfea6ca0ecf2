"""What systemd is told of the real process: ready, alive, what it serves, and that it ends."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from builders import small_model
from harness import PATIENCE_S, running


def test_systemd_hears_of_readiness_of_life_of_a_model_and_of_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(PATIENCE_S)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        told: list[str] = []

        def hear(line: str) -> None:
            while line not in told:
                told.extend(manager.recv(4096).decode().splitlines())
            told.clear()

        with running(tmp_path / "state") as service:
            hear("READY=1")
            for _ in range(2):
                hear("WATCHDOG=1")
            version = small_model(service.models_dir)
            hear(f"STATUS=serving {version}")
            assert service.terminate()[0] == 0
            hear("STOPPING=1")
