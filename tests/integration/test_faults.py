"""What a hostile or broken surrounding does to the running process: nothing that lasts."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from harness import Service, running
from serving import Parts


def in_the_file_alone(journal: Path) -> int:
    """Scores that the database file holds without its WAL."""
    connection = sqlite3.connect(f"{journal.as_uri()}?mode=ro&immutable=1", uri=True)
    try:
        found = connection.execute("SELECT count(*) FROM scores").fetchone()
    except sqlite3.OperationalError:
        return 0  # not even the tables are there yet
    finally:
        connection.close()
    return int(found[0])


def test_one_that_is_killed_again_and_again_does_not_grow_its_wal(tmp_path: Path) -> None:
    with running(tmp_path) as service:
        with service.client() as client:
            for number in range(50):
                client.score("EURUSD", number)
        service.kill()
        assert in_the_file_alone(service.journal_path) < 50
        again: Service = service.start()
        assert in_the_file_alone(again.journal_path) == 50


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE scores SET reply = x'81a2c3f3a178' WHERE seq = (SELECT min(seq) FROM scores)",
        "UPDATE scores SET signal_id = x'ff' WHERE seq = (SELECT min(seq) FROM scores)",
        "UPDATE scores SET scored_at = 'x' WHERE seq = (SELECT min(seq) FROM scores)",
        "UPDATE paper SET direction = 0 WHERE signal_id = 'S0'",
        "UPDATE paper SET stop_loss = 9e999 WHERE signal_id = 'S0'",
        "UPDATE paper SET opened_at = 1.0 WHERE signal_id = 'S0'",
    ],
)
def test_a_row_that_nobody_wrote_costs_only_itself(tmp_path: Path, damage: str) -> None:
    before = Parts(tmp_path)
    before.journal.open()
    before.warm()
    levels = {"entry_price": 1.1, "stop_loss": 1.09, "take_profit": 1.12, "direction": "BUY"}
    first = [before.score(signal_id=f"S{n}", **levels)["score_id"] for n in range(3)]
    before.housekeeping.save_all()
    before.journal.close()
    connection = sqlite3.connect(before.config.journal_path)
    with connection:
        assert connection.execute(damage).rowcount == 1
    connection.close()

    after = Parts(tmp_path, before.clock)
    after.journal.open()
    after.housekeeping.restore()
    again = [after.score(signal_id=f"S{n}", **levels)["score_id"] for n in range(3)]
    assert again[1:] == first[1:]
    assert len(after.engine.paper) >= 2
    for _ in range(20):
        after.clock.advance(0.2)
        after.warm()
        after.housekeeping.turn()
    assert after.ask("health")["ready"] is True
    after.journal.close()
