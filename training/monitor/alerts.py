"""When the operator's alert program is told of changes, and what it was told last.

The rule: it is told when what is wrong changes and when all is well again, not every hour that
it stays so; at most once in an interval, and then of how things stand by then. What can no
longer, or not yet, be judged has not recovered. What it was told last is kept in a file that is
whole or the old one. `service.alerting` runs the program.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from glob import escape
from pathlib import Path

import msgspec

from service.alerting import Alert, CheckResult, Event
from service.config.settings import AlertsSection
from service.files.durable import rename, write_file
from service.files.unfinished import beside, remove_dead
from training.replacing import may_replace

ROLLBACK = "rollback"
MODEL = "model"
MAX_TEXT = 1500
"""Characters of `text`: what fits into a message on a telephone."""


class State(msgspec.Struct, frozen=True):
    """What the program was told last: the level of each finding that was not fine, when, of which
    model."""

    told: dict[str, str] = {}
    told_at: float = 0.0
    model: str | None = None


def read_state(path: Path) -> State:
    """The state; an empty one where there is none or it cannot be read."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=State)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return State()


def write_state(path: Path, state: State) -> None:
    """Replace the file by one rename, behind a link to it too that root or this user made.

    Raises OSError, NotReplaced among them.
    """
    if path.is_file() and path.lstat().st_uid in (0, os.geteuid()):
        path = path.resolve()
    may_replace(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_dead(path.parent, f".{escape(path.name)}")
    waiting = beside(path)
    write_file(waiting, msgspec.json.encode(state))
    rename(waiting, path)


def news(
    state: State,
    findings: Sequence[CheckResult],
    settings: AlertsSection,
    *,
    now_s: float,
    model: str | None,
    urgent: bool = False,
) -> Alert | None:
    """What is to be told now, or None. `urgent` is told whatever the interval says."""
    levels = ("alert", "warning") if settings.warnings else ("alert",)
    wrong = tuple(finding for finding in findings if finding.level in levels)
    another = None not in (model, state.model) and model != state.model
    unjudged = _unjudged(state, findings)
    if another and not wrong and (unjudged or _unanswered(findings)):
        return None
    if another:  # its own are told as news once they are known
        unjudged = {}
    now = _levels(wrong) | unjudged
    recovered = tuple(name for name in state.told if name not in now)
    # Of another model the same words are news: what a rollback brought back may be no better.
    if now == state.told and not (wrong and another):
        return None
    # A clock that was set back must not silence us.
    if not urgent and 0.0 <= now_s - state.told_at < settings.min_interval_s:
        return None
    event: Event = "changed" if state.told else "degraded"
    if not now:
        event = "recovered"
    text = _text(event, model, wrong, recovered, list(unjudged))
    return Alert(1, event, now_s, model, text, wrong, recovered)


def told(alert: Alert, before: State) -> State:
    """The state after an alert was delivered, which came of the state `before`."""
    kept = {name: level for name, level in before.told.items() if name not in alert.recovered}
    # A rollback is an event and not a state that one recovers from.
    lasting = [finding for finding in alert.findings if finding.name != ROLLBACK]
    return State(kept | _levels(lasting), alert.at, alert.model)


def _unjudged(state: State, findings: Sequence[CheckResult]) -> dict[str, str]:
    """What was told and is neither wrong nor well now: for that there is too little, or nothing."""
    unknown = {finding.name for finding in findings if finding.level == "unknown"}
    return {name: level for name, level in state.told.items() if name in unknown}


def _unanswered(findings: Sequence[CheckResult]) -> bool:
    """Whether it is not known that the model answers: what it is worth says nothing then."""
    return any(finding.name == MODEL and finding.level == "unknown" for finding in findings)


def _levels(findings: Sequence[CheckResult]) -> dict[str, str]:
    return {finding.name: finding.level for finding in findings}


def _text(
    event: str,
    model: str | None,
    wrong: Sequence[CheckResult],
    recovered: Sequence[str],
    unjudged: Sequence[str],
) -> str:
    lines = [f"signal-scorer {event}: model {model or 'none'}"]
    lines += [f"{f.level} {f.name.replace('_', ' ')}: {f.text}" for f in wrong]
    for words, names in (("no longer wrong", recovered), ("not to be judged now", unjudged)):
        if names:
            lines.append(f"{words}: {', '.join(name.replace('_', ' ') for name in names)}")
    return "\n".join(lines)[:MAX_TEXT]
