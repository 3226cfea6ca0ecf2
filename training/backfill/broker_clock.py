"""The clock that stamped feed messages: ahead of UTC by an offset, or as a zone's clock goes.

The rule: a stamp becomes the one moment at which that clock showed it, or none. A zone's clock
shows an hour twice when summer time ends, and nobody can tell which of the two a stamp is of.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

from service.recording.restamp import parse_offset

QUARTER_S = 900
HOUR_S = 3_600
DAY_S = 86_400
BROKERS_SWITCH_WITH = ("Europe/Athens", "America/New_York")


class BrokerClock(NamedTuple):
    """Ahead by `ahead_s` of UTC or, where there is one, of the zone's clock."""

    ahead_s: float = 0.0
    zone: ZoneInfo | None = None

    def utc_s(self, stamp_s: float) -> float | None:
        """When it showed this time (UTC s); None where it shows it twice, or never."""
        shown_s = stamp_s - self.ahead_s
        if self.zone is None:
            return shown_s
        offset_s = _offset_s(self.zone, int(shown_s // QUARTER_S))
        return None if offset_s is None else shown_s - offset_s

    def is_fixed(self, at_s: float) -> bool:
        """Whether it stayed as far ahead of UTC all the year before `at_s` (UTC s)."""
        zone = self.zone
        if zone is None:
            return True
        months = (datetime.fromtimestamp(at_s - 30 * DAY_S * back, zone) for back in range(13))
        return len({month.utcoffset() for month in months}) == 1


IN_UTC = BrokerClock()


def clock_of(text: str) -> BrokerClock:
    """Of `3h`, `Europe/Athens` or `America/New_York+7h`. Raises ValueError for anything else."""
    try:
        return BrokerClock(parse_offset(text))
    except ValueError:
        name = text.strip()
    if zone := _zone(name):
        return BrokerClock(0.0, zone)
    at = max(name.rfind("+"), name.rfind("-"))
    zone = _zone(name[:at]) if at > 0 else None
    if zone is None:
        raise ValueError(
            f"{text!r} is no clock: write 3h, or a zone such as Europe/Athens, also with what the "
            "clock is ahead of it, America/New_York+7h"
        )
    ahead_s = parse_offset(name[at:])
    if ahead_s % QUARTER_S:
        raise ValueError(f"{name[at:]!r} is no quarters of an hour: write +7h")
    return BrokerClock(ahead_s, zone)


def first_switch(first_s: float, last_s: float) -> float | None:
    """When (UTC s) a clock that brokers go by first changed between two moments, if any did."""
    zones = [zone for name in BROKERS_SWITCH_WITH if (zone := _zone(name))]

    def offsets(moment_s: float) -> list[timedelta | None]:
        return [datetime.fromtimestamp(moment_s, zone).utcoffset() for zone in zones]

    begun = offsets(first_s)
    hours = range(int(first_s) // HOUR_S * HOUR_S + HOUR_S, int(last_s) + 1, HOUR_S)
    return next((at_s for at_s in hours if offsets(at_s) != begun), None)


@lru_cache(maxsize=1024)
def _offset_s(zone: ZoneInfo, shown_quarter: int) -> float | None:
    """What the zone's clock is ahead of UTC while it shows this quarter of an hour."""
    shown = datetime.fromtimestamp(shown_quarter * QUARTER_S, UTC).replace(tzinfo=zone)
    first, second = shown.utcoffset(), shown.replace(fold=1).utcoffset()
    return None if first is None or first != second else first.total_seconds()


def _zone(name: str) -> ZoneInfo | None:
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, KeyError):
        return None
