"""Functions of `install.sh` run by themselves, its paths in folders of a test.

The rule: what is replaced is there once, or nothing is run: the machine's own paths are no test's.
"""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

SCRIPT = Path(__file__).resolve().parents[1] / "deploy/install.sh"
STAND_IN = r"""#!/bin/sh
here=${0%/*}
case $* in
    *realpath*) cat "$0.lies_at" 2>/dev/null || echo "$0" ;;
    -V) echo Python 3.12.1 ;;
    '-m venv '*) mkdir -p "$3/bin"; ln -s "$0" "$3/bin/python" ;;
    *' pip wheel '*)
        # What stands in brackets at a path's end are extras, also where it is relative.
        for path; do :; done
        path=$(realpath -s "$path")
        [ -e "${path%\[*\]}/pyproject.toml" ] ;;
    *' pip install '*training.txt)
        touch "$here/../library" "$here/../pictures"
        sh -c "$(cat "$(readlink -f "$0").downloads" 2>/dev/null)" ;;
    *' pip install '*.whl)
        for one in signal-scorer signal-scorer-train; do ln -s python "$here/$one"; done ;;
    '-I -c import '*matplotlib.figure*)
        [ -e "$here/../library" ] && [ -e "$here/../pictures" ] &&
            [ "$MPLCONFIGDIR" = /var/cache/signal-scorer ] ;;
esac
"""
"""As much of an interpreter as is asked for: new enough, able to make environments, and where it
lies (or says it does: `.lies_at`). What happens during a download may stand in `.downloads`."""


def interpreter(path: Path, lies_at: str = "") -> Path:
    """A stand-in at this path."""
    path.parent.mkdir(exist_ok=True)
    path.write_text(STAND_IN)
    path.chmod(0o755)
    if lies_at:
        path.with_name(f"{path.name}.lies_at").write_text(f"{lies_at}\n")
    return path


def run_steps(units: Path, steps: str) -> str:
    """What the script prints where it takes these steps instead of `main`.

    The program is in `units` too: `opt`.
    """
    text = SCRIPT.read_text()
    for line, instead in {
        "prefix=/opt/signal-scorer": f"prefix={units}/opt",
        "etc=/etc/signal-scorer": f"etc={units}/etc",
        "units=/etc/systemd/system": f"units={units}",
        "tmpfiles=/etc/tmpfiles.d/signal-scorer.conf": f"tmpfiles={units}/tmpfiles",
        "cron=/etc/cron.d/signal-scorer": f"cron={units}/cron",
        "commands=/usr/local/bin": f"commands={units}/commands",
        "outdated=/run/signal-scorer-install.outdated": f"outdated={units}/outdated",
        "textfiles=/var/lib/prometheus/node-exporter-scorer": f"textfiles={units}/textfiles-scorer",
        'here=$(cd "$(dirname "$0")" && pwd)': f"here={SCRIPT.parent}",
        'main "$@"': steps,
    }.items():
        assert text.count(f"\n{line}\n") == 1, line
        text = text.replace(f"\n{line}\n", f"\n{instead}\n")
    done = subprocess.run(
        ["sh", "-c", text],
        capture_output=True,
        text=True,
        # A shell cannot trap what was ignored when it began, as SIGHUP is below nohup.
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),
    )
    return done.stdout + done.stderr
