"""When scores go from the spool to their table: in a silence, or beside one who asks alone."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import zmq
from flooded import Flooded
from harness import eventually
from served import Served
from serving import Parts, body

from service.clock import SystemClock
from service.housekeeping import SECOND_S, SPOOLED_ROWS
from service.journal.file import open_reader
from service.server import REST_S, RESTING_ROWS


@pytest.fixture(params=["0", "200"], ids=["sleeping at once", "looking again"])
def served(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Served]:
    served = Served(tmp_path, SCORE_SPIN_US=request.param)
    yield served
    served.close()


def answered(served: Served, number: int) -> None:
    """One score asked for and answered, and nothing done since."""
    with zmq.Context() as context, context.socket(zmq.REQ) as client:
        client.setsockopt(zmq.LINGER, 0)
        client.connect(served.address)
        client.send(body("score", symbol="EURUSD", base_score=61.5, signal_id=f"s{number}"))
        served.turn_until(lambda: client.poll(0), "a reply")


def kept(served: Served) -> int:
    """Scores in their table, for whoever reads the file."""
    with closing(open_reader(served.journal.path)) as connection:
        return int(connection.execute("SELECT count(*) FROM scores").fetchone()[0])


def test_an_answered_score_is_in_its_table_after_a_silence(served: Served) -> None:
    served.server.turn()  # once a second all go there
    for number in range(3):
        answered(served, number)
        served.clock.advance(REST_S / 2)
        served.server.turn()
        assert served.journal.spooled == 1
        served.clock.advance(REST_S)
        served.server.turn()
        assert served.journal.spooled == 0
        assert kept(served) == number + 1


def test_without_a_rest_scores_go_to_their_table_each_second_and_many_at_once(
    tmp_path: Path,
) -> None:
    parts = Parts(tmp_path)
    parts.housekeeping.turn()
    parts.score()
    parts.housekeeping.turn()
    assert parts.journal.spooled == 1
    parts.clock.advance(SECOND_S)
    parts.housekeeping.turn()
    assert parts.journal.spooled == 0
    for _ in range(SPOOLED_ROWS):
        parts.score()
    parts.housekeeping.turn()
    assert parts.journal.spooled == 0
    parts.journal.close()


def test_one_who_asks_alone_leaves_time_for_a_few(tmp_path: Path) -> None:
    with closing(Served(tmp_path, SCORE_SPIN_US="200")) as served:
        served.server.turn()
        for number in range(RESTING_ROWS):
            assert served.journal.spooled == number
            answered(served, number)
        served.server.turn()
        assert (served.journal.spooled, kept(served)) == (0, RESTING_ROWS)


def test_of_several_who_ask_none_waits_for_scores_that_go_to_their_table(tmp_path: Path) -> None:
    with closing(Flooded(tmp_path, SCORE_SPIN_US="200")) as flooded:
        server, journal = flooded.served.server, flooded.served.journal
        server.turn()
        for number in range(0, 2 * RESTING_ROWS, 2):
            flooded.ask(number, number + 1)
            eventually(lambda: server._accept() or len(server._arrived) == 2, "two requests")
            assert journal.spooled == number
            assert server.turn() == 2
        server.turn()
        assert (journal.spooled, kept(flooded.served)) == (2 * RESTING_ROWS, 0)
        flooded.served.clock.advance(2 * REST_S)
        server.turn()
        assert (journal.spooled, kept(flooded.served)) == (0, 2 * RESTING_ROWS)


@pytest.mark.parametrize("spin_us", ["0", "200"])
def test_a_feed_without_pause_does_not_keep_scores_from_their_table(
    tmp_path: Path, spin_us: str
) -> None:
    with closing(Flooded(tmp_path, SCORE_SPIN_US=spin_us)) as flooded:
        served = flooded.served
        served.server.turn()
        flooded.send_ticks()
        answered(served, 0)
        assert served.journal.spooled == 1
        served.clock.advance(2 * REST_S)
        assert served.server._feeds[0].socket.poll(20_000)
        before = flooded.ticks
        served.server.turn()
        assert flooded.ticks > before
        assert (served.journal.spooled, kept(served)) == (0, 1)


def test_a_rest_that_meets_a_locked_file_counts_as_a_stall_and_loses_nothing(
    tmp_path: Path,
) -> None:
    with closing(Served(tmp_path, clock=SystemClock())) as served:
        answered(served, 0)
        served.turn_until(lambda: not served.journal.spooled, "the first in its table")
        with closing(sqlite3.connect(served.journal.path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            answered(served, 1)
            served.turn_until(lambda: served.journal.fault, "the lock to be met")
            assert "locked" in (served.journal.fault or "")
            assert 200.0 < served.vitals.longest_turn_ms < 60_000.0
            other.execute("ROLLBACK")
        served.turn_until(lambda: not served.journal.fault, "the journal to work again")
        assert (served.journal.spooled, kept(served)) == (0, 2)
        # It counted in its own turn alone.
        before_s, started_s = served.vitals.turns.sum_s, served.clock.monotonic_s()
        for _ in range(5):
            served.server.turn()
        took_s = served.clock.monotonic_s() - started_s
        assert served.vitals.turns.sum_s - before_s <= took_s


def test_a_journal_at_fault_gives_the_loop_nothing_to_do_in_a_rest(tmp_path: Path) -> None:
    """What takes no time is none: the loop would look on at once, and let nobody else run."""
    parts = Parts(tmp_path, clock=SystemClock())
    parts.score()
    path = parts.journal.path
    path.rename(path.with_suffix(".moved"))
    parts.journal.look()
    assert parts.journal.fault is not None
    assert parts.journal.spooled == 1
    assert parts.housekeeping.rest(1) == 0.0
    path.with_suffix(".moved").rename(path)
    assert parts.journal.recover(parts.clock.utc_s())
    assert parts.housekeeping.rest(1) == 0.0
    assert parts.journal.spooled == 0
    parts.journal.close()
