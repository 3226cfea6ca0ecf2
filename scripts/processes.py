"""What Linux says of a process."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

from service.console.exit_codes import DEGRADED, NOT_ENOUGH, OK, REJECTED

ROOT = Path(__file__).resolve().parents[1]


class Used(NamedTuple):
    """What a command took with its children; of memory the largest of them."""

    code: int
    said: str
    wall_s: float
    cpu_s: float
    peak_mib: float


def trainer(*arguments: str) -> Used:
    """One of the trainer's commands, run to its end; where it fails this program ends too."""
    began_s = time.perf_counter()
    command = [sys.executable, "-m", "training", *arguments]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT
    )
    assert process.stdout is not None
    said = process.stdout.read()
    _, status, used = os.wait4(process.pid, 0)
    wall_s = time.perf_counter() - began_s
    process.returncode = code = os.waitstatus_to_exitcode(status)
    if code not in (OK, REJECTED, NOT_ENOUGH, DEGRADED):
        raise SystemExit(f"{arguments} ended with {code}: {said}")
    return Used(code, said, wall_s, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)


def cpu_s(pid: int) -> float:
    """User and system time of a process so far, of all its threads."""
    times = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(times[11]) + int(times[12])) / os.sysconf("SC_CLK_TCK")


def resident_mib(pid: int) -> float:
    """Resident memory of a process now."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20
