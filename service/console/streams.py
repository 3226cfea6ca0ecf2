"""The standard streams, which whoever started us may have closed.

The rule: there always are three, so that none of their numbers goes to a file of ours, and none
refuses a character.
"""

from __future__ import annotations

import io
import os
import sys


def open_closed() -> None:
    """Let what is closed lead nowhere, for us and for what we start, and stdout print anything."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            stream = open(os.devnull, mode, errors="backslashreplace")  # noqa: PTH123, SIM115
            os.set_inheritable(stream.fileno(), True)
            setattr(sys, name, stream)
    # A terminal of another encoding shows a ? for what it has no character for.
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors="replace")


def print_no_more() -> None:
    """Drop what waits for standard output, which would fail again at the interpreter's end."""
    with open(os.devnull, "wb") as nowhere:  # noqa: PTH123
        os.dup2(nowhere.fileno(), sys.stdout.fileno())
