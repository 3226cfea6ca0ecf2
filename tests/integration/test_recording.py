"""A recorded session, run again, gives the journal's rows to the bit."""

from __future__ import annotations

import gzip
import os
import random
import time
from itertools import product
from pathlib import Path

import msgpack
import msgspec
import pytest
from command import invoke
from harness import eventually, running
from serving import START_S, Parts, published_model, tick

from protocol import codec
from protocol.messages import ScoreRequest
from service.config.settings import Config
from service.housekeeping import Housekeeping
from service.journal.records import ScoreRow
from service.recording import kinds
from service.recording.recorded_engine import RecordedEngine
from service.recording.rerun import begin, compare, replay_segments
from service.recording.segments import RecordingError, SegmentWriter, read_segments


def recorded_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.glob("*.rec.gz"))


def test_take_overs_and_a_clock_that_is_set_replay_to_the_bit(tmp_path: Path):
    writer = SegmentWriter(tmp_path, "run", segment_bytes=1 << 28, keep_bytes=1 << 28)
    engine = RecordedEngine(Config(), "run", writer)
    feeds = {name: engine.endpoint(name, volume_is_deal=False) for name in ("one", "two")}
    rng, at_s, set_s, rows = random.Random(3), START_S, 0.0, []
    for second in range(3600):
        at_s += 1.0
        live = {0: ("one", "two"), 1: ("two",), 2: ("one", "two"), 3: ("one",)}[second // 900]
        for name, symbol in product(live, ("EURUSD", "EURNOK")):
            if symbol == "EURUSD" or rng.random() < 0.02:
                bid = 1.1 + rng.randrange(97) * 1e-5
                frame = tick(symbol, at_s + 10_800, bid, node_id=f"terminal {name}")
                engine.on_frame(feeds[name], frame, at_s + set_s)
        engine.advance(at_s + set_s)
        if second % 1000 == 500:
            step_s = rng.choice([-3600.0, 45.0, 600.0])
            engine.clock_stepped(step_s)
            set_s += step_s
        if second % 60 == 59:
            request = ScoreRequest(symbol="EURNOK", base_score=70.0, direction="BUY")
            body = codec.pack({"symbol": "EURNOK", "base_score": 70.0, "direction": "BUY"})
            rows.append(engine.on_request(request, body, at_s + set_s).row)
    assert engine.intake.changes["source_takeover"] == 3  # the thin symbol began with the second
    writer.close()
    (segment,) = tmp_path.iterdir()
    assert [row for _, row in replay_segments([segment]) if row is not None] == rows


def test_a_restart_begins_a_segment_with_what_was_restored(tmp_path: Path):
    with running(tmp_path, with_feed=True, RECORD_ENABLED="true") as service:
        service.warm()
        with service.client() as client:
            client.score("EURUSD", 70.0, signal_id="A")
        assert service.terminate()[0] == 0
        first = set(service.segments())
        service.start()
        with service.client() as client:
            client.score("EURUSD", 70.0, signal_id="A")  # a retry: answered from memory
            client.score("EURUSD", 71.0, signal_id="B")
        assert service.terminate()[0] == 0
    (second,) = set(service.segments()) - first
    account = compare([second], service.journal_path)
    assert (account.rows, account.identical) == (1, 1), account.lines()


def test_the_runs_before_and_after_a_kill_are_compared_together(tmp_path: Path):
    with running(tmp_path, with_feed=True, RECORD_ENABLED="true") as service:
        service.warm()
        before = recorded_bytes(service.folder / "segments")
        with service.client() as client:
            client.score("EURUSD", 70.0, signal_id="A")
        eventually(lambda: recorded_bytes(service.folder / "segments") > before, "a flush")
        service.kill()
        (first,) = service.segments()
        first.write_bytes(first.read_bytes() + first.read_bytes()[:20])  # a kill's cut member
        service.start()
        with service.client() as client:
            client.score("EURUSD", 71.0, signal_id="B")
        assert service.terminate()[0] == 0
    account = compare(service.segments(), service.journal_path)
    assert (account.rows, account.identical) == (2, 2), account.lines()
    (tmp_path / "others.db").touch()
    named = ["--engine", *map(str, service.segments()), "--journal", str(tmp_path / "others.db")]
    done = invoke("replay", *named)
    assert done.returncode == 66
    assert "others.db is no journal" in done.stderr


def test_a_run_without_its_beginning_is_named(tmp_path: Path):
    late = tmp_path / "run-000002.rec.gz"
    late.write_bytes(gzip.compress(msgpack.packb([kinds.ADVANCE, 0.0])))
    with pytest.raises(RecordingError, match=r"run-000002\.rec\.gz: the first segment"):
        list(replay_segments([late]))


def recorded_run(folder: Path, run_id: str, *, segments: int, keep_bytes: int) -> str | None:
    """Ticks of noise in so many segments, 100 in each; returns why the recording ended early."""
    writer = SegmentWriter(folder, run_id, segment_bytes=1, keep_bytes=keep_bytes)
    engine = RecordedEngine(Config(), run_id, writer)
    feed = engine.endpoint("feed", volume_is_deal=False)
    rng = random.Random(8)
    for number in range(segments * 100):
        at_s = START_S + number * 0.1
        engine.on_frame(feed, tick("EURUSD", at_s, 1.0 + rng.random()), at_s)
        if number % 100 == 99:
            writer.flush()
    writer.close()
    return writer.fault


def names(folder: Path) -> list[str]:
    return sorted(path.name.partition(".")[0] for path in folder.iterdir())


def test_a_recording_that_fills_its_room_ends_and_what_it_has_can_be_run_again(tmp_path: Path):
    """Without its first segment all that followed was written for nobody, and nobody was told."""
    recorded_run(tmp_path / "whole", "run", segments=1, keep_bytes=1 << 30)
    keep_bytes = 5 * recorded_bytes(tmp_path / "whole")
    fault = recorded_run(tmp_path / "full", "run", segments=20, keep_bytes=keep_bytes)
    assert fault == (f"record.keep_bytes ({keep_bytes:,}) is full of this run; the recording ended")
    assert names(tmp_path / "full")[0] == "run-000001"
    assert recorded_bytes(tmp_path / "full") < 1.5 * keep_bytes
    replayed = [kind for kind, _ in replay_segments(list((tmp_path / "full").iterdir()))]
    assert 500 <= replayed.count(kinds.FRAME) < 2000


@pytest.mark.parametrize("dated_s", [3e9, 1e9], ids=["by a clock that was set back", "before"])
def test_earlier_runs_make_room_from_their_end_so_that_each_can_be_run_again(
    tmp_path: Path, dated_s: float
):
    for number, run_id in enumerate(("z-first", "a-second")):
        assert recorded_run(tmp_path, run_id, segments=4, keep_bytes=1 << 30) is None
        for path in tmp_path.glob(f"{run_id}-*"):
            os.utime(path, (dated_s + number, dated_s + number))
    keep_bytes = recorded_bytes(tmp_path) + 1500  # a header is all that differs
    assert recorded_run(tmp_path, "third", segments=3, keep_bytes=keep_bytes) is None
    first, second, third = (
        [name for name in names(tmp_path) if name.startswith(run_id)]
        for run_id in ("z-first", "a-second", "third")
    )
    assert first == ["z-first-000001", "z-first-000002"]
    assert (len(second), len(third)) == (4, 3)
    replayed = [kind for kind, _ in replay_segments(list(tmp_path.iterdir()))]
    assert replayed.count(kinds.HEADER) == 3


@pytest.mark.parametrize("step_s", [90.0, -3600.0])
def test_a_retry_over_a_step_of_the_clock_is_one_in_the_replay_too(tmp_path: Path, step_s: float):
    writer = SegmentWriter(tmp_path, "run", segment_bytes=1 << 20, keep_bytes=1 << 20)
    engine = RecordedEngine(Config(), "run", writer)
    request = ScoreRequest(symbol="EURUSD", base_score=70.0, signal_id="S")
    live = []
    for number, passed_s in enumerate((0.0, 0.1, 59.0, 61.0)):
        if number:
            engine.clock_stepped(step_s)
        now_s = START_S + passed_s + number * step_s
        row = engine.on_request(request, msgspec.msgpack.encode(request), now_s).row
        assert isinstance(row, ScoreRow)
        live.append(row.score_id)
    writer.close()
    assert [one == live[0] for one in live] == [True, True, True, False]
    replayed = [row.score_id for _, row in replay_segments(list(tmp_path.iterdir())) if row]
    assert replayed == live


def test_a_model_is_replayed_of_a_run_whose_configuration_had_keys_for_its_limits(tmp_path: Path):
    model = published_model(tmp_path / "models", time.time())
    writer = SegmentWriter(tmp_path / "segments", "run", segment_bytes=1 << 28, keep_bytes=1 << 28)
    RecordedEngine(Config(state_dir=str(tmp_path)), "run", writer).install(model)
    writer.close()
    (path,) = (tmp_path / "segments").iterdir()
    (*header, config), *records = read_segments([path])
    had = msgspec.msgpack.decode(config)
    had["model"] |= {"max_file_bytes": 1 << 30, "max_nodes": 10_000_000}
    replay = begin(iter([(*header, msgspec.msgpack.encode(had)), *records]))
    for record in records:
        replay.apply(record)
    assert replay.engine.model.version == model.version


def test_a_folder_that_cannot_be_made_costs_the_recording_and_not_the_service(tmp_path: Path):
    (tmp_path / "segments").touch()
    with running(tmp_path, RECORD_ENABLED="true") as service:
        eventually(lambda: service.events("recording_ended"), "the end of the recording")
        with service.client() as client:
            assert client.score("EURUSD", 70.0).journalled
            (note,) = [note for note in client.health()["notes"] if "segments" in note]
            assert note.endswith("the recording ended; a restart begins another")


def test_its_end_is_said_once(tmp_path: Path):
    parts = Parts(tmp_path)
    (tmp_path / "segments").touch()
    recorder = SegmentWriter(tmp_path / "segments", "run", segment_bytes=1, keep_bytes=1)
    owned = (parts.config, parts.clock, parts.engine, parts.journal, parts.watch, parts.vitals)
    housekeeping = Housekeeping(*owned, parts.checkpoints, recorder)
    recorder.append([1])
    housekeeping.turn()
    eventually(lambda: recorder.fault, "the fault")
    for _ in range(3):
        parts.clock.advance(1.0)
        housekeeping.turn()
    recorder.close()
    (ended,) = parts.rows("SELECT * FROM events WHERE kind = 'recording_ended'")
    assert "Not a directory" in ended["detail"] or "exists" in ended["detail"]
