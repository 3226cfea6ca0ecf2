"""What `install.sh` tells the operator to do next, and which names of logs it takes."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "deploy/install.sh"


def said(units: Path, steps: str) -> str:
    """What the script's own functions print, with its units in a folder of the test."""
    text = SCRIPT.read_text().replace("\nunits=/etc/systemd/system\n", f"\nunits={units}\n")
    text = text.replace("\ncron=/etc/cron.d/signal-scorer\n", f"\ncron={units}/cron\n")
    text = text.replace('\nhere=$(cd "$(dirname "$0")" && pwd)\n', f"\nhere={SCRIPT.parent}\n")
    text = text.replace('\nmain "$@"\n', f"\n{steps}\n")
    done = subprocess.run(["sh", "-c", text], capture_output=True, text=True)
    return done.stdout + done.stderr


@pytest.mark.parametrize("trigger", ["cron", "timers"])
def test_what_is_installed_and_not_started_is_started_by_what_it_prints(
    tmp_path: Path, trigger: str
) -> None:
    main = "release=R start=no users='' logs='' timers='' trigger=" + trigger
    text = said(tmp_path, f"{main}\ninstall_trigger\nnext_steps")
    (started,) = re.findall(r"systemctl enable --now (.+)", text)
    made = {path.name for path in tmp_path.glob("*.timer")}
    assert set(started.split()) == {"signal-scorer"} | made
    assert len(made) == (0 if trigger == "cron" else 2)


def test_a_log_with_a_comma_in_its_name_is_refused(tmp_path: Path) -> None:
    # The trainer's units are told of the logs in one list, which commas part.
    assert "letters, digits" in said(tmp_path, "check_path /srv/truth,log.jsonl")
    assert said(tmp_path, "check_path /srv/a-b_c@d=e+f.jsonl") == ""
