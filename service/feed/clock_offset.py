"""The offset between a feed's clock and UTC, learnt from its stamps (`auto`) or given.

One object an endpoint. It is told every stamp with the time of its receipt and decides by
these alone. Its rule: one stamp may place a feed that has no place yet; nothing but ten
stamps over ten seconds, agreeing and advancing at the wall's rate, confirms it or moves one
that is confirmed.

    acquiring --confirmed--> live        live, acquiring --runs ahead, or far away--> history
    acquiring --jumped away--> acquiring, other offset
    history --confirmed--> live          live --confirmed elsewhere--> live, other offset

`lead` is stamp minus receive time: a live feed's lead is its offset less its latency, so
that the upper envelope of the leads, rounded up to a quarter of an hour, is the offset. A
recording that ends now lies behind the present and so rounds up to its clock's offset too.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

State = Literal["configured", "acquiring", "live", "history"]

QUARTER_S = 900
MAX_OFFSET_S = 14 * 3600
SLACK_S = 30.0
"""Stamps lag behind their clock and hardly lead: so much lead is not yet the next quarter."""

FUTURE_S = SLACK_S
"""What leads by more is in the future. Were it less, a feed between the two would be refused for
ever: its offset is that of this quarter."""

CONFIRM_STAMPS = 10
CONFIRM_S = 10.0
CONFIRM_DRIFTED_S = 60.0
"""A lead that jumped is confirmed in CONFIRM_S; one that crept to another quarter (the wall
clock was set, or the feed is a recording played too fast) is watched for longer."""

RATE_TOLERANCE_S = 3.0
"""While being confirmed, the envelope may move so much and still advance at the wall's rate."""

JUMP_S = 600.0
"""A step of the lead by this much or more is a jump; less is a stream that runs on."""

MOVED_STAMPS = 20
"""A feed that nothing has confirmed yet and that jumps is another feed (one recording after
another): so many stamps in a row away from the offset place it anew."""

AHEAD_STEP_S = 10.0
AHEAD_GAIN_S = 100.0
"""A stream is history once it ran AHEAD_GAIN_S beyond its offset, counting AHEAD_STEP_S of a
single step at most, so that it takes ten steps and no single wrong stamp does it."""


@dataclass(slots=True)
class _Run:
    """Stamps that agree on one quarter, and on the rate at which the wall advances."""

    quarter_s: int
    jumped: bool
    comparable: bool
    since_s: float
    first_lead_s: float
    top_lead_s: float
    seen_s: float
    stamps: int = 0

    def add(self, lead_s: float, receive_time_s: float) -> None:
        """Count one more stamp; one that leads by too much more begins the run anew."""
        if lead_s > self.first_lead_s + RATE_TOLERANCE_S or receive_time_s < self.since_s:
            self.since_s = receive_time_s
            self.first_lead_s = self.top_lead_s = lead_s
            self.stamps = 0
        if lead_s > self.top_lead_s:  # noqa: PLR1730 - with every stamp of a feed that is not calm
            self.top_lead_s = lead_s
        self.seen_s = receive_time_s
        self.stamps += 1

    def is_confirmed_by(self, lead_s: float, receive_time_s: float, needed_s: float) -> bool:
        """Whether the stamp just added completes it; a stream that falls behind never does."""
        return (
            self.stamps >= CONFIRM_STAMPS
            and receive_time_s - self.since_s >= needed_s
            and lead_s >= self.top_lead_s - RATE_TOLERANCE_S
        )


class ClockOffset:
    """`stamp_s - offset_s` is UTC seconds.

    `setting`: `auto`, or the offset in seconds, which then holds (`state` `configured`).
    `configured_s` holds while `auto` knows none: before the first stamp and in `history`.
    `changes` counts how often the offset in use changed after the first was found; `epoch`
    goes up when event times from before cannot be compared with those that follow. Over a
    daylight saving change they can: stamp and offset moved together.
    """

    def __init__(self, setting: Literal["auto"] | float, configured_s: float = 0.0) -> None:
        self.state: State = "acquiring" if setting == "auto" else "configured"
        self.offset_s = float(configured_s if setting == "auto" else setting)
        self.changes = 0
        self.epoch = 0
        self._configured_s = float(configured_s)
        self._placed = False
        self._proven = False
        self._run: _Run | None = None
        self._last_lead_s: float | None = None
        self._last_receive_s = -math.inf
        self._far = 0
        self._ahead_lead_s = -math.inf
        self._ahead_s = 0.0
        self._moved = 0
        self._moved_quarter_s = 0
        self._calm_from_s = self._calm_to_s = -math.inf

    @property
    def is_known(self) -> bool:
        """Whether the offset was given, or learnt from more than what may be a closed market's."""
        return self._proven or self.state == "configured"

    def observe(self, stamp_s: float, receive_time_s: float, first: bool = False) -> None:
        """Learn from a stamp that is newer than the one its symbol sent before it.

        Whether or not that was accepted: after a clock was set back all stamps are older than
        the last accepted one and still advance among themselves. Quotes sent again at the
        weekend keep an old stamp and prove nothing.

        `first`: nothing was heard of its symbol before, so that it may be the last quote of a
        closed market. It places what only such quotes have placed lower, and nothing else.
        """
        if self.state == "configured":
            return
        lead_s = stamp_s - receive_time_s
        if self._calm_from_s < lead_s <= self._calm_to_s:
            self._last_lead_s = lead_s
            self._last_receive_s = receive_time_s
            return
        quarter_s = math.ceil((lead_s - SLACK_S) / QUARTER_S) * QUARTER_S
        far = abs(quarter_s) > MAX_OFFSET_S
        places = not self._placed or (not self._proven and quarter_s > self.offset_s)
        if first and (far or not places):
            return
        self._calm_to_s = -math.inf
        self._proven = not first
        if far:
            self._observe_far()
        else:
            self._far = 0
            if places:
                self._place(quarter_s)
            if self.state == "acquiring":
                if quarter_s == self.offset_s:
                    self._moved = 0
                elif self._has_moved(quarter_s, lead_s):
                    self._use(self._moved_quarter_s, "acquiring", comparable=False)
            if self.state != "history" and self._runs_ahead(lead_s):
                self._enter_history(comparable=self.offset_s == self._configured_s)
            else:
                self._follow(quarter_s, lead_s, receive_time_s)
        self._last_lead_s = lead_s
        self._last_receive_s = receive_time_s

    def is_future(self, stamp_s: float, receive_time_s: float) -> bool:
        """Whether the stamp lies more than 30 s ahead of its receipt; only judged when live."""
        return self.state == "live" and stamp_s - self.offset_s > receive_time_s + FUTURE_S

    def _place(self, quarter_s: int) -> None:
        """The first stamp that can be one: usable at once, confirmed later."""
        self._placed = True
        self.epoch += quarter_s != self.offset_s
        self.offset_s = float(quarter_s)

    def _has_moved(self, quarter_s: int, lead_s: float) -> bool:
        """Whether an unconfirmed feed jumped and stays away from its offset; this stamp does."""
        if self._moved == 0:
            if self._last_lead_s is None or abs(lead_s - self._last_lead_s) < JUMP_S:
                return False
            self._moved_quarter_s = quarter_s
        self._moved += 1
        self._moved_quarter_s = max(self._moved_quarter_s, quarter_s)
        return self._moved >= MOVED_STAMPS

    def _observe_far(self) -> None:
        """Further away than any clock: history at once, but ten in a row where a feed was."""
        self._far += 1
        if self.state != "history" and (not self._placed or self._far >= CONFIRM_STAMPS):
            self._enter_history(comparable=not self._placed)

    def _runs_ahead(self, lead_s: float) -> bool:
        """Whether the stream has left its offset forwards, step by step rather than at once."""
        edge_s = self.offset_s + SLACK_S
        if lead_s <= edge_s:
            self._ahead_lead_s = edge_s
            self._ahead_s = 0.0
        elif lead_s > self._ahead_lead_s:
            step_s = lead_s - max(self._ahead_lead_s, edge_s)
            self._ahead_lead_s = lead_s
            self._ahead_s += min(step_s, AHEAD_STEP_S)
        return self._ahead_s >= AHEAD_GAIN_S

    def _enter_history(self, comparable: bool) -> None:
        self._use(self._configured_s, "history", comparable)
        self._placed = True

    def _follow(self, quarter_s: int, lead_s: float, receive_time_s: float) -> None:
        """Gather agreement on the highest quarter that persists; act when it is confirmed."""
        run = self._run
        stale = run is not None and receive_time_s - run.seen_s > CONFIRM_S
        if run is not None and quarter_s < run.quarter_s and not stale:
            return  # lags behind the envelope
        if self.state == "live" and quarter_s == self.offset_s:
            self._run = None  # the feed is where it was
            # While it stays there a stamp changes nothing, and on a live feed nearly all do.
            self._calm_to_s = self.offset_s + SLACK_S
            self._calm_from_s = self._calm_to_s - QUARTER_S + 1.0
            return
        if run is None or quarter_s != run.quarter_s:
            run = self._run = self._begin_run(quarter_s, lead_s, receive_time_s)
        run.add(lead_s, receive_time_s)
        if receive_time_s - run.since_s < CONFIRM_S:
            return
        quick = run.jumped or self.state == "acquiring"
        if run.is_confirmed_by(lead_s, receive_time_s, CONFIRM_S if quick else CONFIRM_DRIFTED_S):
            self._use(quarter_s, "live", run.comparable and self.state == "live")

    def _begin_run(self, quarter_s: int, lead_s: float, receive_time_s: float) -> _Run:
        last_s = self._last_lead_s
        jumped = last_s is not None and abs(lead_s - last_s) >= JUMP_S
        # Where the wall clock was set back, new event times lie before the old ones.
        comparable = jumped and receive_time_s > self._last_receive_s - JUMP_S
        return _Run(quarter_s, jumped, comparable, receive_time_s, lead_s, lead_s, receive_time_s)

    def _use(self, offset_s: float, state: State, comparable: bool) -> None:
        changed = offset_s != self.offset_s
        self.changes += changed
        self.epoch += not comparable and (changed or state == "history")
        self.offset_s = float(offset_s)
        self.state = state
        self._moved = 0
        self._run = None
        self._ahead_lead_s = -math.inf
        self._ahead_s = 0.0
