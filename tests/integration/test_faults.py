"""What a hostile or broken surrounding does to the running process: nothing that lasts."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from harness import Service, running


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
