"""Large replies that peers have not read yet, and who may have how many bytes more of them.

libzmq counts messages, not bytes: of a peer that asks for full batches and reads nothing it would
hold a gigabyte. What it was given and still holds is known only where it shares our memory, so
large replies are sent that way (pyzmq's zero copy), and small ones copied.
"""

from __future__ import annotations

from collections import deque

import zmq

LARGE_BYTES = 16 << 10
"""From here on a reply counts. Below, `REPLY_HWM` of them bound what one peer can hold."""

MOST_BYTES = 64 << 20
"""Of all peers together. One may have as much as it leaves free: half of all where it is alone."""


class HeldReplies:
    """What libzmq holds for each peer, by its routing id."""

    def __init__(self) -> None:
        self._held: dict[bytes, deque[tuple[int, zmq.MessageTracker]]] = {}
        self._bytes: dict[bytes, int] = {}
        # pyzmq's thread for it begins with the first one: now, when there are threads to be had.
        zmq.Frame(b"first", track=True, copy_threshold=0)

    def crowded(self, peer: bytes) -> bool:
        """Whether it should read before it asks for more: it has half of what is left free."""
        return peer in self._bytes and 2 * self._bytes_of(peer) > self._free()

    def frame(self, peer: bytes, reply: bytes, size: int) -> zmq.Frame | None:
        """The reply as it is to be sent, `size` with its envelope; None where there is no room."""
        if self._bytes_of(peer) + size > self._free():
            return None
        frame = zmq.Frame(reply, track=True, copy_threshold=0)
        assert isinstance(frame.tracker, zmq.MessageTracker)
        self._held.setdefault(peer, deque()).append((size, frame.tracker))
        self._bytes[peer] = self._bytes.get(peer, 0) + size
        return frame

    def _bytes_of(self, peer: bytes) -> int:
        self._forget()
        return self._bytes.get(peer, 0)

    def _free(self) -> int:
        return MOST_BYTES - sum(self._bytes.values())

    def _forget(self) -> None:
        """What has left; a peer's leave in their order."""
        for peer, held in list(self._held.items()):
            while held and held[0][1].done:
                self._bytes[peer] -= held.popleft()[0]
            if not held:
                del self._held[peer], self._bytes[peer]
