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


@pytest.fixture(scope="module")
def journals(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """A small one and a large one, which are only read."""
    folder = tmp_path_factory.mktemp("journals")
    paths = [folder / "small.db", folder / "large.db"]
    for path, n in zip(paths, (20, 15_000), strict=True):
        write_journal(path, n, edge=0.2)
    return [str(path) for path in paths]


@pytest.mark.parametrize("command", ["status", "results"])
def test_too_little_memory_is_said_with_what_to_do(
    tmp_path: Path, journals: list[str], command: str
) -> None:
    places = [*journals, str(tmp_path / "models")]
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
