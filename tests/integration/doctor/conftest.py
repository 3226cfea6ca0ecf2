"""What the tests of `doctor` look at."""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from another_user import NOBODY
from doctored import Publisher, Setup
from harness import Service, running


@pytest.fixture
def setup(tmp_path: Path) -> Setup:
    return Setup(tmp_path)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user may pass through; pytest's own is for one."""
    folder = Path(tempfile.mkdtemp(prefix="doctor-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def served_by_nobody(open_folder: Path) -> Setup:
    """The service runs as another user than ours."""
    setup = Setup(open_folder)
    os.chown(setup.state, NOBODY, NOBODY)
    return setup


@pytest.fixture(scope="module")
def lone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A running service that has answered once; tests look at it and change nothing."""
    with running(tmp_path_factory.mktemp("lone")) as service:
        with service.client() as client:
            client.score("EURUSD", 70.0)
        yield service


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that another program listens on."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        yield int(server.getsockname()[1])


@pytest.fixture
def publish() -> Iterator[Callable[[Callable[[], bytes] | None], str]]:
    made: list[Publisher] = []

    def start(make: Callable[[], bytes] | None) -> str:
        made.append(Publisher(make))
        return made[-1].address

    yield start
    for one in made:
        one.close()
