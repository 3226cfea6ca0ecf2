"""What a client holds in a process: the half that sync and async share.

Sockets, circuits and threads do not survive a fork: a child makes its own, and what it
inherited is kept untouched for as long as it lives.
"""

from __future__ import annotations

import itertools
import os
import weakref
from typing import NoReturn

import zmq

from protocol.connection import Sockets, no_socket
from protocol.curve import CurveKeys
from protocol.options import DEFAULT_ENDPOINT, Options
from protocol.prober import Guard


class Home:
    """A client's sockets and circuit in one process."""

    def __init__(self, options: Options) -> None:
        self.sockets = Sockets()
        self.guard = Guard(options)

    @property
    def pid(self) -> int:
        """The process that it is of use in."""
        return self.sockets.pid

    def close(self) -> None:
        """End the probing and close every socket, unless they are another process's."""
        if self.pid == os.getpid():
            self.guard.reset()
            self.sockets.end()


class Resident:
    """A client that is at home in whatever process it is used."""

    def __init__(
        self,
        endpoint: str = DEFAULT_ENDPOINT,
        timeout_ms: float = 50,
        retries: int = 1,
        *,
        strict: bool = False,
        open_after: int = 3,
        probe_interval_s: float = 1.0,
        curve: CurveKeys | None = None,
    ) -> None:
        """See `Options`."""
        self._options = Options(
            endpoint,
            timeout_ms,
            retries,
            strict=strict,
            open_after=open_after,
            probe_interval_s=probe_interval_s,
            curve=curve,
        )
        self._ids = itertools.count(1)
        self._inherited: list[Home] = []
        self._begin()
        self._home = self._move_in()

    @property
    def circuit_open(self) -> bool:
        """Whether the service is taken to be away: calls are answered without asking it."""
        return self._at_home().guard.is_open

    def __getstate__(self) -> NoReturn:
        """No copy, deep copy or pickle: a copy's sockets would be closed with this one."""
        name = type(self).__name__
        raise TypeError(f"a {name} holds sockets and is not copied: make another one")

    def _at_home(self) -> Home:
        """Raises ScorerUnavailable where this process can open no socket."""
        if self._home.pid != os.getpid():
            try:
                home = self._move_in()
            except zmq.ZMQError as error:
                raise no_socket(self._options.endpoint, error) from None
            self._inherited.append(self._home)  # with every socket that it knows
            self._begin()
            self._home = home
        return self._home

    def _move_in(self) -> Home:
        home = Home(self._options)
        # Not at exit: other threads may still be asking, and the system closes all of it.
        weakref.finalize(self, home.close).atexit = False
        return home

    def _begin(self) -> None:
        """Know no socket: at first, and of another process's none."""
        raise NotImplementedError
