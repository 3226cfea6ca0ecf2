"""The truth logs that `install.sh --truth-log` shows to the trainer's units."""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from pathlib import Path
from shlex import quote
from tempfile import TemporaryDirectory

import pytest
from another_user import NOBODY, as_root
from doctored import Setup
from installer import run_steps

from service.commands.running import listing
from service.config.load import load
from service.doctor import trainer
from service.doctor.finding import Finding
from service.doctor.scene import look_around
from service.shown_logs import INSTALLED, shown_logs


def shown(units: Path, *logs: Path) -> Path:
    """What the script itself writes for these logs, in a folder of the test."""
    run_steps(units, f"logs='{' '.join(map(str, logs))}'\ninstall_truth_logs")
    return units / "signal-scorer-train.service.d/truth-log.conf"


def found(setup: Setup, drop_in: Path, config_file: Path = INSTALLED) -> list[Finding]:
    """What doctor says of truth logs, the last run left out."""
    scene = look_around(
        load(environ=setup.environ), now_s=0.0, listen_s=0.0, config_file=config_file
    )
    *findings, _ = trainer.check(replace(scene, drop_in=drop_in))
    return findings


@pytest.fixture
def logs(open_folder: Path) -> tuple[Path, Path]:
    """Two, below a folder that only root may enter; the second one's own folder is closed too."""
    closed = open_folder / "root"
    made = (closed / "elite_guard/truth_log.jsonl", closed / "private/signals.jsonl")
    for log in made:
        log.parent.mkdir(parents=True)
        log.write_text("{}\n")
        log.chmod(0o644)
    closed.chmod(0o700)
    made[1].parent.chmod(0o700)
    return made


@as_root
def test_the_logs_are_those_shown_to_the_units_and_not_the_configured_ones(
    served_by_nobody: Setup, logs: tuple[Path, Path], tmp_path: Path
) -> None:
    served_by_nobody.values["TRUTH_LOG_PATHS"] = "configured.jsonl"
    seen = found(served_by_nobody, shown(tmp_path, *logs))
    assert [(one.level, one.about) for one in seen] == [("ok", str(log)) for log in logs]
    # Another configuration than the installed one is no business of the units.
    (other,) = found(served_by_nobody, shown(tmp_path, *logs), tmp_path / "config.toml")
    assert "configured.jsonl" in other.about


@as_root
def test_the_configuration_is_shown_with_them(logs: tuple[Path, Path], tmp_path: Path) -> None:
    drop_in = shown(tmp_path, *logs)
    sourced = load(environ={"SIGNAL_SCORER_TRUTH_LOG_PATHS": "configured.jsonl"})

    def told(config_file: Path) -> list[str]:
        found = [log for log, _ in shown_logs(config_file, drop_in)]
        return [line for line in listing(sourced, found) if ".jsonl" in line]

    configured, instead = told(INSTALLED)
    assert configured.startswith('paths = ["configured.jsonl"]')
    assert all(str(log) in instead for log in logs)
    assert instead.startswith("# the trainer's units read")
    assert told(tmp_path / "config.toml") == [configured]


@as_root
def test_a_log_that_is_closed_or_gone_is_named_where_it_lies(
    served_by_nobody: Setup, logs: tuple[Path, Path], tmp_path: Path
) -> None:
    drop_in = shown(tmp_path, *logs)
    served_by_nobody.models.mkdir()
    os.chown(served_by_nobody.models, NOBODY, NOBODY)
    logs[0].parent.chmod(0o700)
    logs[1].chmod(0o600)
    for one in found(served_by_nobody, drop_in):
        assert "may not read" in one.text
        subprocess.run(["sh", "-ec", one.advice.partition(";")[0]], check=True)
    assert [one.level for one in found(served_by_nobody, drop_in)] == ["ok", "ok"]
    assert logs[0].parent.parent.stat().st_mode & 0o777 == 0o700
    logs[1].write_text("")
    assert "is empty" in found(served_by_nobody, drop_in)[1].text
    logs[1].unlink()
    assert "not there" in found(served_by_nobody, drop_in)[1].text
    logs[1].mkdir()
    assert "is no file" in found(served_by_nobody, drop_in)[1].text


@as_root
def test_a_drop_in_that_was_edited_by_hand_is_read_as_systemd_would(
    served_by_nobody: Setup, logs: tuple[Path, Path], tmp_path: Path
) -> None:
    drop_in = shown(tmp_path, *logs)
    lines = drop_in.read_text().replace("PATHS=", f"PATHS={tmp_path}/own.jsonl,").splitlines()
    other = "BindReadOnlyPaths=-/opt/else:/mnt/else"
    drop_in.write_text("\n".join([other, *reversed(lines)]).replace("=-", "=", 1) + "\n")
    about = {one.about: one.level for one in found(served_by_nobody, drop_in)}
    assert about == {str(log): "ok" for log in logs} | {f"{tmp_path}/own.jsonl": "fail"}


@pytest.mark.parametrize("place", ["/home", "/root", "/tmp", "/var/tmp/its own"])
def test_what_the_units_have_an_empty_folder_in_place_of_is_told_of_the_installed_alone(
    setup: Setup, tmp_path: Path, place: str
) -> None:
    setup.values["TRUTH_LOG_PATHS"] = f"{place}/no_such/truth_log.jsonl"
    none = tmp_path / "none.conf"
    (hidden,) = found(setup, none)
    assert (hidden.level, hidden.about) == ("fail", setup.values["TRUTH_LOG_PATHS"])
    assert "hidden from the units" in hidden.text
    assert f"--truth-log {quote(hidden.about)} " in hidden.advice
    (other,) = found(setup, none, tmp_path / "config.toml")
    assert "hidden" not in other.text


def test_a_command_in_such_a_folder_tells_nobody(setup: Setup) -> None:
    with TemporaryDirectory(dir="/var/tmp") as folder:
        command = Path(folder) / "tell.sh"
        command.write_text("#!/bin/sh\n")
        command.chmod(0o755)
        setup.values["ALERTS_COMMAND"] = str(command)
        scene = look_around(load(environ=setup.environ), now_s=0.0, listen_s=0.0)
        (hidden,) = trainer.alerts(replace(scene, config_file=INSTALLED))
        (own,) = trainer.alerts(scene)
    assert "hidden from the units" in hidden.text
    assert "hidden" not in own.text
