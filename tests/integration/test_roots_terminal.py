"""The installed trainer's command, called by root: the trainer gets no hold of root's terminal.

A process in the session of a terminal may type into it (TIOCSTI), and root's shell runs that.
"""

from __future__ import annotations

import os
import pty
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from another_user import as_root
from harness import eventually

WRAPPER = Path(__file__).resolve().parents[2] / "deploy/bin/signal-scorer-train"
COMMAND = "/opt/signal-scorer/current/bin/signal-scorer-train"
LOGS = "/etc/systemd/system/signal-scorer-train.service.d/truth-log.conf"
INTERRUPT = b"\x03"

pytestmark = as_root


class Terminal:
    """Root's, on which the installed command is called with a program in the trainer's place."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.parent, self.child = pty.openpty()
        os.set_blocking(self.parent, False)
        self.name = os.ttyname(self.child)

    def call(self, program: str, beside: str = "", below: str = "exec") -> subprocess.Popen[bytes]:
        """Start it, as a shell does; `beside` is what that redirects, `below` what starts it."""
        command = self.folder / "command"
        command.write_text(f"#!/bin/sh\n{program}\n")
        command.chmod(0o755)
        text = WRAPPER.read_text()
        user = "-u scorer-trainer"
        for there, here in {COMMAND: command, LOGS: "/nowhere", user: "-u daemon"}.items():
            assert there in text
            text = text.replace(there, str(here))
        wrapper = self.folder / "wrapper"
        wrapper.write_text(text)
        shell = ["setsid", "-c", "-w", "sh", "-c", f"{below} sh {wrapper} status {beside}; exit $?"]
        streams = {"stdin": self.child, "stdout": self.child, "stderr": self.child}
        return subprocess.Popen(shell, **streams)

    def until(self, words: str) -> str:
        """What is shown until the words are."""
        said = bytearray()

        def look() -> bool:
            with suppress(BlockingIOError):
                said.extend(os.read(self.parent, 4096))
            return words.encode() in said

        eventually(look, words)
        return said.decode()

    def close(self) -> None:
        os.close(self.parent)
        os.close(self.child)


@pytest.fixture
def terminal(open_folder: Path) -> Iterator[Terminal]:
    made = Terminal(open_folder)
    yield made
    made.close()


def test_the_trainer_has_a_terminal_of_its_own(terminal: Terminal) -> None:
    called = terminal.call("echo $(id -un) $(tty) $(ps -o tty= -p $$) over; exit 5")
    user, own, rules_it, _ = terminal.until("over").split()
    assert user == "daemon"
    assert own == f"/dev/{rules_it}"
    assert own != terminal.name
    assert called.wait() == 5


def test_a_key_still_interrupts_it(terminal: Terminal) -> None:
    called = terminal.call(
        "trap 'echo ended well; exit 4' INT; echo ready; while :; do sleep 0.05; done"
    )
    terminal.until("ready")
    os.write(terminal.parent, INTERRUPT)
    terminal.until("ended well")
    assert called.wait() == 4


def test_in_the_background_as_below_timeout_it_is_not_stopped(terminal: Terminal) -> None:
    # Only who is in its foreground may set a terminal, as one of one's own takes.
    called = terminal.call("echo $(tty) over; exit 5", below="timeout 20")
    assert terminal.until("over").split() == [terminal.name, "over"]
    assert called.wait() == 5


def test_what_is_redirected_comes_out_as_it_was_written(terminal: Terminal) -> None:
    out, errors = terminal.folder / "out", terminal.folder / "errors"
    called = terminal.call("echo said; echo wrong >&2", f"> {out} 2> {errors}")
    assert called.wait() == 0
    assert out.read_bytes() == b"said\n"
    assert errors.read_bytes() == b"wrong\n"
