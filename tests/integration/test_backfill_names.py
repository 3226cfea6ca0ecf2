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


def backfilled(folder: Path, config: Path, *, told: str, quoted: str, gap_s: float = 0.0) -> str:
    """What is said of one signal; `gap_s` before it the market stops, and for as long behind."""
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
    places = ("--journal", folder / "journal.db", "--output", folder / "out.db")
    given = ("--config", config, "--truth-log", log, "--symbol", quoted, "--jobs", "1")
    result = give("backfill", unnamed, *given, *places)
    assert result.exit_code == 0, result.output
    return result.output


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
    logs = "[truth_log]\npaths = ['live.jsonl']\n"
    config.write_text(f"[feed]\n{feed}\n[training]\nmax_missing = 8\n{logs}")
    said = backfilled(tmp_path, config, told=told, quoted=quoted)
    assert "scored           1 of 1" in said
    (command,) = re.findall(r"^next +signal-scorer-train (.+)$", said, re.M)
    assert command.count("--truth-log") == 2, "the configured one too"
    with closing(Journal(tmp_path / "journal.db")) as journal:
        journal.open()
    result = give(*shlex.split(command))
    assert result.exit_code == 4, result.output
    assert "not enough samples: 0" in result.output


def test_what_was_made_now_comes_before_what_is_configured(tmp_path: Path, config: Path) -> None:
    """Of a signal that is in both the first one counts."""
    config.write_text("[training]\nmax_missing = 8\nbackfills = ['older.db']\n")
    said = backfilled(tmp_path, config, told="EURUSD", quoted="EURUSD")
    assert re.search(r"^next .* --backfill \S+/out\.db --backfill \S*older\.db$", said, re.M)


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
