"""Results that end before now: because nothing came, or because signals may still run."""

from __future__ import annotations

import pytest
from signal_weeks import MONDAY_S, WEEKS, weeks_of_signals

from training.bound import DAY_S
from training.gain import WEEK_S
from training.results import describe
from training.wording import WIDTH

NEWEST = "the newest signals whose time is over and whose outcome is known are of"
OLD = "the newest signal with an outcome that counts is of"
END_S = MONDAY_S + WEEKS * WEEK_S


@pytest.mark.parametrize(
    ("later_d", "holding_d", "said"),
    [
        (6.9, 0.0, ""),
        (7.1, 0.0, f"{OLD} 2025-10-05; 3 weeks up to then"),
        (10.1, 10.0, f"{NEWEST} 2025-10-05; 3 weeks up to then"),
        (18.1, 10.0, f"{OLD} 2025-10-05; 3 weeks up to then"),
    ],
)
def test_signals_that_may_still_run_are_not_called_missing(
    later_d: float, holding_d: float, said: str
) -> None:
    rows = weeks_of_signals(600, edge=0.0)
    now_s = END_S + later_d * DAY_S
    shown = list(describe(rows, {}, weeks=3, now_s=now_s, holding_s=holding_d * DAY_S))
    assert " ".join(shown).startswith(said)
    assert ("up to then" in " ".join(shown)) == bool(said)
    assert max(map(len, shown)) <= WIDTH
