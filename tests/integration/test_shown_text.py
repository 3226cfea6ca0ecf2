"""What others wrote or answered moves no cursor of who runs `status`, `top` or `mode`."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest
from command import Done, invoke
from serving import Parts
from trained import run
from wire import answering

from service.model.history import HISTORY_NAME

NOBODY_THERE = "tcp://127.0.0.1:9"
CLEARS = "\x1b[2J\x1b[1;1Hroot# \x07"


def shown(*arguments: str, **values: str) -> Done:
    """What a command prints, of which each line is to be printable."""
    done = invoke(*arguments, "--timeout-ms", "500", **values)
    lines = f"{done.stdout}\n{done.stderr}".split("\n")
    assert [line for line in lines if not line.isprintable()] == []
    return done


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A state directory whose users wrote what clears a screen wherever text may stand."""
    parts = Parts(tmp_path)
    parts.journal.open()
    parts.score(signal_id="s", pattern=CLEARS)
    parts.journal.close()
    with closing(sqlite3.connect(parts.config.journal_path)) as connection, connection:
        connection.execute("UPDATE scores SET symbol = ?, status = ?", (CLEARS, CLEARS))
    parts.config.models_dir.mkdir(exist_ok=True)
    line = msgspec.json.encode({"event": CLEARS, "at": 1.7e9, "why": CLEARS, "n": 3})
    (parts.config.models_dir / HISTORY_NAME).write_bytes(line + b"\n")
    return tmp_path


@pytest.mark.parametrize("command", [("status",), ("top", "--once", "--interval-s", "0.1")])
def test_of_rows_and_of_the_history(state: Path, command: tuple[str, ...]) -> None:
    done = shown(*command, STATE_DIR=str(state), SCORE_BIND=NOBODY_THERE)
    assert "[2J" in done.stdout


def impostor(request: dict[str, Any]) -> dict[str, Any]:
    """The answers of whoever took the port while the service was down."""
    state = {"ready": False, "mode": CLEARS, "reasons": [CLEARS], "notes": [], "uptime_s": 1.0}
    return {"v": 1, "ok": True, **state, "versions": {"service": CLEARS}, "state_dir": CLEARS}


@pytest.mark.parametrize("command", [("mode",), ("mode", "shadow")])
def test_of_whoever_answers(tmp_path: Path, command: tuple[str, ...]) -> None:
    known = Parts(tmp_path / "known").ask("stats")
    with answering(lambda request: known | impostor(request) | {"id": request["id"]}) as service:
        done = shown(*command, STATE_DIR=str(tmp_path), ENDPOINT=service.address)
    assert "[2J" in done.stdout + done.stderr


def test_of_whoever_refuses(tmp_path: Path) -> None:
    error = {"v": 1, "ok": False, "error": {"code": "internal", "message": CLEARS}}
    with answering(lambda _request: error) as service:
        done = shown("mode", STATE_DIR=str(tmp_path), ENDPOINT=service.address)
    assert "[2J" in done.stderr


def test_of_the_history_as_the_trainer_tells_it(state: Path) -> None:
    text = run(state, "status").output
    assert "[2J" in text
    assert all(line.isprintable() for line in text.split("\n"))


@pytest.mark.parametrize("command", [("status",), ("top", "--once", "--interval-s", "0.1")])
def test_what_is_no_service_of_ours_is_said_to_be_none(
    tmp_path: Path, command: tuple[str, ...]
) -> None:
    with answering(impostor) as service:
        done = shown(*command, STATE_DIR=str(tmp_path), ENDPOINT=service.address)
    assert "NO ANSWER" in done.stdout
    assert "is no signal-scorer" in done.stdout
    assert done.returncode == (69 if command == ("status",) else 0)


ASKS = ["mode", "health", "features EURUSD", "outcome --signal-id A --outcome WIN"]


@pytest.mark.parametrize("command", ASKS)
def test_what_says_nothing_of_itself_is_said_to_be_none(tmp_path: Path, command: str) -> None:
    with answering(lambda _request: {}) as service:
        done = shown(*command.split(), STATE_DIR=str(tmp_path), ENDPOINT=service.address)
    assert done.returncode == 69
    assert done.stderr.endswith("is no signal-scorer that this version knows\n")


@pytest.mark.parametrize(("psi", "limit"), [(-1.0, 1e-4), (-1e15, 5e-324)])
def test_an_index_that_is_none_is_not_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, psi: float, limit: float
) -> None:
    parts = Parts(tmp_path)
    known = {op: parts.ask(op) for op in ("health", "stats")}
    known["stats"]["drift"]["features"] = {"rsi": {"psi": psi, "limit": limit, "drifting": False}}
    monkeypatch.setenv("COLUMNS", "160")
    with answering(lambda request: known[request["op"]] | {"id": request["id"]}) as service:
        named = {"STATE_DIR": str(tmp_path), "ENDPOINT": service.address}
        done = shown("top", "--once", "--interval-s", "0.1", **named)
    assert "is no signal-scorer" in done.stdout
