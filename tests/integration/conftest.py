"""What a training leaves, made once for all tests that go on from it; peers of a server."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import zmq
from click.testing import Result
from forked import Forks, forking
from grown import grown_once
from scored_journal import write_journal
from trained import run


@pytest.fixture(scope="module", autouse=True)
def _forests() -> Iterator[None]:
    """Most trainings here are of the same few journals. Not so in other folders' modules, which
    the same process may run in between: there each forest is grown."""
    with grown_once():
        yield


@pytest.fixture
def edge(tmp_path: Path) -> Path:
    write_journal(tmp_path / "journal.db", 400, edge=0.3)
    return tmp_path


@pytest.fixture(scope="session")
def first_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    place = tmp_path_factory.mktemp("trained")
    write_journal(place / "journal.db", 400, edge=0.3)
    result = run(place, "train", "--textfile", str(place / "train.prom"))
    assert result.exit_code == 0, result.output
    return place, result


@pytest.fixture
def trained(first_run: tuple[Path, Result], tmp_path: Path) -> Path:
    """A copy of what the first run on a planted edge left: one published model."""
    return shutil.copytree(first_run[0], tmp_path / "place")


@pytest.fixture(scope="session")
def forks() -> Iterator[Forks]:
    """Runs commands in processes that need not import."""
    with forking() as ready:
        yield ready


@pytest.fixture
def peers() -> Iterator[Callable[..., zmq.Socket[bytes]]]:
    """Opens sockets that are closed with the test."""
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    opened = []

    def peer(kind: int, address: str, **options: int) -> zmq.Socket[bytes]:
        socket = context.socket(kind)
        for name, value in options.items():
            socket.setsockopt(getattr(zmq, name), value)
        socket.connect(address)
        opened.append(socket)
        return socket

    yield peer
    for socket in opened:
        socket.close(linger=0)
    context.term()
