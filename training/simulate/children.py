"""The real processes of a demo: the service and the trainer, each on a leash, with its log.

Each leads a process group, so that Ctrl-C reaches the demo alone, which then ends them in order:
no request is in flight any more when the service goes. Not a session: Linux shares processors out
among those first (sched(7), autogroup), and one on a busy machine was left waiting for seconds.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

STOP_S = 5.0


class Child:
    """A running command whose output goes to `log`. Start it from the main thread."""

    def __init__(self, name: str, arguments: list[str], log: Path, env: dict[str, str]) -> None:
        self.name = name
        self.log = log
        leash = [sys.executable, "-P", "-m", "training.simulate.leash", str(os.getpid())]
        with log.open("ab") as output:
            self._process = subprocess.Popen(  # noqa: S603  our own interpreter and modules
                [*leash, sys.executable, "-P", "-m", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=env,
                process_group=0,
            )
        self._read = log.open("rb")
        self._partial = b""

    @property
    def pid(self) -> int:
        """The process, and its group."""
        return self._process.pid

    @property
    def code(self) -> int | None:
        """The exit code; None while it runs."""
        return self._process.poll()

    def new_lines(self) -> Iterator[str]:
        """What it has written since the last look, whole lines."""
        *lines, self._partial = (self._partial + self._read.read()).split(b"\n")
        for line in lines:
            yield line.decode(errors="replace")

    def stop(self) -> int:
        """End it in order, or after a while at any price; returns the exit code."""
        if self.code is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                os.killpg(self.pid, signal.SIGKILL)
                self._process.wait()
        self._read.close()
        return self._process.returncode


def service(directory: Path, feed: str, broker_ahead_s: float) -> Child:
    """The scoring service on a free port, listening to `feed`.

    The market lies in the past, where a broker's clock cannot be told from the stamps, so
    its offset is configured.
    """
    settings = {
        "STATE_DIR": str(directory),
        "SCORE_BIND": "tcp://127.0.0.1:*",
        "FEED_ENDPOINTS": feed,
        "FEED_CONFIGURED_OFFSET_S": str(broker_ahead_s),
        "METRICS_BIND": "",
        "LOG_FORMAT": "json",
    }
    env = _environment() | {f"SIGNAL_SCORER_{key}": value for key, value in settings.items()}
    return Child("service", ["service", "serve"], directory / "service.log", env)


def trainer(directory: Path, truth_log: Path, number: int) -> Child:
    """One run of the trainer, as cron would start it."""
    arguments = ["training", "train", "--jobs", "1"]
    arguments += ["--journal", str(directory / "journal.db")]
    arguments += ["--models", str(directory / "models"), "--truth-log", str(truth_log)]
    return Child("trainer", arguments, directory / f"trainer-{number}.log", _environment())


def event_of(line: str) -> dict[str, Any]:
    """A line of the service's log; empty where it is not one."""
    try:
        event = json.loads(line)
    except ValueError:
        return {}
    return event if isinstance(event, dict) else {}


def _environment() -> dict[str, str]:
    """Ours, without what would configure the service, or tell systemd about it."""
    strange = ("SIGNAL_SCORER_", "NOTIFY_SOCKET", "WATCHDOG_", "STATE_DIRECTORY")
    kept = {key: value for key, value in os.environ.items() if not key.startswith(strange)}
    return kept | {"PYTHONUNBUFFERED": "1"}
