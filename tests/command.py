"""`signal-scorer` as it is called, in this process: its exit code and what it prints."""

from __future__ import annotations

import os
from typing import NamedTuple

from click.testing import CliRunner

from service.__main__ import cli


class Done(NamedTuple):
    """How a command ended."""

    returncode: int
    stdout: str
    stderr: str


def invoke(*arguments: str, **environ: str) -> Done:
    """Give a command with nothing but this environment of ours, named without its prefix."""
    ours = {name: None for name in os.environ if name.startswith("SIGNAL_SCORER_")}
    values = {f"SIGNAL_SCORER_{name}": value for name, value in environ.items()}
    result = CliRunner(env=ours | values).invoke(cli, arguments)
    error = result.exception
    if error is None or isinstance(error, SystemExit):
        return Done(result.exit_code, result.stdout, result.stderr)
    # As `main` ends it.
    code = getattr(error, "exit_code", None)
    if code is None:
        raise error
    return Done(code, result.stdout, f"{result.stderr}signal-scorer: {error}\n")
