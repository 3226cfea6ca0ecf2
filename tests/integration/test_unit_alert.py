"""What the operator's program is told of systemd's units."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import pytest

from service.config.load import load
from training import unit_alert

UNIT = Path(__file__).resolve().parents[2] / "deploy/systemd/signal-scorer-alert@.service"
TRAIN, MONITOR, SERVICE = "signal-scorer-train", "signal-scorer-monitor", "signal-scorer"


class Operator:
    """A configuration whose alert command writes what it gets."""

    def __init__(self, folder: Path, needs: Path = Path("/")) -> None:
        self._heard = folder / "heard.jsonl"
        program = folder / "tell.sh"
        program.write_text(f'#!/bin/sh\n[ -e "{needs}" ] || exit 6\ncat >> "{self._heard}"\n')
        program.chmod(0o755)
        self._config = folder / "config.toml"
        self._config.write_text(
            f'state_dir = "{folder}"\n[alerts]\ncommand = ["{program}"]\nmin_interval_s = 3600\n'
        )
        (folder / "models").mkdir()

    def unit_ended(self, unit: str, result: str | None, status: str = "") -> str:
        """Give the command, in this process; what it says."""
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(StringIO()) as said:
            for name, value in self.told(result, status).items():
                patch.setenv(name, value)
            patch.setattr(sys, "argv", ["unit_alert", unit])
            unit_alert.main()
        return said.getvalue()

    def told(self, result: str | None, status: str = "") -> dict[str, str]:
        """What systemd has the command find in its environment."""
        found = {"SIGNAL_SCORER_CONFIG": str(self._config)}
        if result is not None:
            found |= {"MONITOR_SERVICE_RESULT": result, "MONITOR_EXIT_STATUS": status}
        return found

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


def test_of_a_link_to_nothing_it_is_told_again_and_of_one_to_a_file_once(tmp_path: Path) -> None:
    operator, kept = Operator(tmp_path), tmp_path / "models" / f".{TRAIN}.alert"
    kept.symlink_to(tmp_path / "kept")
    for _ in range(2):
        said = operator.unit_ended(TRAIN, "exit-code", "73")
        assert f"{kept} cannot be written (is no regular file and is not replaced)" in said
    assert len(operator.heard()) == 2
    (tmp_path / "kept").touch()
    for _ in range(2):
        operator.unit_ended(TRAIN, "exit-code", "73")
    assert len(operator.heard()) == 3
    assert kept.is_symlink()


def test_each_end_of_the_service_is_told(tmp_path: Path) -> None:
    """By the command as systemd runs it."""
    operator = Operator(tmp_path)
    command = [sys.executable, "-m", "training.unit_alert", SERVICE]
    for _ in range(2):
        subprocess.run(command, env=os.environ | operator.told("watchdog"), check=True)
    assert [alert["event"] for alert in operator.heard()] == ["degraded", "degraded"]


class Clock:
    """Goes on only while something waits for it."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.waited: list[float] = []
        self.then: dict[float, Path] = {}

    def sleep(self, seconds: float) -> None:
        self.waited.append(seconds)
        self.now_s += seconds
        for path in (path for at_s, path in self.then.items() if at_s <= self.now_s):
            path.touch()

    def monotonic_s(self) -> float:
        return self.now_s


@pytest.fixture
def unit_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """A unit that failed, with an operator who is only reached where `network` is there."""

    def ends(unit: str, clock: Clock) -> None:
        monkeypatch.setenv("SIGNAL_SCORER_CONFIG", str(tmp_path / "config.toml"))
        monkeypatch.setenv("MONITOR_SERVICE_RESULT", "start-limit-hit")
        monkeypatch.setattr("sys.argv", ["unit_alert", unit])
        unit_alert.main(sleep=clock.sleep, monotonic_s=clock.monotonic_s)

    return ends


def test_what_is_told_before_there_is_a_network_is_told_when_there_is_one(
    tmp_path: Path, unit_ends: Callable[..., None]
) -> None:
    operator, clock = Operator(tmp_path, needs=tmp_path / "network"), Clock()
    clock.then = {90.0: tmp_path / "network"}
    unit_ends(SERVICE, clock)
    assert [alert["event"] for alert in operator.heard()] == ["degraded"]
    assert clock.waited == [30.0, 30.0, 30.0]


def test_what_is_told_late_says_when_it_was(tmp_path: Path) -> None:
    operator, clock = Operator(tmp_path, needs=tmp_path / "network"), Clock()
    clock.then = {300.0: tmp_path / "network"}
    config = load(environ={"SIGNAL_SCORER_CONFIG": str(tmp_path / "config.toml")}).config
    unit_alert.tell(
        SERVICE, {}, config, now_s=11_520.0, sleep=clock.sleep, monotonic_s=clock.monotonic_s
    )
    (alert,) = operator.heard()
    assert " at 03:12 UTC " in str(alert["text"])


@pytest.mark.parametrize("unit", [TRAIN, SERVICE])
def test_what_stays_untold_shows_by_a_unit_that_failed_and_is_told_next_time(
    tmp_path: Path,
    unit: str,
    unit_ends: Callable[..., None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    operator, clock = Operator(tmp_path, needs=tmp_path / "network"), Clock()
    with pytest.raises(SystemExit) as ended:
        unit_ends(unit, clock)
    assert ended.value.code == 75
    assert f"{unit} failed" in capsys.readouterr().err
    # The service's last try, too, ends before systemd ends it. A job's next run tells.
    most_s = minutes_of_its_unit() * 60.0 - 30.0
    assert 480.0 < clock.now_s < most_s if unit == SERVICE else clock.now_s == 0.0
    assert operator.heard() == []
    (tmp_path / "network").touch()
    unit_ends(unit, clock)
    assert [alert["event"] for alert in operator.heard()] == ["degraded"]


@pytest.mark.parametrize("timeout_s", [100, 600])
def test_a_command_that_may_take_long_is_given_fewer_tries(
    tmp_path: Path, timeout_s: int, unit_ends: Callable[..., None]
) -> None:
    Operator(tmp_path, needs=tmp_path / "network")
    with (tmp_path / "config.toml").open("a") as file:
        file.write(f"timeout_s = {timeout_s}\n")
    clock = Clock()
    with pytest.raises(SystemExit):
        unit_ends(SERVICE, clock)
    assert clock.now_s + timeout_s <= max(timeout_s, minutes_of_its_unit() * 60.0 - 30.0)


def minutes_of_its_unit() -> float:
    """For how long systemd lets it try."""
    (minutes,) = re.findall(r"^TimeoutStartSec=(\d+)min$", UNIT.read_text(), re.MULTILINE)
    return float(minutes)


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
