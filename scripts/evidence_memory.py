"""What the trainer and the hourly monitor need in memory, by the journal's age and the model's.

    python scripts/evidence_memory.py [--scores N ...] [--served N]     (make evidence-memory)

Each score has a paper outcome and a line in the truth log, a thousand come a day, and the model
has answered the last of them. The commands are the trainer's own.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from processes import Used, trainer

ROOT = Path(__file__).resolve().parents[1]
EVERY_S = 86.4
CHUNK = 5_000


def write(place: Path, scores: int, served: int) -> None:
    """A journal of so many scores, a truth log and a model that answered the last `served`."""
    sys.path.insert(0, str(ROOT / "tests"))
    from builders import model_of, small_model

    from service.journal.writer import Journal

    begin_s = time.time() - EVERY_S * (scores + 100)
    small_model(place / "models")
    version = model_of(place / "models").version
    rng = np.random.default_rng(1)
    journal = Journal(place / "journal.db")
    with (place / "truth_log.jsonl").open("w") as log:
        for first in range(0, scores, CHUNK):
            rows: list[object] = []
            for i in range(first, min(scores, first + CHUNK)):
                said = version if i >= scores - served else None
                rows += _one(i, begin_s + EVERY_S * i, said, rng)
                log.write(_line(i, begin_s + EVERY_S * i))
            journal.write(rows)  # type: ignore[arg-type]
    journal.close()


def _one(i: int, at_s: float, version: str | None, rng: np.random.Generator) -> list[object]:
    from scored_journal import outcome_row, score_row

    p = 0.5 if version else None
    status = "success" if version else "no_model"
    # A row takes 2.2 KB, most of them request and reply.
    more = {"request": bytes(700), "reply": bytes(900), "signal_id": _name(i, at_s)}
    answer = {"status": status, "win_probability": p, "model_version": version}
    row = score_row(
        i, rng.uniform(0.0, 100.0, 11), scored_at=at_s, event_time=at_s, **more, **answer
    )
    ended = {"signal_id": _name(i, at_s), "score_id": row.score_id, "source": "paper"}
    ends = {"closed_at": at_s + 900.0, "received_at": at_s + 900.0, "runtime_s": 900.0}
    return [row, outcome_row(i, bool(rng.random() < 0.5), realised_r=None, **ended, **ends)]


def _name(i: int, at_s: float) -> str:
    return f"ELITE_GUARD_EURUSD_{int(at_s)}{i % 10}"


def _line(i: int, at_s: float) -> str:
    stamp = datetime.fromtimestamp(at_s + 900.0, UTC).replace(tzinfo=None).isoformat()
    said = {"signal_id": _name(i, at_s), "symbol": "EURUSD", "completed": True}
    said |= {"outcome": "WIN_TP", "completed_at": stamp, "runtime_seconds": 900}
    return json.dumps(said) + "\n"


def used_by(place: Path, command: str, *, log: bool) -> Used:
    """One command on what was written."""
    asked = [command, "--journal", str(place / "journal.db"), "--models", str(place / "models")]
    asked += ["--truth-log", str(place / "truth_log.jsonl")] if log else []
    return trainer(*asked)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scores", type=int, nargs="+", default=[50_000, 200_000])
    parser.add_argument("--served", type=int, default=30_000)
    given = parser.parse_args()
    for log in (False, True):
        print("with a line each in the truth log" if log else "with a paper outcome each")
        before: dict[str, tuple[int, float]] = {}
        for scores in given.scores:
            with tempfile.TemporaryDirectory() as folder:
                write(Path(folder), scores, min(given.served, scores))
                for command in ("status", "monitor"):
                    code, _, took_s, _, mib = used_by(Path(folder), command, log=log)
                    print(
                        f"  {command:<8} {scores:>9,} scores {mib:6.0f} MiB {took_s:5.1f} s", end=""
                    )
                    if command in before:
                        n, less = before[command]
                        a_score = 1024.0 * (mib - less) / (scores - n)
                        print(f"  {a_score:.2f} KiB more for each further score", end="")
                    before[command] = scores, mib
                    print(f"  exit code {code}", flush=True)


if __name__ == "__main__":
    main()
