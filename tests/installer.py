"""Functions of `install.sh` run by themselves, its paths in folders of a test.

The rule: what is replaced is there once, or nothing is run: the machine's own paths are no test's.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

SCRIPT = Path(__file__).resolve().parents[1] / "deploy/install.sh"


def run_steps(units: Path, steps: str) -> str:
    """What the script prints where it takes these steps instead of `main`.

    The program is in `units` too: `opt`.
    """
    text = SCRIPT.read_text()
    for line, instead in {
        "prefix=/opt/signal-scorer": f"prefix={units}/opt",
        "units=/etc/systemd/system": f"units={units}",
        "cron=/etc/cron.d/signal-scorer": f"cron={units}/cron",
        "outdated=/run/signal-scorer-install.outdated": f"outdated={units}/outdated",
        'here=$(cd "$(dirname "$0")" && pwd)': f"here={SCRIPT.parent}",
        'main "$@"': steps,
    }.items():
        assert text.count(f"\n{line}\n") == 1, line
        text = text.replace(f"\n{line}\n", f"\n{instead}\n")
    done = subprocess.run(["sh", "-c", text], capture_output=True, text=True)
    return done.stdout + done.stderr
