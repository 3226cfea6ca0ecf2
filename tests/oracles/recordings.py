"""Recorded markets as arrays, with the ticks that count picked out by the rules' own words.

The rule: read and judged here a second time, with numpy, sharing nothing with the service's
readers and intake, so that an agreement of the two is worth something.
"""

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from oracles.feature_oracle import Recording

Quote = tuple[float, str, float, float, float]
"""Time in UTC s, symbol, bid, ask, size of the deal (0: none)."""


@dataclass(frozen=True)
class SymbolRows:
    """What counts of one symbol, and the number of the row that each tick came in."""

    recording: Recording
    tick_rows: npt.NDArray[np.int64]

    def ticks_before(self, row: int) -> int:
        """How many ticks that count are among the first `row` rows."""
        return int(np.searchsorted(self.tick_rows, row))


def quotes_of(paths: Iterable[Path]) -> list[Quote]:
    """All quotes of the files in order of time; rows without a whole quote are left out."""
    quotes = [quote for path in paths for quote in _read(path)]
    return sorted(quotes, key=lambda quote: quote[0])


def by_symbol(quotes: list[Quote]) -> dict[str, SymbolRows]:
    """The ticks that count: not crossed, above zero, not late, no repeats (none holds a spike)."""
    names = np.array([quote[1] for quote in quotes])
    numbers = np.array([(q[0], q[2], q[3], q[4]) for q in quotes])
    return {
        str(name): _symbol_rows(np.flatnonzero(names == name), numbers) for name in np.unique(names)
    }


def _symbol_rows(rows: npt.NDArray[np.int64], numbers: npt.NDArray[np.float64]) -> SymbolRows:
    time, bid, ask, deal = numbers[rows].T
    sound = (bid > 0) & (ask >= bid)
    rows, time, bid, ask, deal = (column[sound] for column in (rows, time, bid, ask, deal))
    timely = time >= np.maximum.accumulate(time)
    rows, time, bid, ask, deal = (column[timely] for column in (rows, time, bid, ask, deal))
    # Two equal ticks in a row: the first counts, and so the comparison is with it all the same.
    again = np.zeros(len(time), dtype=bool)
    again[1:] = (np.diff(time) == 0) & (np.diff(bid) == 0) & (np.diff(ask) == 0)
    again &= deal == 0
    columns = (column[~again] for column in (time, bid, ask, deal))
    return SymbolRows(Recording(*columns), rows[~again])


def _read(path: Path) -> Iterator[Quote]:
    with gzip.open(path, "rt", encoding="ascii") as lines:
        table = csv.DictReader(lines)
        if "kind" in (table.fieldnames or ()):
            yield from _events(table)
        elif "volume" in (table.fieldnames or ()):
            for row in table:
                if row["bid"] and row["ask"]:
                    end_s = int(row["ts_ms"]) / 1000 + 60
                    bid, ask, volume = float(row["bid"]), float(row["ask"]), row["volume"] or 0
                    yield end_s, row["symbol"], bid, ask, float(volume)
        else:
            symbol = next(part for part in path.name.split("_") if "." in part).split(".")[0]
            for row in table:
                yield int(row["ts_ms"]) / 1000, symbol, float(row["bid"]), float(row["ask"]), 0.0


def _events(table: Iterable[dict[str, str]]) -> Iterator[Quote]:
    """Best quotes, and trades at the last of them."""
    last: dict[str, tuple[float, float]] = {}
    for row in table:
        time_s, symbol = int(row["recv_ms"]) / 1000, row["symbol"]
        if row["kind"] == "Q":
            last[symbol] = float(row["bid"]), float(row["ask"])
            yield time_s, symbol, *last[symbol], 0.0
        elif symbol in last:
            yield time_s, symbol, *last[symbol], float(row["qty"])
