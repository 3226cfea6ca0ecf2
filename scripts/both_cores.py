"""Two processes for what evidence takes long to compute, and how far they are, on stderr."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from joblib import Parallel, delayed

from service.console.progress import show_progress

T = TypeVar("T")


def both_cores(function: Callable[..., T], jobs: Sequence[tuple[Any, ...]], name: str) -> list[T]:
    """The results in order; how far it is goes to stderr."""
    done = []
    with show_progress(sys.stderr) as progress:
        for result in Parallel(2, return_as="generator")(delayed(function)(*job) for job in jobs):
            done.append(result)
            progress.step(name, len(done), len(jobs))
    return done
