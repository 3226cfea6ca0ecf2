"""A booted Debian with a network namespace of its own, and commands run inside it.

Its loopback is its own, so that the product's ports are free whatever runs on the host; what
leaves it goes through slirp4netns, which needs no setting of the host's to be changed.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import host

T = TypeVar("T")
ENVIRON = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "LANG": "C.UTF-8",
    "DEBIAN_FRONTEND": "noninteractive",
}
BOOT_S = 60.0


@dataclass(frozen=True, slots=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    took_s: float


class Machine:
    """The booted system; `leader` is its process 1 as the host sees it."""

    def __init__(self, root: Path, leader: int) -> None:
        self.root = root
        self._leader = leader

    def run(
        self, script: str, *, user: str = "root", folder: str = "/", check: bool = True
    ) -> Done:
        """Run a shell script as a user. Raises RuntimeError where it fails and `check` says so."""
        started_s = time.monotonic()
        done = subprocess.run(
            self._command(script, user, folder),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            check=False,
            env=ENVIRON,
        )
        if check and done.returncode:
            raise RuntimeError(f"{script}: exit code {done.returncode}: {done.stdout[-1500:]}")
        return Done(done.returncode, done.stdout.strip(), time.monotonic() - started_s)

    def out(self, script: str, *, user: str = "root") -> str:
        """What a script prints."""
        return self.run(script, user=user).out

    @contextmanager
    def running(self, script: str, *, user: str = "root") -> Iterator[subprocess.Popen[str]]:
        """A script that runs beside the block and is ended with it by SIGTERM."""
        process = subprocess.Popen(
            self._command(f"exec {script}", user, "/"),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=ENVIRON,
        )
        try:
            yield process
        finally:
            if process.poll() is None:
                # nsenter waits for its child: that one is asked to end.
                for child in children(process.pid) or [process.pid]:
                    os.kill(child, signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                process.wait(30)

    def until(self, look: Callable[[], T | None], what: str, within_s: float) -> T:
        """The first true answer. Raises AssertionError where none comes in time."""
        end_s = time.monotonic() + within_s
        while time.monotonic() < end_s:
            found = look()
            if found:
                return found
            time.sleep(0.1)
        raise AssertionError(f"waited {within_s:g} s in vain for {what}")

    def _command(self, script: str, user: str, folder: str) -> list[str]:
        enter = ["nsenter", f"--target={self._leader}", "--all", "--"]
        become = [] if user == "root" else ["runuser", "-u", user, "--"]
        return [*enter, *become, "sh", "-c", f"cd {shlex.quote(folder)} && {script}"]


def children(pid: int) -> list[int]:
    """The processes that a process has started."""
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
    return [int(word) for word in text.split()]


def process_one(nspawn: int) -> int | None:
    """What nspawn runs as process 1 of the container, by the host's number.

    On the way there it starts another process, which ends.
    """
    for pid in children(nspawn):
        try:
            status = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            continue
        numbers = next(line for line in status.splitlines() if line.startswith("NSpid:")).split()
        if len(numbers) > 2 and numbers[-1] == "1":
            return pid
    return None


@contextmanager
def booted(root: Path, name: str, log: Path) -> Iterator[Machine]:
    """Boot a root; the console goes to `log`. It is powered off with the block."""
    with _network(name) as namespace, log.open("wb") as console:
        nspawn = subprocess.Popen(
            [
                "systemd-nspawn",
                "--quiet",
                "--boot",
                "--register=no",
                "--keep-unit",
                f"--machine={name}",
                f"--directory={root}",
                f"--network-namespace-path={namespace}",
                "--resolv-conf=off",
                *(f"--bind-ro={path}" for path in host.pip_paths()),
            ],
            stdin=subprocess.DEVNULL,
            stdout=console,
            stderr=console,
        )
        try:
            yield _ready(root, nspawn)
        finally:
            # SIGTERM is an orderly poweroff of what is inside.
            nspawn.terminate()
            try:
                nspawn.wait(30)
            except subprocess.TimeoutExpired:
                nspawn.kill()
                nspawn.wait()


def _ready(root: Path, nspawn: subprocess.Popen[bytes]) -> Machine:
    end_s = time.monotonic() + BOOT_S
    while time.monotonic() < end_s:
        if nspawn.poll() is not None:
            raise RuntimeError("systemd-nspawn ended; the console's log says why")
        leader = process_one(nspawn.pid)
        if leader is not None:
            machine = Machine(root, leader)
            state = machine.run("systemctl is-system-running", check=False).out
            if state in ("running", "degraded"):
                return machine
        time.sleep(0.2)
    raise RuntimeError(
        f"it did not boot within {BOOT_S:g} s; the console's log says how far it came"
    )


@contextmanager
def _network(name: str) -> Iterator[Path]:
    host.run("ip", "netns", "add", name)
    path = Path("/run/netns") / name
    slirp = None
    try:
        host.run("ip", "-n", name, "link", "set", "lo", "up")
        slirp = subprocess.Popen(
            [
                "slirp4netns",
                "--configure",
                "--disable-host-loopback",
                "--netns-type=path",
                str(path),
                "tap0",
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        yield path
    finally:
        if slirp is not None:
            slirp.terminate()
            slirp.wait()
        host.run("ip", "netns", "delete", name)
