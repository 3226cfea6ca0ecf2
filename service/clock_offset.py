"""The offset between a feed's clock and UTC, learnt from its stamps (`auto`) or given.

One object an endpoint. It is fed every stamp with the time of its receipt and decides by
these alone; it never reads a clock.
"""

from __future__ import annotations

import math
from typing import Literal

State = Literal["configured", "acquiring", "live", "history"]

QUARTER_S = 900
SLACK_S = 30.0
"""Stamps lag behind their clock and hardly lead: so much lead is not yet the next quarter."""


class ClockOffset:
    """`stamp_s - offset_s` is UTC. Provisional implementation: the first quarter found is kept."""

    def __init__(self, setting: Literal["auto"] | float, configured_s: float = 0.0) -> None:
        self.state: State
        self.offset_s: float
        self.state, self.offset_s = (
            ("acquiring", configured_s) if setting == "auto" else ("configured", float(setting))
        )
        self.changes = 0
        self.epoch = 0
        self._found = False

    def observe(self, stamp_s: float, receive_time_s: float, advancing: bool) -> None:
        """Learn from one stamp; `advancing` is false for a stamp that its symbol had before."""
        if self.state != "acquiring" or self._found or not advancing:
            return
        quarter_s = math.ceil((stamp_s - receive_time_s - SLACK_S) / QUARTER_S) * QUARTER_S
        if abs(quarter_s) > 14 * 3600:
            self.state = "history"
            return
        self._found = True
        self.epoch += quarter_s != self.offset_s
        self.offset_s = float(quarter_s)

    def is_future(self, stamp_s: float, receive_time_s: float) -> bool:
        """Whether the stamp lies more than 5 s ahead of its receipt; only judged when live."""
        return self.state == "live" and stamp_s - self.offset_s > receive_time_s + 5.0
