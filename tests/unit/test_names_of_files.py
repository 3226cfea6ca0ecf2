"""Names that others gave their files, on the terminal of whoever looks at them."""

from __future__ import annotations

import io
import shlex
from pathlib import Path

import pytest
from command import invoke
from made_market import made_market, quotes_of, signal_lines, write_lines
from saved_state import a_state
from trained import give

from service.__main__ import main
from service.console.progress import show_progress

ODD = "m\x1b]0;owned\x07\x1b[2Jx.pkl"
SHOWN = "m?]0;owned??[2Jx.pkl"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "old\nroot# rm"
    folder.mkdir()
    (folder / ODD).touch()
    (folder / "truth_log.jsonl").touch()
    return folder


@pytest.mark.parametrize(("command", "name"), [(["original"], "."), (["truth", "check"], ODD)])
def test_no_name_of_a_file_acts_on_the_terminal(
    folder: Path, command: list[str], name: str
) -> None:
    told = give(*command, folder / name).output
    assert SHOWN in told
    assert all(line.isprintable() and "root#" not in line[:5] for line in told.split("\n"))


def test_none_does_in_what_backfill_tells_of_its_market_and_its_result(folder: Path) -> None:
    market = made_market(folder)
    signals = write_lines(folder / "signals.jsonl", signal_lines(quotes_of(market), 1))
    given = ("--signals", signals, "--output", folder / "m\x1bx.db", "--jobs", 1)
    unread, made = (give("backfill", file, *given).output for file in (folder / ODD, market))
    assert f"/{SHOWN}: the first line" in unread
    assert "m?x.db\n" in made
    assert all(line.isprintable() for line in (unread + made).split("\n"))


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("kind", [io.StringIO, Terminal])
def test_none_does_in_what_is_told_meanwhile(kind: type[io.StringIO]) -> None:
    stream = kind()
    with show_progress(stream) as progress:
        progress.say(f"beside it, not read: {ODD}")
    assert SHOWN in stream.getvalue()


def test_none_does_in_what_backup_and_restore_tell(tmp_path: Path) -> None:
    state, saved = tmp_path / ODD, str(tmp_path / ODD / "saved")
    a_state(state, "x", 0)
    told = invoke("backup", saved, STATE_DIR=str(state)).stdout
    told += invoke("restore", saved, STATE_DIR=str(state / "new")).stdout
    assert told.count(SHOWN) > 1
    assert all(line.isprintable() for line in told.split("\n"))


def test_none_does_in_the_line_a_command_ends_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["signal-scorer", "restore", "--check", str(tmp_path / ODD)])
    with pytest.raises(SystemExit, match="66"):
        main()
    told = capsys.readouterr().err
    assert f"/{SHOWN} is no backup" in told
    assert told.removesuffix("\n").isprintable()


def test_an_empty_folder_is_named_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "old\nroot# rm").mkdir()
    assert give("original", tmp_path / "old\nroot# rm").output.count("\n") == 1


def test_the_next_commands_can_be_copied_whatever_the_folder_is_called(tmp_path: Path) -> None:
    log = tmp_path / "its own; rm $HOME" / "truth_log.jsonl"
    log.parent.mkdir()
    log.touch()
    for line in give("original", log.parent).output.splitlines()[-2:]:
        assert shlex.split(line)[-2:] == ["--truth-log", str(log)]
