"""What a check found: about what, how bad, and what to do."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import msgspec

from service.console.printable import printable

Level = Literal["ok", "warn", "fail"]


class Finding(msgspec.Struct, frozen=True):
    """One fact. `about` is the file, address or key that it concerns; `ok` needs no advice.

    `check` is filled in by `examine`, which knows whose it is.
    """

    check: str
    level: Level
    about: str
    text: str
    advice: str = ""


def _found(level: Level, about: object, text: str, advice: str = "") -> Finding:
    # Names of files, processes and keys are others' choice, and root reads it on a terminal. One
    # that is no text is shown by its bytes.
    said = [part.encode(errors="backslashreplace").decode() for part in (str(about), text, advice)]
    return Finding("", level, *map(printable, said))


def ok(about: object, text: str) -> Finding:
    """As it should be."""
    return _found("ok", about, text)


def warn(about: object, text: str, advice: str) -> Finding:
    """It serves, and somebody should look."""
    return _found("warn", about, text, advice)


def fail(about: object, text: str, advice: str) -> Finding:
    """Something of what the service is for does not work, or would not after a restart."""
    return _found("fail", about, text, advice)


def lost_link(link: Path, key: str, why: str = "which is not there") -> Finding:
    """A link that leads to nothing, on the way to what `key` of the configuration names."""
    return fail(
        link,
        f"is a link to {link.readlink()}, {why} ({key})",
        "have the disk mounted that it lies on, or set the link anew",
    )


def refused(about: object, error: Exception) -> Finding:
    """An error of ours, which says what is wrong and, behind a semicolon, what to do."""
    text, _, advice = str(error).partition("; ")
    return fail(about, text, advice or "correct it, then run doctor again")


def exit_code(findings: Iterable[Finding], *, strict: bool) -> int:
    """1 where something fails; where `strict`, a warning counts too."""
    bad = ("fail", "warn") if strict else ("fail",)
    return int(any(finding.level in bad for finding in findings))
