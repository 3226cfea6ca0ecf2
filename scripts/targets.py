"""Targets beside what was measured; the rule: where one is missed the program ends with 1."""

from __future__ import annotations

import sys

_missed: list[bool] = []


def at_most(value: float, limit: float, unit: str = "") -> str:
    """What to print behind a number that is to be no more than `limit`."""
    return f"target <= {limit:,g}{unit}{missed(value > limit)}"


def at_least(value: float, limit: float, unit: str = "") -> str:
    """What to print behind a number that is to be no less than `limit`."""
    return f"target >= {limit:,g}{unit}{missed(value < limit)}"


def missed(is_missed: bool) -> str:
    """What to print behind a line whose target stands elsewhere."""
    _missed.append(is_missed)
    return "   MISSED" if is_missed else ""


def leave() -> None:
    """End the program: with 1 where a target was missed."""
    sys.exit(1 if any(_missed) else 0)
