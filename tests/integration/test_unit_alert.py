"""What the operator's program is told of systemd's units."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

TRAIN, MONITOR, SERVICE = "signal-scorer-train", "signal-scorer-monitor", "signal-scorer"


class Operator:
    """A configuration whose alert command writes what it gets; the command runs as systemd does."""

    def __init__(self, folder: Path, exit_code: int = 0) -> None:
        self._heard = folder / "heard.jsonl"
        program = folder / "tell.sh"
        program.write_text(f'#!/bin/sh\ncat >> "{self._heard}"\nexit {exit_code}\n')
        program.chmod(0o755)
        self._config = folder / "config.toml"
        self._config.write_text(
            f'state_dir = "{folder}"\n[alerts]\ncommand = ["{program}"]\nmin_interval_s = 3600\n'
        )
        (folder / "models").mkdir()

    def unit_ended(self, unit: str, result: str | None, status: str = "") -> str:
        told = {"MONITOR_SERVICE_RESULT": result, "MONITOR_EXIT_STATUS": status}
        environ = {} if result is None else {k: str(v) for k, v in told.items()}
        done = subprocess.run(
            [sys.executable, "-m", "training.unit_alert", unit],
            env=os.environ | environ | {"SIGNAL_SCORER_CONFIG": str(self._config)},
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout

    def heard(self) -> list[dict[str, object]]:
        if not self._heard.exists():
            return []
        return [json.loads(line) for line in self._heard.read_text().splitlines()]


def test_a_job_is_told_of_when_it_begins_to_fail_and_when_that_is_over(tmp_path: Path) -> None:
    operator = Operator(tmp_path)
    operator.unit_ended(MONITOR, "success")
    assert operator.heard() == []
    for _ in range(2):
        operator.unit_ended(MONITOR, "exit-code", "78")
    operator.unit_ended(TRAIN, "timeout")
    for _ in range(2):
        operator.unit_ended(f"{MONITOR}:well", "success")
    events = [(alert["event"], str(alert["text"])) for alert in operator.heard()]
    assert [event for event, _ in events] == ["degraded", "degraded", "recovered"]
    assert "signal-scorer-monitor failed" in events[0][1]
    assert "exit-code, 78" in events[0][1]
    assert "signal-scorer-train failed" in events[1][1]
    assert "signal-scorer-monitor" in events[2][1]
    assert "well again" in events[2][1]


def test_a_run_for_which_another_was_in_the_way_is_no_recovery(tmp_path: Path) -> None:
    operator = Operator(tmp_path)
    operator.unit_ended(TRAIN, "exit-code", "73")
    assert "nothing ran" in operator.unit_ended(f"{TRAIN}:well", "success", "75")
    assert [alert["event"] for alert in operator.heard()] == ["degraded"]
    operator.unit_ended(f"{TRAIN}:well", "success", "3")
    assert [alert["event"] for alert in operator.heard()] == ["degraded", "recovered"]


def test_before_systemd_251_the_word_alone_tells_that_a_job_is_well(tmp_path: Path) -> None:
    operator = Operator(tmp_path)
    for result in (None, "exit-code", None):
        operator.unit_ended(f"{MONITOR}:well" if result is None else MONITOR, result)
    assert [alert["event"] for alert in operator.heard()] == ["degraded", "recovered"]


def test_where_it_cannot_be_noted_it_is_told_again_and_says_why(tmp_path: Path) -> None:
    operator = Operator(tmp_path)
    (tmp_path / "models").rmdir()
    (tmp_path / "models").touch()
    for _ in range(2):
        said = operator.unit_ended(TRAIN, "exit-code", "73")
        assert "told, and again next time: " in said
        assert "cannot be written (" in said
    assert len(operator.heard()) == 2


def test_each_end_of_the_service_is_told(tmp_path: Path) -> None:
    operator = Operator(tmp_path)
    for _ in range(2):
        operator.unit_ended(SERVICE, "watchdog")
    assert [alert["event"] for alert in operator.heard()] == ["degraded", "degraded"]


def test_what_was_not_delivered_is_told_again(tmp_path: Path) -> None:
    operator = Operator(tmp_path, exit_code=3)
    for _ in range(2):
        said = operator.unit_ended(TRAIN, "exit-code", "1")
        assert "ended with 3" in said
    assert len(operator.heard()) == 2


def test_a_configuration_that_is_wrong_elsewhere_still_names_the_program(tmp_path: Path) -> None:
    operator = Operator(tmp_path)
    with (tmp_path / "config.toml").open("a") as file:
        file.write('[score]\nmode = "lively"\n')
    operator.unit_ended(SERVICE, "exit-code", "78")
    assert [alert["event"] for alert in operator.heard()] == ["degraded"]


@pytest.mark.parametrize("unit", [TRAIN, SERVICE])
def test_without_a_command_it_says_that_nobody_was_told(tmp_path: Path, unit: str) -> None:
    operator = Operator(tmp_path)
    (tmp_path / "config.toml").write_text(f'state_dir = "{tmp_path}"\n')
    assert "nobody was told" in operator.unit_ended(unit, "exit-code", "1")
    assert operator.heard() == []
