"""What all lines say together: later lines complete earlier ones of the same signal.

The ledger believes an outcome only once it fits everything that any line says about its
signal, whatever the order of the lines. Counts add up: lines = blank + waiting + signals
+ usable outcomes + refused.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import cast

import msgspec

from training.truth_log.files import lines_of
from training.truth_log.lines import Line, Outcome, Reason, Signal, disagree, merged
from training.truth_log.plausible import Rules, doubt
from training.truth_log.shapes import read


class TruthLog(msgspec.Struct, frozen=True):
    """Signals and usable outcomes by signal id, and an account of every line read."""

    signals: dict[str, Signal]
    outcomes: dict[str, Outcome]
    lines: int
    blank: int
    waiting: int
    signal_lines: int
    shapes: dict[str, int]
    refused: dict[Reason, int]
    problems: tuple[str, ...]


def read_truth_logs(paths: Iterable[Path], rules: Rules) -> TruthLog:
    """Read plain or gzipped logs of any mixture of shapes, in one pass. Never raises."""
    ledger = _Ledger(rules)
    for path in paths:
        for raw in lines_of(path, ledger.problems.append):
            ledger.add(raw)
    return ledger.settle()


class _Ledger:
    """Lines in, one account out."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.problems: list[str] = []
        self._decode = msgspec.json.Decoder(Line).decode
        self._signals: dict[str, Signal] = {}
        self._outcomes: dict[str, Outcome | list[Outcome]] = {}
        self._conflicting: set[str] = set()
        self._counts: Counter[str] = Counter()
        self._shapes: Counter[str] = Counter()
        self._refused: Counter[Reason] = Counter()

    def add(self, raw: bytes | None) -> None:
        """Take one line with its newline; None for one that was too long to keep."""
        self._counts["lines"] += 1
        if raw is None:
            self._refused[Reason.TOO_LONG] += 1
            return
        try:
            line = self._decode(raw)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            self._undecodable(raw)
            return
        shape, said = read(line, self.rules)
        self._shapes[shape] += 1
        if isinstance(said, Signal):
            self._counts["signal_lines"] += 1
            self._know(said)
        elif isinstance(said, Outcome):
            self._keep(said, self._know(said.signal))
        else:
            self._refused[said.reason] += 1
            if said.signal is not None:
                self._know(said.signal)

    def settle(self) -> TruthLog:
        """Judge each outcome against all that is known of its signal."""
        # In place: the outcomes of a large log are most of what this process holds.
        for signal_id in list(self._outcomes):
            kept = self._outcomes[signal_id]
            candidates = kept if isinstance(kept, list) else [kept]
            outcome = self._settle_one(self._signals[signal_id], candidates)
            if outcome is None:
                del self._outcomes[signal_id]
            else:
                self._outcomes[signal_id] = outcome
        usable = cast("dict[str, Outcome]", self._outcomes)
        return TruthLog(
            self._signals,
            usable,
            self._counts["lines"],
            self._counts["blank"],
            self._counts["waiting"],
            self._counts["signal_lines"],
            dict(self._shapes.most_common()),
            dict(self._refused.most_common()),
            tuple(self.problems),
        )

    def _settle_one(self, signal: Signal, candidates: list[Outcome]) -> Outcome | None:
        if signal.signal_id in self._conflicting:
            self._refused[Reason.CONTRADICTING_SIGNALS] += len(candidates)
            return None
        believed: list[Outcome] = []
        for outcome in candidates:
            reason = doubt(signal, outcome, self.rules)
            if reason is None:
                believed.append(outcome)
            else:
                self._refused[reason] += 1
        if len({outcome.win for outcome in believed}) > 1:
            self._refused[Reason.CONTRADICTING] += len(believed)
            return None
        if not believed:
            return None
        if len(believed) > 1:
            self._refused[Reason.REPEATED] += len(believed) - 1
        # The first to say so; lines without a time speak last.
        first = min(believed, key=lambda o: (o.completed_s is None, o.completed_s or 0.0))
        return first if first.signal is signal else msgspec.structs.replace(first, signal=signal)

    def _know(self, signal: Signal) -> Signal:
        """All that is known of the signal with this line."""
        known = self._signals.setdefault(signal.signal_id, signal)
        if known is signal:
            return known
        if disagree(known, signal):
            self._conflicting.add(signal.signal_id)
        together = merged(known, signal)
        if together != known:
            self._signals[known.signal_id] = known = together
        return known

    def _keep(self, outcome: Outcome, known: Signal) -> None:
        # One signal object for all its lines: most of a large log's memory is signals.
        outcome = msgspec.structs.replace(outcome, signal=known)
        signal_id = known.signal_id
        kept = self._outcomes.get(signal_id)
        if kept is None:
            self._outcomes[signal_id] = outcome
        elif isinstance(kept, list):
            kept.append(outcome)
        else:
            self._outcomes[signal_id] = [kept, outcome]

    def _undecodable(self, raw: bytes) -> None:
        text = raw.strip()
        if not text:
            self._counts["blank"] += 1
        elif not raw.endswith(b"\n"):
            # Its writer is not done with it; the next run reads it whole.
            self._counts["waiting"] += 1
        else:
            self._refused[_why_undecodable(text)] += 1


def _why_undecodable(text: bytes) -> Reason:
    try:
        value = msgspec.json.decode(text)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return Reason.NOT_JSON
    return Reason.WRONG_TYPE if isinstance(value, dict) else Reason.NOT_AN_OBJECT
