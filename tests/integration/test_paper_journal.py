"""Paper positions and the journal: batched writes, restarts, kills, broken disks, the trainer."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
from harness import eventually, running
from serving import START_S, ManualClock, Parts, rows, tick

from service.paper.result import outcome_row
from service.recording.rerun import begin
from service.recording.segments import read_segments
from training.dataset.join import read_dataset
from training.dataset.join_rules import JoinRules

LEVELS = {"direction": "BUY", "entry_price": 1.1, "stop_loss": 1.099, "take_profit": 1.102}
OUTCOMES = "SELECT * FROM outcomes ORDER BY seq"


class Session(Parts):
    """One process after another on the same files and the same clock."""

    def step(self, price: float, after_s: float = 1.0) -> None:
        """Some time later a tick of EURUSD with a spread of 0.0001."""
        self.clock.advance(after_s)
        self.feed(tick("EURUSD", self.clock.utc_s(), price, volume=1.0))

    def turn(self) -> None:
        """Housekeeping, which is due."""
        self.clock.advance(0.2)
        self.housekeeping.turn()

    def signal(self, signal_id: str | None = "S", **changes: Any) -> dict[str, Any]:
        """Score a signal with levels."""
        return self.score(signal_id=signal_id, **(LEVELS | changes))

    def restarted(self, after_s: float = 1.0, **values: str) -> Session:
        """A new process on what lies on the disk; this one was killed."""
        self.clock.advance(after_s)
        self.journal.close()
        again = Session(self.config.journal_path.parent, self.clock, **values)
        assert again.journal.open()
        again.housekeeping.restore()
        return again

    def outcomes(self) -> list[tuple[str, float | None]]:
        """Word and R of the outcomes in the journal."""
        return [(row["outcome"], row["realised_r"]) for row in self.rows(OUTCOMES)]

    def open(self) -> list[str]:
        """Signal ids of the open positions in the journal."""
        return [row["signal_id"] for row in self.rows("SELECT * FROM paper ORDER BY event_time")]


def session(folder: Path, **values: str) -> Session:
    begun = Session(folder, ManualClock(), **values)
    assert begun.journal.open()
    begun.housekeeping.restore()
    begun.step(1.1)
    return begun


def opened(folder: Path) -> Session:
    """A session with an open position in its journal."""
    begun = session(folder)
    begun.signal()
    begun.step(1.1)
    begun.turn()
    return begun


def test_a_scored_signal_ends_in_the_journal_under_its_score(tmp_path: Path):
    at = session(tmp_path)
    reply = at.signal()
    at.step(1.1005)
    at.turn()
    assert at.open() == ["S"]
    at.step(1.1021, after_s=9.8)
    assert at.outcomes() == []
    at.turn()
    (row,) = at.rows(OUTCOMES)
    assert (row["source"], row["outcome"], row["win"]) == ("paper", "WIN_TP", 1)
    assert (row["score_id"], row["signal_id"]) == (reply["score_id"], None)
    assert (row["opened_price"], row["closed_price"]) == (1.1006, 1.102)
    assert row["runtime_s"] == pytest.approx(10.0)
    assert row["max_favorable_r"] == row["realised_r"]
    assert at.open() == []
    assert at.engine.paper.counts == {"followed": 1, "win_tp": 1}


def test_neither_a_retry_nor_a_revision_opens_a_second_position(tmp_path: Path):
    at = session(tmp_path)
    at.signal()
    at.signal()
    at.signal(take_profit=1.2)
    assert len(at.engine.paper) == 1
    at.step(1.1)
    at.step(1.1021)
    at.signal(take_profit=1.3)
    assert len(at.engine.paper) == 0
    at.turn()
    again = at.restarted(after_s=100)
    again.signal(take_profit=1.2)
    assert len(again.engine.paper) == 0


def test_a_broker_symbol_is_followed_under_the_name_its_feed_has(tmp_path: Path):
    at = session(tmp_path, FEED_SYMBOL_SUFFIXES=".r")
    at.signal(symbol="EURUSD.r")
    at.turn()
    at = at.restarted(FEED_SYMBOL_SUFFIXES=".r")
    at.step(1.1)
    at.step(1.0989)
    at.turn()
    assert [word for word, _ in at.outcomes()] == ["LOSS_SL"]


def test_a_symbol_that_was_renamed_goes_on_under_the_name_it_is_mapped_to(tmp_path: Path):
    at = session(tmp_path)
    at.clock.advance(1.0)
    at.feed(tick("EURUSD.r", at.clock.utc_s(), 1.1, volume=1.0))
    at.signal(symbol="EURUSD.r")
    at.clock.advance(1.0)
    at.feed(tick("EURUSD.r", at.clock.utc_s(), 1.1, volume=1.0))
    at.turn()
    at.housekeeping.save_all()
    at = at.restarted(FEED_SYMBOL_SUFFIXES=".r")
    assert list(at.engine.intake.feeds) == ["EURUSD"]
    at.step(1.1021)
    at.turn()
    assert [word for word, _ in at.outcomes()] == ["WIN_TP"]


def test_names_that_are_mapped_to_each_other_keep_their_positions(tmp_path: Path):
    crossed = '{"EURUSD": "GBPUSD", "GBPUSD": "EURUSD"}'
    at = Session(tmp_path, ManualClock(), FEED_SYMBOL_MAP=crossed)
    assert at.journal.open()
    at.feed(tick("GBPUSD", START_S, 1.1, volume=1.0))
    at.signal(symbol="GBPUSD")
    at.clock.advance(1.0)
    at.feed(tick("GBPUSD", at.clock.utc_s(), 1.1, volume=1.0))
    at.turn()
    assert list(at.engine.intake.feeds) == ["EURUSD"]
    at.housekeeping.save_all()
    at = at.restarted(FEED_SYMBOL_MAP=crossed)
    assert list(at.engine.intake.feeds) == ["EURUSD"]
    at.clock.advance(1.0)
    at.feed(tick("GBPUSD", at.clock.utc_s(), 1.1021, volume=1.0))
    at.turn()
    assert [word for word, _ in at.outcomes()] == ["WIN_TP"]


def test_a_position_goes_on_after_a_restart_as_if_there_was_none(tmp_path: Path):
    ends = []
    for name, restarts in (("without", 0), ("with", 3)):
        at = session(tmp_path / name)
        at.signal()
        for number, price in enumerate((1.1, 1.0995, 1.1012, 1.1003)):
            at.step(price)
            if number < restarts:
                at.housekeeping.save_all()
                at = at.restarted(after_s=0.0)
        at.step(1.0985)
        at.turn()
        (row,) = at.rows(OUTCOMES)
        ends.append({k: row[k] for k in row if k.startswith(("max_", "opened", "closed", "real"))})
        assert at.open() == []
    assert ends[0] == ends[1]


def test_a_restart_that_took_too_long_voids(tmp_path: Path):
    at = opened(tmp_path)
    at.signal("T")
    at = at.restarted(after_s=301)
    assert len(at.engine.paper) == 1, "what had become no position would be void from the start"
    at.step(1.1021)
    at.turn()
    assert at.outcomes() == [("VOID", None)]
    assert at.open() == []


def test_a_restart_before_the_first_tick_voids_nothing_by_another_clock(tmp_path: Path):
    at = opened(tmp_path)
    at.signal("T")
    at = at.restarted(after_s=0.0)
    # Until a tick has come, the time is the machine's: the feed's may lag behind it.
    at.engine.advance(at.clock.utc_s() + 600.0)
    assert len(at.engine.paper) == 2


def test_a_feed_that_lags_over_a_restart_goes_on_with_its_positions(tmp_path: Path):
    at = Session(tmp_path)
    assert at.journal.open()
    lagging_s = at.clock.utc_s() - 600.0
    at.feed(tick("EURUSD", lagging_s, 1.1, volume=1.0))
    at.signal()
    at.feed(tick("EURUSD", lagging_s + 1.0, 1.1, volume=1.0))
    at.turn()
    at = at.restarted()
    at.turn()
    at.clock.advance(60.0)  # until the bridge is up again
    at.turn()
    at.feed(tick("EURUSD", lagging_s + 62.0, 1.1021, volume=1.0))
    at.turn()
    assert at.outcomes() == [("WIN_TP", pytest.approx(1.9))]


def test_a_feed_that_stays_away_leaves_no_position_open(tmp_path: Path):
    at = opened(tmp_path).restarted()
    at.signal("T")
    for _ in range(6):
        at.turn()
        assert len(at.engine.paper) == 2
        at.clock.advance(50.0)
    at.turn()
    assert at.outcomes() == [("VOID", None)] * 2
    assert at.open() == []


def test_a_score_whose_position_a_kill_prevented_is_followed_after_it(tmp_path: Path):
    at = session(tmp_path)
    at.signal()
    at.signal("T", direction=None)
    at.signal(take_profit=1.2)
    assert at.open() == []
    (number,) = at.engine.paper.numbers()
    position = at.engine.paper.row(number)
    at = at.restarted()
    assert [at.engine.paper.row(n) for n in at.engine.paper.numbers()] == [position]
    assert at.engine.paper.counts == {"resumed": 1}
    at.step(1.1)
    at.step(1.1021)
    at.turn()
    assert [word for word, _ in at.outcomes()] == ["WIN_TP"]
    assert len(at.restarted().engine.paper) == 0


def test_switched_off_a_restart_takes_up_nothing(tmp_path: Path):
    at = opened(tmp_path)
    at.signal("T")
    assert len(at.restarted(PAPER_ENABLED="false").engine.paper) == 0


def test_an_end_that_a_kill_kept_from_the_journal_comes_again_and_only_once(tmp_path: Path):
    at = opened(tmp_path)
    at.step(1.1021)
    assert len(at.engine.paper.ended) == 1
    at = at.restarted()
    assert len(at.engine.paper) == 1
    at.step(1.1021)
    at.turn()
    assert [word for word, _ in at.outcomes()] == ["WIN_TP"]
    at = at.restarted()
    at.turn()
    assert len(at.outcomes()) == 1


def test_a_journal_that_fails_for_a_while_gets_everything_later(tmp_path: Path):
    at = opened(tmp_path)
    at.journal._failed(OSError("no space left"))
    at.step(1.1021)
    at.turn()
    assert at.outcomes() == []
    for _ in range(10):
        at.turn()
    assert [word for word, _ in at.outcomes()] == ["WIN_TP"]
    assert len(at.engine.paper.ended) == 0


def test_a_weekend_of_voids_is_written_in_bounded_parts(tmp_path: Path):
    at = session(tmp_path)
    for number in range(600):
        at.signal(f"S{number}")
    at.clock.advance(86_400)
    at.turn()
    assert len(at.engine.paper) == 0
    assert len(at.outcomes()) == 256
    at.turn()
    at.turn()
    assert len(at.outcomes()) == 600


def test_a_fill_is_written_at_once_and_how_far_it_has_come_every_ten_seconds(tmp_path: Path):
    at = session(tmp_path)
    at.signal()
    at.turn()
    at.step(1.1)
    at.turn()
    assert at.rows("SELECT opened_price FROM paper") == [{"opened_price": 1.1001}]
    at.step(1.1010)
    at.turn()
    assert at.rows("SELECT best_price FROM paper") == [{"best_price": 1.1}]
    at.clock.advance(10)
    at.turn()
    assert at.rows("SELECT best_price FROM paper") == [{"best_price": 1.101}]


def test_the_trainer_finds_a_sample_for_each_outcome(tmp_path: Path):
    """Paper outcomes only, no truth log: what the service wrote is what the trainer joins."""
    at = Session(tmp_path, ManualClock())
    assert at.journal.open()
    at.warm()
    rng, price = random.Random(3), 1.1
    for number in range(900):
        price += rng.gauss(0, 2e-4)
        at.step(price, after_s=5.0)
        at.feed(tick("GBPUSD", at.clock.utc_s(), 1.3 + 1e-5 * (number % 50)))
        if number % 3 == 0 and number < 600:
            sign = rng.choice((1, -1))
            levels = {"entry_price": price, "stop_loss": price - sign * 1e-3}
            levels["take_profit"] = price + sign * 1.5e-3
            at.signal(f"S_{number}", direction="BUY" if sign > 0 else "SELL", **levels)
        at.turn()
    ends = at.rows(OUTCOMES)
    at.journal.close()
    rules = JoinRules(max_holding_s=600.0)
    found = read_dataset(at.config.journal_path, {}, rules, now_s=START_S + 1e6)
    samples = found.samples
    assert set(samples.label_source) == {"paper"}
    by_score = {row["score_id"]: row for row in ends if row["win"] is not None}
    assert len(by_score) > 150
    assert samples.both_classes
    assert set(samples.score_id) == set(by_score)
    for score_id, win, realised_r in zip(
        samples.score_id, samples.win, samples.realised_r, strict=True
    ):
        assert bool(win) == bool(by_score[score_id]["win"])
        assert realised_r == by_score[score_id]["realised_r"]


def test_positions_of_the_real_process_survive_kill_9(tmp_path: Path):
    with running(tmp_path, with_feed=True) as service:
        service.warm()
        with service.client() as client:
            for name in ("A", "B"):
                levels = LEVELS | {"take_profit": 1.102 if name == "A" else 1.5}
                client.score("EURUSD", 70.0, signal_id=name, **levels)
        now = client_now(service)
        service.feed.send(tick("EURUSD", now + 1, 1.1, volume=1.0))
        look = "SELECT signal_id FROM paper WHERE opened_price IS NOT NULL"
        eventually(lambda: len(rows(service.journal_path, look)) == 2, "both fills")
        service.kill()
        service.start()
        service.feed.send(tick("EURUSD", now + 2, 1.1021, volume=2.0))
        found = eventually(lambda: rows(service.journal_path, OUTCOMES), "the end")
        assert [row["outcome"] for row in found] == ["WIN_TP"]
        remains = eventually(
            lambda: rows(service.journal_path, "SELECT signal_id FROM paper"), "the other one"
        )
        assert remains == [{"signal_id": "B"}]


def client_now(service: Any) -> float:
    """The event time of the newest tick that the service has."""
    with service.client() as client:
        return float(client.stats()["feed"]["event_time_s"])


def test_a_recording_ends_its_positions_as_the_live_service_did(tmp_path: Path):
    """Over a restart, too: what was taken up again is an input like any other."""
    with running(tmp_path, with_feed=True, RECORD_ENABLED="true") as service:
        service.warm()
        now = client_now(service)
        for number in range(4):
            with service.client() as client:
                client.score("EURUSD", 70.0, signal_id=f"S{number}", **LEVELS)
            now += 1
            prices = (1.1, 1.1004, 1.0996, 1.1021 if number == 3 else 1.1001)
            expected = service.received() + len(prices)
            service.feed.send(*(tick("EURUSD", now, p, volume=1.0 + p) for p in prices))
            eventually(lambda count=expected: service.received() == count, "the ticks")
            if number == 1:
                assert service.terminate()[0] == 0
                service.start()
        assert service.terminate()[0] == 0
    runs = sorted((tmp_path / "segments").glob("*.rec.gz"))
    assert len(runs) == 2
    records = read_segments(runs[1:])
    run = begin(records)
    for record in records:
        run.apply(record)
    written = rows(service.journal_path, OUTCOMES)
    assert len(written) == 4
    again = [outcome_row(end, 0.0) for end in run.engine.paper.ended.values()]
    for ours, theirs in zip(again, written, strict=True):
        names = [name for name in ours.__struct_fields__ if name in theirs]
        same = {name: getattr(ours, name) == theirs[name] for name in names}
        same.pop("received_at")
        assert all(same.values()), same
