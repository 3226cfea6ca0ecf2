"""Numbers and times as people read them, some to fit a narrow column."""

from __future__ import annotations

from datetime import UTC, datetime


def span(seconds: float) -> str:
    """A duration in its two largest units: 0.2 s, 4 min, 3 h 05, 12 d 4 h."""
    if seconds < 10:
        return f"{max(seconds, 0.0):.1f} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes = int(seconds) // 60
    if minutes < 120:
        return f"{minutes} min"
    if minutes < 48 * 60:
        return f"{minutes // 60} h {minutes % 60:02d}"
    days, hours = minutes // 1440, minutes % 1440 // 60
    return f"{days} d {hours} h" if days < 10 else f"{days} d"


def counted(count: int, noun: str) -> str:
    """1 position, 1,200 positions."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def amount(size: float) -> str:
    """Bytes as people say them: 512 B, 3.4 MiB."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024 or unit == "GiB":
            return f"{size:.0f} B" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    raise AssertionError


def rate(value: float | None) -> str:
    """A number per second."""
    if value is None:
        return "-/s"
    return f"{value:.1f}/s" if value < 100 else f"{value:,.0f}/s"


def offset(seconds: float) -> str:
    """A clock's offset to UTC."""
    if not seconds:
        return "UTC"
    hours = seconds / 3600.0
    return f"UTC{hours:+g} h"


def stamp(at_s: float) -> str:
    """A time in UTC as people write it; `?` for one that no calendar has."""
    try:
        return f"{datetime.fromtimestamp(at_s, UTC):%Y-%m-%d %H:%M:%S}"
    except (ValueError, OverflowError, OSError):
        return "?".ljust(19)


def clock(at_s: float) -> str:
    """The time of day, UTC."""
    try:
        return f"{datetime.fromtimestamp(at_s, UTC):%H:%M:%S}"
    except (ValueError, OverflowError, OSError):
        return "--:--:--"


def price(value: float) -> str:
    """A price with the digits that matter."""
    size = abs(value)
    digits = 5 if size < 10 else 3 if size < 1000 else 2
    return f"{value:.{digits}f}"


def side(direction: int) -> str:
    """BUY or SELL; `?` for what is neither nor none."""
    return {1: "BUY", -1: "SELL", 0: "-"}.get(direction, "?")
