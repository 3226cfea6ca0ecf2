"""Signals and outcomes of a log by the column: a million of them take a quarter of a gigabyte.

As objects they would take three times as much. The rule: what goes in comes out equal, and
nothing but an id or a symbol is kept as an object. NaN stands for what is not known: JSON has
no NaN.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping
from math import nan

from training.truth_log.lines import Outcome, Signal, disagree, merged

_SIGNAL_NUMBERS = 5
_OUTCOME_NUMBERS = 6
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

    `conflicting` are the ids whose lines speak of different trades.
    """

    def __init__(self) -> None:
        self.conflicting: set[str] = set()
        self._rows: dict[str, int] = {}
        self._symbols = Texts()
        self._symbol = array("i")
        self._direction = array("b")
        self._numbers = array("d")

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
        first = row * _SIGNAL_NUMBERS
        time_s, entry, stop, target, base_score = self._numbers[first : first + _SIGNAL_NUMBERS]
        return Signal(
            signal_id,
            self._symbols.text(self._symbol[row]),
            self._direction[row],
            _known(time_s),
            _known(entry),
            _known(stop),
            _known(target),
            _known(base_score),
        )

    def know(self, signal: Signal) -> int:
        """Take what one more line says of its signal; returns the row."""
        rows = self._rows
        row = rows.setdefault(signal.signal_id, len(rows))
        if row == len(self._symbol):
            self._symbol.append(self._symbols.number(signal.symbol))
            self._direction.append(signal.direction)
            self._numbers.extend(_numbers_of(signal))
            return row
        known = self.at(signal.signal_id, row)
        if disagree(known, signal):
            self.conflicting.add(signal.signal_id)
        together = merged(known, signal)
        if together is not known:
            self._symbol[row] = self._symbols.number(together.symbol)
            self._direction[row] = together.direction
            first = row * _SIGNAL_NUMBERS
            self._numbers[first : first + _SIGNAL_NUMBERS] = array("d", _numbers_of(together))
        return row


class Outcomes(Mapping[str, Outcome]):
    """The outcomes of signals: all that were told while the log is read, then the believed ones.

    As a mapping it is of the believed, by signal id, each with all that is known of its signal.
    """

    def __init__(self, signals: Signals) -> None:
        self._signals = signals
        self._believed = 0
        self._of_signal = array("i")
        self._before = array("i")
        self._words = Texts()
        self._win = array("b")
        self._word = array("i")
        self._numbers = array("d")

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

    def add(self, row: int, outcome: Outcome) -> None:
        """One more outcome of the signal in this row."""
        of_signal = self._of_signal
        if len(of_signal) <= row:
            of_signal.extend([NONE] * (row + 1 - len(of_signal)))
        self._believed += of_signal[row] == NONE
        self._before.append(of_signal[row])
        of_signal[row] = len(self._win)
        self._win.append(outcome.win)
        self._word.append(self._words.number(outcome.word))
        self._numbers.extend(
            [
                nan if number is None else number
                for number in (
                    outcome.completed_s,
                    outcome.watched_from_s,
                    outcome.runtime_s,
                    outcome.exit,
                    outcome.pips,
                    outcome.realised_r,
                )
            ]
        )

    def told(self) -> Iterator[tuple[int, Signal, list[Outcome]]]:
        """Each signal that has outcomes with its row and all of them, in the order of the lines."""
        for name, row in self._signals.rows():
            number = self._newest(row)
            if number == NONE:
                continue
            signal = self._signals.at(name, row)
            found = []
            while number != NONE:
                found.append(self._at(number, signal))
                number = self._before[number]
            yield row, signal, found[::-1]

    def believe(self, row: int, place: int | None) -> None:
        """Of a signal's outcomes keep the one at this place of the list, or none."""
        numbers = []
        number = self._newest(row)
        while number != NONE:
            numbers.append(number)
            number = self._before[number]
        self._of_signal[row] = NONE if place is None else numbers[::-1][place]
        self._believed -= place is None

    def _newest(self, row: int) -> int:
        return self._of_signal[row] if row < len(self._of_signal) else NONE

    def _at(self, number: int, signal: Signal) -> Outcome:
        first = number * _OUTCOME_NUMBERS
        numbers = self._numbers[first : first + _OUTCOME_NUMBERS]
        completed_s, watched_s, runtime_s, leave, pips, realised_r = numbers
        return Outcome(
            signal,
            bool(self._win[number]),
            self._words.text(self._word[number]) or "",
            _known(completed_s),
            _known(watched_s),
            _known(runtime_s),
            _known(leave),
            _known(pips),
            _known(realised_r),
        )


def _numbers_of(signal: Signal) -> list[float]:
    told = (signal.time_s, signal.entry, signal.stop, signal.target, signal.base_score)
    return [nan if number is None else number for number in told]


def _known(number: float) -> float | None:
    return number if number == number else None  # noqa: PLR0124  NaN alone is unlike itself
