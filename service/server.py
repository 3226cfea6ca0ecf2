"""The duty cycle: requests first, then ticks, both bounded, then housekeeping.

One thread owns all state. `turn` does one cycle and returns how much it did, so that a
test can turn it by hand; `run` turns it until told to stop and then answers what it
accepted. A plain REQ talks to the ROUTER without noticing; REP would wedge on a fault.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Container
from typing import NamedTuple

import structlog
import zmq
from zmq.backend import Socket as PlainSocket
from zmq.backend import zmq_poll

from service.clock import Clock
from service.config.settings import Config
from service.engine import Engine
from service.errors import ConfigError
from service.feed.symbol_feed import Endpoint
from service.housekeeping import Housekeeping
from service.responder import Responder, Waiting
from service.sockets.door import Door
from service.sockets.held_replies import LARGE_BYTES, HeldReplies
from service.sockets.setup import (
    feed_keys,
    feed_socket,
    guard,
    ingest_socket,
    scoring_socket,
    zap_socket,
)
from service.sockets.zap import AllowList
from service.vitals import Vitals

log = structlog.get_logger("scorer")


# As plain numbers: an enumeration's operators cost more than the calls.
POLLIN = int(zmq.POLLIN)
NOBLOCK = int(zmq.NOBLOCK)
NOBLOCK_MORE = NOBLOCK | int(zmq.SNDMORE)

LEAST_AT_A_TIME = 4
"""Requests that are always answered together where so many wait."""

FEW_MESSAGES = 4
"""At once, up to which asking for another costs less than failing to receive one."""

MAX_FRAMES = 64
"""Of one message: the routing envelope and the body."""

LINE_BYTES = 512 * 1024
"""Of bodies that stand in line or are refused at once. What is beyond waits in the queues of
libzmq, which lets peers take turns: whoever sends large bodies waits behind himself."""

FRAME_BYTES = 64
"""So much a frame counts besides its content: reading it takes time, also where it is empty."""

MOST_LOOKS = 1000
"""While spinning, also where the clock stands still."""

RESTING_ROWS = 4
"""So many spooled scores make it worth a moment's rest between two requests."""

REST_S = 0.002
"""So long a silence that who asks next will hardly meet what is done meanwhile."""

ENDING_S, PAUSE_MS = 0.05, 10
"""At the end all who come are refused for so long, or until nobody has come for such a pause."""

TICKS_A_REQUEST = 8
"""So many ticks may be applied for each answer before a waiting request goes first."""

TICK_BYTES = 2048
"""More than any tick has: a larger frame counts as so many ticks as it has of these."""


class Arrived(Waiting, frozen=True):
    """A request with the routing envelope that its reply goes back under."""

    envelope: list[bytes]


def split(frames: list[bytes]) -> tuple[list[bytes], list[bytes]]:
    """(routing envelope, body frames) of a message as a ROUTER gives it.

    The envelope ends with the first empty frame; a DEALER may leave that out, and then the
    last frame is the body and whatever stands before it is echoed.
    """
    for at in range(1, len(frames) - 1):
        if not frames[at]:
            return frames[: at + 1], frames[at + 1 :]
    return frames[:-1], frames[-1:]


def _waits(socket: zmq.Socket[bytes]) -> bool:
    """Whether a message waits there."""
    events = socket.getsockopt(zmq.EVENTS)
    assert isinstance(events, int)
    return bool(events & POLLIN)


class Feed(NamedTuple):
    """A feed socket and how its messages are read."""

    socket: zmq.Socket[bytes]
    endpoint: Endpoint


class Server:
    """Binds the sockets and turns the cycle; the parts are given, so it decides nothing."""

    def __init__(
        self,
        config: Config,
        clock: Clock,
        engine: Engine,
        responder: Responder,
        housekeeping: Housekeeping,
        vitals: Vitals,
        allowed: AllowList | None = None,
    ) -> None:
        """`allowed` are the clients where CURVE is used. Raises ConfigError or BindError."""
        self._config = config
        self._clock = clock
        self._engine = engine
        self._responder = responder
        self._housekeeping = housekeeping
        self._vitals = vitals
        self._arrived: deque[Arrived] = deque()
        self._line_bytes = 0
        self._held = HeldReplies()
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._feeds: list[Feed] = []
        self._locks: list[int] = []
        self._door: Door | None = None
        self._spin_s = config.score.spin_us / 1e6
        self._spin_until_s = 0.0
        self._rested_s = 0.0
        self._answered = 0
        try:
            self._guard = guard(config)
            self._feed_keys = feed_keys(config)
            if allowed is not None:
                self._door = Door(zap_socket(self._context), allowed)
                vitals.handshakes = self._door.counts
            self._scoring, self.addresses = scoring_socket(
                self._context, config.score.bind, self._guard, self._locks
            )
            self._open_feeds()
        except BaseException:
            self._context.destroy(linger=0)
            self._free_paths()
            raise
        doors = [self._door.socket] if self._door else []
        sources = (self._scoring, *(feed.socket for feed in self._feeds), *doors)
        # What a zmq.Poller keeps, without what it checks anew at each poll.
        self._watched = [(socket, POLLIN) for socket in sources]

    @property
    def score_address(self) -> str:
        """The last of its `addresses`."""
        return self.addresses[-1]

    def run(self, should_stop: Callable[[], bool]) -> None:
        """Turn until told to stop; then answer what was accepted and close."""
        try:
            while not should_stop():
                self.turn()
        finally:
            self._drain_and_close()

    def turn(self) -> int:
        """One cycle. Returns the number of requests and ticks it worked off."""
        due_s = self._housekeeping.due_s - self._clock.monotonic_s()
        timeout_ms = 0 if self._arrived else max(0, int(due_s * 1000.0) + 1)
        ready = self._wait(timeout_ms)
        started_s = self._clock.monotonic_s() - self._rested_s
        if self._door is not None and self._door.socket in ready:
            self._door.answer()
        if self._scoring in ready:
            self._accept()
        answered = work = self._answer()
        for feed in self._feeds:
            if feed.socket in ready:
                work += self._apply_ticks(feed, TICKS_A_REQUEST * max(1, answered))
        for name in self._housekeeping.turn():
            self._reconnect(name)
        self._vitals.turned(self._clock.monotonic_s() - started_s)
        return work

    def _wait(self, timeout_ms: int) -> Container[object]:
        """The sockets with something to read, after at most this time.

        For `score.spin_us` after an answer it looks again and again rather than sleep: a client
        that goes on asking is then met by a processor whose caches still hold what it needs.
        Whoever else wants the processor gets it between two looks.

        What can wait is done where one request was answered alone, whose sender reads first, and
        after `REST_S` without a question; `_rested_s` is the time for that, in which whoever
        came had to wait. Of several senders one would always have to.
        """
        watched, rest, clock = self._watched, self._housekeeping.rest, self._clock
        self._rested_s = 0.0
        for _ in range(MOST_LOOKS if timeout_ms else 0):
            if clock.monotonic_s() >= self._spin_until_s:
                break
            ready = zmq_poll(watched, 0)
            if ready:
                return dict(ready)
            took_s = rest(RESTING_ROWS) if self._answered == 1 else 0.0
            self._rested_s += took_s
            self._spin_until_s += took_s
            if not took_s:
                os.sched_yield()
        if timeout_ms:
            silent_in_s = self._spin_until_s + REST_S - clock.monotonic_s()
            if silent_in_s > 0.0:
                timeout_ms = min(timeout_ms, int(silent_in_s * 1000.0) + 1)
            else:
                self._rested_s += rest(1)
        return dict(zmq_poll(watched, timeout_ms))

    def _accept(self, refusal: tuple[str, str] | None = None) -> None:
        """Take all that waits on the scoring socket; refuse what exceeds the limit, or all."""
        # Bounded as well, or a flood of refusals would starve the ticks.
        room = LINE_BYTES - self._line_bytes
        for count in range(2 * self._config.limits.waiting_requests):
            if room <= 0:
                return
            # Few come together, and then asking is cheaper than the exception.
            if 0 < count < FEW_MESSAGES and not _waits(self._scoring):
                return
            try:
                frames, size = self._receive()
            except zmq.Again:
                return
            self._take(frames, refusal)
            room -= size

    def _receive(self) -> tuple[list[bytes], int]:
        """A message, of one with too many frames the first, and as how many bytes all count.

        No option of libzmq bounds their number, which one peer can make millions. Raises zmq.Again
        where no message waits.
        """
        receive = self._scoring.recv
        # A frame knows whether another one follows, which is cheaper than asking the socket.
        frame = receive(NOBLOCK, False)
        frames, size = [frame.bytes], FRAME_BYTES + len(frame)
        while frame.more:
            frame = receive(0, False)
            size += FRAME_BYTES + len(frame)
            if len(frames) <= MAX_FRAMES:
                frames.append(frame.bytes)
        return frames, size

    def _take(self, frames: list[bytes], refusal: tuple[str, str] | None) -> None:
        """Put a message in line, or say at once why it is not answered."""
        envelope, bodies = split(frames)
        limit = self._config.limits.waiting_requests
        if refusal is not None:
            self._refuse(envelope, bodies[0], *refusal)
        elif len(frames) > MAX_FRAMES:
            self._refuse(envelope, b"", "malformed", f"more than {MAX_FRAMES - 1} frames; send one")
        elif len(bodies) > 1:
            self._refuse(envelope, bodies[0], "malformed", f"{len(bodies)} body frames; send one")
        elif len(self._arrived) >= limit:
            self._refuse(envelope, bodies[0], "overloaded", f"{limit} requests wait already")
        elif self._held.crowded(envelope[0]):
            self._refuse(envelope, bodies[0], "overloaded", "read the replies that wait first")
        else:
            self._line_bytes += len(bodies[0])
            self._arrived.append(Arrived(bodies[0], self._clock.monotonic_s(), envelope))

    def _refuse(self, envelope: list[bytes], body: bytes, code: str, message: str) -> None:
        self._send(envelope, self._responder.refuse(body, code, message))

    def _answer(self) -> int:
        """Answer those who wait now, half of them at a time and four at least.

        The more together, the cheaper each; but clients who all waited for all would all be at
        work while nobody is answered.
        """
        count = left = min(len(self._arrived), self._config.limits.requests_per_cycle)
        while left:
            size = min(left, max(LEAST_AT_A_TIME, left // 2))
            batch = [self._arrived.popleft() for _ in range(size)]
            self._line_bytes -= sum(len(arrived.body) for arrived in batch)
            replies = self._responder.answer(batch)
            for arrived, reply in zip(batch, replies, strict=True):
                self._send(arrived.envelope, reply)
            left -= size
        if count:
            self._answered = count
            self._spin_until_s = self._clock.monotonic_s() + self._spin_s
        return count

    def _send(self, envelope: list[bytes], reply: bytes) -> None:
        size = len(reply) + sum(map(len, envelope))
        shared = None
        try:
            if size >= LARGE_BYTES:
                shared = self._held.frame(envelope[0], reply, size)
                if shared is None:
                    raise zmq.Again
            # As send_multipart does, without a look at each frame's type and at options that
            # are for other kinds of sockets.
            for frame in envelope:
                PlainSocket.send(self._scoring, frame, NOBLOCK_MORE)
            if shared is None:
                PlainSocket.send(self._scoring, reply, NOBLOCK)
            else:
                self._scoring.send(shared, NOBLOCK, copy=False)
        except zmq.ZMQError as error:
            # The client is gone, or its queue is full: it asks and never reads. Others must not
            # wait for it.
            self._vitals.requests["reply_dropped"] += 1
            log.debug("reply not sent", error=str(error))

    def _apply_ticks(self, feed: Feed, least: int) -> int:
        """So many ticks at least, and more as long as no request waits for them.

        A candle that waited for the clock counts as a tick when one lets it in.
        """
        limit = self._config.limits.ticks_per_cycle
        on_frame, receive, early = self._engine.on_frame, feed.socket.recv, feed.endpoint.early
        count, look_at = 0, least
        while count < limit:
            if count >= look_at:
                if _waits(self._scoring):
                    return count
                look_at = count + TICKS_A_REQUEST
            if 0 < count < FEW_MESSAGES and not _waits(feed.socket):
                return count
            try:
                frame = receive(NOBLOCK)
            except zmq.Again:
                return count
            waited = len(early)
            on_frame(feed.endpoint, frame, self._clock.utc_s())
            count += 1 + len(frame) // TICK_BYTES + max(0, waited - len(early))
        return count

    def _open_feeds(self) -> None:
        feed = self._config.feed
        for address in feed.endpoints:
            endpoint = self._engine.endpoint(address, volume_is_deal=feed.volume == "deal")
            self._feeds.append(Feed(self._feed_socket(address), endpoint))
        if feed.ingest:
            endpoint = self._engine.endpoint("ingest", volume_is_deal=True)
            socket = ingest_socket(self._context, feed.ingest, self._guard, self._locks)
            self._feeds.append(Feed(socket, endpoint))
        self._vitals.endpoints = [feed.endpoint for feed in self._feeds]

    def _feed_socket(self, address: str) -> zmq.Socket[bytes]:
        return feed_socket(self._context, address, self._feed_keys.get(address))

    def _reconnect(self, name: str) -> None:
        """Rebuild a silent feed's socket: a half-dead connection can look alive for ever."""
        for index, feed in enumerate(self._feeds):
            if feed.endpoint.name == name and feed.socket.type == zmq.SUB:
                try:
                    socket = self._feed_socket(name)
                except (zmq.ZMQError, ConfigError) as error:
                    # Peers may have used up the descriptors: the old one may yet come back.
                    log.error("feed socket not rebuilt", endpoint=name, error=str(error))
                    continue
                self._watched = [pair for pair in self._watched if pair[0] is not feed.socket]
                feed.socket.close(linger=0)
                self._watched.append((socket, POLLIN))
                self._feeds[index] = Feed(socket, feed.endpoint)

    def _drain_and_close(self) -> None:
        """Answer what was accepted, tell whoever waits behind it or comes later, and close.

        Who has just read his reply is about to ask again. To read more that is answered would
        take as long as the longest turn once more, and systemd waits for 5 s.
        """
        while self._arrived:
            self._answer()
        until_s = self._clock.monotonic_s() + ENDING_S
        while self._clock.monotonic_s() < until_s and self._scoring.poll(PAUSE_MS):
            self._accept(("shutting_down", "the service ends; go on with the base score"))
        for feed in self._feeds:
            feed.socket.close(linger=0)
        self._scoring.close()
        if self._door is not None:
            self._door.socket.close(linger=0)
        self._context.term()
        self._free_paths()

    def _free_paths(self) -> None:
        while self._locks:
            os.close(self._locks.pop())
