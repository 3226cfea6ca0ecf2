"""What all lines say together: later lines complete earlier ones of the same signal.

The ledger believes an outcome only once it fits everything that any line says about its
signal, whatever the order of the lines. Counts add up, unless `only` passes lines
over: lines = blank + waiting + signals + usable outcomes + refused.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Mapping
from pathlib import Path

import msgspec
from msgspec.structs import replace

from training.truth_log.columns import Outcomes, Signals
from training.truth_log.files import MOVED, Seen, lines_of
from training.truth_log.lines import Line, Outcome, Reason, Signal, other_r
from training.truth_log.plausible import ReadingRules, doubt
from training.truth_log.shapes import read


class TruthLog(msgspec.Struct, frozen=True):
    """Signals and usable outcomes by signal id, and an account of every line read.

    `won` of the usable outcomes are wins; `even` are the ids of signals that a line says to have
    ended at break-even.
    """

    signals: Signals
    outcomes: Mapping[str, Outcome]
    won: int
    lines: int
    blank: int
    waiting: int
    signal_lines: int
    shapes: dict[str, int]
    refused: dict[Reason, int]
    problems: tuple[str, ...]
    even: frozenset[str] = frozenset()


def read_truth_logs(
    paths: Iterable[Path], rules: ReadingRules, only: Container[str] | None = None
) -> TruthLog:
    """Read plain or gzipped logs of any mixture of shapes, in one pass. Never raises.

    With `only`, lines that bear none of these ids are counted as lines, and nothing else is made
    of them.
    """
    ledger = _Ledger(rules, only)
    for path, before in [(path, Seen.of(path)) for path in paths]:
        ledger.read(path, before)
    return ledger.settle()


class _Ledger:
    """Lines in, one account out."""

    def __init__(self, rules: ReadingRules, only: Container[str] | None) -> None:
        self.rules = rules
        self._only = only
        self.problems: list[str] = []
        self._decode = msgspec.json.Decoder(Line).decode
        self._signals = Signals()
        self._outcomes = Outcomes(self._signals)
        self._lines = self._signal_lines = 0
        self._counts: Counter[str] = Counter()
        self._shapes: Counter[str] = Counter()
        self._refused: Counter[Reason] = Counter()
        self._even: set[str] = set()

    def read(self, path: Path, before: Seen | None) -> None:
        """Take a file's lines; `before` is what bore its name when reading began."""
        found = Seen.of(path)
        if found is not None or before is None:  # else there is nothing that an error could tell of
            for raw in lines_of(path, self.problems.append):
                self.add(raw)
        if before is not None and (before.is_moved(found) or before.is_cut(Seen.of(path))):
            self.problems.append(f"{path}: {MOVED}")

    def add(self, raw: bytes | None) -> None:
        """Take one line with its newline; None for one that was too long to keep."""
        self._lines += 1
        if raw is None:
            self._refused[Reason.TOO_LONG] += 1
            return
        if not raw or raw.isspace():
            self._counts["blank"] += 1
            return
        try:
            line = self._decode(raw)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            self._undecodable(raw)
            return
        if self._only is not None and str(line.signal_id) not in self._only:
            return
        shape, said = read(line, self.rules)
        self._shapes[shape] += 1
        if isinstance(said, Signal):
            self._signal_lines += 1
            self._signals.know(said, by_its_end=False)
        elif isinstance(said, Outcome):
            # A stop that can be none of the signal's is not taken for it, whoever else tells of it.
            signal = said.signal if not said.beyond else replace(said.signal, stop=None)
            row = self._signals.know(signal, by_its_end=True)
            if not self._outcomes.add(row, said):
                self._refused[Reason.REPEATED] += 1
        else:
            self._refused[said.reason] += 1
            if said.signal is not None:
                self._signals.know(said.signal, by_its_end=True)
                if said.reason is Reason.BREAK_EVEN:
                    self._even.add(said.signal.signal_id)

    def settle(self) -> TruthLog:
        """Judge each outcome against all that is known of its signal."""
        for row, signal, told in self._outcomes.told():
            place = self._believed(row, signal, told)
            if place is None or len(told) > 1:
                self._outcomes.believe(row, place)
        return TruthLog(
            self._signals,
            self._outcomes,
            self._outcomes.won(),
            self._lines,
            self._counts["blank"],
            self._counts["waiting"],
            self._signal_lines,
            dict(self._shapes.most_common()),
            dict(self._refused.most_common()),
            tuple(self.problems),
            frozenset(self._even),
        )

    def _believed(self, row: int, signal: Signal, told: list[Outcome]) -> int | None:
        """The place of the outcome to believe; None where there is none, its refusal counted."""
        if signal.signal_id in self._signals.conflicting:
            self._refused[Reason.CONTRADICTING_SIGNALS] += len(told)
            return None
        if len(told) == 1 and self._doubt(row, signal, told[0]) is None:
            return 0  # as most are
        places: list[int] = []
        for place, outcome in enumerate(told):
            reason = self._doubt(row, signal, outcome)
            if reason is None:
                places.append(place)
            else:
                self._refused[reason] += 1
        if len({told[place].win for place in places}) > 1:
            self._refused[Reason.CONTRADICTING] += len(places)
            return None
        if not places:
            return None
        # The first to say so; lines without a time speak last.
        first, *later = sorted(
            places, key=lambda at: (told[at].completed_s is None, told[at].completed_s or 0.0)
        )
        for place in later:
            corrects = other_r(told[first].realised_r, told[place].realised_r)
            self._refused[Reason.OTHER_R if corrects else Reason.REPEATED] += 1
        return first

    def _doubt(self, row: int, signal: Signal, outcome: Outcome) -> Reason | None:
        if outcome.beyond and (signal.stop is None or not self._signals.has_own_levels(row)):
            return Reason.IMPOSSIBLE_LEVELS
        return doubt(signal, outcome, self.rules)

    def _undecodable(self, raw: bytes) -> None:
        reason = _why_undecodable(raw.strip())
        if reason is Reason.NOT_JSON and not raw.endswith(b"\n"):
            # Its writer is not done with it; the next run reads it whole.
            self._counts["waiting"] += 1
        else:
            self._refused[reason] += 1


def _why_undecodable(text: bytes) -> Reason:
    try:
        value = msgspec.json.decode(text)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return Reason.NOT_JSON
    return Reason.WRONG_TYPE if isinstance(value, dict) else Reason.NOT_AN_OBJECT
