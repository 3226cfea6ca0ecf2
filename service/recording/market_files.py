"""Recorded feeds and markets as timestamped feed messages, read as a stream, gzip or plain.

Whatever the file, a row becomes one message or one reason in the account, which therefore
adds up. Quotes are passed on as recorded, crossed ones too: judging them is the intake's.

Formats, told from the first line: `ea` (a feed message a line), `binance` (events: Q quote,
T trade), `coinbase` (minutes with quotes and volume), `fx` (bare quotes of one symbol).
"""

from __future__ import annotations

import gzip
import heapq
import re
import zlib
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from operator import attrgetter
from pathlib import Path
from typing import IO, Literal, NamedTuple, cast

from protocol.ea_feed import GARBAGE, OTHER, Candle, Candles, FeedMessage, Skipped, Tick, parse
from service.console import exit_codes

Format = Literal["ea", "binance", "coinbase", "fx"]

HEADERS: dict[str, Format] = {
    "recv_ms,exch_ms,symbol,kind,bid,ask,bid_size,ask_size,price,qty,side": "binance",
    "ts_ms,symbol,bid,ask,bid_size,ask_size,open,high,low,close,volume": "coinbase",
    "ts_ms,bid,ask": "fx",
}
TIMEFRAME_S = {"M1": 60, "M5": 300, "M15": 900, "M30": 1800, "H1": 3600, "H4": 14400, "D1": 86400}
LINE_LIMIT = 1 << 20
_FILE_NAME_SYMBOL = re.compile(r"(?<![A-Za-z0-9])([A-Z]{6})(?![A-Za-z0-9])")


class MarketFileError(Exception):
    """A file that cannot be read at all; the text names it and says what to do."""

    exit_code = exit_codes.NO_INPUT


class Recorded(NamedTuple):
    """One message and when its sender sent it, in epoch seconds by the recording's clock.

    A candle counts as sent when it ends, and a batch that does not say when its newest M1 candle
    does: a longer one may be in it long before its end. `frame` is the line itself where the file
    holds feed messages, else empty.
    """

    stamp_s: float
    message: FeedMessage
    frame: bytes = b""


@dataclass(slots=True)
class MarketAccount:
    """What became of the rows: `rows` = `messages` + all of `skipped`."""

    rows: int = 0
    messages: int = 0
    skipped: Counter[str] = field(default_factory=Counter)

    @property
    def adds_up(self) -> bool:
        """Whether every row that was read is accounted for."""
        return self.rows == self.messages + self.skipped.total()


def read_market(
    files: Sequence[Path],
    account: MarketAccount,
    *,
    fmt: Format | None = None,
    symbol: str | None = None,
) -> Iterator[Recorded]:
    """All messages of the files, merged by time; each file keeps its own order.

    `fmt`: None tells it from each file's first line. `symbol`: the symbol of files of
    format `fx`; None takes it from the file's name. Raises MarketFileError, at once for
    a file that is absent or of unknown format, while reading for a damaged one.
    """
    streams = [_read_file(path, fmt or detect_format(path), symbol, account) for path in files]
    return streams[0] if len(streams) == 1 else heapq.merge(*streams, key=attrgetter("stamp_s"))


def detect_format(path: Path) -> Format:
    """The format by the file's first line. Raises MarketFileError where it is none of ours."""
    with closing(_lines(path)) as lines:
        first = next(lines, b"")
    if first[:1] == b"{" or parse(first) not in (GARBAGE, OTHER):
        return "ea"
    found = HEADERS.get(first.decode("utf-8", "replace").strip())
    if found is None:
        headers = "; ".join(f"{name} {header}" for header, name in HEADERS.items())
        raise MarketFileError(
            f"{path}: the first line tells no known format: neither a feed message (ea) nor one "
            f"of these headers: {headers}. Without a header name the format with --format"
        )
    return found


def symbol_of(path: Path) -> str:
    """The symbol in the name of an FX file (`..._EURUSD.oanda_...`). Raises MarketFileError."""
    found = _FILE_NAME_SYMBOL.search(path.name)
    if found is None:
        raise MarketFileError(f"{path}: no symbol in the file's name; name it with --symbol")
    return found.group(1)


def _lines(path: Path) -> Generator[bytes, None, None]:
    """The file's lines without their end; longer ones than LINE_LIMIT come in pieces."""
    try:
        with path.open("rb") as plain:
            packed = plain.peek(2)[:2] == b"\x1f\x8b"
            stream = cast("IO[bytes]", gzip.GzipFile(fileobj=plain) if packed else plain)
            while line := stream.readline(LINE_LIMIT):
                yield line.rstrip(b"\r\n")
    except (OSError, EOFError, zlib.error) as error:
        raise MarketFileError(
            f"{path}: cannot be read ({error}); check the path and the file"
        ) from error


def _read_file(
    path: Path, fmt: Format, symbol: str | None, account: MarketAccount
) -> Iterator[Recorded]:
    if fmt == "ea":
        return _read_ea(_lines(path), account)
    reader: Callable[[list[str]], Recorded | str]
    if fmt == "fx":
        name = symbol or symbol_of(path)
        reader = _fx_reader(name)
    else:
        reader = _binance_reader() if fmt == "binance" else _coinbase_row
    return _read_table(_lines(path), reader, account)


def _read_ea(lines: Iterable[bytes], account: MarketAccount) -> Iterator[Recorded]:
    for line in lines:
        account.rows += 1
        message = parse(line)
        if isinstance(message, Tick):
            stamp_s = message.stamp_s
        elif isinstance(message, Candle):
            stamp_s = _ended_s(message)
        elif isinstance(message, Candles) and message.candles:
            stamp_s = _sent_s(message)
        else:
            account.skipped[message.kind if isinstance(message, Skipped) else "unstamped"] += 1
            continue
        account.messages += 1
        yield Recorded(stamp_s, message, line)


def _sent_s(batch: Candles) -> float:
    if batch.stamp_s is not None:
        return batch.stamp_s
    newest = max(batch.candles, key=lambda candle: (candle.timeframe == "M1", _ended_s(candle)))
    return _ended_s(newest)


def _ended_s(candle: Candle) -> float:
    return candle.stamp_s + TIMEFRAME_S[candle.timeframe]


def _read_table(
    lines: Iterable[bytes], reader: Callable[[list[str]], Recorded | str], account: MarketAccount
) -> Iterator[Recorded]:
    """Rows through `reader`, which gives a message or the reason why there is none."""
    for number, line in enumerate(lines):
        text = line.decode("ascii", "replace")
        if number == 0 and text.strip() in HEADERS:
            continue
        account.rows += 1
        try:
            found = reader(text.split(","))
        except (ValueError, IndexError):
            found = "malformed"
        if isinstance(found, str):
            account.skipped[found] += 1
            continue
        account.messages += 1
        yield found


def _fx_reader(symbol: str) -> Callable[[list[str]], Recorded | str]:
    def read(row: list[str]) -> Recorded | str:
        stamp_s = int(row[0]) / 1000.0
        return Recorded(stamp_s, Tick(symbol, _price(row[1]), _price(row[2]), 0.0, stamp_s))

    return read


def _binance_reader() -> Callable[[list[str]], Recorded | str]:
    """A quote is a tick without volume; a trade is a deal at its symbol's last quote."""
    quotes: dict[str, tuple[float, float]] = {}

    def read(row: list[str]) -> Recorded | str:
        stamp_s = int(row[0]) / 1000.0
        symbol = row[2]
        if row[3] == "Q":
            bid, ask = quotes[symbol] = _price(row[4]), _price(row[5])
            return Recorded(stamp_s, Tick(symbol, bid, ask, 0.0, stamp_s))
        if row[3] != "T":
            return "unknown_kind"
        if symbol not in quotes:
            return "trade_before_quote"
        bid, ask = quotes[symbol]
        return Recorded(stamp_s, Tick(symbol, bid, ask, _price(row[9]), stamp_s))

    return read


def _coinbase_row(row: list[str]) -> Recorded | str:
    """The quote is that of the minute's end, 60 s after the row's stamp."""
    stamp_s = int(row[0]) / 1000.0 + 60.0
    if not row[2] or not row[3]:
        return "no_quote"
    volume = _price(row[10]) if row[10].strip() else 0.0
    return Recorded(stamp_s, Tick(row[1], _price(row[2]), _price(row[3]), volume, stamp_s))


def _price(text: str) -> float:
    """A number that a feed message may carry. Raises ValueError for any other."""
    number = float(text)
    if not 0.0 <= number <= 1e12:
        raise ValueError(text)
    return number
