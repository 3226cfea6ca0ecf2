"""All recorded files through parser and intake, with an account of what became of every row.

Each row is read, written as the EA would send it, parsed and given to the intake at the time of
its own stamp. Rows are messages or skipped by the reader for a reason; messages are accepted or
refused for a reason. Ends with 1 if either sum is not right. `make account` runs it.

    .venv/bin/python scripts/account_market.py [FILE ...]
"""

import sys
from pathlib import Path
from time import perf_counter

from protocol.ea_feed import Candles, Tick, encode_tick
from service.feed.clock_offset import ClockOffset
from service.feed.intake import Intake
from service.feed.symbol_feed import Endpoint, SymbolLimits
from service.recording.market_files import MarketAccount, Recorded, detect_format, read_market

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
LATENCY_S = 0.05


def frame_of(recorded: Recorded) -> bytes:
    if recorded.frame or not isinstance(recorded.message, Tick):
        return recorded.frame
    return encode_tick(recorded.message)


def account_of(path: Path) -> bool:
    """Print what became of one file's rows; whether it adds up."""
    trades = detect_format(path) in ("binance", "coinbase")
    intake, rows = Intake(SymbolLimits()), MarketAccount()
    endpoint = Endpoint(path.name, trades, ClockOffset("auto"))
    began, receive_s, messages = perf_counter(), 0.0, 0
    for recorded in read_market([path], rows):
        receive_s = max(receive_s, recorded.stamp_s + LATENCY_S)
        intake.on_frame(endpoint, frame_of(recorded), receive_s)
        message = recorded.message
        messages += max(len(message.candles), 1) if isinstance(message, Candles) else 1
    fates = intake.counts + intake.skipped
    right = rows.adds_up and fates.total() == intake.received == messages
    print(f"{path.name}  ({perf_counter() - began:.1f} s)")
    print(f"  rows {rows.rows:,} = {rows.messages:,} messages", end="")
    print("".join(f" + {n:,} {why}" for why, n in sorted(rows.skipped.items())))
    print(f"  received {intake.received:,} = ", end="")
    print(" + ".join(f"{n:,} {fate}" for fate, n in sorted(fates.items())))
    if intake.changes:
        print("  on the way: " + ", ".join(f"{n} {what}" for what, n in intake.changes.items()))
    print(f"  symbols {len(intake.feeds)}, {'adds up' if right else 'DOES NOT ADD UP'}")
    return right


def main() -> int:
    paths = [Path(name) for name in sys.argv[1:]]
    if not paths and not DATA.is_dir():
        print(f"nothing to read: {DATA} is not there")
        return 0
    paths = paths or [*sorted(DATA.glob("market/*.csv.gz")), *sorted(DATA.glob("ea_feed/*.json*"))]
    return 0 if all(list(map(account_of, paths))) else 1


if __name__ == "__main__":
    sys.exit(main())
