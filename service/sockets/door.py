"""Answers libzmq's questions about keys from the loop, and logs who was refused.

Apart from the list itself: who only reads that, as `doctor` and `config`, needs no log, whose
library takes as long to import as all the rest of them.
"""

from __future__ import annotations

from collections import Counter

import structlog
import zmq

from service.sockets.zap import Admission, AllowList, verdict

ANSWERS_A_TURN = 64
KEPT_STRANGERS = 256

log = structlog.get_logger("scorer")


class Door:
    """Answers libzmq's questions from the loop; `counts` has how many were let in or not."""

    def __init__(self, socket: zmq.Socket[bytes], allowed: AllowList) -> None:
        self.socket = socket
        self.counts: Counter[str] = Counter(admitted=0, refused=0)
        self._allowed = allowed
        self._told: set[bytes] = set()

    def answer(self) -> None:
        """Answer what waits, boundedly: strangers must not starve those who are in."""
        for _ in range(ANSWERS_A_TURN):
            try:
                request = self.socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            found = verdict(request, self._allowed.names)
            if found is None:
                continue
            self.counts["refused" if found.name is None else "admitted"] += 1
            if found.name is None:
                self._tell(found)
            try:
                self.socket.send_multipart(found.frames, zmq.NOBLOCK)
            except zmq.ZMQError:  # whoever asked is gone
                continue

    def _tell(self, found: Admission) -> None:
        """Say once which key was refused: it is what the operator may have to add."""
        if found.key in self._told or len(self._told) >= KEPT_STRANGERS:
            return
        self._told.add(found.key)
        log.warning(
            "client refused: its public key is not on the list",
            key=found.key.decode(),
            address=found.address,
            folder=str(self._allowed.folder),
        )
