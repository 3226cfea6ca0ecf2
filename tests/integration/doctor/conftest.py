"""What the tests of `doctor` look at."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from another_user import NOBODY
from background import meanwhile
from doctored import Setup
from harness import Feed, Service, running


@pytest.fixture
def setup(tmp_path: Path) -> Setup:
    return Setup(tmp_path)


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
    """Have a bridge repeat what is made, or say nothing; its address."""
    with ExitStack() as stack:

        def start(make: Callable[[], bytes] | None) -> str:
            feed = stack.enter_context(closing(Feed()))

            def repeat(stop: threading.Event) -> None:
                while make is not None and not stop.wait(0.01):
                    feed.send(make())

            stack.enter_context(meanwhile(repeat))
            return feed.address

        yield start
