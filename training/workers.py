"""Where work in pieces is done: here, in processes of this machine, or on a Dask cluster.

The rule: results come in the order of the tasks, whoever worked them out, and no more than
two rounds of tasks are held at once. Tasks are read while the round before is worked on.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Any, NamedTuple, TypeVar
from urllib.parse import urlsplit

import numpy as np

import protocol
from protocol.schema import FINGERPRINT
from service.console import exit_codes

Task = TypeVar("Task")
Done = TypeVar("Done")

TASKS_A_WORKER = 4
CONNECT_S = 10.0


class WorkersError(Exception):
    """There is nobody to do the work; the text says what to do."""

    exit_code = exit_codes.UNAVAILABLE


class Place(NamedTuple):
    """`jobs` processes here (-1: one a core, 1: this one alone), or `scheduler` of a cluster."""

    jobs: int = -1
    scheduler: str | None = None


class Workers:
    """Maps a function over tasks. `count` workers, `where` for people."""

    def __init__(self, parallel: Any, count: int, where: str) -> None:
        self._parallel = parallel
        self.count = count
        self.where = where

    def map(self, work: Callable[[Task], Done], tasks: Iterable[Task]) -> Iterator[Done]:
        """Results in the order of the tasks; raises what the work or the tasks raise."""
        if self._parallel is None:
            yield from map(work, tasks)
            return
        from joblib import delayed

        remaining = iter(tasks)
        at_work: Iterator[Done] = iter(())
        while batch := list(islice(remaining, TASKS_A_WORKER * self.count)):
            yield from at_work
            at_work = self._parallel(delayed(_alone)(work, task) for task in batch)
        yield from at_work


def _alone(work: Callable[[Task], Done], task: Task) -> Done:
    """One task on one worker: joblib would spread what it does inside over the cluster again."""
    from joblib import parallel_config

    with parallel_config(backend="sequential"):
        return work(task)


@contextmanager
def workers(place: Place) -> Iterator[Workers]:
    """The workers while they are needed. Raises WorkersError."""
    if place.scheduler is not None:
        with _cluster(place.scheduler) as found:
            yield found
        return
    from joblib import Parallel, effective_n_jobs

    count = effective_n_jobs(place.jobs)
    if count == 1:
        yield Workers(None, 1, "this process")
        return
    with Parallel(n_jobs=count, return_as="generator", pre_dispatch="all") as parallel:
        yield Workers(parallel, count, f"{count} processes")


@contextmanager
def _cluster(scheduler: str) -> Iterator[Workers]:
    """An existing scheduler's workers, who must be of our version: other code, other bits."""
    try:
        from distributed import Client
    except ImportError:
        raise WorkersError(
            "Dask is not installed here: pip install --require-hashes -r requirements/dask.txt"
        ) from None
    from joblib import Parallel, parallel_config

    try:
        _knock(scheduler)
        connect: Any = Client
        client = connect(scheduler, timeout=CONNECT_S, set_as_default=False)
    except (OSError, ValueError, TimeoutError) as error:
        raise WorkersError(
            f"no Dask scheduler answers at {scheduler} ({error}); start one with `dask scheduler`, "
            "or name its address as it says it (tcp://HOST:8786)"
        ) from None
    with client:
        count = _ready(client, scheduler)
        with (
            parallel_config(backend="dask", client=client),
            Parallel(return_as="generator", pre_dispatch="all", batch_size=1) as parallel,
        ):
            yield Workers(parallel, count, f"{count} threads of Dask workers at {scheduler}")


def _knock(scheduler: str) -> None:
    """Whether anybody listens there at all: Dask would try again and again. Raises OSError."""
    where = urlsplit(scheduler)
    if where.hostname is None or where.port is None:
        raise ValueError("no address of the form tcp://HOST:PORT")
    with socket.create_connection((where.hostname, where.port), timeout=CONNECT_S):
        pass


def _ready(client: Any, scheduler: str) -> int:
    """The number of threads. Raises WorkersError where there is none, or one that differs."""
    try:
        client.wait_for_workers(1, timeout=CONNECT_S)
        versions = client.run(version)
    except TimeoutError:
        raise WorkersError(
            f"no worker is connected to {scheduler}; start some with `dask worker {scheduler}`"
        ) from None
    except Exception as error:
        raise WorkersError(
            f"the workers of {scheduler} cannot run this program ({error!r}); install the same "
            "version of it beside them"
        ) from None
    ours = version()
    for address, theirs in versions.items():
        if theirs != ours:
            raise WorkersError(
                f"the worker {address} has {theirs}, here is {ours}: install the same version "
                "and lock file there"
            )
    threads: int = sum(client.ncores().values())
    return threads


def version() -> str:
    """What decides the bits of a result: this program, its features, numpy."""
    return f"signal-scorer {protocol.__version__}, features {FINGERPRINT}, numpy {np.__version__}"
