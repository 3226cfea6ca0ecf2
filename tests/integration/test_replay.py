"""Replays reach a plain SUB completely, in order, in the recorded shape, with stamps moved."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import zmq

from protocol.ea_feed import Candle, Tick, parse
from service.console.progress import Progress
from service.errors import CommandError
from service.recording.replay import ReplayAccount, replay
from service.recording.restamp import parse_offset

NOW_S = 1_800_000_030.5
ANYWHERE = "tcp://127.0.0.1:*"
OLD = (
    '{"type":"TICK","node_id":"N1","user_uuid":"U","symbol":"EURUSD","bid":1.1,"ask":1.2,'
    '"spread":3.0,"volume":0,"timestamp":"2025.09.15 19:33:%02d"}'
)
NEW = 'tick {"type":"tick","symbol":"EURUSD","bid":1.1,"ask":1.2,"volume":0,"timestamp":%d}'
CANDLE = (
    '{"type":"OHLC","symbol":"EURUSD","timeframe":"M1","time":%d,'
    '"open":1,"high":1,"low":1,"close":1}'
)


class Subscriber(Progress):
    """A plain SUB in its own thread, also a replay's progress: it connects when that is bound."""

    def __init__(self, pause_s: float = 0.0) -> None:
        self.frames: list[bytes] = []
        self.endpoint = ""
        self.sent: list[int] = []
        self._pause_s = pause_s
        self._total = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._read)

    def say(self, text: str) -> None:
        self.endpoint = text.split(maxsplit=1)[0]

    def step(self, name: str, done: int, total: int) -> None:
        if not self._total:
            self._total = total
            self._thread.start()
        self.sent.append(done)

    def _read(self) -> None:
        with zmq.Context() as context, context.socket(zmq.SUB) as socket:
            socket.setsockopt(zmq.LINGER, 0)
            socket.setsockopt(zmq.RCVHWM, 10)
            socket.subscribe(b"")
            socket.connect(self.endpoint)
            while len(self.frames) < self._total and not self._stop.is_set():
                if not socket.poll(50):
                    continue
                self.frames.append(socket.recv())
                if self._pause_s and len(self.frames) % 500 == 0:
                    time.sleep(self._pause_s)

    def finish(self, within_s: float = 30.0) -> list[bytes]:
        self._thread.join(within_s)
        self._stop.set()
        self._thread.join()
        return self.frames


def run(
    *files: Path, pause_s: float = 0.0, **options: Any
) -> tuple[list[bytes], ReplayAccount, Subscriber]:
    subscriber = Subscriber(pause_s)
    account = replay(
        files, bind=ANYWHERE, progress=subscriber, wait_s=10.0, now=lambda: NOW_S, **options
    )
    frames = subscriber.finish()
    assert account.adds_up
    assert account.published == len(frames)
    return frames, account, subscriber


def lines(path: Path, *texts: str) -> Path:
    path.write_text("".join(f"{text}\n" for text in texts))
    return path


def stamps(frames: list[bytes]) -> list[float]:
    return [m.stamp_s for m in map(parse, frames) if isinstance(m, (Tick, Candle))]


def test_the_last_stamp_becomes_the_present_and_text_stays_text(tmp_path: Path) -> None:
    path = lines(tmp_path / "feed.jsonl", OLD % 50, OLD % 53, OLD % 52)
    frames, account, _ = run(path, clock_offset_s=10_800.0)
    assert stamps(frames) == [1_800_000_000 + 10_800 + second for second in (27, 30, 29)]
    for sent, recorded in zip(frames, (OLD % 50, OLD % 53, OLD % 52), strict=True):
        before, after = json.loads(recorded), json.loads(sent)
        assert list(after) == list(before)
        assert len(after.pop("timestamp")) == len(before.pop("timestamp"))
        assert after == before
    assert account.shift_s == 1_800_000_030 + 10_800 - 1_757_964_833


def test_numbers_stay_whole_and_prefixes_stay(tmp_path: Path) -> None:
    precise = NEW.replace("%d", "%.2f") % 1_757_964_831.25
    frames, _, _ = run(lines(tmp_path / "feed.jsonl", precise, NEW % 1_757_964_832))
    assert all(frame.startswith(b"tick {") for frame in frames)
    sent = [json.loads(frame[5:])["timestamp"] for frame in frames]
    assert [repr(stamp) for stamp in sent] == ["1800000029.25", "1800000030"]


def test_what_the_service_does_not_read_goes_out_as_it_was_recorded(tmp_path: Path) -> None:
    # MQL may write text by the code page of its Windows: such a tick counts all the same.
    odd = (OLD % 50).replace('"U"', '"André"').replace("3.0", "1e999").replace("1.1", "1.10000")
    path = tmp_path / "feed.jsonl"
    path.write_bytes(odd.encode("latin-1") + b"\n" + (OLD % 52).encode() + b"\0 \n")
    frames, _, _ = run(path)
    assert stamps(frames) == [1_800_000_028, 1_800_000_030]
    stamp = b"2027.01.15 08:00:28"
    assert frames[0] == odd.encode("latin-1").replace(b"2025.09.15 19:33:50", stamp)


def test_candles_have_ended_and_stay_on_the_minute(tmp_path: Path) -> None:
    candles = (CANDLE % 1_757_938_680, CANDLE % 1_757_938_740)
    frames, _, _ = run(lines(tmp_path / "candles.jsonl", *candles, NEW % 1_757_938_801))
    assert stamps(frames) == [1_799_999_880, 1_799_999_940, 1_800_000_001]


def test_batches_move_with_their_candles(tmp_path: Path) -> None:
    batch = (
        '{"type":"candle_batch","symbol":"EURUSD","timestamp":"2025.09.15 12:19:00",'
        '"M1":[7,{"time":"2025.09.15 12:18","open":1,"high":1,"low":1,"close":1}]}'
    )
    frames, _, _ = run(lines(tmp_path / "feed.jsonl", batch))
    sent = json.loads(frames[0])
    assert sent["timestamp"] == "2027.01.15 08:00:00"
    assert sent["M1"][0] == 7, "what is no candle is published as it was"
    assert sent["M1"][1]["time"] == "2027.01.15 07:59"


def test_with_a_speed_the_first_stamp_is_the_present_and_gaps_are_kept(tmp_path: Path) -> None:
    path = lines(tmp_path / "feed.jsonl", *(NEW % (1_757_964_832 + 60 * i) for i in range(5)))
    clock = [100.0]

    def sleep(seconds: float) -> None:
        clock[0] += seconds

    frames, account, _ = run(path, speed=60.0, monotonic=lambda: clock[0], sleep=sleep)
    assert stamps(frames) == [1_800_000_030 + 60 * i for i in range(5)]
    assert account.seconds == pytest.approx(4.0, abs=0.01)


def test_a_slow_subscriber_gets_every_message(tmp_path: Path) -> None:
    path = tmp_path / "EURUSD.csv"
    rows = (f"{1_000_000_000_000 + i},1.{i:06},1.9" for i in range(20_000))
    lines(path, "ts_ms,bid,ask", *rows)
    frames, account, subscriber = run(path, pause_s=0.01)
    bids = [m.bid for m in map(parse, frames) if isinstance(m, Tick)]
    assert bids == [float(f"1.{i:06}") for i in range(20_000)]
    assert subscriber.sent[-1] == account.published == 20_000
    assert stamps(frames)[-1] == pytest.approx(NOW_S, rel=0, abs=0.001)


RECORDED = [
    "ea_feed/ticks_20250915.jsonl",
    "ea_feed/candles_20250915.jsonl.gz",
    "market/hft_binance_20240808_09_events.csv.gz",
    "market/lean_coinbase_1m_quotes_trades_20180404_06.csv.gz",
    "market/lean_fx_tick_EURUSD.fxcm_20140505.csv.gz",
    "market/lean_fx_tick_XAUUSD.oanda_20140501_07.csv.gz",
]


@pytest.mark.parametrize("name", RECORDED)
def test_recorded_files_reach_the_subscriber(shared_data: Path, name: str) -> None:
    frames, account, _ = run(shared_data / name, limit=6_000)
    assert account.total == (1500 if "ticks_" in name else 6_000)
    found = stamps(frames)
    assert len(found) == len(frames)  # each is a tick or a candle
    assert NOW_S - (960 if "candles" in name else 1) <= max(found) <= NOW_S


def test_the_sample_and_a_market_are_merged(shared_data: Path) -> None:
    files = [shared_data / name for name in RECORDED[:1] + RECORDED[3:4]]
    frames, account, _ = run(*files)
    assert account.published == 1500 + 14_378
    assert len({m.symbol for m in map(parse, frames) if isinstance(m, Tick)}) == 19


def test_a_taken_port_ends_it_with_advice(tmp_path: Path) -> None:
    path = lines(tmp_path / "feed.jsonl", OLD % 50)
    with zmq.Context() as context, context.socket(zmq.PUB) as taken:
        taken.setsockopt(zmq.LINGER, 0)
        port = taken.bind_to_random_port("tcp://127.0.0.1")
        with pytest.raises(CommandError, match="--bind") as caught:
            replay([path], bind=f"tcp://127.0.0.1:{port}")
    assert caught.value.exit_code == 69


def test_nobody_listening_is_said(tmp_path: Path) -> None:
    path = lines(tmp_path / "feed.jsonl", OLD % 50)
    with pytest.raises(CommandError, match="nobody subscribed"):
        replay([path], bind=ANYWHERE, wait_s=0.0)


@pytest.mark.parametrize("text", ["HEARTBEAT", '{"type":"hello"}'])
def test_a_file_without_messages_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(CommandError, match="nothing to publish"):
        replay([lines(tmp_path / "feed.jsonl", text)], bind=ANYWHERE)


def test_an_address_that_is_none_is_refused(tmp_path: Path) -> None:
    path = lines(tmp_path / "feed.jsonl", OLD % 50)
    with pytest.raises(CommandError, match="cannot bind"):
        replay([path], bind="nonsense")


def test_an_interruption_ends_with_the_account(tmp_path: Path) -> None:
    path = lines(tmp_path / "feed.jsonl", *(NEW % (1_757_964_832 + i) for i in range(9)))

    def interrupted(seconds: float) -> None:
        raise KeyboardInterrupt

    subscriber = Subscriber()
    account = replay(
        [path], bind=ANYWHERE, progress=subscriber, speed=1.0, wait_s=10.0, sleep=interrupted
    )
    subscriber.finish(within_s=0.0)
    assert account.interrupted
    assert account.adds_up
    assert (account.published, account.total) == (1, 9)
    assert account.lines()[0].startswith("interrupted: 1 of 9")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("3h", 10800), ("-90m", -5400), ("0", 0), ("5h45m", 20700), ("+10800", 10800), ("1.5h", 5400)],
)
def test_offsets_are_read(text: str, seconds: float) -> None:
    assert parse_offset(text) == seconds


@pytest.mark.parametrize("text", ["", "-", "h", "3 hours", "nan", "3h h", "--1", "1e3"])
def test_other_offsets_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no offset"):
        parse_offset(text)
