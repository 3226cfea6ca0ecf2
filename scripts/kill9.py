"""kill -9 under load, again and again: what was answered is on disk, and it is soon back.

    make kill9        (.venv/bin/python scripts/kill9.py --rounds 100)

Two clients score without a pause and a feed of 500 ticks/s goes on, with bursts of batches;
at a random moment the process is killed and started again on the same address, journal and
model. After each kill the file must be intact (PRAGMA integrity_check), before anybody has
recovered it, and hold every score and outcome that was answered `journalled`. Printed: the
times from start to READY (and what of it the process was busy itself) and to the first answer,
and what was compared.
Exit code 1 where a row is missing, the file is not whole, or READY took two seconds.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import sqlite3
import statistics
import sys
import tempfile
import threading
import time
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from background import meanwhile
from harness import Feed, Service
from processes import cpu_s
from serving import published_model, tick

from protocol.client import ScorerClient
from protocol.messages import ScoreReply
from protocol.questions import ScorerRefused, ScorerUnavailable
from service.journal.records import ScoreRow
from service.journal.spool import read_spool, spool_path

SYMBOLS = ("EURUSD", "GBPUSD", "XAUUSD")
READY_LIMIT_S = 2.0


class Asking:
    """Scores, batches and outcomes without a pause; keeps what was answered."""

    def __init__(self, address: str, prefix: str) -> None:
        self.scores: list[ScoreReply] = []
        self.outcomes: list[str] = []
        self.first_s: float | None = None
        self._address, self._prefix = address, prefix

    def run(self, stop: threading.Event) -> None:
        with ScorerClient(self._address, timeout_ms=400, retries=0, open_after=0) as client:
            number = 0
            while not stop.is_set():
                number += 1
                name = f"{self._prefix}-{number}"
                if number % 10:
                    signal = {"direction": "BUY", "signal_id": name}
                    found = [client.score(SYMBOLS[number % 3], number % 100, **signal)]
                else:
                    batch = [
                        {"symbol": "EURUSD", "base_score": 1.0, "signal_id": f"{name}-{at}"}
                        for at in range(8)
                    ]
                    found = client.score_many(batch)
                if found[0].status == "unreachable":
                    continue
                self.first_s = self.first_s or time.monotonic()
                self.scores += found
                if number % 5 == 0:
                    self._report(client, found[0])

    def _report(self, client: ScorerClient, score: ScoreReply) -> None:
        try:
            if client.outcome("WIN", score_id=score.score_id)["journalled"]:
                self.outcomes.append(score.score_id)
        except (ScorerUnavailable, ScorerRefused):
            return


def ticking(feed: Feed, stop: threading.Event) -> None:
    """The feed at 500 ticks/s."""
    rng = random.Random(3)
    while not stop.wait(0.02):
        for _ in range(10):
            feed.send(tick(rng.choice(SYMBOLS), time.time(), bid=1.1 + rng.random() * 1e-3))


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--rounds", type=int, default=100)
    options.add_argument("--longest-s", type=float, default=0.6, help="under load before a kill")
    options.add_argument("--seed", type=int, default=9)
    given = options.parse_args()
    rng = random.Random(given.seed)
    with tempfile.TemporaryDirectory(prefix="kill9-") as place:
        folder = Path(place)
        published_model(folder / "models", time.time())
        feed = Feed()
        with closing(Service(folder, feed)) as service:
            held = rounds(service, feed, given.rounds, given.longest_s, rng)
    sys.exit(0 if held else 1)


def rounds(service: Service, feed: Feed, count: int, longest_s: float, rng: random.Random) -> bool:
    """Kill `count` times; False where something was lost or slow."""
    ready, busy, first, wrong = [], [], [], []
    scores = outcomes = wal_bytes = 0
    for number in range(count):
        started_s = time.monotonic()
        service.start()
        assert service.process
        ready.append(time.monotonic() - started_s)
        busy.append(cpu_s(service.process.pid))
        asked_s = time.monotonic()
        asking = [Asking(service.address, f"{number}{name}") for name in "ab"]
        with meanwhile(partial(ticking, feed), *(one.run for one in asking)):
            time.sleep(0.15 + rng.uniform(0.0, longest_s))  # the moment is what varies
            service.kill()
        # Before the next start: nobody has had the chance to mend anything.
        wal = service.journal_path.with_name("journal.db-wal")
        wal_bytes = max(wal_bytes, wal.stat().st_size if wal.exists() else 0)
        scores += sum(len(one.scores) for one in asking)
        outcomes += sum(len(one.outcomes) for one in asking)
        first += [one.first_s - asked_s for one in asking if one.first_s]
        wrong += [f"kill {number}: {text}" for text in lost(service.journal_path, asking)]
    begun_s = time.monotonic()
    service.start()
    print(f"{count} kills, {scores} answered scores and {outcomes} outcomes compared")
    print(f"largest WAL found {wal_bytes / 2**20:.1f} MiB")
    print(f"start to READY (and subscribed): median {statistics.median(ready):.3f} s, "
          f"most {max(ready):.3f} s")  # fmt: skip
    print(f"of that busy itself: median {statistics.median(busy):.3f} s, most {max(busy):.3f} s; "
          f"load of the machine {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors; "
          f"journal {service.journal_path.stat().st_size / 2**20:.0f} MiB")  # fmt: skip
    print(f"first answer after that: median {1e3 * statistics.median(first):.1f} ms, "
          f"most {1e3 * max(first):.1f} ms")  # fmt: skip
    print(f"after the last kill ready in {time.monotonic() - begun_s:.3f} s, exit code "
          f"{service.terminate()[0]} at SIGTERM")  # fmt: skip
    for text in wrong[:10]:
        print("NOT  " + text)
    print(f"{len(wrong)} things wrong")
    return not wrong and max(ready) < READY_LIMIT_S


def lost(journal: Path, asking: list[Asking]) -> list[str]:
    """What an intact copy of the file lacks of what was answered."""
    with tempfile.TemporaryDirectory(prefix="kill9-copy-") as place:
        for part in journal.parent.glob(journal.name + "*"):
            shutil.copy(part, place)
        connection = sqlite3.connect(Path(place) / journal.name)
        try:
            return compared(connection, asking, spooled(Path(place) / journal.name))
        except sqlite3.Error as error:
            return [f"the file: {error}"]
        finally:
            connection.close()


def spooled(journal: Path) -> dict[str, float]:
    """Promised scores that wait beside the file for the next start, by score id."""
    columns = ScoreRow.__struct_fields__
    named = (dict(zip(columns, row, strict=True)) for row in read_spool(spool_path(journal)))
    return {row["score_id"]: row["final_score"] for row in named}


def compared(
    connection: sqlite3.Connection, asking: list[Asking], waiting: dict[str, float]
) -> list[str]:
    found = [str(row[0]) for row in connection.execute("PRAGMA integrity_check")]
    wrong = [] if found == ["ok"] else found[:3]
    kept: dict[str, Any] = dict(connection.execute("SELECT score_id, final_score FROM scores"))
    kept |= waiting
    ended = {row[0] for row in connection.execute("SELECT score_id FROM outcomes")}
    for one in asking:
        for reply in one.scores:
            if not reply.journalled:
                wrong.append(f"{reply.score_id} {reply.status} was not journalled: {reply.error}")
            elif kept.get(reply.score_id) != reply.final_score:
                wrong.append(f"{reply.score_id} is not in the journal as answered")
        wrong += [f"outcome of {name} is lost" for name in one.outcomes if name not in ended]
    return wrong


if __name__ == "__main__":
    main()
