"""The same backfill on a Dask cluster: a scheduler and two workers, processes of their own."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from made_market import made_market, quotes_of, signal_lines, write_lines

from service.journal_file import open_reader

pytest.importorskip("distributed", reason="dask is not installed")


@pytest.fixture(scope="module")
def scheduler(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a scheduler with two single-threaded workers."""
    folder = tmp_path_factory.mktemp("cluster")
    found = folder / "scheduler.json"
    dask = [sys.executable, "-m", "dask"]
    place = ["--scheduler-file", str(found)]
    commands = [
        [*dask, "scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard", *place],
        *2 * [[*dask, "worker", *place, "--nthreads", "1", "--no-nanny", "--no-dashboard"]],
    ]
    started = []
    try:
        for number, command in enumerate(commands):
            with (folder / f"{number}.log").open("wb") as log:
                started.append(subprocess.Popen(command, cwd=folder, stdout=log, stderr=log))
        deadline = time.monotonic() + 60
        while not found.exists() or not found.read_text().strip():
            assert time.monotonic() < deadline, (folder / "0.log").read_text()
            time.sleep(0.05)
        yield json.loads(found.read_text())["address"]
    finally:
        for process in reversed(started):
            process.kill()  # a worker may wait long for its scheduler to say goodbye
        for process in started:
            process.wait(30)


@pytest.fixture
def market(tmp_path: Path) -> Path:
    return made_market(tmp_path)


def backfilled(folder: Path, market: Path, *more: str) -> subprocess.CompletedProcess[str]:
    path = write_lines(folder / "signals.jsonl", signal_lines(quotes_of(market), 60))
    command = [
        sys.executable, "-m", "training", "backfill", str(market), "--signals", str(path),
        "--journal", str(folder / "journal.db"), "--output", str(folder / "out.db"), *more,
    ]  # fmt: skip
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def rows(folder: Path) -> list[list[Any]]:
    with closing(open_reader(folder / "out.db")) as reader:
        return [
            reader.execute(f"select * from {table} order by seq").fetchall()
            for table in ("scores", "outcomes")
        ]


def test_a_cluster_gives_the_bits_of_one_process(
    tmp_path: Path, market: Path, scheduler: str
) -> None:
    there = backfilled(tmp_path, market, "--backend", "dask", "--scheduler", scheduler)
    assert there.returncode == 0, there.stderr
    assert "2 threads of Dask workers" in there.stderr
    on_cluster = rows(tmp_path)
    assert backfilled(tmp_path, market, "--jobs", "1").returncode == 0
    assert len(on_cluster[0]) == 60
    # Row by row: the first one that differs is shown whole.
    for there_rows, here_rows in zip(on_cluster, rows(tmp_path), strict=True):
        for on_it, alone in zip(there_rows, here_rows, strict=True):
            assert on_it == alone


WALK = """
import sys
import numpy as np
from sample_rows import sample_rows
from training.walk_forward import Rhythm, walk_forward
from training.workers import Place, workers

def fit(part):
    level = float(np.mean(part.x[:, 8]))
    return lambda x: np.clip(0.5 + (x[:, 8] - level) / 200, 0.01, 0.99)

place = Place(1, sys.argv[1] if sys.argv[1:] else None)
with workers(place) as pool:
    walk = walk_forward(sample_rows(400, edge=0.3), fit, Rhythm(), spread=pool.map)
    print(walk.p.tobytes().hex())
"""


def test_a_walk_forward_on_a_cluster_gives_the_same_bits(scheduler: str) -> None:
    here, there = (
        subprocess.run(
            [sys.executable, "-c", WALK, *more],
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
            cwd=Path(__file__).parents[1],
        ).stdout
        for more in ([], [scheduler])
    )
    assert len(here) > 1000
    assert here == there


def test_a_scheduler_that_is_not_there_is_a_sentence(tmp_path: Path, market: Path) -> None:
    result = backfilled(tmp_path, market, "--backend", "dask", "--scheduler", "tcp://127.0.0.1:1")
    assert result.returncode == 69
    assert "no Dask scheduler answers at tcp://127.0.0.1:1" in result.stderr
    assert "Traceback" not in result.stderr
    assert not list(tmp_path.glob("*out.db*"))
