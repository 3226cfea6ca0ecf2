"""How a client waits, checked once."""

from __future__ import annotations

import math
from numbers import Integral, Real

from protocol.connection import check_endpoint
from protocol.curve import CurveKeys, check_keys

DEFAULT_ENDPOINT = "tcp://127.0.0.1:5561"
MAX_TIMEOUT_MS = 3_600_000
MAX_RETRIES = 20
"""Each opens a socket, which takes of the budget without looking at it."""


class Options:
    """How a client waits, checked once; the same for the synchronous and the asynchronous one.

    `timeout_ms` is the budget of a whole call, retries included. After `open_after`
    time-outs in a row (0: never) calls are answered at once, and the service is probed
    every `probe_interval_s`, give or take a half. With `strict` a score raises
    ScorerUnavailable or ScorerRefused instead of returning the base score (a single signal refused
    within a batch still comes back with status `error`). `curve` are the keys for a service that
    asks for them.
    """

    def __init__(
        self,
        endpoint: str,
        timeout_ms: float,
        retries: int,
        *,
        strict: bool,
        open_after: int,
        probe_interval_s: float,
        curve: CurveKeys | None,
    ) -> None:
        """Raises ValueError for what cannot be meant."""
        # A clock's time and single precision add up to another day's.
        budget_ms, interval_s = _plain(timeout_ms), _plain(probe_interval_s)
        if not 0.0 < budget_ms <= MAX_TIMEOUT_MS:
            raise ValueError(f"timeout_ms must be above 0 and at most {MAX_TIMEOUT_MS}")
        if not _whole(retries) or not 0 <= retries <= MAX_RETRIES:
            raise ValueError(f"retries must be a whole number of 0..{MAX_RETRIES}")
        if not _whole(open_after) or open_after < 0:
            raise ValueError("open_after must be a whole number that is not negative")
        if not 0.0 < interval_s <= MAX_TIMEOUT_MS:
            raise ValueError("probe_interval_s must be above 0")
        self.endpoint = check_endpoint(endpoint)
        self.budget_s = budget_ms / 1000.0
        self.tries = int(retries) + 1
        self.strict = strict
        self.open_after = int(open_after)
        self.probe_interval_s = interval_s
        self.curve = check_keys(curve)


def _whole(value: object) -> bool:
    """Whether it is a whole number, numpy's too."""
    return isinstance(value, Integral) and not isinstance(value, bool)


def _plain(value: object) -> float:
    """A number as Python's own, numpy's too; NaN for what is none."""
    if isinstance(value, bool) or not isinstance(value, Real):
        return math.nan
    try:
        return float(value)
    except OverflowError:
        return math.inf
