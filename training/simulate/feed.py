"""The bridge's PUB: frames at their market time, which runs faster than the wall clock.

One thread publishes and thereby moves the market's clock: `event_s` never runs ahead of
what was sent. Nothing is dropped: where the subscriber falls behind, the market waits.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import zmq

from protocol.ea_feed import Tick
from training.simulate.bridge import Item

HIGH_WATER = 20_000
STEP_S = 0.004
"""The wall time that one burst of frames covers."""
LONGEST_STEP_S = 0.05
"""What is caught up at most after a stall, or it would end in a flood."""
MOST_UNREAD = 2_000
"""Frames that the subscriber has not taken in yet, of two and a half hours. The queues between
would hold those of six days, and a score be made of another day than its signal."""
SAME_ANSWERS = 100
"""So many that nothing was sent or taken in, and what is missing was lost: to a subscriber that
began anew, say after the demo was stopped for a while. It is asked every 50 ms. Answers are counted
and no time, which passes too while nobody can answer."""
SEND_TIMEOUT_MS = 100


class Feed:
    """Publishes on a port of its own. `speed` is market seconds a wall second; 0 stands still.

    `event_s` is the market's time (UTC seconds), `quotes` the last sound tick by symbol,
    `sent` the number of frames. All three are written by the feed's thread alone.
    """

    def __init__(self, items: Iterator[Item], start_s: float) -> None:
        self.speed = 0.0
        self.event_s = start_s
        self.quotes: dict[str, Tick] = {}
        self.sent = 0
        self._taken = 0
        self._lost = 0
        self._sent_then = 0
        self._same_answers = 0
        self.fault: BaseException | None = None
        self._items = items
        self._stop = threading.Event()
        self._subscribed = threading.Event()
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._socket = self._context.socket(zmq.XPUB)
        self._socket.setsockopt(zmq.XPUB_NODROP, 1)
        self._socket.setsockopt(zmq.SNDHWM, HIGH_WATER)
        self._socket.setsockopt(zmq.SNDTIMEO, SEND_TIMEOUT_MS)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.bind("tcp://127.0.0.1:*")
        self.endpoint = self._socket.getsockopt_string(zmq.LAST_ENDPOINT)
        self._thread = threading.Thread(target=self._run, name="feed", daemon=True)

    def start(self) -> None:
        """Begin; nothing is sent before somebody has subscribed."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread and free the port. What waits unsent is dropped."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(5.0)
        self._context.destroy(linger=0)

    @property
    def heard(self) -> bool:
        """Whether a subscriber has come."""
        return self._subscribed.is_set()

    def tell(self, taken: int) -> None:
        """How many frames the subscriber has taken in, by an answer of its own."""
        sent = self.sent
        same = (sent, taken) == (self._sent_then, self._taken)
        self._same_answers = self._same_answers + 1 if same else 0
        missing = max(0, sent - taken)
        # What comes late after all was not lost.
        self._lost = missing if self._same_answers >= SAME_ANSWERS else min(self._lost, missing)
        self._sent_then, self._taken = sent, taken

    @property
    def unread(self) -> int:
        """Frames that the subscriber has not taken in yet, as far as it has told."""
        return self.sent - self._lost - self._taken

    def _run(self) -> None:
        try:
            while not self._stop.is_set() and not self._subscribed.is_set():
                if self._socket.poll(SEND_TIMEOUT_MS) and self._socket.recv()[:1] == b"\x01":
                    self._subscribed.set()
            self._publish()
        except BaseException as fault:  # told by whoever waits for the market
            self.fault = fault
            raise

    def _publish(self) -> None:
        item = next(self._items)
        due_s = self.event_s
        then_s = time.monotonic()
        while not self._stop.wait(STEP_S):
            now_s = time.monotonic()
            due_s += self.speed * min(now_s - then_s, LONGEST_STEP_S)
            then_s = now_s
            while item.time_s <= due_s and self.unread < MOST_UNREAD and self._send(item):
                item = next(self._items)
            # Where sending was cut short, the market stands where it was.
            due_s = self.event_s = max(self.event_s, min(due_s, item.time_s))

    def _send(self, item: Item) -> bool:
        while not self._stop.is_set():
            try:
                self._socket.send(item.frame)
            except zmq.Again:
                continue
            self.sent += 1
            if item.tick is not None:
                self.quotes[item.tick.symbol] = item.tick
            self.event_s = max(self.event_s, item.time_s)
            return True
        return False
