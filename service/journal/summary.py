"""What a journal holds, in lines for people."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from service.console import words
from service.console.printable import printable
from service.journal.file import bytes_of, wal_of
from service.journal.reading import Summary
from service.spans import DAY_S


def lines(path: Path, found: Summary) -> Iterator[str]:
    """Size, rows by kind and status, and the pace."""
    size = bytes_of(path)
    yield f"journal    {path}, schema {found.schema}"
    yield f"size       {words.amount(size)}, and {words.amount(bytes_of(wal_of(path)))} of its WAL"
    yield f"scores     {found.scores:,}" + (f"  {_counts(found.by_status)}" if found.scores else "")
    for (source, word), count in sorted(found.by_outcome.items(), key=lambda item: -item[1]):
        yield f"outcomes   {count:,} {printable(word)} ({source})"
    yield f"paper      {words.counted(found.open_positions, 'position')} open"
    yield f"events     {found.events:,}"
    if found.first_s is None or found.last_s is None:
        return
    yield f"from       {words.stamp(found.first_s)} UTC"
    yield f"to         {words.stamp(found.last_s)} UTC"
    days = (found.last_s - found.first_s) / DAY_S
    if days >= 1.0:
        a_day = found.scores / days
        growth = size * 365.0 / days
        yield f"pace       {a_day:,.0f} scores a day; at this pace {words.amount(growth)} a year"


def _counts(counts: dict[str, int]) -> str:
    named = sorted(counts.items(), key=lambda item: -item[1])
    return "(" + ", ".join(f"{count:,} {name}" for name, count in named) + ")"
