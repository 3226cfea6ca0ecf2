"""Forests of the same samples are grown once a process of the tests, not in each training anew."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier

MOST = 200
"""Forests kept, of less than 1 MB each."""


_learnt: dict[bytes, dict[str, Any]] = {}


@contextmanager
def grown_once() -> Iterator[None]:
    """Whoever fits a forest as another one was fitted is given what that one has learnt.

    Parameters, samples and weights say all of a fit that has a seed, but how many cores it took.
    """
    grow = RandomForestClassifier.fit

    def fit(
        forest: RandomForestClassifier, x: Any, y: Any, sample_weight: Any = None
    ) -> RandomForestClassifier:
        asked = forest.get_params()
        if asked["random_state"] is None:
            return grow(forest, x, y, sample_weight)
        said = [repr(sorted((asked | {"n_jobs": None}).items())).encode()]
        said += [
            repr(None if a is None else (a.dtype, a.shape)).encode() + np.asarray(a).tobytes()
            for a in (x, y, sample_weight)
        ]
        key = hashlib.sha256(b"".join(said)).digest()
        if key not in _learnt:
            grow(forest, x, y, sample_weight)
            if len(_learnt) == MOST:
                del _learnt[next(iter(_learnt))]
            _learnt[key] = dict(vars(forest))
        vars(forest).update(_learnt[key] | asked)
        return forest

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(RandomForestClassifier, "fit", fit)
        yield
