"""Backfill from a broker's own stamps, over the end of summer time."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import Result
from made_market import write_lines
from serving import candle, rows, tick
from trained import give

HOUR_S = 3600.0
ENDS_S = datetime(2025, 10, 26, 1, tzinfo=UTC).timestamp()
"""Of summer time in Europe; clocks in the east of it are three hours ahead of UTC before."""
SIGNAL_S = datetime(2025, 10, 28, 11, 30, tzinfo=UTC).timestamp()
BEFORE, AFTER = 1.1, 1.11
"""The price until half an hour after the signal, and from then on."""


def quotes(begin_s: float, hours: float, ends_s: float = ENDS_S) -> Iterator[bytes]:
    """A tick every other second, stamped by a broker whose summer time ends then."""
    for number in range(int(hours * HOUR_S / 2)):
        at_s = begin_s + 2 * number
        ahead_s = 3 * HOUR_S if at_s < ends_s else 2 * HOUR_S
        price = BEFORE if at_s < SIGNAL_S + HOUR_S / 2 else AFTER
        yield tick("EURUSD", at_s + ahead_s, price + number % 9 * 1e-5)


def backfilled(folder: Path, offset: str, *frames: bytes) -> Result:
    market = folder / "recorded.jsonl"
    market.write_bytes(b"\n".join(frames) + b"\n")
    levels = {"entry": 1.1001, "stop": 1.09, "target": 1.105}
    signal = {"signal_id": "A", "symbol": "EURUSD", "time": SIGNAL_S, "base_score": 70}
    signals = write_lines(folder / "signals.jsonl", [signal | levels | {"direction": "BUY"}])
    places = ["--journal", folder / "none.db", "--output", folder / "backfill.db"]
    given = ["--signals", signals, "--clock-offset", offset, "--jobs", "1"]
    return give("backfill", market, *given, *places)


def scored(folder: Path) -> tuple[float, str]:
    (score,) = rows(folder / "backfill.db", "select bid from scores")
    (ended,) = rows(folder / "backfill.db", "select outcome from outcomes")
    return score["bid"], ended["outcome"]


def two_days(ends_s: float = ENDS_S) -> Iterator[bytes]:
    yield from quotes(SIGNAL_S - 4 * 24 * HOUR_S, 1.0, ends_s)
    yield from quotes(SIGNAL_S - 3 * HOUR_S, 5.0, ends_s)


@pytest.mark.parametrize(
    ("offset", "ends_s"),
    [("Europe/Athens", ENDS_S), ("America/New_York+7h", ENDS_S + 7 * 24 * HOUR_S)],
)
def test_a_zone_is_followed_and_a_signal_sees_nothing_of_the_hour_to_come(
    tmp_path: Path, offset: str, ends_s: float
) -> None:
    result = backfilled(tmp_path, offset, *two_days(ends_s))
    assert result.exit_code == 0, result.output
    assert scored(tmp_path) == (pytest.approx(BEFORE, abs=1e-3), "WIN_TP")
    assert "brokers' clocks" not in result.output


@pytest.mark.parametrize("offset", ["3h", "Etc/GMT-3", "UTC+3h"])
def test_one_offset_over_a_switch_is_told_of(tmp_path: Path, offset: str) -> None:
    result = backfilled(tmp_path, offset, *two_days())
    assert result.exit_code == 0, result.output
    said = " ".join(result.output.split())
    assert "brokers' clocks changed on 2025-10-26" in said
    assert "--clock-offset Europe/Athens" in said


def test_one_offset_without_a_switch_is_no_matter(tmp_path: Path) -> None:
    result = backfilled(tmp_path, "2h", *quotes(SIGNAL_S - 3 * HOUR_S, 5.0))
    assert "brokers' clocks" not in result.output
    assert scored(tmp_path) == (pytest.approx(BEFORE, abs=1e-3), "WIN_TP")


def test_the_hour_that_a_clock_shows_twice_is_left_out_and_counted(tmp_path: Path) -> None:
    twice = list(quotes(ENDS_S - HOUR_S, 2.0))
    begun = candle("EURUSD", int(ENDS_S + 3 * HOUR_S) // 60 - 1, 1.1)  # it ends when that is over
    result = backfilled(tmp_path, "Europe/Athens", *twice, begun, *two_days())
    assert result.exit_code == 0, result.output
    (line,) = [line for line in result.output.splitlines() if "twice_or_never" in line]
    assert int(line.split()[1]) == len(twice) + 1
    assert scored(tmp_path) == (pytest.approx(BEFORE, abs=1e-3), "WIN_TP")


def test_what_is_no_clock_is_a_sentence(tmp_path: Path) -> None:
    result = backfilled(tmp_path, "Europe/Atlantis", *quotes(SIGNAL_S, 0.1))
    assert result.exit_code == 2
    assert "Europe/Athens" in result.output
