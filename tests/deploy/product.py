"""The installed product as the tests handle it: its commands, its state, its unit."""

from __future__ import annotations

import json
from contextlib import AbstractContextManager
from subprocess import Popen
from typing import Any

from machine import Machine

SOURCE = "/srv/signal-scorer"
STATE = "/var/lib/signal-scorer"
PYTHON = "/opt/signal-scorer/current/bin/python"
INSIDE = f"{SOURCE}/tests/deploy/inside"
SOCKET = "ipc:///run/signal-scorer/score.sock"
CLIENT, STRANGER = "eliteguard", "stranger"
READY_S = 20.0
OF_BARS = frozenset(
    [
        "atr_volatility",
        "tf_alignment",
        "correlation_check",
        "momentum_strength",
        "support_resistance",
    ]
)
"""The features that history makes warm; spread and volumes want ticks, sentiment its own feed."""


class Product:
    """What an operator sees of it."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine

    def introduce_users(self) -> None:
        """Elite Guard's user, who may ask by ipc, and one who may not."""
        for user in (CLIENT, STRANGER):
            self.machine.run(f"useradd --create-home {user}")
        self.machine.run(f"sh {SOURCE}/deploy/install.sh --client-user {CLIENT}")

    def unit(self, *names: str, unit: str = "signal-scorer") -> dict[str, str]:
        """Properties of a unit."""
        lines = self.machine.out(f"systemctl show {unit} -p {','.join(names)}").splitlines()
        return dict(line.split("=", 1) for line in lines)

    def pid(self) -> str:
        """The service's process, as the machine numbers it."""
        return self.unit("MainPID")["MainPID"]

    def health(self) -> dict[str, Any] | None:
        """What it says of itself; None where it does not answer."""
        done = self.machine.run("signal-scorer health 2>/dev/null", check=False)
        return json.loads(done.out) if done.out.startswith("{") else None

    def ready(self) -> dict[str, Any]:
        """Its health, once nothing is wrong but that no bridge publishes just now."""

        def look() -> dict[str, Any] | None:
            state = self.health()
            return state if state and all("silent" in why for why in state["reasons"]) else None

        return self.machine.until(look, "the service to be ready", READY_S)

    def score(self, *, user: str = CLIENT, timeout_ms: int = 2000) -> dict[str, Any] | str:
        """A score by ipc as a user: the reply, or what the command said instead."""
        done = self.machine.run(
            f"signal-scorer score --endpoint {SOCKET} --timeout-ms {timeout_ms} --json "
            "--symbol EURUSD --base-score 75 --direction BUY",
            user=user,
            check=False,
        )
        return json.loads(done.out) if done.code == 0 else done.out

    def answered(self) -> dict[str, Any]:
        """A score that has to succeed."""
        reply = self.score()
        if isinstance(reply, str):
            raise AssertionError(f"no score: {reply}")
        return reply

    def feed(self, *options: str) -> AbstractContextManager[Popen[str]]:
        """The bridge, publishing while the block runs."""
        return self.machine.running(f"{PYTHON} {INSIDE}/feed.py {' '.join(options)}", user=CLIENT)

    def warm(self) -> dict[str, Any]:
        """A reply for which all features of bars were known."""

        def look() -> dict[str, Any] | None:
            reply = self.score()
            return reply if isinstance(reply, dict) and not cold(reply) else None

        return self.machine.until(look, "features to be warm", READY_S)

    def rows(self, query: str) -> str:
        """What the journal holds, read as the trainer's user."""
        code = (
            "import sys; from pathlib import Path; from service.journal.file import open_reader; "
            "print(open_reader(Path(sys.argv[1])).execute(sys.argv[2]).fetchall())"
        )
        return self.machine.out(
            f"{PYTHON} -c '{code}' {STATE}/journal.db \"{query}\"", user="scorer-trainer"
        )


def cold(reply: dict[str, Any]) -> list[str]:
    """The features of bars that were not known for a reply."""
    return sorted(OF_BARS.intersection(reply["missing"]))
