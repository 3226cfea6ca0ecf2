"""Recorded markets as arrays, with the ticks that count picked out by the rules' own words.

The rule: read and judged here a second time, with numpy, sharing nothing with the service's
readers and intake, so that an agreement of the two is worth something.
"""

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
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


def quotes_of(paths: Iterable[Path], limit: int | None = None) -> list[Quote]:
    """The first quotes of the files in order of time; rows without a whole quote are left out."""
    # Each file is in that order: what is among the first of all is among the first of its own.
    quotes = [quote for path in paths for quote in islice(_read(path), limit)]
    return sorted(quotes, key=lambda quote: quote[0])[:limit]


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
        table = csv.reader(lines)
        names = next(table)
        column = names.index
        bid_at, ask_at = column("bid"), column("ask")
        if "kind" in names:
            yield from _events(names, table)
        elif "volume" in names:
            at, symbol_at, volume_at = column("ts_ms"), column("symbol"), column("volume")
            for row in table:
                if row[bid_at] and row[ask_at]:
                    end_s = int(row[at]) / 1000 + 60
                    bid, ask, volume = float(row[bid_at]), float(row[ask_at]), row[volume_at] or 0
                    yield end_s, row[symbol_at], bid, ask, float(volume)
        else:
            symbol = next(part for part in path.name.split("_") if "." in part).split(".")[0]
            at = column("ts_ms")
            for row in table:
                yield int(row[at]) / 1000, symbol, float(row[bid_at]), float(row[ask_at]), 0.0


def _events(names: list[str], table: Iterable[list[str]]) -> Iterator[Quote]:
    """Best quotes, and trades at the last of them."""
    wanted = ("recv_ms", "symbol", "kind", "bid", "ask", "qty")
    at, symbol_at, kind_at, bid_at, ask_at, qty_at = map(names.index, wanted)
    last: dict[str, tuple[float, float]] = {}
    for row in table:
        time_s, symbol = int(row[at]) / 1000, row[symbol_at]
        if row[kind_at] == "Q":
            last[symbol] = float(row[bid_at]), float(row[ask_at])
            yield time_s, symbol, *last[symbol], 0.0
        elif symbol in last:
            yield time_s, symbol, *last[symbol], float(row[qty_at])
