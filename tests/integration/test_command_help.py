"""Every command of both command lines says what it does, with an example that it understands."""

from __future__ import annotations

import ast
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import documents
import pytest
from command import invoke

from service.__main__ import cli
from service.console import exit_codes
from service.doctor import examine
from service.reload import LIVE
from training.__main__ import main as trainer
from training.simulate.__main__ import main as demo

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = re.compile(r"[A-Z_]+=\S+")


def walk(command: click.Command, path: str) -> Iterator[tuple[str, click.Command]]:
    if isinstance(command, click.Group):
        for name, inner in command.commands.items():
            yield from walk(inner, f"{path} {name}")
    else:
        # The demo's options and help are the simulation's.
        yield path, demo if path == "signal-scorer demo" else command


COMMANDS = dict(walk(cli, "signal-scorer")) | dict(walk(trainer, "signal-scorer-train"))


def example_of(path: str, text: str) -> list[str]:
    """The arguments of the example behind the command's own name."""
    line = text.partition("Example:")[2].strip().splitlines()[0]
    words = shlex.split(line.partition("&&")[0].partition("|")[0].partition(">")[0])
    while words and ENVIRONMENT.fullmatch(words[0]):
        words.pop(0)
    name = path.split()
    assert words[: len(name)] == name, line
    return words[len(name) :]


@pytest.mark.parametrize("path", COMMANDS)
def test_every_command_shows_an_example_that_it_takes(
    path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = COMMANDS[path]
    with click.Context(command, info_name=path) as context:
        text = command.get_help(context)
    assert command.help, "no word on what it does"
    arguments = example_of(path, text)
    monkeypatch.chdir(tmp_path)
    for parameter in command.params:
        if isinstance(parameter.type, click.Path):
            monkeypatch.setattr(parameter.type, "exists", False)
    # Raises where an option or an argument of the example is not known.
    with command.make_context(path, list(arguments)):
        pass


def test_every_exit_code_has_a_meaning_and_is_a_number_in_one_place() -> None:
    named = {code for code in vars(exit_codes).values() if type(code) is int}
    assert named == exit_codes.SCORER.keys() | exit_codes.TRAINER.keys()
    for path in [*(ROOT / "service").rglob("*.py"), *(ROOT / "training").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
                names = [getattr(target, "id", "") for target in node.targets]
                assert "exit_code" not in names, (path, node.lineno)
            if isinstance(node, ast.Call):
                called = getattr(node.func, "attr", getattr(node.func, "id", ""))
                words = [part for given in (*node.args, *node.keywords) for part in ast.walk(given)]
                given = [part.value for part in words if isinstance(part, ast.Constant)]
                codes = [code for code in given if type(code) is int and code > 1]
                ends = called in ("exit", "leave", "CommandError", "BackupError")
                assert not (ends and codes), (path, node.lineno)


@pytest.mark.parametrize(
    ("group", "meanings"),
    [(cli, exit_codes.SCORER), (trainer, exit_codes.TRAINER)],
    ids=["signal-scorer", "signal-scorer-train"],
)
def test_the_help_lists_the_exit_codes(group: click.Group, meanings: dict[int, str]) -> None:
    with click.Context(group) as context:
        text = group.get_help(context)
    for code, meaning in meanings.items():
        assert f"{code:>3}  {meaning}" in text


@pytest.mark.parametrize(
    ("name", "value", "code", "said"),
    [
        ("FEED_SILENCE_S", "20", 0, "fine for serve: 1 key set; signal-scorer doctor checks"),
        ("FEED_SILENCE_S", "-1", 78, "feed.silence_s"),
        ("SCORE_BIND", "tcp://0.0.0.0:5561", 78, "other machines"),
        ("CURVE_SERVER_SECRET_FILE", "/nowhere/server.key", 78, "/nowhere/server.key"),
    ],
)
def test_a_configuration_can_be_checked_before_it_is_used(
    name: str, value: str, code: int, said: str
) -> None:
    done = invoke("config", "--check", **{name: value})
    assert done.returncode == code
    assert said in done.stdout + done.stderr


COMPLETING = """
eval "$(_SIGNAL_SCORER_COMPLETE=bash_source signal-scorer)"
eval "$(_SIGNAL_SCORER_TRAIN_COMPLETE=bash_source signal-scorer-train)"
complete_for() {
    COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=()
    "$(complete -p "$1" | sed 's/.*-F \\([^ ]*\\) .*/\\1/')" "$1"
    echo "${COMPREPLY[@]}"
}
complete_for signal-scorer jour
complete_for signal-scorer journal ex
complete_for signal-scorer mode sh
complete_for signal-scorer doctor --te
complete_for signal-scorer-train roll
"""


def test_bash_completes_both_command_lines() -> None:
    bash, folder = shutil.which("bash"), Path(sys.executable).parent
    if bash is None or not (folder / "signal-scorer").exists():
        pytest.skip("no bash, or the commands are not installed beside this Python")
    environ = os.environ | {"PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        [bash, "--norc", "-c", COMPLETING], env=environ, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == ["journal", "export", "shadow", "--test-alert", "rollback"]


def test_the_document_has_the_same_exit_codes() -> None:
    for table, meanings in zip(
        documents.document("docs/operations.md").tables("## Exit codes"),
        (exit_codes.SCORER, exit_codes.TRAINER),
        strict=True,
    ):
        assert [tuple(row) for row in table] == [(str(c), text) for c, text in meanings.items()]


def test_the_document_has_every_check_and_every_key_that_a_reload_takes_up() -> None:
    document = documents.document("docs/operations.md")
    (checks,) = document.tables("## Something is wrong: doctor")
    told = {name for row in checks for name in row[0].split(", ")}
    assert told == {name for name, _ in examine.CHECKS}
    (reloaded,) = document.tables("## Configuration")
    assert {row[0].split(" (")[0] for row in reloaded[1:]} == set(LIVE)
