"""What is asked in batches replays to the bit, though a recording holds each signal alone."""

from __future__ import annotations

import random
from pathlib import Path

import msgspec
from serving import START_S, published_model, tick

from protocol.messages import ScoreRequest
from service.config.settings import Config, FeedSection, ModelSection
from service.journal.records import OutcomeRow, ScoreRow
from service.recording.recorded_engine import RecordedEngine
from service.recording.rerun import replay_segments
from service.recording.segments import SegmentWriter

Row = ScoreRow | OutcomeRow


def batch(engine: RecordedEngine, names: list[int], at_s: float) -> list[Row | None]:
    """The rows of a batch of signals, asked for as the responder asks."""
    signals = [
        ScoreRequest(symbol="EURUSD", base_score=70.0, direction="BUY", signal_id=f"s{name}")
        for name in names
    ]
    engine.prefetch(signals, at_s)
    return [engine.on_request(one, msgspec.msgpack.encode(one), at_s).row for one in signals]


def test_batches_of_retries_between_lagging_stamps_replay_to_the_bit(tmp_path: Path) -> None:
    model_section = ModelSection(directory=str(tmp_path / "models"))
    config = Config(model=model_section, feed=FeedSection(clock_offset=0.0))
    writer = SegmentWriter(tmp_path / "run", "run", segment_bytes=1 << 28, keep_bytes=1 << 28)
    engine = RecordedEngine(config, "run", writer)
    engine.install(published_model(config.models_dir, START_S))
    feed = engine.endpoint("feed", volume_is_deal=False)
    rng, live, asked = random.Random(7), [], 2
    live += batch(engine, [1, 2], START_S)
    for second in range(300):
        # Whole seconds that are told late: now waits for them, at what it was asked for last.
        came_s = START_S + second + rng.choice([0.02, 0.5, 0.95])
        live += batch(engine, [asked - 1, asked], came_s - 0.01)
        engine.on_frame(feed, tick("EURUSD", START_S + second, 1.1 + second % 7 * 1e-4), came_s)
        live += batch(engine, [asked + 1, asked + 2], came_s + 0.01)
        asked += 2
    assert engine.counts["retry"] == 600
    writer.close()
    replayed = [row for _, row in replay_segments(sorted((tmp_path / "run").iterdir())) if row]
    assert replayed == [row for row in live if row]
