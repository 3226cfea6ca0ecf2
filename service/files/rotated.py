"""A log and the parts that a rotator made of it, by their names."""

from __future__ import annotations

import re
import sys
from pathlib import Path

_LONGEST_NUMBER = 3
"""Digits: what has more, as a year has, or strokes in between, is a date."""
_MONTH, _DAY = r"(?:0[1-9]|1[0-2])", r"(?:0[1-9]|[12]\d|3[01])"
INNER = rf"\.\d{{1,{_LONGEST_NUMBER}}}|-20\d\d(?:{_MONTH}{_DAY}|-{_MONTH}-{_DAY})"
"""What a rotator puts before the ending of a name; an account's number there is another log's."""


def with_rotated(path: Path) -> list[Path]:
    """`path` and what a log rotator made of it, oldest first.

    That is `log.jsonl.1`, `log.jsonl-20251101`, and as logrotate's `extension` has them
    `log.1.jsonl`, `log-20251101.jsonl`; each plain or `.gz`. What is named like a part itself has
    none of the latter: they would be others' parts.
    """
    try:
        beside = list(path.parent.iterdir())
    except OSError:  # none, or closed to us, which `unread_beside` tells
        return [path]
    is_part = path.suffix == ".gz" or path.name[-1:].isdecimal()
    name, stem, suffix = map(re.escape, (path.name, path.stem, path.suffix))
    inner = "(?!)" if is_part else INNER
    part = re.compile(rf"(?:{name}([.-]-*\d[\d-]*)|{stem}({inner}){suffix})(?:\.gz)?")
    rotated = [(found, other) for other in beside if (found := part.fullmatch(other.name))]
    rotated.sort(key=lambda each: (_age(each[0][1] or each[0][2]), each[1]))
    return [*(other for _, other in rotated), path]


def _age(end: str) -> tuple[int, str]:
    """What sorts the ends of names: by date, then the numbers, of which the highest is oldest."""
    number = end[1:]
    is_date = len(number) > _LONGEST_NUMBER or not number.isdecimal()
    return -sys.maxsize if is_date else -int(number), end
