"""Journals with bits turned, pieces lost or rows of the wrong kind: it starts, serves and says so.

    .venv/bin/python -W error scripts/fuzz_journal.py [--files 3000] [--live 10] [--seed 1]

A journal with scores, outcomes, bars, paper positions and events is damaged (the file, its
WAL, or values in its tables), and the parts are started on it as `serve` does: restored,
asked, housekept, closed. What must hold: nothing is raised; every request is answered, with
`journalled` true or false; where false, there is a fault that health tells. `--live` starts
the process itself on some of them. Exit code 1 where something did not hold.
"""

from __future__ import annotations

import argparse
import logging
import random
import shutil
import sqlite3
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path

import structlog

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from harness import Service
from serving import START_S, ManualClock, Parts, published_model, tick

TABLES = ("scores", "lookup", "outcomes", "paper", "bars", "symbols", "events", "settings")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--files", type=int, default=3_000)
    options.add_argument("--live", type=int, default=10)
    options.add_argument("--seed", type=int, default=1)
    given = options.parse_args()
    quiet = structlog.make_filtering_bound_logger(logging.CRITICAL)
    structlog.configure(wrapper_class=quiet)
    rng, counts, found = random.Random(given.seed), Counter[str](), []
    begun_s = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="fuzz-journal-") as place:
        folder = Path(place)
        write(folder / "whole")
        for number in range(given.files):
            damaged = folder / "damaged"
            shutil.rmtree(damaged, ignore_errors=True)
            shutil.copytree(folder / "whole", damaged)
            how = damage(damaged, rng)
            try:
                counts[f"{how}: {lived(damaged)}"] += 1
            except Exception:
                found.append(f"{number} {how}: {traceback.format_exc(limit=-4)}")
        print(f"{given.files} journals in {time.monotonic() - begun_s:.0f} s")
        for word, count in counts.most_common():
            print(f"{count:>9}  {word}")
        for number in range(given.live):
            found += process(folder, number, rng)
    print(f"{given.live} of them before the process; {len(found)} findings")
    for one in found[:6]:
        print(one)
    sys.exit(1 if found else 0)


def write(folder: Path) -> None:
    """A journal with rows in every table, some of them still in its WAL."""
    parts = Parts(folder)
    parts.journal.open()
    parts.engine.install(published_model(folder / "models", START_S))
    parts.warm()
    for number in range(60):
        price = {"entry_price": 1.1, "stop_loss": 1.09, "take_profit": 1.12}
        reply = parts.score(signal_id=f"S{number}", direction="BUY", **price)
        parts.ask("outcome", outcome="WIN", score_id=reply["score_id"])
        parts.clock.advance(0.3)
        parts.feed(tick("EURUSD", parts.clock.utc_s()), tick("GBPUSD", parts.clock.utc_s()))
        parts.housekeeping.turn()
        if number == 30:
            parts.housekeeping.save_all()
            parts.journal.checkpoint()
    parts.housekeeping.event("written")
    parts.housekeeping.save_all()
    # Left open: what lies there is what a kill leaves.
    copy = folder.with_name("copy")
    shutil.copytree(folder, copy)
    parts.journal.close()
    shutil.rmtree(folder)
    copy.rename(folder)


def damage(folder: Path, rng: random.Random) -> str:
    """Do one thing to the file, its WAL or its values; says what."""
    journal = folder / "journal.db"
    how = rng.choice(("bits", "bits", "bits", "cut", "page", "wal", "values", "values", "table"))
    if how == "values":
        return values(journal, rng)
    if how == "table":
        with sqlite3.connect(journal) as connection:
            name = rng.choice(TABLES)
            connection.execute(f"DROP TABLE {name}")
        connection.close()
        return f"no table {name}"
    path = journal.with_name("journal.db-wal") if how == "wal" else journal
    content = bytearray(path.read_bytes())
    if how in ("bits", "wal"):
        # The header and the schema's page are where most of the meaning lies.
        end = rng.choice((100, 4096, len(content)))
        for _ in range(rng.choice((1, 8, 200))):
            content[rng.randrange(end)] ^= 1 << rng.randrange(8)
    elif how == "cut":
        del content[rng.randrange(len(content)) :]
    else:
        at = rng.randrange(0, len(content), 4096)
        content[at : at + 4096] = rng.choice((bytes(4096), rng.randbytes(4096)))
    path.write_bytes(content)
    return how


def values(journal: Path, rng: random.Random) -> str:
    """Set a column of some rows to what no writer of ours writes there."""
    odd = (None, -1, 1 << 62, 1e300, float("inf"), "", "x", "\0", b"", b"\xff\xc1", b"\x91" * 9)
    connection = sqlite3.connect(journal)
    name = rng.choice(("scores", "outcomes", "paper", "bars", "symbols", "events"))
    columns = [row[1] for row in connection.execute(f"PRAGMA table_info({name})")]
    column = rng.choice(columns)
    try:
        # Loosened, as another program's file may be: the types are to be distrusted.
        connection.execute("PRAGMA writable_schema=ON")
        sql = "UPDATE sqlite_schema SET sql = replace(sql, 'NOT NULL', '') WHERE name = ?"
        connection.execute(sql, (name,))
        connection.commit()
        connection.close()
        connection = sqlite3.connect(journal)
        limit = rng.choice((1, 1000))
        connection.execute(
            f"UPDATE OR REPLACE {name} SET {column} = ? WHERE random() % ? = 0",
            (rng.choice(odd), 1 if limit == 1000 else 7),
        )
        connection.commit()
    except sqlite3.Error as error:
        return f"values refused by SQLite ({type(error).__name__})"
    finally:
        connection.close()
    return f"values of {name}"


def lived(folder: Path) -> str:
    """Start the parts on it and use them; what it came to. Raises where something broke."""
    parts = Parts(folder, ManualClock(START_S + 25.0))
    parts.journal.open()
    parts.journal.checkpoint()
    parts.housekeeping.restore()
    parts.watch.poll_once()
    replies = [parts.score(signal_id="S59", direction="BUY"), parts.score(signal_id="new")]
    replies += [parts.ask("outcome", outcome="WIN", signal_id="S1"), parts.ask("stats")]
    for _ in range(25):
        parts.clock.advance(0.5)
        parts.feed(tick("EURUSD", parts.clock.utc_s()))
        parts.housekeeping.turn()
    replies += [parts.score(signal_id="late"), parts.ask("features", symbol="EURUSD")]
    wrong = [reply for reply in replies if reply["ok"] is not True]
    if wrong:
        raise AssertionError(f"refused: {wrong}")
    health = parts.ask("health")
    kept = replies[-2]["journalled"]
    if not kept and not any("journal" in reason for reason in health["reasons"]):
        raise AssertionError(f"not journalled, and health says {health}")
    parts.housekeeping.save_all()
    parts.journal.close()
    return "journalled" if kept else "answered without the journal, and health says so"


def process(folder: Path, number: int, rng: random.Random) -> list[str]:
    """The process on a damaged journal: ready, answering, ended in order."""
    place = folder / f"live-{number}"
    shutil.copytree(folder / "whole", place)
    how = damage(place, rng)
    service = Service(place)
    try:
        service.start()
        with service.client() as client:
            client.score("EURUSD", 50.0)
            client.health()
        code, _ = service.terminate()
        return [] if code == 0 else [f"process, {how}: exit code {code}"]
    except Exception as fault:
        return [f"process, {how}: {fault!r} {service.log[-3:]}"]
    finally:
        service.close()


if __name__ == "__main__":
    main()
