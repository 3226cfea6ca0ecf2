"""The same backfill by one engine, one process, all cores and a Dask cluster; and a walk-forward.

    python scripts/bench_backfill.py FILE... [--signals 300] [--workers 2]     (make bench-backfill)

Each way's wall time and processor time, the memory of its largest process, and whether it gave
the same rows to the bit. The cluster is a scheduler and single-threaded workers of this machine,
so that it shows what distributing costs; what it gains shows with more machines.
"""

from __future__ import annotations

import argparse
import sqlite3
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests")]

from dask_cluster import cluster  # noqa: E402
from made_market import asked_of, signal_lines, write_lines  # noqa: E402
from oracles.serial_backfill import SEEN, serial  # noqa: E402
from processes import trainer  # noqa: E402
from scored_journal import write_journal  # noqa: E402

from service.config.settings import PaperSection  # noqa: E402
from service.console.exit_codes import OK  # noqa: E402
from training.backfill.rerun import settings_of  # noqa: E402
from training.backfill.stream import Event, StreamAccount, events, market_of  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--signals", type=int, default=300)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        begun = time.perf_counter()
        found = list(events(market_of(options.files), str, StreamAccount()))
        read_s = time.perf_counter() - begun
        quotes = [(e.stamp_s, e.symbol, e.values[0], e.values[1]) for e in found]
        lines = signal_lines(quotes, options.signals)
        path = write_lines(folder / "signals.jsonl", lines)
        print(f"{len(found):,} ticks of {len(options.files)} symbols, {len(lines)} signals")
        expected = one_engine(found, lines, read_s)
        del found
        command = ["backfill", *map(str, options.files), "--signals", str(path)]
        for what, more in (("one process", ["--jobs", "1"]), ("all cores", ["--jobs", "-1"])):
            timed(what, command, more, folder, expected)
        write_journal(folder / "journal.db", 5000, edge=0.2)
        walk = ["evaluate", "--report", str(folder / "page.html")]
        with cluster(folder, options.workers) as address:
            time.sleep(3.0)  # until the workers have said that they are there
            dask = ["--backend", "dask", "--scheduler", address]
            timed(f"Dask, {options.workers} workers", command, dask, folder, expected)
            print("walk-forward, gate and report on 5,000 samples")
            for what, more in (("all cores", ["--jobs", "-1"]), ("Dask", dask)):
                walked(what, [*walk, "--journal", str(folder / "journal.db")], more, folder)


def one_engine(
    found: list[Event], lines: list[dict[str, Any]], read_s: float
) -> dict[str, tuple[Any, ...]]:
    asked = asked_of(lines)
    begun = time.perf_counter()
    rows = serial(found, asked, settings_of(PaperSection(), deals=True))
    took_s = time.perf_counter() - begun + read_s
    print(f"  {'one engine, all in order':<24} {took_s:6.1f} s")
    return {name: tuple(getattr(one.score, key) for key in SEEN) for name, one in rows.items()}


def timed(
    what: str,
    command: list[str],
    more: list[str],
    folder: Path,
    expected: dict[str, tuple[Any, ...]],
) -> None:
    out = folder / "out.db"
    places = ["--journal", str(folder / "none.db"), "--output", str(out)]
    _, _, took_s, work_s, peak = trainer(*command, *places, *more)
    with closing(sqlite3.connect(out)) as made:
        rows = made.execute(f"select signal_id, {', '.join(SEEN)} from scores")
        got = {signal_id: tuple(values) for signal_id, *values in rows}
    same = "the same to the bit" if got == expected else "DIFFERENT"
    print(f"  {what:<24} {took_s:6.1f} s   {work_s:6.1f} s of work here, {peak:.0f} MiB, {same}")
    if got != expected:
        raise SystemExit(1)


def walked(what: str, command: list[str], more: list[str], folder: Path) -> None:
    models = ["--models", str(folder / "models")]
    code, said, took_s, work_s, peak = trainer(*command, *models, *more)
    if code != OK:
        raise SystemExit(said)
    verdict = next(line for line in said.splitlines() if line.startswith("would be"))
    print(f"  {what:<24} {took_s:6.1f} s   {work_s:6.1f} s of work here, {peak:.0f} MiB")
    print(f"    {verdict.partition(' The report')[0]}")


if __name__ == "__main__":
    main()
