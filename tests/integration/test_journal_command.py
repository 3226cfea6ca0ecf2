"""`journal tail`, `export` and `stats`: all that is in the journal, for people and programs."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from another_user import as_nobody, as_root
from command import Done, invoke
from harness import eventually, running
from serving import Parts, body

from protocol.schema import FEATURE_NAMES
from service.journal.reading import (
    KINDS,
    PAGE_ROWS,
    JournalUnreadable,
    after,
    newest,
    open_quietly,
    spooled,
)
from service.journal.spool import spool_path

SIGNAL = {"direction": "BUY", "entry_price": 1.1, "stop_loss": 1.098, "take_profit": 1.103}
START = "2025-09-15"


@pytest.fixture(scope="module")
def journal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three scores, an outcome and an event of 2025-09-15, and a score of the day after."""
    parts = Parts(tmp_path_factory.mktemp("journal"))
    parts.journal.open()
    parts.warm()
    for n in range(3):
        parts.score(signal_id=f"S{n}", pattern="OB_BOUNCE", base_score=70.0 + n, **SIGNAL)
    parts.ask("outcome", outcome="WIN_TP", signal_id="S1", realised_r=1.5)
    parts.housekeeping.event("feed_silent", endpoint="tcp://here", seconds=31.0)
    parts.clock.advance(86_400.0)
    parts.score(signal_id="S3", base_score=50.0)
    parts.journal.close()
    return parts.config.journal_path


def run(*arguments: str) -> Done:
    return invoke("journal", *arguments)


def exported(journal: Path, *arguments: str) -> list[dict[str, Any]]:
    done = run("export", "--jsonl", "--journal", str(journal), *arguments)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_tail_is_in_order_and_says_what_happened(journal: Path) -> None:
    lines = run("tail", "--journal", str(journal)).stdout.splitlines()
    assert [line[:19] for line in lines] == sorted(line[:19] for line in lines)
    text = "\n".join(lines)
    assert f"{START} 14:00:0" in text
    assert "EURUSD   BUY   70.0 ->  70.0  no_model  S0" in text
    assert "WIN_TP        request   +1.50 R  S1" in text
    assert "feed_silent  endpoint=tcp://here  seconds=31.0" in text
    assert len(run("tail", "--journal", str(journal), "-n", "2").stdout.splitlines()) == 2
    only = run("tail", "--journal", str(journal), "--kind", "outcomes").stdout.splitlines()
    assert len(only) == 1


def test_an_export_has_every_column_and_needs_no_program_of_ours(journal: Path) -> None:
    rows = exported(journal)
    assert [row["table"] for row in rows] == ["scores"] * 4 + ["outcomes", "events"]
    score = rows[0]
    with closing(sqlite3.connect(journal)) as connection:
        connection.row_factory = sqlite3.Row
        stored = dict(connection.execute("SELECT * FROM scores ORDER BY seq").fetchone())
    assert score.keys() == stored.keys() | {"table"}
    for name, value in stored.items():
        if not isinstance(value, bytes) and name != "missing":
            assert score[name] == value, name
    assert tuple(score["features"]) == FEATURE_NAMES
    assert score["features"]["base_score"] == 70.0
    assert score["request"]["signal_id"] == "S0"
    assert score["reply"]["final_score"] == score["final_score"]
    assert isinstance(score["missing"], list)
    assert rows[-1]["detail"] == {"endpoint": "tcp://here", "seconds": 31.0}


def test_an_export_can_be_of_a_time(journal: Path) -> None:
    assert len(exported(journal, "--kind", "scores", "--since", "2025-09-16")) == 1
    assert len(exported(journal, "--kind", "scores", "--until", "2025-09-16")) == 3


def test_scores_that_a_kill_kept_from_their_table_are_there(tmp_path: Path) -> None:
    parts = Parts(tmp_path)
    parts.journal.open()
    # Answered, and no rest since: what a kill in this moment leaves.
    for n in range(20):
        parts.score(base_score=50.0 + n, signal_id=f"S{n}")
    path = parts.config.journal_path
    assert len(spooled(path)) == 20
    found = exported(path, "--kind", "scores")
    assert [row["signal_id"] for row in found] == [f"S{n}" for n in range(20)]
    lines = run("tail", "--journal", str(path)).stdout.splitlines()
    assert lines[-1].endswith("S19")
    assert "scores     20" in run("stats", "--journal", str(path)).stdout
    parts.journal.close()


def test_scores_that_wait_where_they_cannot_be_read_are_not_left_out_in_silence(
    tmp_path: Path,
) -> None:
    parts = Parts(tmp_path)
    parts.journal.open()
    parts.score(signal_id="S")
    path = parts.config.journal_path
    spool = spool_path(path)
    spool.rename(tmp_path / "elsewhere")
    spool.symlink_to(tmp_path / "elsewhere")
    done = run("export", "--journal", str(path))
    assert (done.returncode, done.stdout) == (66, "")
    assert f"{spool} cannot be read" in done.stderr
    assert run("export", "--journal", str(path), "--kind", "outcomes").returncode == 0
    parts.journal.close()


def test_an_export_that_cannot_be_read_to_its_end_is_not_taken_for_whole(
    journal: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.db"
    content = bytearray(journal.read_bytes())
    content[len(content) // 2 :] = b"\x55" * (len(content) - len(content) // 2)
    broken.write_bytes(content)
    done = run("export", "--journal", str(broken))
    assert done.returncode == 66
    assert "doctor" in done.stderr


def test_pages_join_without_a_gap_or_a_repeat(tmp_path: Path) -> None:
    parts = Parts(tmp_path)
    parts.journal.open()
    count = 2 * PAGE_ROWS + 1
    parts.answer(*(body("score", symbol="EURUSD", base_score=1, id=n) for n in range(count)))
    parts.journal.settle()
    with closing(open_quietly(parts.config.journal_path)) as connection:
        seqs = [row.seq for row in after(connection, "scores", -1)]
        assert len(seqs) == len(set(seqs)) == count
        assert seqs == sorted(seqs)
        assert [row.seq for row in newest(connection, "scores", 3)] == seqs[-3:]
    parts.journal.close()


def test_what_a_client_chose_moves_no_cursor_and_begins_no_line(tmp_path: Path) -> None:
    parts = Parts(tmp_path)
    parts.journal.open()
    forged = "\x1b]0;title\x07\x1b[2J\x9b31m\n2025-09-15 14:00:00  event    mode\u202e"
    parts.score(signal_id=forged, pattern=forged)
    parts.ask("outcome", outcome=forged, signal_id=forged)
    parts.journal.close()
    for command in ("tail", "stats"):
        text = run(command, "--journal", str(parts.config.journal_path)).stdout
        assert text.replace("\n", "").isprintable(), text
        assert "title" in text


def test_stats_count_by_status(journal: Path) -> None:
    text = run("stats", "--journal", str(journal)).stdout
    assert "scores     4" in text
    assert "outcomes   1 WIN_TP (request)" in text
    assert f"from       {START}" in text
    assert "4 scores a day" in text


def test_following_prints_what_comes(tmp_path: Path) -> None:
    with running(tmp_path) as service, service.client() as client:
        command = [sys.executable, "-u", "-m", "service", "journal", "tail", "-f", "-n", "0"]
        with (tmp_path / "followed").open("w") as output:
            following = subprocess.Popen(
                [*command, "--journal", str(service.journal_path)], stdout=output
            )
        try:

            def printed() -> bool:
                client.score("EURUSD", 61.0)
                return "61.0 ->" in (tmp_path / "followed").read_text()

            eventually(printed, "a line")
            following.send_signal(signal.SIGINT)
            assert following.wait(10) == 0
        finally:
            following.kill()
        lines = (tmp_path / "followed").read_text().splitlines()
        assert len(lines) == len({line.split()[-1] for line in lines})


@pytest.mark.parametrize("kind", KINDS)
def test_a_journal_that_is_not_there_is_said(tmp_path: Path, kind: str) -> None:
    done = run("tail", "--kind", kind, "--journal", str(tmp_path / "none.db"))
    assert done.returncode == 66
    assert "none.db" in done.stderr


@pytest.mark.parametrize("made", ["", "CREATE TABLE others(a)"])
@pytest.mark.parametrize("command", ["tail", "export", "stats"])
def test_what_is_no_journal_is_said(tmp_path: Path, command: str, made: str) -> None:
    with closing(sqlite3.connect(tmp_path / "others.db")) as connection:
        connection.executescript(made or "VACUUM")
    done = run(command, "--journal", str(tmp_path / "others.db"))
    assert (done.returncode, done.stdout) == (66, "")
    assert "others.db is no journal: it is another file" in done.stderr


@as_root
def test_a_journal_that_may_not_be_read_is_said(journal: Path) -> None:
    journal.parent.chmod(0o700)
    with as_nobody(), pytest.raises(JournalUnreadable, match="Permission denied; run this as"):
        open_quietly(journal)
