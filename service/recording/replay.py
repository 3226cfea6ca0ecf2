"""Publishes recorded feeds as the EA's bridge would, with their stamps moved to the present.

Nothing is dropped: it waits for a subscription, an XPUB with NODROP then blocks when the
subscriber falls behind, and the socket lingers until the last message has been taken. Only
a subscriber that goes away loses what was under way to it; the replay waits for the next.
"""

from __future__ import annotations

import errno
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice, takewhile
from pathlib import Path

import zmq

from protocol.connection import speak_family
from service.console import exit_codes
from service.console.progress import SILENT, Progress
from service.errors import CommandError
from service.recording.market_files import Format, MarketAccount, Recorded, read_market
from service.recording.restamp import restamped, shift_to, survey_of

HIGH_WATER = 1000
LINGER_MS = 30_000
WAIT_STEP_MS = 200
PUBLISHED = "published"
LOOK_EVERY = 256
"""Messages between two looks at the subscriptions and two steps of the progress bar."""


@dataclass(slots=True)
class ReplayAccount:
    """What was read and what was published; on an interruption the rest was not sent."""

    market: MarketAccount = field(default_factory=MarketAccount)
    total: int = 0
    published: int = 0
    shift_s: float = 0.0
    seconds: float = 0.0
    interrupted: bool = False

    @property
    def adds_up(self) -> bool:
        """Every row read was published or skipped for a reason (or the replay was cut short)."""
        complete = self.published == self.total
        return self.market.adds_up and (complete or self.interrupted)

    def lines(self) -> list[str]:
        """The account for people: rows, published, skipped by reason, rate, shift."""
        rate = self.published / self.seconds if self.seconds > 0 else 0.0
        skipped = ", ".join(f"{n} {kind}" for kind, n in sorted(self.market.skipped.items()))
        state = "interrupted" if self.interrupted else "complete"
        return [
            f"{state}: {self.published} of {self.total} messages published "
            f"in {self.seconds:.1f} s ({rate:,.0f} a second)",
            f"rows read {self.market.rows}, skipped {skipped or 'none'}",
            f"stamps shifted by {self.shift_s:.3f} s",
        ]


def replay(
    files: Sequence[Path],
    *,
    bind: str,
    speed: float | None = None,
    clock_offset_s: float = 0.0,
    fmt: Format | None = None,
    symbol: str | None = None,
    limit: int | None = None,
    until_s: float = math.inf,
    wait_s: float | None = None,
    progress: Progress = SILENT,
    now: Callable[[], float] = time.time,
    monotonic: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> ReplayAccount:
    """Publish the files' messages, merged by time, and return the account.

    `speed`: recorded seconds per second, the first stamp being the present; None: as fast
    as the subscriber follows, the last stamp being the present. `clock_offset_s` is what
    the sender's clock shows beyond UTC. `limit` cuts the recording to its first messages,
    `until_s` to those stamped so or earlier (UTC s as recorded);
    `wait_s` bounds the wait for a subscriber. Raises MarketFileError for unreadable files
    and CommandError. Ctrl-C ends it in order, with `interrupted` set in the account.
    """

    def read(account: MarketAccount) -> Iterator[Recorded]:
        recorded = read_market(files, account, fmt=fmt, symbol=symbol)
        return islice(takewhile(lambda item: item.stamp_s <= until_s, recorded), limit)

    account = ReplayAccount()
    try:
        survey = survey_of(read(MarketAccount()))
        if survey is None:
            raise CommandError(
                "no tick and no candle in the files: nothing to publish", exit_codes.NO_INPUT
            )
        account.total = survey.messages
        with _publisher(bind) as publisher:
            progress.say(f"{publisher.endpoint} waits for a subscriber")
            progress.step(PUBLISHED, 0, survey.messages)
            publisher.wait_for_subscriber(wait_s, monotonic)
            anchor_s = survey.last_s if speed is None else survey.first_s
            account.shift_s = shift_to(survey, now() - anchor_s) + clock_offset_s
            pace = _Pace(speed, survey.first_s, monotonic, sleep)
            _publish(publisher, read(account.market), account, pace, progress)
    except KeyboardInterrupt:
        account.interrupted = True
    return account


@dataclass(slots=True)
class _Pace:
    """When a message is due; `speed` None: now."""

    speed: float | None
    first_s: float
    monotonic: Callable[[], float]
    sleep: Callable[[float], None]
    begun_s: float = 0.0

    def wait_for(self, stamp_s: float) -> bool:
        """Sleep until the stamp is due, in short pieces; whether there was time to sleep."""
        if self.speed is None:
            return False
        due_s = self.begun_s + (stamp_s - self.first_s) / self.speed
        slept = False
        while (left_s := due_s - self.monotonic()) > 0.001:
            self.sleep(min(left_s, 0.2))
            slept = True
        return slept


def _publish(
    publisher: _Publisher,
    messages: Iterator[Recorded],
    account: ReplayAccount,
    pace: _Pace,
    progress: Progress,
) -> None:
    pace.begun_s = pace.monotonic()
    try:
        for recorded in messages:
            if pace.wait_for(recorded.stamp_s) or account.published % LOOK_EVERY == 0:
                publisher.wait_for_subscriber(None, pace.monotonic)
                progress.step(PUBLISHED, account.published, account.total)
            publisher.send(restamped(recorded, account.shift_s))
            account.published += 1
    finally:
        account.seconds = pace.monotonic() - pace.begun_s
        progress.step(PUBLISHED, account.published, account.total)


@contextmanager
def _publisher(bind: str) -> Iterator[_Publisher]:
    """A bound publisher; leaving in order waits, bounded, until the last message was taken."""
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    socket = context.socket(zmq.XPUB)
    linger_ms = 0
    try:
        socket.setsockopt(zmq.XPUB_NODROP, 1)
        socket.setsockopt(zmq.SNDHWM, HIGH_WATER)
        socket.setsockopt(zmq.SNDTIMEO, WAIT_STEP_MS)
        _bind(socket, bind)
        yield _Publisher(socket, socket.getsockopt_string(zmq.LAST_ENDPOINT))
        linger_ms = LINGER_MS
    finally:
        socket.close(linger=linger_ms)
        context.term()


class _Publisher:
    """The XPUB side: counts subscriptions, and sends without dropping."""

    def __init__(self, socket: zmq.Socket[bytes], endpoint: str) -> None:
        self.endpoint = endpoint
        self._socket = socket
        self._topics: set[bytes] = set()

    def wait_for_subscriber(self, wait_s: float | None, monotonic: Callable[[], float]) -> None:
        """Take in what subscribers said; where there is none (any more), wait for one."""
        until_s = math.inf if wait_s is None else monotonic() + wait_s
        self._take(0)
        while not self._topics:
            if monotonic() >= until_s:
                raise CommandError(
                    f"nobody subscribed to {self.endpoint} within {wait_s:g} s: start the "
                    "service with this address among feed.endpoints",
                    exit_codes.UNAVAILABLE,
                )
            self._take(WAIT_STEP_MS)

    def send(self, frame: bytes) -> None:
        """Hand one frame over, waiting while the subscriber is behind."""
        while True:
            try:
                self._socket.send(frame)
            except zmq.Again:
                self._take(0)  # it may have gone away meanwhile
            else:
                return

    def _take(self, timeout_ms: int) -> None:
        while self._socket.poll(timeout_ms):
            said = self._socket.recv()
            if said[:1] == b"\x01":
                self._topics.add(said[1:])
            else:
                self._topics.discard(said[1:])
            timeout_ms = 0


def _bind(socket: zmq.Socket[bytes], bind: str) -> None:
    speak_family(socket, bind)
    try:
        socket.bind(bind)
    except zmq.ZMQError as error:
        if error.errno == errno.EADDRINUSE:
            raise CommandError(
                f"{bind} is taken, by the bridge or another replay. Stop that one, or publish "
                "elsewhere (--bind tcp://127.0.0.1:5570) and start the service with that "
                "address as its feed endpoint (SIGNAL_SCORER_FEED_ENDPOINTS)",
                exit_codes.UNAVAILABLE,
            ) from error
        raise CommandError(f"cannot bind {bind}: {error.strerror}", exit_codes.USAGE) from error
