"""A retry gets the reply that was made; a journal that fails ends no answer."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import msgspec
import pytest
from serving import START_S, ManualClock, Parts, body

from protocol import messages
from service.commands.shown import show_score


@pytest.fixture
def parts(tmp_path: Path) -> Parts:
    return Parts(tmp_path)


def test_a_retry_gets_the_same_reply_under_its_own_id_and_one_row(parts: Parts) -> None:
    first = parts.score(signal_id="s", id=1)
    parts.warm()
    again = parts.score(signal_id="s", id=2, deadline_ms=3, explain=True)
    batched = parts.ask(
        "score_many", signals=[{"symbol": "EURUSD", "base_score": 75.0, "signal_id": "s"}]
    )["scores"][0]
    assert again == {**first, "id": 2}
    assert batched["score_id"] == first["score_id"]
    assert len(parts.rows()) == 1
    other = parts.score(signal_id="s", base_score=80.0)
    assert other["score_id"] != first["score_id"]
    assert [row["revision"] for row in parts.rows()] == [0, 1]


def test_a_retry_that_waits_with_its_original_is_answered_alike(parts: Parts) -> None:
    one = body("score", symbol="EURUSD", base_score=75.0, signal_id="s")
    first, again = parts.answer(one, one)
    assert first == again
    assert first["journalled"] is True
    assert len(parts.rows()) == 1


def test_retries_hold_across_a_restart_within_the_window(tmp_path: Path) -> None:
    before = Parts(tmp_path)
    first = before.score(signal_id="s", id=1)
    before.journal.close()
    clock = ManualClock(START_S + 30)
    clock.advance(0.5)
    after = Parts(tmp_path, clock)
    after.housekeeping.restore()
    assert after.score(signal_id="s", id=2) == {**first, "id": 2}
    revision = after.score(signal_id="s", base_score=80.0)
    assert revision["score_id"] != first["score_id"]
    assert [row["revision"] for row in after.rows()] == [0, 1]
    clock.advance(30)
    assert after.score(signal_id="s")["score_id"] != first["score_id"]
    assert [row["revision"] for row in after.rows()] == [0, 1, 2]


@pytest.mark.parametrize(
    "reply",
    [b"\xc1", b"\x01", b"\x81\xa1\xff\x01", b"\x81\xa1a" + b"\x91" * 5000],
    ids=["no msgpack", "no map", "text that is none", "nesting without end"],
)
def test_a_reply_in_the_journal_that_cannot_be_read_stops_nothing(
    tmp_path: Path, reply: bytes
) -> None:
    before = Parts(tmp_path)
    first = before.score(signal_id="s")
    before.journal.close()
    with sqlite3.connect(before.config.journal_path) as connection:
        connection.execute("UPDATE scores SET reply = ?", (reply,))
        connection.execute("INSERT INTO symbols VALUES('BAD', x'00')")
    connection.close()
    after = Parts(tmp_path)
    after.housekeeping.restore()
    anew = after.score(signal_id="s")
    assert (anew["status"], anew["journalled"]) == ("unknown_symbol", True)
    assert anew["score_id"] != first["score_id"]


def test_a_journal_that_fails_stops_no_answer_and_is_made_up_for_by_a_retry(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    parts = Parts(tmp_path)
    parts.config.journal_path.mkdir()
    parts.housekeeping.restore()
    first = parts.score(signal_id="s")
    assert (first["ok"], first["journalled"]) == (True, False)
    assert parts.ask("outcome", signal_id="s", outcome="WIN") == {
        "v": 1,
        "id": None,
        "ok": True,
        "recorded": False,
        "duplicate": False,
        "matched": False,
        "journalled": False,
    }
    health = parts.ask("health")
    assert health["ready"] is False
    assert "journal" in health["reasons"][0]
    assert parts.ask("stats")["journal"]["unwritten"] == 2
    parts.let_pass(2)
    assert parts.ask("health")["ready"] is False
    parts.config.journal_path.rmdir()
    parts.let_pass(6)
    said = "".join(capsys.readouterr())
    # Once each, and nothing of its rows, none of which was damaged.
    assert [said.count(of) for of in ("journal failed", "works again", "damaged")] == [1, 1, 0]
    assert parts.ask("health")["ready"] is True
    again = parts.score(signal_id="s")
    assert again == {**first, "journalled": True}
    (row,) = parts.rows()
    assert row["score_id"] == first["score_id"]
    assert len(parts.rows("SELECT * FROM events WHERE kind = 'journal_recovered'")) == 1


def test_a_score_that_is_not_kept_is_shown_as_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    parts = Parts(tmp_path)
    for kept in (True, False):
        if not kept:
            parts.config.journal_path.rename(tmp_path / "moved")
            parts.config.journal_path.mkdir()
            parts.journal.look()
        reply = parts.score()
        reply = {key: value for key, value in reply.items() if key not in ("v", "id", "ok")}
        show_score(msgspec.convert(reply, messages.ScoreReply), as_json=False)
        said = capsys.readouterr().out
        assert ("not kept: signal-scorer health says why" in said) is not kept


def test_a_retry_while_the_journal_fails_does_not_claim_to_be_kept(tmp_path: Path) -> None:
    parts = Parts(tmp_path)
    parts.config.journal_path.mkdir()
    one = body("score", symbol="EURUSD", base_score=75.0, signal_id="s")
    replies = [*parts.answer(one, one), *parts.answer(one)]
    assert [reply["journalled"] for reply in replies] == [False] * 3
    assert len({reply["score_id"] for reply in replies}) == 1
