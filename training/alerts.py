"""Who is told of changes: a program of the operator's, by JSON on its stdin.

The rule: it is told when what is wrong changes and when all is well again, not every hour that
it stays so; at most once in an interval, and then of how things stand by then. What it was told
last is kept in a file that is whole or the old one. No shell, and nothing of ours in its argv.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import msgspec

from service.settings import AlertsSection
from training.checks import Finding
from training.durable import rename, write_file

ROLLBACK = "rollback"
MAX_TEXT = 1500
"""Characters of `text`: what fits into a message on a telephone."""


class State(msgspec.Struct, frozen=True):
    """What the program was told last: the level of each finding that was not fine, and when."""

    told: dict[str, str] = {}
    told_at: float = 0.0


class Alert(msgspec.Struct, frozen=True):
    """What the program gets on stdin, one JSON object. `text` is all of it in words.

    `findings` are those that are not fine now, `recovered` the names of those that were not.
    """

    v: int
    event: Literal["degraded", "changed", "recovered"]
    at: float
    model: str | None
    text: str
    findings: tuple[Finding, ...]
    recovered: tuple[str, ...]


def read_state(path: Path) -> State:
    """The state; an empty one where there is none or it cannot be read."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=State)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return State()


def write_state(path: Path, state: State) -> None:
    """Replace the file by one rename. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    waiting = path.with_name(f".{path.name}.tmp")
    write_file(waiting, msgspec.json.encode(state))
    rename(waiting, path)


def news(
    state: State,
    findings: Sequence[Finding],
    settings: AlertsSection,
    *,
    now_s: float,
    model: str | None,
    urgent: bool = False,
) -> Alert | None:
    """What is to be told now, or None. `urgent` is told whatever the interval says."""
    levels = ("alert", "warning") if settings.warnings else ("alert",)
    wrong = tuple(finding for finding in findings if finding.level in levels)
    recovered = tuple(name for name in state.told if name not in {f.name for f in wrong})
    if _levels(wrong) == state.told:
        return None
    # A clock that was set back must not silence us.
    if not urgent and 0.0 <= now_s - state.told_at < settings.min_interval_s:
        return None
    event: Literal["degraded", "changed", "recovered"] = "changed" if state.told else "degraded"
    if not wrong:
        event = "recovered"
    return Alert(1, event, now_s, model, _text(event, model, wrong, recovered), wrong, recovered)


def tell(alert: Alert, settings: AlertsSection) -> str:
    """Run the program; returns why it failed, or nothing."""
    name = settings.command[0]
    try:
        done = subprocess.run(  # noqa: S603  the operator named it
            list(settings.command),
            input=msgspec.json.encode(alert) + b"\n",
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            timeout=settings.timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"{name} did not end within {settings.timeout_s:g} s"
    except OSError as error:
        return f"{name} cannot be run: {error.strerror}"
    if done.returncode == 0:
        return ""
    said = done.stderr.decode(errors="replace").strip().splitlines()
    return f"{name} ended with {done.returncode}" + (f": {said[-1][:200]}" if said else "")


def told(alert: Alert) -> State:
    """The state after an alert was delivered."""
    # A rollback is an event and not a state that one recovers from.
    lasting = [finding for finding in alert.findings if finding.name != ROLLBACK]
    return State(_levels(lasting), alert.at)


def _levels(findings: Sequence[Finding]) -> dict[str, str]:
    return {finding.name: finding.level for finding in findings}


def _text(event: str, model: str | None, wrong: Sequence[Finding], recovered: Sequence[str]) -> str:
    lines = [f"signal-scorer {event}: model {model or 'none'}"]
    lines += [f"{f.level} {f.name.replace('_', ' ')}: {f.text}" for f in wrong]
    if recovered:
        lines.append(f"fine again: {', '.join(name.replace('_', ' ') for name in recovered)}")
    return "\n".join(lines)[:MAX_TEXT]
