"""Backfill as it is run: real markets, recorded runs, its result as a file, and Ctrl-C."""

from __future__ import annotations

import gzip
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
from another_user import as_no_root
from click.testing import Result
from made_market import asked_of, made_market, quotes_of, signal_lines, write_lines
from oracles.serial_backfill import differences, serial
from scored_journal import START_S, write_journal
from serving import rows, tick
from trained import give

from protocol.ea_feed import Tick, encode_tick
from protocol.messages import ScoreRequest, SentimentRequest
from service.config.settings import Config, FeedSection, PaperSection
from service.features.windows import EventBuckets
from service.journal.records import ScoreRow
from service.recording.market_files import MarketAccount, read_market
from service.recording.recorded_engine import RecordedEngine
from service.recording.segments import SegmentWriter
from training.backfill.pieces import CutRules, Cutter
from training.backfill.rerun import rerun, settings_of
from training.backfill.segments import rerun_recorded, runs_of, with_signals
from training.backfill.signals import Asked
from training.backfill.stream import Event, StreamAccount, events, market_of
from training.backfill.work import default_output
from training.dataset.join import read_dataset
from training.dataset.join_rules import JoinRules
from training.settings import Settings

DAY_S = 86_400.0


@pytest.fixture
def market(tmp_path: Path) -> Path:
    return made_market(tmp_path)


def backfill(folder: Path, market: Path, *more: str | Path) -> Result:
    path = write_lines(folder / "signals.jsonl", signal_lines(quotes_of(market), 40))
    places = ("--journal", folder / "journal.db", "--output", folder / "backfill.db")
    return give("backfill", market, "--signals", path, *places, *more)


@pytest.mark.parametrize(
    ("pattern", "limit", "holding_s"),
    [
        ("lean_fx_tick_*.oanda_*.csv.gz", 50_000, 3600.0),
        ("hft_binance_*.csv.gz", 40_000, 30.0),
        ("lean_coinbase_*.csv.gz", 14_000, 7200.0),
    ],
)
def test_real_markets_in_pieces_give_the_bits_of_one_run(
    shared_data: Path, pattern: str, limit: int, holding_s: float
) -> None:
    files = sorted((shared_data / "market").glob(pattern))
    market = market_of(files)
    found: list[Event] = []
    for event in events(market, str, StreamAccount()):
        found.append(event)
        if len(found) == limit:
            break
    asked = asked_of(
        signal_lines([(e.stamp_s, e.symbol, e.values[0], e.values[1]) for e in found], 40)
    )
    paper = PaperSection(max_holding_s=holding_s)
    config = settings_of(paper, deals=market.volume_is_deal(FeedSection()))
    cutter = Cutter(asked, [a.request.symbol for a in asked], CutRules(holding_s, paper.max_gap_s))
    ours = {
        str(one.score.signal_id): one
        for piece in cutter.pieces(found)
        for one in rerun(piece, config)
    }
    assert len(ours) >= 35
    assert differences(ours, serial(found, asked, config)) == []


def test_bad_quotes_are_no_part_of_a_market(market: Path) -> None:
    """Judged before ticks are thinned: of a minute's extremes a bad one displaced the true one."""
    clean = list(events(market_of([market]), str, StreamAccount()))
    head, *quotes = market.read_text().splitlines()
    bad = range(20, len(quotes), 45)
    for at in bad:
        quotes[at] += (
            f"\n{quotes[at].split(',')[0]},{random.Random(at).choice((110.0, 0.01))},111.0"
        )
    market.write_text("\n".join([head, *quotes]) + "\n")
    account = StreamAccount()
    assert list(events(market_of([market]), str, account)) == clean
    assert account.dropped == {"spike": len(bad)}


def test_a_terminal_whose_quotes_are_all_bad_still_holds_its_symbol(tmp_path: Path) -> None:
    """As live, where another takes over only after silence."""
    quotes = [("one", 0, 1.1), *(("one", second, 9.9) for second in (15, 30, 45)), ("two", 50, 1.1)]
    path = tmp_path / "feed.jsonl"
    path.write_bytes(
        b"".join(
            encode_tick(Tick("EURUSD", bid, bid, 0.0, START_S + second, node)) + b"\n"
            for node, second, bid in quotes
        )
    )
    account = StreamAccount()
    assert len(list(events(market_of([path]), str, account))) == 1
    assert account.dropped == {"spike": 3, "other_source": 1}


def test_the_feeds_own_messages_and_candles_can_be_the_market(
    tmp_path: Path, shared_data: Path
) -> None:
    feed = shared_data / "ea_feed"
    last_s = max(
        r.stamp_s for r in read_market([feed / "candles_20250915.jsonl.gz"], MarketAccount())
    )
    line = {"signal_id": "EA_1", "symbol": "EURUSD", "base_score": 70, "direction": "BUY"}
    path = write_lines(tmp_path / "signals.jsonl", [line | {"time": last_s + 1}])
    places = ("--journal", tmp_path / "none.db", "--output", tmp_path / "backfill.db")
    candles = feed / "candles_20250915.jsonl.gz"
    result = give("backfill", candles, "--signals", path, *places, "--jobs", "1")
    assert result.exit_code == 0, result.output
    (score,) = rows(tmp_path / "backfill.db", "select missing from scores")
    # Bars alone: what needs ticks is not there, and nothing else is missing.
    assert set(score["missing"].split(",")) == {
        "volume_delta", "sentiment_score", "whale_activity", "spread_quality", "support_resistance",
    }  # fmt: skip


def test_what_was_scored_live_comes_out_of_its_recording_again(tmp_path: Path) -> None:
    """Same vectors to the bit, with the clock offset learnt and sentiment as it was sent."""
    writer = SegmentWriter(tmp_path / "segments", "run1", segment_bytes=1 << 20, keep_bytes=1 << 30)
    engine = RecordedEngine(Config(), "run1", writer)
    endpoint = engine.endpoint("feed", volume_is_deal=False)
    rng, mid, now_s = random.Random(3), 1.1, START_S
    live: dict[str, Any] = {}
    asked: list[Asked] = []
    for number in range(6000):
        now_s += rng.uniform(0.1, 2.0)
        mid *= 1 + rng.gauss(0, 2e-5)
        for symbol, price in (("EURUSD", mid), ("GBPUSD", 1.2 / mid)):
            # The broker's clock is three hours ahead, and says whole seconds.
            frame = tick(symbol, int(now_s - 0.05) + 10_800, round(price, 5))
            engine.on_frame(endpoint, frame, now_s)
        engine.advance(now_s + 0.05)
        if number == 3000:
            opinion = SentimentRequest(symbol="EURUSD", score=80.0)
            engine.on_request(opinion, msgspec.msgpack.encode(opinion), now_s)
        if number % 600 == 599:
            request = ScoreRequest(
                symbol="EURUSD",
                base_score=rng.uniform(50, 90),
                signal_id=f"S{number}",
                direction="SELL",
            )
            body = msgspec.msgpack.encode(request)
            live[str(request.signal_id)] = engine.on_request(request, body, now_s + 0.06).row
            asked.append(Asked(now_s + 0.06, request))
    writer.close()
    (run_,) = runs_of((tmp_path / "segments").glob("*.rec.gz"))
    late = Asked(now_s + 100.0, ScoreRequest(symbol="EURUSD", base_score=50.0, signal_id="LATE"))
    early = Asked(START_S - 100.0, ScoreRequest(symbol="EURUSD", base_score=50.0))
    (filled,), before = with_signals([run_], [early, *asked, late])
    assert before == 1
    found = rerun_recorded(filled, PaperSection())
    assert len(found) == len(asked) == 10
    for score, _ in found:
        mine, theirs = score, live[str(score.signal_id)]
        assert mine.features == theirs.features
        assert mine.missing == theirs.missing
        assert (mine.bid, mine.event_time) == (theirs.bid, theirs.event_time)


@pytest.mark.parametrize("told_after_s", [-0.5, 0.5, 90.0])
def test_a_signal_that_its_own_run_scored_comes_out_once_and_with_its_end(
    tmp_path: Path, told_after_s: float
) -> None:
    """The truth log may tell of it later than it was scored, and its journal may be lost."""
    writer = SegmentWriter(tmp_path, "run1", segment_bytes=1 << 20, keep_bytes=1 << 30)
    engine = RecordedEngine(Config(), "run1", writer)
    endpoint = engine.endpoint("feed", volume_is_deal=False)
    levels = {"entry_price": 1.101, "stop_loss": 1.1, "take_profit": 1.1015}
    request = ScoreRequest(
        symbol="EURUSD", base_score=70.0, signal_id="S", direction="BUY", **levels
    )
    for second in range(300):
        now_s = START_S + second
        engine.on_frame(endpoint, tick("EURUSD", now_s + 10_800, 1.1 + second * 1e-5), now_s)
        if second == 100:
            row = engine.on_request(request, msgspec.msgpack.encode(request), now_s).row
            assert isinstance(row, ScoreRow)
            engine.written(row)
    writer.close()
    told = Asked(START_S + 100 + told_after_s, request)
    (run_,), _ = with_signals(runs_of(tmp_path.glob("*.rec.gz")), [told])
    ((score, outcome),) = rerun_recorded(run_, PaperSection())
    assert score.scored_at == min(told.time_s, row.scored_at)
    assert outcome is not None
    assert outcome.outcome == "WIN_TP"


def test_a_recorded_tick_that_cannot_be_applied_ends_the_backfill(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = SegmentWriter(tmp_path, "run1", segment_bytes=1 << 20, keep_bytes=1 << 30)
    engine = RecordedEngine(Config(), "run1", writer)
    endpoint = engine.endpoint("feed", volume_is_deal=False)
    for second in range(300):
        now_s = START_S + second
        engine.on_frame(endpoint, tick("EURUSD", now_s + 10_800, 1.1 + second * 1e-5), now_s)
    writer.close()
    asked = Asked(START_S + 200, ScoreRequest(symbol="EURUSD", base_score=70.0, signal_id="S"))
    (run_,), _ = with_signals(runs_of(tmp_path.glob("*.rec.gz")), [asked])

    def add(*_: object) -> None:
        raise ZeroDivisionError("as a fault of ours would be")

    monkeypatch.setattr(EventBuckets, "add", add)
    with pytest.raises(RuntimeError, match=r"EURUSD was not applied: .*as a fault of ours"):
        rerun_recorded(run_, PaperSection())


def test_processes_give_what_one_process_gives_and_training_takes_it_marked(
    tmp_path: Path, market: Path
) -> None:
    result = backfill(tmp_path, market, "--jobs", "2")
    assert result.exit_code == 0, result.output
    assert "40 of 40" in result.output
    many = [
        rows(tmp_path / "backfill.db", f"select * from {table} order by seq")
        for table in ("scores", "outcomes")
    ]
    assert backfill(tmp_path, market, "--jobs", "1").exit_code == 0
    alone = [
        rows(tmp_path / "backfill.db", f"select * from {table} order by seq")
        for table in ("scores", "outcomes")
    ]
    assert many == alone
    write_journal(tmp_path / "journal.db", 50, edge=0.2)
    data = read_dataset(
        tmp_path / "journal.db",
        {},
        JoinRules(max_missing=8),
        now_s=START_S + 1e9,
        backfills=[tmp_path / "backfill.db"],
    )
    assert data.scored == len(data.samples) + sum(data.excluded.values())
    assert data.samples.backfilled.sum() >= 30
    assert (~data.samples.backfilled).sum() == 50
    status = give(
        "status", "--journal", tmp_path / "journal.db", "--models", tmp_path / "models",
        "--backfill", tmp_path / "backfill.db",
    )  # fmt: skip
    assert "backfilled" in status.output


def test_signals_that_cannot_be_scored_are_counted_with_their_reason(
    tmp_path: Path, market: Path
) -> None:
    write_journal(tmp_path / "journal.db", 3, edge=0.0)
    good = signal_lines(quotes_of(market), 1)[0]
    lines = [
        good,
        good,
        good | {"signal_id": "SIG_1"},  # the journal has it
        good | {"signal_id": "TEST_1"},
        good | {"signal_id": "A", "time": "yesterday"},
        good | {"signal_id": "B", "base_score": 101},
        good | {"signal_id": "C", "stop": good["target"]},
        good | {"signal_id": "D", "symbol": "USDJPY"},
        good | {"signal_id": "E", "time": good["time"] + 30 * DAY_S},
        {"signal_id": "F"},
    ]
    path = write_lines(tmp_path / "signals.jsonl", lines)
    places = ("--journal", tmp_path / "journal.db", "--output", tmp_path / "out.db")
    result = give("backfill", market, "--signals", path, *places, "--jobs", "1")
    assert result.exit_code == 0, result.output
    counts = {
        line.split()[0]: int(line.split()[1])
        for line in result.output.splitlines()
        if line.startswith("  ") and line[2] != " "
    }
    assert counts == {
        "repeated": 1, "scored_live": 1, "test": 1, "no_time": 1, "impossible_request": 2,
        "malformed": 1, "not_in_the_market": 1, "after_the_market": 1,
    }  # fmt: skip
    assert "scored           1 of 3" in result.output


def test_signals_come_from_a_truth_log_and_keep_its_outcome(tmp_path: Path, market: Path) -> None:
    good = signal_lines(quotes_of(market), 1)[0]
    log = write_lines(
        tmp_path / "truth.jsonl",
        [
            {
                "signal_id": "ELITE_1",
                "symbol": "EURUSD",
                "direction": good["direction"],
                "confidence": 71.0,
                "entry_price": good["entry"],
                "sl": good["stop"],
                "tp": good["target"],
                "generated_at": good["time"],
                "completed": False,
            },
            {
                "signal_id": "ELITE_1",
                "completed": True,
                "outcome": "LOSS_SL",
                "completed_at": good["time"] + 900,
            },
        ],
    )
    places = ("--journal", tmp_path / "journal.db", "--output", tmp_path / "out.db")
    result = give("backfill", market, "--truth-log", log, *places, "--jobs", "1")
    assert result.exit_code == 0, result.output
    assert rows(tmp_path / "out.db", "select base_score from scores") == [{"base_score": 71.0}]


def test_a_truth_logs_id_of_two_trades_is_no_signal_to_score(tmp_path: Path, market: Path) -> None:
    good = signal_lines(quotes_of(market), 1)[0]
    first = {"signal_id": "A_1", "direction": "BUY", "symbol": "EURUSD", "confidence": 71.0}
    first["generated_at"] = good["time"]
    second = first | {"symbol": "GBPUSD", "entry_price": 1.27, "sl": 1.265, "tp": 1.28}
    log = write_lines(
        tmp_path / "truth.jsonl",
        [
            first,
            second | {"generated_at": good["time"] + 150 * DAY_S},
            first | {"signal_id": "A_2"},
        ],
    )
    places = ("--journal", tmp_path / "journal.db", "--output", tmp_path / "out.db")
    result = give("backfill", market, "--truth-log", log, *places, "--jobs", "1")
    assert rows(tmp_path / "out.db", "select signal_id from scores") == [{"signal_id": "A_2"}]
    assert re.search(r"\n  contradicting_signals +1  ", result.output)


def test_interrupting_leaves_nothing_behind(tmp_path: Path, market: Path) -> None:
    text = market.read_text()
    market.write_text(text + "".join(text.partition("\n")[2] for _ in range(10)))
    path = write_lines(tmp_path / "signals.jsonl", signal_lines(quotes_of(market)[:5000], 300))
    before = sorted(tmp_path.iterdir())
    command = [
        sys.executable, "-m", "training", "backfill", market, "--signals", path, "--jobs", "2",
        "--journal", tmp_path / "journal.db", "--output", tmp_path / "out.db",
    ]  # fmt: skip
    started = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob(".out.db*")) and time.monotonic() < deadline:
        assert started.poll() is None, started.stderr.read()
        time.sleep(0.02)
    started.send_signal(signal.SIGINT)
    _, said = started.communicate(timeout=60)
    assert started.returncode == 130, said
    assert said.strip().endswith("interrupted; nothing was written")
    assert "Traceback" not in said
    assert sorted(tmp_path.iterdir()) == before


def test_an_error_leaves_the_earlier_result_as_it_was(tmp_path: Path, market: Path) -> None:
    assert backfill(tmp_path, market, "--jobs", "1").exit_code == 0
    before = (tmp_path / "backfill.db").read_bytes()
    broken = tmp_path / "fx_tick_EURUSD.cut.csv.gz"
    broken.write_bytes(gzip.compress(market.read_bytes())[:-4000])
    lines = tmp_path / "signals.jsonl"
    for jobs in ("1", "2"):
        result = give(
            "backfill", broken, "--signals", lines, "--journal", tmp_path / "journal.db",
            "--output", tmp_path / "backfill.db", "--jobs", jobs,
        )  # fmt: skip
        assert result.exit_code == 66, result.output
        assert "cannot be read" in result.output
        assert (tmp_path / "backfill.db").read_bytes() == before
    assert not list(tmp_path.glob(".backfill*"))


def test_a_folder_that_cannot_be_written_is_a_sentence(tmp_path: Path, market: Path) -> None:
    (tmp_path / "file").write_text("")
    path = write_lines(tmp_path / "signals.jsonl", signal_lines(quotes_of(market), 2))
    result = give(
        "backfill", market, "--signals", path, "--journal", tmp_path / "journal.db",
        "--output", tmp_path / "file" / "out.db", "--jobs", "1",
    )  # fmt: skip
    assert result.exit_code == 73
    assert "cannot write" in result.output


@pytest.mark.parametrize("output", ["journal.db", "truth_log.jsonl", "empty"])
def test_what_is_no_earlier_result_is_not_replaced_by_one(
    tmp_path: Path, market: Path, output: str
) -> None:
    write_journal(tmp_path / "journal.db", 3, edge=0.0)
    (tmp_path / "truth_log.jsonl").write_text('{"signal_id": "A_1"}\n')
    (tmp_path / "empty").touch()
    before = (tmp_path / output).read_bytes()
    path = write_lines(tmp_path / "signals.jsonl", signal_lines(quotes_of(market), 2))
    result = give(
        "backfill", market, "--signals", path, "--journal", tmp_path / "journal.db",
        "--output", tmp_path / output, "--jobs", "1",
    )  # fmt: skip
    assert (result.exit_code, "no result of `backfill`" in result.output) == (73, True)
    assert "signals" not in result.stdout  # said before any work
    assert (tmp_path / output).read_bytes() == before


def test_the_result_lies_among_the_models_where_the_journals_folder_is_closed(
    tmp_path: Path,
) -> None:
    closed = tmp_path / "state"
    closed.mkdir()
    settings = Settings(journal=closed / "journal.db", models=tmp_path / "models")
    assert default_output(settings) == closed / "backfill.db"
    closed.chmod(0o555)
    with as_no_root():
        assert default_output(settings) == tmp_path / "models" / "backfill.db"
