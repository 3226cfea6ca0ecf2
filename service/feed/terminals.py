"""Who sends the symbols: a symbol has one source at a time, and the terminal behind it lives."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from service.feed.symbol_feed import NEVER, SymbolFeed, Terminal

DROPPED_AFTER_S = 300.0
"""A terminal that is heard, but of one symbol no more, loses that one. So long without a tick has
ended the symbol's windows and, as they are followed by default, its paper positions: another's
first tick costs nothing then, however thin the symbol is."""


@dataclass(slots=True)
class Terminals:
    """Those that hold symbols, by endpoint and `node_id`; all times are receive times.

    One that was silent for `silence_s` loses its symbols to the next. Somewhat more than `most`
    are remembered. `stepped_s` is when UTC was last set: what lies before tells no age.
    """

    silence_s: float
    most: int
    known: dict[tuple[str, str], Terminal] = field(default_factory=dict)
    stepped_s: float = NEVER

    def of(self, sender: tuple[str, str], feeds: Iterable[SymbolFeed]) -> Terminal:
        """What all symbols of a terminal share; those that hold none of `feeds` are forgotten."""
        if sender not in self.known:
            if len(self.known) > self.most:
                holding = {id(feed.terminal) for feed in feeds}
                self.known = {key: one for key, one in self.known.items() if id(one) in holding}
            self.known[sender] = Terminal()
        return self.known[sender]

    def heard(self, sender: tuple[str, str], receive_time_s: float) -> None:
        """A tick came that another has: if it holds others, it lives."""
        if sender in self.known:
            self.known[sender].heard_s = receive_time_s

    def let_go(self, feed: SymbolFeed, receive_time_s: float) -> bool:
        """Whether its terminal sends nothing any more, or nothing of this symbol for long.

        A thin symbol rests for longer than `silence_s` though its terminal lives.
        """
        if receive_time_s - feed.seen_s <= self.silence_s:
            return False
        if receive_time_s - feed.terminal.heard_s > self.silence_s:
            return True
        return receive_time_s - max(feed.seen_s, self.stepped_s) > DROPPED_AFTER_S

    def clock_stepped(self, step_s: float) -> None:
        """UTC was set on by `step_s` (negative: back): receive times from before move with it."""
        for terminal in self.known.values():
            terminal.heard_s += step_s
        self.stepped_s = max((one.heard_s for one in self.known.values()), default=NEVER)
