"""`demo`: starts the simulation as a process of its own. The service itself imports none of it."""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec

from service.console import exit_codes
from service.errors import CommandError

NEEDED = ("sklearn", "joblib", "matplotlib", "jinja2")


def demo(arguments: list[str], needed: tuple[str, ...] = NEEDED) -> None:
    """Become the simulation: its exit code and Ctrl-C are ours. Raises CommandError."""
    lacking = [name for name in needed if find_spec(name) is None]
    if lacking:
        raise CommandError(
            f"the demo trains a model, which needs {', '.join(lacking)}: install the trainer's "
            "libraries with pip install '.[training]' (a clone: make setup) and try again",
            exit_codes.UNAVAILABLE,
        )
    # Not a child: nothing is left between the terminal and the demo that could be orphaned.
    os.execv(  # noqa: S606  no shell is wanted
        sys.executable, [sys.executable, "-P", "-m", "training.simulate", *arguments]
    )
