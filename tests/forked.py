"""`python -m PACKAGE ...`, each in a process of its own that is forked from one which has imported.

On a slow machine a fresh interpreter imports for half a second before a command does anything.
Run as a program this is what forks: for each line with a command it answers how that ended.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import runpy
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[1]
PATIENCE_S = 20
"""A command that waits for ever ends then, by SIGALRM."""
IMPORTED = (
    *("service.commands.asking", "service.commands.journal", "service.commands.keeping"),
    *("service.commands.replaying", "service.commands.running", "service.commands.watching"),
    *("service.backup.restore", "service.backup.save", "service.config_check"),
    *("service.doctor.examine", "service.journal.summary", "service.shown_logs"),
    *("service.top.status", "training.backfill.command", "training.models.pointing"),
    *("training.models.champion", "training.models.registry", "training.options"),
    *("training.status", "training.train"),
)


class Done(NamedTuple):
    """How a command ended; a negative code is the signal's."""

    returncode: int
    stdout: str
    stderr: str


class Forks:
    """Gives commands to the process that forks."""

    def __init__(self, process: subprocess.Popen[str], folder: Path) -> None:
        self._process = process
        self._out, self._err = folder / "out", folder / "err"

    def run(self, *command: str, cwd: Path | None = None, stdout: str = "", **environ: str) -> Done:
        """How a package's command ended, with this more in the environment.

        `stdout`: the file that it is to print to; else it is returned.
        """
        asked = {
            "command": command,
            "cwd": str(cwd or Path.cwd()),
            "environ": os.environ | environ,
            "streams": [os.devnull, stdout or str(self._out), str(self._err)],
        }
        self._out.write_bytes(b"")
        self._err.write_bytes(b"")
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        code = int(self._process.stdout.readline())
        return Done(code, self._out.read_text(), self._err.read_text())


@contextmanager
def forking() -> Iterator[Forks]:
    """What forks, for as long as the block lasts."""
    command = [sys.executable, __file__]
    # What an interpreter reads as it starts is no command's to choose.
    environ = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": ""}
    with (
        tempfile.TemporaryDirectory() as folder,
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environ
        ) as process,
    ):
        yield Forks(process, Path(folder))
        assert process.stdin
        process.stdin.close()


def fork_each() -> None:
    """Fork for each line; a child goes on below and ends as any interpreter does."""
    del sys.path[0]  # the tests' own modules are nobody else's
    for name in IMPORTED:
        importlib.import_module(name)
    gc.freeze()  # a child that collects would copy all of it
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            become(json.loads(line))
            return
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def become(asked: dict[str, Any]) -> None:
    """Be this command."""
    signal.alarm(PATIENCE_S)
    os.chdir(str(asked["cwd"]))
    os.environ.clear()
    os.environ.update(asked["environ"])
    for number, path in enumerate(asked["streams"]):
        file = os.open(path, os.O_RDWR)
        os.dup2(file, number)
        os.close(file)
    package, *sys.argv[1:] = asked["command"]
    runpy.run_module(package, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    fork_each()
