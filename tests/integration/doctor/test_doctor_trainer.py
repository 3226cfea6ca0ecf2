"""The trainer's truth logs, files and last run, and whom the monitor would tell."""

from __future__ import annotations

import gzip
import os
import subprocess
import time
from pathlib import Path

import pytest
from another_user import NOBODY, as_nobody, as_root
from builders import small_model
from doctored import DAY_S, Setup, beside
from harness import Service

from service.files.durable import TrainerLock
from service.model.history import LAST_RUN_NAME


def test_a_truth_log_that_is_not_there(setup: Setup) -> None:
    setup.values["TRUTH_LOG_PATHS"] = str(setup.state / "truth_log.jsonl")
    assert "truth_log.paths" in setup.fault("trainer", "truth_log.jsonl", "not there").advice
    (setup.state / "truth_log.jsonl").symlink_to("truth_log.jsonl")  # as little is there
    assert "truth_log.paths" in setup.fault("trainer", "truth_log.jsonl", "not there").advice


def test_a_truth_log_that_is_empty(setup: Setup) -> None:
    log = setup.state / "truth_log.jsonl"
    log.touch()
    setup.values["TRUTH_LOG_PATHS"] = str(log)
    part = setup.state / "truth_log.jsonl.1.gz"
    part.touch()
    for unread in "truth_log-v2.jsonl", "truth_log.jsonl.1.xz", "truth_log.old.2025":
        (setup.state / unread).write_text("{}\n")
    assert "rotated" in setup.fault("trainer", str(log), "is empty", level="warn").advice
    part.write_bytes(gzip.compress(b"{}\n"))
    assert {found.level for found in setup.findings("trainer")} == {"ok"}


def test_a_folder_where_a_truth_log_belongs(setup: Setup) -> None:
    log = setup.state / "truth_log.jsonl"
    log.mkdir()
    setup.values["TRUTH_LOG_PATHS"] = str(log)
    assert "container" in setup.fault("trainer", "truth_log.jsonl", "is no file").advice


@as_root
def test_a_truth_log_that_the_trainer_may_not_read(
    served_by_nobody: Setup, open_folder: Path
) -> None:
    small_model(served_by_nobody.models, now_s=time.time())
    os.chown(served_by_nobody.models, NOBODY, NOBODY)
    (open_folder / "private").mkdir(mode=0o700)
    (open_folder / "private" / "truth_log.jsonl").touch()
    served_by_nobody.values["TRUTH_LOG_PATHS"] = str(open_folder / "private" / "truth_log.jsonl")
    assert "--truth-log" in served_by_nobody.fault("trainer", "may not read", "private").advice


@as_root
@pytest.mark.parametrize("name", [".lock", "history.jsonl"])
def test_a_file_of_the_trainers_that_root_made(served_by_nobody: Setup, name: str) -> None:
    served_by_nobody.models.mkdir()
    os.chown(served_by_nobody.models, NOBODY, NOBODY)
    made = served_by_nobody.models / name
    made.touch(mode=0o644)
    advice = served_by_nobody.fault("trainer", name, "may not write it").advice
    subprocess.run(advice, shell=True, check=True)
    assert [found.level for found in served_by_nobody.findings("trainer")] == ["ok"]


@as_root
@pytest.mark.parametrize("name", [".lock", "history.jsonl"])
def test_what_a_link_of_the_trainers_leads_to_is_not_to_be_given_to_it(
    served_by_nobody: Setup, open_folder: Path, name: str
) -> None:
    served_by_nobody.models.mkdir()
    os.chown(served_by_nobody.models, NOBODY, NOBODY)
    other = open_folder / "shadow"
    other.touch(mode=0o600)
    (served_by_nobody.models / name).symlink_to(other)
    advice = served_by_nobody.fault("trainer", name).advice
    subprocess.run(advice.removeprefix("move it away: "), shell=True, check=True)
    assert (other.stat().st_uid, other.stat().st_mode & 0o777) == (0, 0o600)
    assert [found.level for found in served_by_nobody.findings("trainer")] == ["ok"]


@as_root
def test_what_is_hidden_from_who_asks_hides_nothing_else_of_the_trainer(
    served_by_nobody: Setup, open_folder: Path
) -> None:
    (open_folder / "models").mkdir(mode=0o700)
    served_by_nobody.values |= {
        "MODEL_DIRECTORY": str(open_folder / "models"),
        "TRUTH_LOG_PATHS": str(open_folder / "models" / "truth_log.jsonl"),
    }
    with as_nobody():
        hidden, run = served_by_nobody.findings("trainer")
    assert (hidden.level, hidden.text) == ("warn", "the truth log is hidden from you")
    assert (run.level, run.about) == ("warn", str(open_folder / "models" / LAST_RUN_NAME))


def test_a_zone_that_there_is_not(setup: Setup) -> None:
    setup.values["TRUTH_LOG_TIMEZONE"] = "Europe/Atlantis"
    assert "Europe/Athens" in setup.fault("trainer", "Atlantis").advice


def test_a_trainer_that_did_not_run(lone: Service, tmp_path: Path) -> None:
    setup = beside(lone, tmp_path, MODEL_DIRECTORY=str(tmp_path / "models"))
    later_s = time.time() + 9 * DAY_S
    assert "cron" in setup.fault("trainer", "never ran", level="warn", now_s=later_s).advice
    small_model(tmp_path / "models", now_s=time.time())
    setup.fault("trainer", "did not run after", "published", level="warn", now_s=later_s)


def test_a_use_of_the_models_is_no_run_of_the_trainer(lone: Service, tmp_path: Path) -> None:
    models = tmp_path / "models"
    setup = beside(lone, tmp_path, MODEL_DIRECTORY=str(models))
    later_s = time.time() + 9 * DAY_S
    models.mkdir()
    with TrainerLock(models):  # as pin, rollback and restore
        pass
    os.utime(models / ".lock", (later_s, later_s))
    (found,) = setup.findings("trainer", now_s=later_s)
    assert (found.level, "last used" in found.text, "ran" in found.text) == ("ok", True, False)
    (models / LAST_RUN_NAME).touch()
    assert "cron" in setup.fault("trainer", "did not run after", level="warn", now_s=later_s).advice
    os.utime(models / LAST_RUN_NAME, (later_s, later_s))
    (found,) = setup.findings("trainer", now_s=later_s)
    assert (found.level, found.text.startswith("ran ")) == ("ok", True)


def test_a_monitor_that_did_not_run(setup: Setup) -> None:
    (setup.state / "scorer.prom").touch()
    setup.values["MONITOR_TEXTFILE"] = "scorer.prom"
    assert {f.level for f in setup.findings("trainer")} == {"ok"}
    found = setup.fault("trainer", "hourly", level="warn", now_s=time.time() + 20_000)
    assert "cron" in found.advice
    assert "journalctl -u signal-scorer-monitor" in found.advice


def test_an_alert_command_that_cannot_be_run(setup: Setup) -> None:
    script = setup.state / "tell.sh"
    setup.values["ALERTS_COMMAND"] = str(script)
    assert "alerts.command" in setup.fault("alerts", "not there").advice
    script.write_text("#!/bin/sh\n")
    assert "chmod +x" in setup.fault("alerts", "not executable").advice
    script.chmod(0o755)
    assert [finding.level for finding in setup.findings("alerts")] == ["ok"]


@as_root
def test_an_alert_command_that_the_monitors_user_may_not_run(
    served_by_nobody: Setup, open_folder: Path
) -> None:
    served_by_nobody.models.mkdir()
    os.chown(served_by_nobody.models, NOBODY, NOBODY)
    closed = open_folder / "closed"
    closed.mkdir(mode=0o700)
    (closed / "notes").touch(mode=0o600)
    script = closed / "tell.sh"
    script.write_text("#!/bin/sh\n")
    script.chmod(0o744)
    served_by_nobody.values["ALERTS_COMMAND"] = str(script)
    for hindrance in (closed, script):
        found = served_by_nobody.fault("alerts", "may not use")
        assert found.about == str(hindrance)
        subprocess.run(["sh", "-ec", found.advice], check=True)
    assert [finding.level for finding in served_by_nobody.findings("alerts")] == ["ok"]
    modes = [path.stat().st_mode & 0o777 for path in (closed, closed / "notes", script)]
    assert modes == [0o711, 0o600, 0o755]
