"""The same backfill on a Dask cluster: a scheduler and two workers, processes of their own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from dask_cluster import cluster
from made_market import made_market, quotes_of, signal_lines, write_lines
from serving import rows
from trained import give

pytest.importorskip("distributed", reason="dask is not installed")


@pytest.fixture(scope="module")
def scheduler(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with cluster(tmp_path_factory.mktemp("cluster"), 2) as address:
        yield address


@pytest.fixture
def market(tmp_path: Path) -> Path:
    return made_market(tmp_path)


def arguments(folder: Path, market: Path) -> list[str]:
    path = write_lines(folder / "signals.jsonl", signal_lines(quotes_of(market), 60))
    return [
        "backfill", str(market), "--signals", str(path),
        "--journal", str(folder / "journal.db"), "--output", str(folder / "out.db"),
    ]  # fmt: skip


def on_dask(command: list[str], scheduler: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "training", *command, "--backend", "dask", "--scheduler", scheduler],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def made(folder: Path) -> list[list[dict[str, Any]]]:
    return [
        rows(folder / "out.db", f"select * from {table} order by seq")
        for table in ("scores", "outcomes")
    ]


def test_a_cluster_gives_the_bits_of_one_process(
    tmp_path: Path, market: Path, scheduler: str
) -> None:
    command = arguments(tmp_path, market)
    there = on_dask(command, scheduler)
    assert there.returncode == 0, there.stderr
    assert "2 threads of Dask workers" in there.stderr
    on_cluster = made(tmp_path)
    assert give(*command, "--jobs", "1").exit_code == 0
    assert len(on_cluster[0]) == 60
    # Row by row: the first one that differs is shown whole.
    for there_rows, here_rows in zip(on_cluster, made(tmp_path), strict=True):
        for on_it, alone in zip(there_rows, here_rows, strict=True):
            assert on_it == alone


WALK = """
import sys
import numpy as np
from sample_rows import sample_rows
from training.walk_forward import walk_forward
from training.dataset.join_rules import Rhythm
from training.workers import Place, workers

def fit(part):
    level = float(np.mean(part.x[:, 8]))
    return lambda x: np.clip(0.5 + (x[:, 8] - level) / 200, 0.01, 0.99)

for place in (Place(1, None), Place(1, sys.argv[1])):
    with workers(place) as pool:
        walk = walk_forward(sample_rows(400, edge=0.3), fit, Rhythm(), spread=pool.map)
        print(pool.where.split()[0], walk.p.tobytes().hex())
"""


def test_a_walk_forward_on_a_cluster_gives_the_same_bits(scheduler: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WALK, scheduler],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
        cwd=Path(__file__).parents[1],
    )
    (alone, here), (spread, there) = map(str.split, done.stdout.splitlines())
    assert (alone, spread) == ("this", "2")
    assert len(here) > 1000
    assert here == there


def test_a_scheduler_that_is_not_there_is_a_sentence(tmp_path: Path, market: Path) -> None:
    result = on_dask(arguments(tmp_path, market), "tcp://127.0.0.1:1")
    assert result.returncode == 69
    assert "no Dask scheduler answers at tcp://127.0.0.1:1" in result.stderr
    assert "Traceback" not in result.stderr
    assert not list(tmp_path.glob("*out.db*"))
