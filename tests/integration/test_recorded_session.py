"""Sessions with a swap in them: both models answer, and what they said is replayed to the bit."""

from __future__ import annotations

import random
import time
from collections import Counter
from itertools import islice
from pathlib import Path

from builders import small_model
from harness import Service, eventually, running
from serving import tick

from service.recording import kinds
from service.recording.market_files import MarketAccount, read_market
from service.recording.rerun import begin, compare
from service.recording.restamp import restamped, shift_to, survey_of
from service.recording.segments import read_segments


def session(service: Service, frames: list[bytes], symbols: list[str], scores: int) -> None:
    """Frames in blocks, requests of every kind between them, and a second model half-way."""
    rng = random.Random(5)
    small_model(service.models_dir, 0, now_s=time.time() - 50.0)
    eventually(lambda: service.events("model_installed"), "the first model")
    block = max(1, len(frames) // scores)
    with service.client() as client:
        for number in range(scores):
            if number % 20 == 0:  # scores must not outrun hours of ticks on a busy machine
                eventually(lambda n=number: service.received() >= n * block, "the frames so far")
            service.feed.send(*frames[number * block : (number + 1) * block])
            client.score(
                rng.choice([*symbols, "NEVER.SEEN"]),
                rng.uniform(40, 95),
                signal_id=f"S{number // 2}" if number % 3 else None,
                direction=rng.choice([None, "BUY", "SELL"]),
                reward_risk=1.5,
                explain=number % 7 == 0,
            )
            if number == scores // 4:
                client.sentiment(symbols[0], 80.0)
                client.sentiment("*", 30.0)
            if number == scores // 2:
                small_model(service.models_dir, 3, now_s=time.time() - 10.0)
                eventually(lambda: len(service.events("model_installed")) == 2, "the second model")


def answered(service: Service) -> list[int]:
    """How many scores each model answered, in the order of the models."""
    rows = (row for row in service.scores() if row["status"] == "success")
    return list(Counter(row["model_version"] for row in rows).values())


def without_the_swap(segments: list[Path]) -> list[float | None]:
    """The win probabilities of a replay in which the first model stays."""
    records, installed, found = read_segments(segments), 0, []
    run = begin(records)
    for record in records:
        installed += record[0] == kinds.MODEL
        row = None if record[0] == kinds.MODEL and installed > 1 else run.apply(record)
        if row is not None:
            found.append(row.win_probability)
    return found


def test_live_and_replay_agree_to_the_bit(tmp_path: Path):
    symbols = ["EURUSD", "GBPUSD", "XAUUSD"]
    with running(tmp_path, with_feed=True, RECORD_ENABLED="true") as service:
        service.warm(*symbols)
        now = time.time()
        frames = [
            tick(symbols[i % 3], now + i * 0.01, 1.1 + (i * 7919 % 97) * 1e-5, volume=float(i % 5))
            for i in range(3000)
        ]
        session(service, frames, symbols, scores=120)
        assert [count >= 10 for count in answered(service)] == [True, True]
        before = recorded_bytes(service)
        with service.client() as client:
            client.score(symbols[0], 50.0)
        eventually(lambda: recorded_bytes(service) > before, "a flush behind the second model")
        service.kill()  # and what was flushed until then is whole
    account = compare(service.segments(), service.journal_path)
    assert (account.different, account.absent) == (0, 0), account.lines()
    assert account.models == 2
    assert account.frames > 200
    assert account.identical >= 50


def recorded_bytes(service: Service) -> int:
    return sum(path.stat().st_size for path in service.segments())


def test_real_ticks_with_a_swap_and_a_sentiment_replay_to_identical_bits(
    tmp_path: Path, shared_data: Path
):
    """At least 50,000 real ticks, hours of them, so that both models answer; and 500 scores."""
    paths = sorted((shared_data / "market").glob("lean_fx_tick_*.oanda_*.csv.gz"))
    recorded = list(islice(read_market(paths, MarketAccount()), 52_000))
    survey = survey_of(iter(recorded))
    assert survey is not None
    shift_s = shift_to(survey, time.time() - survey.last_s)
    frames = [restamped(item, shift_s) for item in recorded]
    values = {"RECORD_ENABLED": "true", "FEED_CLOCK_OFFSET": "auto"}
    with running(tmp_path, with_feed=True, **values) as service:
        session(service, frames, ["EURUSD", "NZDUSD", "XAUUSD"], scores=520)
        eventually(lambda: service.received() >= 52_000, "all frames")
        assert service.terminate()[0] == 0
    assert [count >= 100 for count in answered(service)] == [True, True]
    account = compare(service.segments(), service.journal_path)
    assert (account.different, account.absent) == (0, 0), account.lines()
    assert account.frames >= 50_000
    assert account.requests >= 520
    assert account.models == 2
    told = [row["win_probability"] for row in service.scores()]
    unlike = [a != b for a, b in zip(told, without_the_swap(service.segments()), strict=True)]
    assert sum(unlike) >= 100
