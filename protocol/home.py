"""How a client waits, and what it holds in a process: the half that sync and async share.

Sockets, circuits and threads do not survive a fork: a child makes its own, and what it
inherited is kept untouched for as long as it lives.
"""

from __future__ import annotations

import itertools
import math
import os
import weakref
from numbers import Integral, Real
from typing import NoReturn

import zmq

from protocol.connection import Sockets, check_endpoint, no_socket
from protocol.curve import CurveKeys, check_keys
from protocol.prober import Guard

DEFAULT_ENDPOINT = "tcp://127.0.0.1:5561"
MAX_TIMEOUT_MS = 3_600_000
MAX_RETRIES = 20
"""Each opens a socket, which takes of the budget without looking at it."""


class Options:
    """How a client waits, checked once; the same for the synchronous and the asynchronous one.

    `timeout_ms` is the budget of a whole call, retries included. After `open_after`
    time-outs in a row (0: never) calls are answered at once, and the service is probed
    every `probe_interval_s`, give or take a half. With `strict` a score raises
    ScorerUnavailable or ScorerRefused instead of returning the base score (a single signal refused
    within a batch still comes back with status `error`). `curve` are the keys for a service that
    asks for them.
    """

    def __init__(
        self,
        endpoint: str,
        timeout_ms: float,
        retries: int,
        *,
        strict: bool,
        open_after: int,
        probe_interval_s: float,
        curve: CurveKeys | None,
    ) -> None:
        """Raises ValueError for what cannot be meant."""
        # A clock's time and single precision add up to another day's.
        budget_ms, interval_s = _plain(timeout_ms), _plain(probe_interval_s)
        if not 0.0 < budget_ms <= MAX_TIMEOUT_MS:
            raise ValueError(f"timeout_ms must be above 0 and at most {MAX_TIMEOUT_MS}")
        if not _whole(retries) or not 0 <= retries <= MAX_RETRIES:
            raise ValueError(f"retries must be a whole number of 0..{MAX_RETRIES}")
        if not _whole(open_after) or open_after < 0:
            raise ValueError("open_after must be a whole number that is not negative")
        if not 0.0 < interval_s <= MAX_TIMEOUT_MS:
            raise ValueError("probe_interval_s must be above 0")
        self.endpoint = check_endpoint(endpoint)
        self.budget_s = budget_ms / 1000.0
        self.tries = int(retries) + 1
        self.strict = strict
        self.open_after = int(open_after)
        self.probe_interval_s = interval_s
        self.curve = check_keys(curve)


def _whole(value: object) -> bool:
    """Whether it is a whole number, numpy's too."""
    return isinstance(value, Integral) and not isinstance(value, bool)


def _plain(value: object) -> float:
    """A number as Python's own, numpy's too; NaN for what is none."""
    if isinstance(value, bool) or not isinstance(value, Real):
        return math.nan
    try:
        return float(value)
    except OverflowError:
        return math.inf


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
