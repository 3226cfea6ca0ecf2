"""A trainer that is allowed too little memory for what there is to read."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from scored_journal import write_journal

from service.console import exit_codes

# All is loaded by a first run, so that the second lacks room for the data alone.
LITTLE = """
import resource, sys
from training.__main__ import main

def run(journal):
    try:
        main([sys.argv[1], "--journal", journal, "--models", sys.argv[4]])
    except SystemExit as ended:
        return ended.code

run(sys.argv[2])
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (8 << 20),) * 2)
sys.exit(run(sys.argv[3]))
"""


@pytest.mark.parametrize("command", ["status", "results"])
def test_too_little_memory_is_said_with_what_to_do(tmp_path: Path, command: str) -> None:
    for name, n in (("small", 20), ("large", 15_000)):
        write_journal(tmp_path / f"{name}.db", n, edge=0.2)
    places = [str(tmp_path / name) for name in ("small.db", "large.db", "models")]
    done = subprocess.run(
        [sys.executable, "-c", LITTLE, command, *places],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == exit_codes.NO_MEMORY, done
    assert "Traceback" not in done.stderr
    last = done.stderr.splitlines()[-1]
    assert "memory" in last
    assert "MemoryMax=" in last
