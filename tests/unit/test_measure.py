"""What a signal made is known, or said not to be: never half of it."""

from __future__ import annotations

import numpy as np
from sample_rows import sample_rows

from training.measure import net_r

NAN = np.nan


def test_r_is_realised_else_by_terms_else_unknown_for_wins_and_losses_alike() -> None:
    rows = sample_rows(
        6,
        win=np.array([True, False, True, False, True, False]),
        realised_r=np.array([1.2, -0.8, NAN, NAN, NAN, NAN]),
        reward_risk=np.array([2.0, 2.0, 1.5, 1.5, NAN, NAN]),
        cost_r=np.array([0.1, 0.1, 0.1, 0.1, 0.1, NAN]),
    )
    assert np.allclose(net_r(rows), [1.2, -0.8, 1.4, -1.1, NAN, NAN], equal_nan=True)


def test_terms_say_nothing_of_an_end_at_neither_level() -> None:
    rows = sample_rows(
        3,
        win=np.array([True, False, True]),
        realised_r=np.array([NAN, NAN, 0.3]),
        reward_risk=np.full(3, 2.0),
        at_level=np.zeros(3, dtype=np.bool_),
    )
    assert np.allclose(net_r(rows), [NAN, NAN, 0.3], equal_nan=True)
