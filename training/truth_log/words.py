"""The words of truth logs: outcomes, directions, sources, stamps, tests. Unknown stays unknown."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, tzinfo

from protocol.messages import LOSSES, WINS

_OPEN_ENDED = frozenset({"TIMEOUT", "EXPIRED"})
_PART = "PARTIAL"
_DIRECTIONS = {"BUY": 1, "LONG": 1, "SELL": -1, "SHORT": -1}
# TEST as a token of its own: TEST_1, X_TEST, TEST2, but not LATEST or TESTNET.
_TEST = re.compile(r"(?<![A-Za-z])TEST(?![A-Za-z])", re.IGNORECASE)
_EPOCH = datetime(1970, 1, 1)
_EARLIEST_S, _LATEST_S = 946_684_800.0, 4_102_444_800.0  # 2000 to 2100


def result(
    word: bool | str, realised_r: float | None = None, pips: float | None = None
) -> bool | None:
    """True for a win, False for a loss, None for a timeout without a result to go by.

    A timeout, an expiry or a CLOSED_... is judged by its realised R, else by its pips,
    where that is given and not zero. Raises KeyError for a word that is none of these, as a
    CLOSED_PARTIAL: the rest of the trade runs on.
    """
    if isinstance(word, bool):
        return word
    upper = word if word in WINS or word in LOSSES else word.strip().upper()
    if upper in WINS:
        return True
    if upper in LOSSES:
        return False
    if not is_open_ended(upper):
        raise KeyError(word)
    for value in (realised_r, pips):
        if value:
            return value > 0
    return None


def is_known(word: str) -> bool:
    """Whether a word is one of those that tell of an end, be it that of a part alone."""
    upper = word.strip().upper()
    return upper in WINS or upper in LOSSES or is_open_ended(upper) or _PART in upper


def is_open_ended(word: str) -> bool:
    """Whether a word says that it ended, at neither target nor stop or not at which."""
    upper = word.strip().upper()
    closed = upper == "CLOSED" or upper.startswith("CLOSED_")
    return upper in _OPEN_ENDED or (closed and _PART not in upper)


def direction(word: str | None) -> int:
    """+1 for BUY, -1 for SELL, 0 for anything else."""
    if not word:
        return 0
    known = _DIRECTIONS.get(word)
    return known if known is not None else _DIRECTIONS.get(word.strip().upper(), 0)


def is_test(signal_id: str) -> bool:
    """Whether TEST is one of the id's tokens."""
    # The pattern costs ten times as much as looking whether there is anything to match.
    return "TEST" in signal_id.upper() and _TEST.search(signal_id) is not None


def is_outcome_source(source: str | None) -> bool:
    """Whether the writer claims to have seen the end: MT5_OUTCOME_... or nothing said."""
    return source is None or source.upper().startswith("MT5_OUTCOME_")


def epoch_of(signal_id: str) -> float | None:
    """The epoch second that many ids end in, UTC; None where there is none."""
    if signal_id[-11:-10] != "_" or not signal_id[-10:].isdecimal():
        return None
    time_s = float(signal_id[-10:])
    return time_s if _EARLIEST_S <= time_s < _LATEST_S else None


def time_of(stamp: str | float | None, zone: tzinfo) -> float | None:
    """UTC seconds of a stamp: ISO, MetaTrader's 2025.08.11 02:46:00, or an epoch, as text too.

    Naive ones are read in `zone`. None where there is none: writers put 0 or "" where they have
    none. Raises ValueError for what can be no time between 2000 and 2100.
    """
    if not stamp:
        return None
    if not isinstance(stamp, str):
        # Milliseconds are told from seconds by their size: 1e11 s is in the year 5138.
        return _sane(stamp / 1000 if stamp > 1e11 else float(stamp))
    try:
        return _iso(stamp, zone)
    except ValueError:  # looked at last, since few logs have them and all take the time
        if stamp.isdecimal():
            return time_of(float(stamp), zone)
        if stamp[4:5] == "." == stamp[7:8]:
            return _iso(stamp.replace(".", "-", 2), zone)
        raise


def _iso(stamp: str, zone: tzinfo) -> float:
    moment = datetime.fromisoformat(stamp)
    try:
        if moment.tzinfo is not None:
            return _sane(moment.timestamp())
        if zone is UTC:  # the same number, at half the cost
            return _sane((moment - _EPOCH).total_seconds())
        return _sane(moment.replace(tzinfo=zone).timestamp())
    except (OverflowError, OSError) as error:
        raise ValueError(stamp) from error


def price(first: float | None, second: float | None = None) -> float | None:
    """The first of the two that can be a price: writers put 0 where they have none."""
    if first is not None and 0.0 < first < math.inf:
        return first
    if second is not None and 0.0 < second < math.inf:
        return second
    return None


def _sane(time_s: float) -> float:
    if not _EARLIEST_S <= time_s < _LATEST_S:
        raise ValueError(time_s)
    return time_s
