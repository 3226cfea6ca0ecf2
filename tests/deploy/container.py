"""A command of an image as a container engine runs it: root read-only, no rights, its own user."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from machine import Done, process_one


class Container:
    """One that runs; `leader` is its process 1 as the host sees it."""

    def __init__(self, nspawn: subprocess.Popen[bytes], config: dict[str, Any], log: Path) -> None:
        self._nspawn = nspawn
        self._log = log
        self._environ = dict(pair.split("=", 1) for pair in config["Env"])
        self._user = config["User"].partition(":")
        self.leader = 0

    def said(self) -> str:
        """The last of what it printed."""
        return self._log.read_text(encoding="utf-8", errors="replace")[-1000:]

    def started(self, within_s: float = 20.0) -> None:
        """Wait for its process 1."""
        end_s = time.monotonic() + within_s
        while time.monotonic() < end_s and self._nspawn.poll() is None:
            found = process_one(self._nspawn.pid)
            if found is not None:
                self.leader = found
                return
            time.sleep(0.05)
        raise RuntimeError(f"the container did not start: {self.said()}")

    def run(self, *command: str) -> Done:
        """Run a command in it as the image's user, as a health check is run."""
        uid, _, gid = self._user
        started_s = time.monotonic()
        done = subprocess.run(
            [
                "nsenter",
                f"--target={self.leader}",
                "--all",
                f"--setuid={uid}",
                f"--setgid={gid}",
                "--",
                *command,
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            env=self._environ,
        )
        return Done(done.returncode, done.stdout.strip(), time.monotonic() - started_s)

    def uids(self) -> str:
        """The user ids of its process 1."""
        status = Path(f"/proc/{self.leader}/status").read_text(encoding="utf-8")
        return next(line for line in status.splitlines() if line.startswith("Uid:"))

    def wait(self, within_s: float) -> int:
        """The exit code of one that ends by itself."""
        return self._nspawn.wait(within_s)

    def terminate(self) -> tuple[int, float]:
        """SIGTERM to its process 1: (exit code, seconds until it had ended)."""
        started_s = time.monotonic()
        os.kill(self.leader, signal.SIGTERM)
        return self._nspawn.wait(30), time.monotonic() - started_s


@contextmanager
def contained(
    root: Path, config: dict[str, Any], log: Path, *command: str, user: str, binds: tuple[str, ...]
) -> Iterator[Container]:
    """Run a command in an image's files until the block ends."""
    with log.open("wb") as console:
        nspawn = subprocess.Popen(
            [
                "systemd-nspawn",
                "--quiet",
                "--register=no",
                "--keep-unit",
                f"--machine=scorer-{user}",
                f"--directory={root}",
                "--read-only",
                "--private-network",
                "--drop-capability=all",
                "--no-new-privileges=yes",
                "--tmpfs=/tmp",
                f"--user={user}",
                "--console=pipe",
                *binds,
                *(f"--setenv={pair}" for pair in config["Env"]),
                *command,
            ],
            stdin=subprocess.DEVNULL,
            stdout=console,
            stderr=console,
        )
        try:
            yield Container(nspawn, config, log)
        finally:
            if nspawn.poll() is None:
                nspawn.terminate()
                nspawn.wait(30)
