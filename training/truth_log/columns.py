"""Signals and outcomes of a log by the column: a million of them take a quarter of a gigabyte.

As objects they would take three times as much. The rule: what goes in comes out equal, and
nothing but an id or a symbol is kept as an object. NaN stands for what is not known: JSON has
no NaN.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping
from math import nan
from struct import Struct, calcsize

from training.truth_log.lines import SAME_TRADE_S, Outcome, Signal, disagree, merged

_SIGNAL = Struct("<ib5d")
"""Symbol, direction, time, entry, stop, target, base score."""

_OUTCOME = Struct("<ibb9d")
"""Word, win, whether its stop is beyond the entry (1) and it ran too far (2), times of end and
watch, runtime, exit, pips, R, stop, target, entry."""

_WIN_AT, _AGAIN_AT = calcsize("<i"), calcsize("<ib")
NONE = -1


class Texts:
    """Few texts, each kept once and known by a number."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._texts: list[str] = []

    def number(self, text: str | None) -> int:
        """The text's number; NONE for None."""
        if text is None:
            return NONE
        known = self._numbers.get(text)
        if known is None:
            known = self._numbers[text] = len(self._texts)
            self._texts.append(text)
        return known

    def text(self, number: int) -> str | None:
        """The text of a number."""
        return None if number == NONE else self._texts[number]


class Signals(Mapping[str, Signal]):
    """What is known of each signal, by id; later lines complete earlier ones.

    Symbol and levels are the signal's own before those of its end, when a stop may have moved.
    `conflicting` are the ids whose lines speak of different trades.
    """

    def __init__(self) -> None:
        self.conflicting: set[str] = set()
        self._rows: dict[str, int] = {}
        self._symbols = Texts()
        self._table = bytearray()
        self._told_again = bytearray()
        self._has_own_levels = bytearray()

    def __getitem__(self, signal_id: str) -> Signal:
        return self.at(signal_id, self._rows[signal_id])

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    def rows(self) -> Iterator[tuple[str, int]]:
        """Each id with the number of its row, rising from 0."""
        return iter(self._rows.items())

    def row(self, signal_id: str) -> int | None:
        """The number of a signal's row."""
        return self._rows.get(signal_id)

    def at(self, signal_id: str, row: int) -> Signal:
        """The signal in a row, whose id one has at hand."""
        symbol, direction, *numbers = _SIGNAL.unpack_from(self._table, row * _SIGNAL.size)
        return Signal(signal_id, self._symbols.text(symbol), direction, *_known(numbers))

    def know(self, signal: Signal, *, by_its_end: bool) -> int:
        """Take what its own line says of a signal, or one on what became of it; returns the row."""
        is_own = not (by_its_end or signal.entry is signal.stop is signal.target is None)
        rows = self._rows
        row = rows.setdefault(signal.signal_id, len(rows))
        if row == len(self._told_again):
            self._told_again.append(0)
            self._has_own_levels.append(is_own)
            self._table += self._packed(signal)
            return row
        self._told_again[row] = 1
        if self._says_nothing_new(signal, row):
            return row
        known = self.at(signal.signal_id, row)
        if disagree(known, signal):
            self.conflicting.add(signal.signal_id)
            return row
        goes_before = is_own and not self._has_own_levels[row]
        together = merged(known, signal, levels_of=signal if goes_before else known)
        self._has_own_levels[row] |= is_own
        if together is not known:
            first = row * _SIGNAL.size
            self._table[first : first + _SIGNAL.size] = self._packed(together)
        return row

    def is_told_once(self, row: int) -> bool:
        """Whether one line alone spoke of the signal in this row."""
        return not self._told_again[row]

    def has_own_levels(self, row: int) -> bool:
        """Whether the levels in this row are those of the signal's own line."""
        return bool(self._has_own_levels[row])

    def _says_nothing_new(self, signal: Signal, row: int) -> bool:
        """Sees what most completions are, by less work than merging takes."""
        if not (
            signal.entry is signal.stop is signal.target is signal.base_score is None
            and signal.direction == 0
        ):
            return False
        symbol, _, time_s, *_ = _SIGNAL.unpack_from(self._table, row * _SIGNAL.size)
        # Not so where no time was known: then it is NaN.
        is_timed = signal.time_s is None or abs(signal.time_s - time_s) <= SAME_TRADE_S
        return is_timed and signal.symbol in (None, self._symbols.text(symbol))

    def _packed(self, signal: Signal) -> bytes:
        time_s, entry, stop = signal.time_s, signal.entry, signal.stop
        target, base_score = signal.target, signal.base_score
        return _SIGNAL.pack(
            self._symbols.number(signal.symbol),
            signal.direction,
            nan if time_s is None else time_s,
            nan if entry is None else entry,
            nan if stop is None else stop,
            nan if target is None else target,
            nan if base_score is None else base_score,
        )


class Outcomes(Mapping[str, Outcome]):
    """The outcomes of signals: all that were told while the log is read, then the believed ones.

    As a mapping it is of the believed, by signal id, each with all that is known of its signal.
    """

    def __init__(self, signals: Signals) -> None:
        self._signals = signals
        self._believed = 0
        self._of_signal = array("i")
        # The outcome told before of the same signal, as long as one has been told again.
        self._before = array("i")
        self._words = Texts()
        self._count = 0
        self._table = bytearray()

    def __getitem__(self, signal_id: str) -> Outcome:
        row = self._signals.row(signal_id)
        number = NONE if row is None else self._newest(row)
        if row is None or number == NONE:
            raise KeyError(signal_id)
        return self._at(number, self._signals.at(signal_id, row))

    def __iter__(self) -> Iterator[str]:
        return (name for name, row in self._signals.rows() if self._newest(row) != NONE)

    def __len__(self) -> int:
        return self._believed

    def add(self, row: int, outcome: Outcome) -> bool:
        """Take one more outcome of the signal in this row; False for what the last one said too.

        That is not kept: a writer in a loop would fill the memory.
        """
        of_signal = self._of_signal
        if len(of_signal) <= row:
            of_signal.extend([NONE] * (row + 1 - len(of_signal)))
        before = of_signal[row]
        told = self._packed(outcome)
        if before == NONE:
            self._believed += 1
        elif told == self._row(before):
            return False
        else:
            self._before.extend(array("i", [NONE]) * (self._count - len(self._before)))
            self._before.append(before)
        of_signal[row] = self._count
        self._count += 1
        self._table += told
        return True

    def _packed(self, outcome: Outcome) -> bytes:
        completed_s, watched_s = outcome.completed_s, outcome.watched_from_s
        runtime_s, leave = outcome.runtime_s, outcome.exit
        pips, realised_r = outcome.pips, outcome.realised_r
        stop, target, entry = outcome.stop, outcome.target, outcome.entry
        return _OUTCOME.pack(
            self._words.number(outcome.word),
            outcome.win,
            outcome.beyond | outcome.far << 1,
            nan if completed_s is None else completed_s,
            nan if watched_s is None else watched_s,
            nan if runtime_s is None else runtime_s,
            nan if leave is None else leave,
            nan if pips is None else pips,
            nan if realised_r is None else realised_r,
            nan if stop is None else stop,
            nan if target is None else target,
            nan if entry is None else entry,
        )

    def told(self) -> Iterator[tuple[int, Signal, list[Outcome]]]:
        """Signals with their row and all their outcomes, in the order of the lines.

        Without those of which a single line spoke: its reader has judged that, but for
        its stop and for how far it ran.
        """
        for name, row in self._signals.rows():
            number = self._newest(row)
            if number == NONE or (self._signals.is_told_once(row) and not self._is_open(number)):
                continue
            signal = self._signals.at(name, row)
            yield row, signal, [self._at(one, signal) for one in self._numbers(number)]

    def won(self) -> int:
        """How many of the believed ones are wins, counted without making objects of them."""
        table, size = self._table, _OUTCOME.size
        return sum(table[number * size + _WIN_AT] for number in self._of_signal if number != NONE)

    def believe(self, row: int, place: int | None) -> None:
        """Of a signal's outcomes keep the one at this place of the list, or none."""
        if place is None:
            self._of_signal[row] = NONE
            self._believed -= 1
        else:
            self._of_signal[row] = self._numbers(self._newest(row))[place]

    def _numbers(self, newest: int) -> list[int]:
        """The numbers of a signal's outcomes, in the order of the lines."""
        numbers = [newest]
        before = self._before
        while numbers[-1] < len(before) and before[numbers[-1]] != NONE:
            numbers.append(before[numbers[-1]])
        return numbers[::-1]

    def _is_open(self, number: int) -> bool:
        return bool(self._table[number * _OUTCOME.size + _AGAIN_AT])

    def _row(self, number: int) -> bytearray:
        first = number * _OUTCOME.size
        return self._table[first : first + _OUTCOME.size]

    def _newest(self, row: int) -> int:
        return self._of_signal[row] if row < len(self._of_signal) else NONE

    def _at(self, number: int, signal: Signal) -> Outcome:
        word, win, again, *numbers = _OUTCOME.unpack_from(self._table, number * _OUTCOME.size)
        end_s, watched_s, runtime_s, leave, pips, r, stop, target, entry = _known(numbers)
        return Outcome(
            signal,
            bool(win),
            self._words.text(word) or "",
            end_s,
            watched_s,
            runtime_s,
            leave,
            pips,
            r,
            stop,
            target,
            entry,
            bool(again & 1),
            bool(again & 2),
        )


def _known(numbers: list[float]) -> list[float | None]:
    # NaN alone is unlike itself.
    return [number if number == number else None for number in numbers]  # noqa: PLR0124
