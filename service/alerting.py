"""How the operator's alert program is told something: one JSON object on its stdin.

No shell, and nothing of ours in its argv. When it is told is the monitor's business.
"""

from __future__ import annotations

import os
import pwd
import subprocess
from typing import Any, Literal

import msgspec

from service.config.settings import AlertsSection

Level = Literal["fine", "unknown", "warning", "alert"]
Event = Literal["degraded", "changed", "recovered", "test"]


class CheckResult(msgspec.Struct, frozen=True):
    """One check: `text` is a sentence for the operator, `facts` the numbers behind it."""

    name: str
    level: Level
    text: str
    facts: dict[str, float] = {}


class Alert(msgspec.Struct, frozen=True):
    """What the program gets on stdin, one JSON object. `text` is all of it in words.

    `findings` are those that are not fine now, `recovered` the names of those that were not.
    """

    v: int
    event: Event
    at: float
    model: str | None
    text: str
    findings: tuple[CheckResult, ...]
    recovered: tuple[str, ...]


def tell(alert: Alert, settings: AlertsSection, user: pwd.struct_passwd | None = None) -> str:
    """Run the program; returns why it failed, or nothing. Root may have it run as another user."""
    name = settings.command[0]
    become: dict[str, Any] = {}
    if user is not None:
        groups = os.getgrouplist(user.pw_name, user.pw_gid)
        become = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": groups}
        become["start_new_session"] = True  # what is that user's cannot type into root's terminal
    try:
        done = subprocess.run(  # noqa: S603  the operator named it
            list(settings.command),
            input=msgspec.json.encode(alert) + b"\n",
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            timeout=settings.timeout_s,
            check=False,
            **become,
        )
    except subprocess.TimeoutExpired:
        return f"{name} did not end within {settings.timeout_s:g} s"
    except OSError as error:
        return f"{name} cannot be run: {error.strerror}"
    if done.returncode == 0:
        return ""
    said = done.stderr.decode(errors="replace").strip().splitlines()
    return f"{name} ended with {done.returncode}" + (f": {said[-1][:200]}" if said else "")


def trial(now_s: float) -> Alert:
    """A message that says that it is none."""
    text = "signal-scorer test: this is how an alert arrives; nothing is wrong"
    return Alert(1, "test", now_s, None, text, (), ())
