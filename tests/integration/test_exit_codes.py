"""A command that cannot do what it should ends with one line and the code of the table."""

from __future__ import annotations

import errno
import gzip
import json
import os
import subprocess
import sys
from pathlib import Path

import msgpack
import pytest
from command import Done, invoke
from forked import Forks
from harness import eventually, running
from scored_journal import write_journal

from service.errors import ConfigError
from service.keygen import keygen
from training.options import advice

TICK = '{"type":"tick","symbol":"EURUSD","bid":1.1,"ask":1.2,"volume":0,"timestamp":1757964832}\n'


def told(done: Done, code: int, *words: str) -> None:
    """That it ended with the code, and that its last line says so much."""
    assert done.returncode == code, done
    last = done.stderr.splitlines()[-1]
    assert all(word in last for word in words), last
    assert "Traceback" not in done.stderr


def test_a_key_that_cannot_be_used_is_no_wrong_usage(tmp_path: Path) -> None:
    keygen(tmp_path, "me")
    secret = tmp_path / "me.key"
    secret.chmod(0o644)
    keys = ("--server-key", str(tmp_path / "server.pub"), "--key", str(secret))
    told(invoke(*keys, "health"), 66, "me.key", "chmod 600")
    told(invoke("--server-key", "/none", "--key", str(secret), "health"), 66, "/none")
    told(invoke("--key", str(secret), "health"), 2, "belong together")


def test_a_configuration_that_cannot_be_read_is_no_wrong_usage(tmp_path: Path) -> None:
    """With 2 the supervisor would try again and again."""
    for command in (("serve",), ("config", "--check")):
        told(invoke(*command, "--config", str(tmp_path)), 78, str(tmp_path), "Is a directory")


def test_a_configuration_that_the_machine_kept_from_being_read_is_tried_again(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as ended, advice():
        raise ConfigError("no") from OSError(errno.EMFILE, "Too many open files")
    assert ended.value.code == 66
    assert "no" in capsys.readouterr().err


def test_a_client_with_keys_is_told_that_they_may_be_refused(tmp_path: Path) -> None:
    keygen(tmp_path, "me")
    keys = ("--server-key", str(tmp_path / "server.pub"), "--key", str(tmp_path / "me.key"))
    nowhere = ("health", "--endpoint", "tcp://127.0.0.1:1", "--timeout-ms", "50")
    told(invoke(*keys, *nowhere), 69, "not on its list")
    without = invoke(*nowhere)
    told(without, 69)
    assert "list" not in without.stderr


ASKING = [
    ("health",),
    ("status",),
    ("mode",),
    ("stats",),
    ("top", "--once"),
    ("features", "EURUSD"),
    ("score", "--symbol", "EURUSD", "--base-score", "70"),
    ("outcome", "--outcome", "WIN_TP"),
]


def test_an_outcome_that_was_not_kept_is_said_and_no_success(tmp_path: Path) -> None:
    report = ("outcome", "--outcome", "WIN_TP", "--signal-id", "S1", "--timeout-ms", "10000")
    journal = tmp_path / "journal.db"
    journal.write_bytes(b"no database " * 1000)
    with running(tmp_path) as service:
        done = invoke(*report, "--endpoint", service.address)
        told(done, 75, "not kept", "again")
        assert json.loads(done.stdout)["journalled"] is False
        journal.unlink()

        def sent_again() -> bool:
            return invoke(*report, "--endpoint", service.address).returncode == 0

        eventually(sent_again, "the journal to work again")


def test_a_port_that_is_left_to_the_system_has_to_be_named() -> None:
    found = invoke("health", SCORE_BIND="tcp://127.0.0.1:*")
    told(found, 2, "--endpoint", "`ready` of the service's log")


@pytest.mark.parametrize("command", ASKING, ids=lambda command: command[0])
def test_options_that_cannot_be_meant_are_wrong_usage(command: tuple[str, ...]) -> None:
    for wanted in ("0", "-5", "nan", "inf"):
        told(invoke(*command, "--timeout-ms", wanted), 2, "--timeout-ms")
    told(invoke(*command, "--endpoint", "nonsense"), 2, "nonsense", "no endpoint")


@pytest.mark.parametrize(
    "words",
    [
        ("doctor", "--timeout-ms", "nan"),
        ("doctor", "--listen-s", "nan"),
        ("top", "--once", "--interval-s", "nan"),
        ("score", "--symbol", "EURUSD", "--base-score", "nan"),
        ("score", "--symbol", "EURUSD", "--base-score", "70", "--entry-price", "inf"),
        ("score", "--symbol", "EURUSD", "--base-score", "70", "--stop-loss", "0"),
        ("replay", __file__, "--speed", "0"),
    ],
    ids=" ".join,
)
def test_a_number_that_is_none_is_wrong_usage(words: tuple[str, ...]) -> None:
    told(invoke(*words), 2, words[-2])


def test_the_help_of_an_option_names_bounds_that_are_some() -> None:
    for command in ("score", "outcome"):
        assert "None" not in invoke(command, "--help").stdout
    told(
        invoke("outcome", "--outcome", "WIN", "--signal-id", "a", "--realised-r", "nan"),
        2,
        "realised_r",
    )


@pytest.mark.parametrize(
    "content",
    [msgpack.packb(7), msgpack.packb([]), msgpack.packb([0]), msgpack.packb({"a": 1})],
    ids=["number", "empty", "short", "map"],
)
def test_a_gzip_that_is_no_recording_is_said(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "run-000001.rec.gz"
    path.write_bytes(gzip.compress(content))
    (tmp_path / "journal.db").touch()
    told(invoke("replay", str(path), "--engine", STATE_DIR=str(tmp_path)), 66, "record")


@pytest.mark.parametrize("engine", [[], ["--engine"]])
def test_an_offset_that_is_none_is_wrong_usage(tmp_path: Path, engine: list[str]) -> None:
    (tmp_path / "ticks.jsonl").write_text(TICK)
    done = invoke("replay", str(tmp_path / "ticks.jsonl"), "--clock-offset", "bla", *engine)
    told(done, 2, "--clock-offset", "3h")


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("service config >&-", 0),
        ("service backup {}/saved >&-", 0),
        ("service journal export >&-", 0),
        ("service serve --config {}/none 2>&-", 78),
        ("service replay --bind tcp://127.0.0.1:* --wait-s 0.01 {}/ticks.jsonl 2>&-", 69),
        ("training train --force 2>&-", 4),
    ],
)
def test_a_closed_standard_stream_is_no_fault(tmp_path: Path, command: str, code: int) -> None:
    (tmp_path / "ticks.jsonl").write_text(TICK)
    write_journal(tmp_path / "state" / "journal.db", 1, edge=0.0)
    done = subprocess.run(
        ["sh", "-c", f'"$0" -m {command.format(tmp_path)}', sys.executable],
        capture_output=True,
        text=True,
        env=os.environ | {"SIGNAL_SCORER_STATE_DIR": str(tmp_path / "state")},
    )
    assert (done.returncode, done.stderr) == (code, "")


@pytest.mark.parametrize(
    "command",
    [
        "service journal tail",
        "service journal export",
        "service journal stats",
        "service config",
        "service doctor",
        "service backup {}/saved",
        "service --help",
        "service --version",
        "service serve --help",
        "service demo --help",
        "training models",
        "training status",
        "training --help",
        "training truth check --help",
    ],
)
def test_what_is_printed_onto_a_full_disk_is_said(
    forks: Forks, tmp_path: Path, command: str
) -> None:
    write_journal(tmp_path / "journal.db", 1, edge=0.0)
    given = command.format(tmp_path).split()
    done = forks.run(*given, stdout="/dev/full", SIGNAL_SCORER_STATE_DIR=str(tmp_path))
    found_full(done.returncode, done.stderr, command)


@pytest.mark.parametrize(
    "command", ["service journal tail", "service journal export", "training models"]
)
def test_what_is_printed_at_once_onto_a_full_disk_is_said(tmp_path: Path, command: str) -> None:
    write_journal(tmp_path / "journal.db", 1, edge=0.0)
    environ = {"SIGNAL_SCORER_STATE_DIR": str(tmp_path), "PYTHONUNBUFFERED": "1"}
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", *command.split()],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | environ,
        )
    found_full(done.returncode, done.stderr, command)


def found_full(code: int, said: str, command: str) -> None:
    assert code == 73
    (line,) = said.splitlines()
    program = "signal-scorer" if command.startswith("service") else "signal-scorer-train"
    assert line.startswith(f"{program}: ")
    assert "No space left" in line
