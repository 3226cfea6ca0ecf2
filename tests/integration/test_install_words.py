"""What `install.sh` tells the operator to do next, and which names of logs it takes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from installer import run_steps

INSTALLED = "release=R start=no users='' logs='' timers=''"


@pytest.mark.parametrize("trigger", ["cron", "timers"])
def test_what_is_installed_and_not_started_is_started_by_what_it_prints(
    tmp_path: Path, trigger: str
) -> None:
    main = f"systemctl() {{ false; }}\n{INSTALLED} trigger={trigger}"
    text = run_steps(tmp_path, f"{main}\ninstall_trigger\nnext_steps")
    (started,) = re.findall(r"systemctl enable --now (.+)", text)
    made = {path.name for path in tmp_path.glob("*.timer")}
    assert set(started.split()) == {"signal-scorer"} | made
    assert len(made) == (0 if trigger == "cron" else 2)


@pytest.mark.parametrize("state", ["active", "activating"])
def test_an_upgrade_that_was_not_started_is_not_told_to_start_what_runs(
    tmp_path: Path, state: str
) -> None:
    # systemd starts nothing that is active, though with the release before.
    systemctl = f"systemctl() {{ echo {state}; }}"
    text = run_steps(tmp_path, f"{systemctl}\n{INSTALLED} trigger=cron\nnext_steps")
    assert "enable --now" not in text
    assert "without --no-start" in text


def test_a_log_with_a_comma_in_its_name_is_refused(tmp_path: Path) -> None:
    # The trainer's units are told of the logs in one list, which commas part.
    assert "letters, digits" in run_steps(tmp_path, "check_path /srv/truth,log.jsonl")
    assert run_steps(tmp_path, "check_path /srv/a-b_c@d=e+f.jsonl") == ""


def test_a_folder_is_no_log(tmp_path: Path) -> None:
    for named in (tmp_path, f"{tmp_path}/"):
        said = run_steps(tmp_path, f"logs='{named}'\ncheck_truth_logs")
        assert f"{named} is a folder" in said
    assert run_steps(tmp_path, f"logs={tmp_path}/truth_log.jsonl\ncheck_truth_logs") == ""


def test_wheels_in_a_folder_with_a_space_in_its_path_are_refused(tmp_path: Path) -> None:
    stick = tmp_path / "usb stick"
    stick.mkdir()
    given = "id() { echo 1; }\nmain --wheels"  # no root: goes no further
    assert "without spaces" in run_steps(tmp_path, f"{given} '{stick}'")
    # The link that it asks for is one, and not what it leads to.
    (tmp_path / "wheels").symlink_to(stick)
    assert "run it as root" in run_steps(tmp_path, f"{given} '{tmp_path}/wheels'")


def test_copies_of_the_unit_and_their_proxy_do_not_outlive_the_program(tmp_path: Path) -> None:
    # What is removed are paths of the machine: here nothing is.
    harmless = "rm() { :; }\nrmdir() { :; }\nsystemctl() { echo systemctl $*; }\n"
    starts = {
        "signal-scorer-b.service": "signal-scorer serve --config b.toml",
        "scorers@.service": "signal-scorer serve --config %i.toml",
        "signal-scorer-proxy.service": "python /usr/local/lib/signal-scorer/proxy.py",
    }
    for name, start in starts.items():
        (tmp_path / name).write_text(f"[Service]\nExecStart={tmp_path}/opt/current/bin/{start}\n")
    (tmp_path / "bridge.service").write_text("[Service]\nExecStart=/usr/bin/bridge\n")
    said = run_steps(tmp_path, f"{harmless}uninstall")
    for name in starts:
        assert f"systemctl --quiet disable {name}\n" in said
        assert f"systemctl stop {name.replace('@.', '@*.')}\n" in said
        assert f"disabled {name} too" in said
    assert "bridge" not in said
    # One that still tries to reach somebody.
    assert "systemctl --quiet stop signal-scorer-alert@*\n" in said


@pytest.mark.parametrize("folder", ["textfiles-scorer", "textfiles"])
def test_what_node_exporter_would_serve_for_ever_is_removed(tmp_path: Path, folder: str) -> None:
    textfiles = tmp_path / folder
    textfiles.mkdir()
    for name in ("signal_scorer_train.prom", "signal_scorer_monitor.prom", "disk.prom"):
        (textfiles / name).touch()
    # Of what is removed these alone are the test's.
    harmless = f"""
        rm() {{ case $* in "-f {textfiles}/"*) command rm "$@" ;; esac; }}
        rmdir() {{ :; }}
        systemctl() {{ :; }}
    """
    run_steps(tmp_path, f"{harmless}\nuninstall")
    assert [path.name for path in textfiles.iterdir()] == ["disk.prom"]


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('textfile = "{}/textfiles/own.prom"', True),
        ('  monitor.textfile="{}/textfiles/own.prom"  # ours', True),
        ('# textfile = "{}/textfiles/own.prom"', False),
        ('textfile = "{}/textfiles-scorer/own.prom"', False),
    ],
)
def test_who_writes_textfiles_where_the_units_may_not_any_more_is_told(
    tmp_path: Path, line: str, told: bool
) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/config.toml").write_text(f"[training]\n{line.format(tmp_path)}\n")
    said = run_steps(tmp_path, f"systemctl() {{ :; }}\n{INSTALLED} trigger=cron\nnext_steps")
    assert ("docs/monitoring.md" in said) == told
    assert "signal-scorer-train status" in said
