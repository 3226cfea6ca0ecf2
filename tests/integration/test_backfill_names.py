"""Backfill by a truth log whose symbols are the broker's: as they are written, or told of."""

from __future__ import annotations

import re
import shlex
from contextlib import closing
from pathlib import Path

import pytest
from journals import Journal
from made_market import made_market, quotes_of, signal_lines, write_lines
from trained import give


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return tmp_path / "config.toml"


def backfilled(
    folder: Path,
    config: Path,
    *options: str,
    told: str = "EURUSD",
    quoted: str = "EURUSD",
    gap_s: float = 0.0,
) -> str:
    """What is said of one signal; `gap_s` before it the market stops, and for as long behind.

    Its log is named unless other `options` are given."""
    market = made_market(folder)
    first = signal_lines(quotes_of(market), 1)[0]
    head, *ticks = market.read_text().splitlines()
    heard = [t for t in ticks if abs(float(t.split(",")[0]) / 1000 - first["time"]) >= gap_s]
    market.write_text("\n".join([head, *heard]) + "\n")
    unnamed = market.rename(folder / "ticks.csv")
    log = write_lines(
        folder / "truth.jsonl",
        [
            {
                "signal_id": "ELITE_1",
                "symbol": told,
                "direction": first["direction"],
                "confidence": 71.0,
                "generated_at": first["time"],
            }
        ],
    )
    places = ("--config", config, "--journal", folder / "journal.db")
    given = (*places, *(options or ("--truth-log", log)))
    result = give("backfill", unnamed, *given, "--symbol", quoted, "--jobs", "1")
    assert result.exit_code == 0, result.output
    return result.output


def next_of(said: str) -> tuple[list[str], str]:
    """The command that is named, alone on its line, and what is to be given with it."""
    ((command, more),) = re.findall(r"^next +signal-scorer-train (.+)(?:\n +(.+))?$", said, re.M)
    return shlex.split(command), more


@pytest.mark.parametrize(
    ("told", "quoted", "feed"),
    [
        ("EURUSD.r", "EURUSD.r", ""),
        ("EURUSD.r", "EURUSD.r", 'symbol_suffixes = [".r"]'),
        ("EURUSDm", "EURUSD", 'symbol_suffixes = ["m"]'),
        ("eurusd", "EURUSD", 'symbol_map = { eurusd = "EURUSD" }'),
    ],
)
def test_a_truth_logs_symbol_is_the_markets_as_it_is_written(
    tmp_path: Path, config: Path, told: str, quoted: str, feed: str
) -> None:
    config.write_text(f"[feed]\n{feed}\n[training]\nmax_missing = 8\n")
    said = backfilled(tmp_path, config, told=told, quoted=quoted)
    assert "scored           1 of 1" in said
    command, more = next_of(said)
    assert more == "with --config, --journal, --truth-log as here"
    with closing(Journal(tmp_path / "journal.db")) as journal:
        journal.open()
    places = ("--journal", tmp_path / "journal.db", "--models", tmp_path / "models")
    given = ("--config", config, "--truth-log", tmp_path / "truth.jsonl", *places)
    result = give(*command, *given)
    assert result.exit_code == 4, result.output
    assert "not enough samples: 0" in result.output


def test_a_part_of_a_truth_log_that_is_not_read_is_told_of(tmp_path: Path, config: Path) -> None:
    """As `train` does, and so of a folder that cannot be listed: its signals are not counted."""
    config.write_text("[training]\nmax_missing = 8\n")
    (tmp_path / "truth.jsonl.1.xz").touch()
    said = " ".join(backfilled(tmp_path, config).split())
    log = tmp_path / "truth.jsonl"
    assert f" truth log {log}: beside it, not read: truth.jsonl.1.xz " in said
    assert "to the end" not in said


def test_what_was_made_now_comes_before_what_is_configured(tmp_path: Path, config: Path) -> None:
    """Of a signal that is in both the first one counts."""
    config.write_text("[training]\nmax_missing = 8\nbackfills = ['older.db']\n")
    said = backfilled(tmp_path, config, told="EURUSD", quoted="EURUSD")
    first, second = next_of(said)[0][2::2]
    assert (first, Path(second).name) == (str(tmp_path / "backfill.db"), "older.db")


@pytest.mark.parametrize(
    ("logs", "options", "more"),
    [
        ("'live.jsonl', 'truth.jsonl'", (), "--truth-log as here; name configured logs too"),
        ("'truth.jsonl'", (), "--truth-log as here"),
        ("'truth.jsonl'", ("--timezone", "Europe/Athens"), "--timezone as here"),
    ],
)
def test_of_configured_logs_it_is_said_what_train_needs(
    tmp_path: Path, config: Path, logs: str, options: tuple[str, ...], more: str
) -> None:
    """A flag takes their place, and only here their zone was given."""
    places = f"state_dir = '{tmp_path}'\n[truth_log]\npaths = [{logs}]\n"
    config.write_text(f"{places}[training]\nmax_missing = 8\n")
    assert next_of(backfilled(tmp_path, config, *options))[1] == f"with --config, --journal, {more}"


@pytest.mark.parametrize(
    ("logs", "more"),
    [("", "with --config as here"), ("'t.jsonl'", "with --config, --timezone as here")],
)
def test_a_zone_that_was_of_the_signals_alone_is_none_of_what_train_is_told(
    tmp_path: Path, config: Path, logs: str, more: str
) -> None:
    """Configured logs were read with it too, and their signals have the times that it gave."""
    config.write_text(f"[truth_log]\npaths = [{logs}]\n[training]\nmax_missing = 8\n")
    market = made_market(tmp_path)
    signals = write_lines(tmp_path / "signals.jsonl", signal_lines(quotes_of(market), 1))
    given = ("--config", config, "--signals", signals, "--timezone", "Europe/Athens")
    made = tmp_path / "made.db"
    result = give("backfill", market, *given, "--output", made, "--jobs", "1")
    assert result.exit_code == 0, result.output
    assert next_of(result.output) == (["train", "--backfill", str(made)], more)


def test_of_a_signal_in_a_gap_of_the_market_there_is_nothing_to_train_on(
    tmp_path: Path, config: Path
) -> None:
    config.write_text("")
    said = backfilled(tmp_path, config, told="EURUSD", quoted="EURUSD", gap_s=7200.0)
    assert "scored           1 of 1, 0 with features enough to train" in said
    assert "\nnext  " not in said


def test_a_symbol_that_the_market_does_not_show_is_told_as_that(
    tmp_path: Path, config: Path
) -> None:
    config.write_text("")
    said = backfilled(tmp_path, config, told="EURUSD", quoted="EURUSD.r")
    assert re.search(r"\n  not_in_the_market +1  .*symbol_suffixes", said)
    assert "before_the_market" not in said
    assert "\nnext  " not in said, "nothing to train on"
