"""A Dask cluster of this machine: a scheduler and workers, processes of their own."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def cluster(folder: Path, workers: int) -> Iterator[str]:
    """The address of a scheduler with so many single-threaded workers; logs are in `folder`."""
    found = folder / "scheduler.json"
    dask = [sys.executable, "-m", "dask"]
    place = ["--scheduler-file", str(found), "--no-dashboard"]
    commands = [[*dask, "scheduler", "--host", "127.0.0.1", "--port", "0", *place]]
    commands += workers * [[*dask, "worker", *place, "--nthreads", "1", "--no-nanny"]]
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
            process.wait(60)
