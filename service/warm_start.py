"""What is taken up of the journal: bars, recent replies, paper positions; warm at once.

The rule: each file that is the journal is read once, as soon as it works: a start that finds it
held, or another one while its disk is not there, loses nothing. What cannot be read where rows
can be written is damaged: that is told once, costs its own part alone and holds up no answer. A
part that is read twice is there once.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import structlog

from service.bar_keeping import BarKeeping
from service.engine import Engine
from service.journal.file import FileId
from service.journal.read_back import last_seq, load_replies
from service.journal.records import Remembered
from service.journal.writer import Journal
from service.paper_keeping import PaperKeeping

log = structlog.get_logger("scorer")

_as_reply = msgspec.msgpack.Decoder(dict[str, object]).decode

LOOKS = 2
"""A fault may have passed while the journal was opened again; what faults twice stays so."""


class WarmStart:
    """Reads the parts in their order, those first that need no write."""

    def __init__(
        self, engine: Engine, journal: Journal, bars: BarKeeping, paper: PaperKeeping
    ) -> None:
        self._engine = engine
        self._journal = journal
        self._bars = bars
        # What cannot be dropped, at the end, has cost nothing of what was there to be read.
        self._parts: dict[str, Callable[[float], None]] = {
            "bars": bars.restore,
            "replies": self._restore_replies,
            "positions": paper.restore,
            "rows of others": bars.drop_others,
        }
        self._file: FileId | None = None
        self._whole = False
        self._errors_told = 0

    def begin(self, utc_s: float) -> None:
        """Read what there is, unless the journal fails: then it is read when it works again."""
        parts = self._parts.items()
        self._whole = all(self._read(name, take_up, utc_s) for name, take_up in parts)
        self._file = self._journal.file
        log.info("restored", symbols=len(self._engine.intake.feeds), whole=self._whole)

    def go_on(self, utc_s: float) -> None:
        """The journal works again: read it if that has failed so far, or if it is another file.

        One that was begun just now has nothing, and one that comes late, with its disk, all.
        """
        self._errors_told = self._journal.errors
        if self._journal.file == self._file:
            self._bars.doubt()
        else:
            self._bars.forget()
            self._whole = False
        if self._whole:
            # The clock may have been set meanwhile.
            self._read("bars", self._bars.look_ahead, utc_s)
        else:
            self.begin(utc_s)

    def _read(self, name: str, take_up: Callable[[float], None], utc_s: float) -> bool:
        """Take up a part, or say what keeps it; False where nothing can be written either."""
        for _ in range(LOOKS):
            take_up(utc_s)
            fault = self._journal.fault
            if fault is None:
                self._tell_errors()
                return True
            if not self._journal.recover(utc_s):
                return False
            self._errors_told = self._journal.errors
        log.error("a part of the journal is damaged", part=name, fault=fault)
        if name == "bars":
            self._bars.leave()
        return True

    def _tell_errors(self) -> None:
        errors = self._journal.errors - self._errors_told
        if errors:
            log.warning("damaged rows in the journal were left out", errors=errors)
        self._errors_told = self._journal.errors

    def _restore_replies(self, utc_s: float) -> None:
        self._journal.catch_up()
        self._engine.number_above(last_seq(self._journal))
        config = self._engine.config
        since_s = utc_s - config.score.retry_window_s
        limit = config.limits.remembered_replies
        for signal_id, known in load_replies(self._journal, since_s, utc_s, limit):
            self._remember(signal_id, known)

    def _remember(self, signal_id: str, known: Remembered) -> None:
        try:
            _as_reply(known.reply)
        # Text that is none and nesting without end are no MsgspecError.
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            log.warning("reply not restored", signal_id=signal_id, error=str(error))
            return
        self._engine.remember(signal_id, known)
