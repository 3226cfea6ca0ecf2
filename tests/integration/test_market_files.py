"""Market files are read row by row into messages, with an account that adds up."""

from __future__ import annotations

import gzip
from collections import Counter
from itertools import islice
from pathlib import Path

import pytest

from protocol.ea_feed import Candle, Tick
from service.recording.market_files import (
    MarketAccount,
    MarketFileError,
    Recorded,
    detect_format,
    read_market,
    symbol_of,
)

BINANCE = """recv_ms,exch_ms,symbol,kind,bid,ask,bid_size,ask_size,price,qty,side
1000000000000,,BTC.spot,T,,,,,100.5,9,B
1000000000100,,BTC.spot,Q,100,101,1,1,,,
1000000000200,,BTC.spot,T,,,,,100.5,0.5,B
1000000000300,,BTC.spot,X,,,,,,,
1000000000400,,BTC.spot,Q,nan,101,1,1,,,
1000000000500,,BTC.spot
"""
COINBASE = """ts_ms,symbol,bid,ask,bid_size,ask_size,open,high,low,close,volume
1000000020000,BTCUSD,100,101,1,1,100,100,100,100,7.5
1000000020000,ETHUSD,,,,,10,10,10,10,3
1000000080000,ETHUSD,10,11,1,1,,,,,
"""
FX = """ts_ms,bid,ask
1000000000250,1.2,1.1
1000000000050,1.1,1.2
"""
EA = """{"type":"TICK","symbol":"EURUSD","bid":1,"ask":2,"timestamp":"2025.09.15 19:33:52"}
HEARTBEAT
{"type":"OHLC","symbol":"EUR","timeframe":"M1","time":1757964720,"open":1,"low":1,"high":1,"close":1}
{"type":"tick","symbol":"EURUSD"
{"type":"candle_batch","symbol":"EURUSD","M1":[]}
"""


def write(path: Path, text: str) -> Path:
    data = text.encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def read(*files: Path, symbol: str | None = None) -> tuple[list[Recorded], MarketAccount]:
    account = MarketAccount()
    messages = list(read_market(files, account, symbol=symbol))
    assert account.adds_up
    assert account.messages == len(messages)
    return messages, account


@pytest.mark.parametrize("name", ["events.csv", "events.csv.gz"])
def test_a_binance_trade_is_a_deal_at_the_last_quote(tmp_path: Path, name: str) -> None:
    messages, account = read(write(tmp_path / name, BINANCE))
    assert [m.message for m in messages] == [
        Tick("BTC.spot", 100.0, 101.0, 0.0, 1000000000.1),
        Tick("BTC.spot", 100.0, 101.0, 0.5, 1000000000.2),
    ]
    assert account.rows == 6
    assert account.skipped == {"trade_before_quote": 1, "unknown_kind": 1, "malformed": 2}


def test_a_coinbase_quote_is_that_of_its_minutes_end(tmp_path: Path) -> None:
    messages, account = read(write(tmp_path / "minutes.csv", COINBASE))
    assert [m.message for m in messages] == [
        Tick("BTCUSD", 100.0, 101.0, 7.5, 1000000080.0),
        Tick("ETHUSD", 10.0, 11.0, 0.0, 1000000140.0),
    ]
    assert account.skipped == {"no_quote": 1}


def test_an_fx_file_passes_on_what_was_recorded_under_the_symbol_in_its_name(
    tmp_path: Path,
) -> None:
    path = write(tmp_path / "lean_fx_tick_EURUSD.fxcm_2014.csv", FX)
    messages, _ = read(path)
    assert [m.message for m in messages] == [
        Tick("EURUSD", 1.2, 1.1, 0.0, 1000000000.25),
        Tick("EURUSD", 1.1, 1.2, 0.0, 1000000000.05),
    ]
    assert {m.message.symbol for m in read(path, symbol="X")[0] if isinstance(m.message, Tick)} == {
        "X"
    }
    with pytest.raises(MarketFileError, match="--symbol"):
        symbol_of(tmp_path / "ticks.csv")


def test_feed_messages_keep_their_line_and_others_are_counted_by_kind(tmp_path: Path) -> None:
    path = write(tmp_path / "feed.jsonl", EA)
    messages, account = read(path)
    assert [type(m.message) for m in messages] == [Tick, Candle]
    assert [m.stamp_s for m in messages] == [1757964832.0, 1757964780.0]
    assert messages[0].frame == EA.splitlines()[0].encode()
    assert account.skipped == {"heartbeat": 1, "garbage": 1, "unstamped": 1}


def test_several_files_are_merged_by_time(tmp_path: Path) -> None:
    fx = FX.splitlines()
    first = write(tmp_path / "EURUSD.csv", f"{fx[0]}\n{fx[2]}\n{fx[1]}\n")
    second = write(tmp_path / "events.csv", BINANCE)
    stamps = [m.stamp_s for m in read(first, second)[0]]
    assert stamps == sorted(stamps)
    assert len(stamps) == 4


def test_an_unknown_absent_or_damaged_file_is_named(tmp_path: Path) -> None:
    unknown = write(tmp_path / "notes.txt", "some\nnotes\n")
    whole = gzip.compress(FX.encode() * 50, mtime=0)
    (tmp_path / "GBPUSD.csv.gz").write_bytes(whole[: len(whole) - 9])
    with pytest.raises(MarketFileError, match=r"notes\.txt.*--format") as refused:
        detect_format(unknown)
    headers = [text.splitlines()[0] for text in (BINANCE, COINBASE, FX)]
    assert all(header in str(refused.value) for header in headers)
    document = Path(__file__).parents[2] / "docs" / "backfill.md"
    assert all(f"`{header}`" in document.read_text() for header in headers)
    with pytest.raises(MarketFileError, match="gone"):
        read(tmp_path / "gone.csv")
    with pytest.raises(MarketFileError, match="GBPUSD"):
        read(tmp_path / "GBPUSD.csv.gz")


RECORDED = {
    "ea_feed/ticks_20250915.jsonl": ("ea", 1500, {}),
    "ea_feed/candles_20250915.jsonl.gz": ("ea", 15000, {}),
    "market/hft_binance_20240808_09_events.csv.gz": ("binance", 414_569, {}),
    "market/lean_coinbase_1m_quotes_trades_20180404_06.csv.gz": (
        "coinbase",
        15_834,
        {"no_quote": 1456},
    ),
    "market/lean_fx_tick_EURUSD.fxcm_20140505.csv.gz": ("fx", 58_143, {}),
}


@pytest.mark.parametrize("name", RECORDED)
def test_every_row_of_the_recorded_files_is_accounted_for(shared_data: Path, name: str) -> None:
    fmt, rows, skipped = RECORDED[name]
    account = MarketAccount()
    kinds = Counter(type(m.message) for m in read_market([shared_data / name], account))
    assert detect_format(shared_data / name) == fmt
    assert (account.rows, account.messages) == (rows, rows - sum(skipped.values()))
    assert account.skipped == skipped
    assert kinds.total() == account.messages


def test_the_recorded_weeks_are_read_in_order_of_time(shared_data: Path) -> None:
    weeks = sorted((shared_data / "market").glob("lean_fx_tick_*oanda*"))
    account = MarketAccount()
    seen = list(islice(read_market(weeks, account), 60_000))
    assert [m.stamp_s for m in seen] == sorted(m.stamp_s for m in seen)
    assert {m.message.symbol for m in seen if isinstance(m.message, Tick)} == {
        "EURUSD",
        "NZDUSD",
        "XAUUSD",
    }
