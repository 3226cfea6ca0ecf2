"""Journals of replicas, read together: what is in several files is as if it were in one."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import documents
import numpy as np
import pytest
from builders import NOW_S
from journals import stored
from monitored import answer_signals
from scored_journal import START_S, outcome_row, score_row, vectors
from serving import published_model
from trained import give

from service.console import exit_codes
from service.errors import ConfigError
from service.journal import reading as journal_reading
from service.journal.records import OutcomeRow, ScoreRow
from training.dataset.answered import advice_by_score, newest_vectors
from training.dataset.join import read_dataset
from training.dataset.join_rules import JoinRules
from training.dataset.journals import MAX_JOURNALS, open_backfill, open_journals, read
from training.dataset.scored import labels_by_id, scores_of

N = 60
X = vectors(N)
RULES = JoinRules(max_holding_s=600.0)
LATER_S = START_S + 1e6


def test_scores_and_outcomes_that_fell_to_different_replicas_are_joined(tmp_path: Path) -> None:
    scores = [score_row(i, X[i]) for i in range(N)]
    ends = [outcome_row(i, i % 3 > 0) for i in range(N)]
    whole = stored(tmp_path / "one.db", [*scores, *ends])
    # A proxy hands out requests in turn: an outcome need not come to where its signal was scored.
    parts = [
        stored(tmp_path / f"part{k}.db", [*scores[k::3], *ends[(k + 1) % 3 :: 3]]) for k in range(3)
    ]
    one = read_dataset(whole, {}, RULES, now_s=LATER_S)
    several = read_dataset(parts, {}, RULES, now_s=LATER_S)
    assert several.scored == one.scored == N
    assert several.excluded == one.excluded
    assert len(several.samples) == len(one.samples) > N // 2
    for column in ("x", "win", "time_s", "end_s", "weight"):
        assert np.array_equal(getattr(several.samples, column), getattr(one.samples, column))
    assert advice_by_score(parts) == advice_by_score(whole)


def test_a_signal_that_two_replicas_scored_is_one_sample_the_earlier(tmp_path: Path) -> None:
    first = score_row(0, X[0], signal_id="RETRIED", score_id="a-0")
    again = score_row(1, X[1], signal_id="RETRIED", score_id="b-1")
    parts = [
        stored(tmp_path / "b.db", [again, outcome_row(0, True, score_id="b-1", signal_id=None)]),
        stored(tmp_path / "a.db", [first]),
    ]
    data = read_dataset(parts, {}, RULES, now_s=LATER_S)
    assert data.excluded == {"later_revision": 1}
    assert data.samples.score_id.tolist() == ["a-0"]
    assert data.samples.win.tolist() == [True]


def test_of_two_replicas_papers_that_of_the_score_itself_is_believed(tmp_path: Path) -> None:
    later_s = START_S + 60.0
    rows = [
        score_row(0, X[0], signal_id="RETRIED", score_id="a-0"),
        score_row(1, X[1], signal_id="RETRIED", score_id="b-1", event_time=later_s),
    ]
    paper = {"source": "paper", "signal_id": None}
    ends = [
        outcome_row(0, False, score_id="a-0", closed_at=START_S + 500.0, **paper),
        outcome_row(1, True, score_id="b-1", closed_at=START_S + 200.0, **paper),
    ]
    parts = [stored(tmp_path / f"{k}.db", [rows[k], ends[k]]) for k in (1, 0)]
    samples = read_dataset(parts, {}, RULES, now_s=LATER_S).samples
    assert samples.score_id.tolist() == ["a-0"]
    assert samples.win.tolist() == [False]
    assert samples.end_s.tolist() == [START_S + 500.0]


def test_a_paper_that_names_no_score_comes_after_that_of_the_score_itself(tmp_path: Path) -> None:
    paper = {"source": "paper"}
    ends = [
        outcome_row(0, True, closed_at=START_S + 200.0, **paper),
        outcome_row(0, False, score_id="a-0", signal_id=None, **paper),
    ]
    journal = stored(tmp_path / "a.db", [score_row(0, X[0], score_id="a-0"), *ends])
    samples = read_dataset(journal, {}, RULES, now_s=LATER_S).samples
    assert samples.win.tolist() == [False]


def test_the_newest_vectors_are_the_newest_of_all(tmp_path: Path) -> None:
    model = published_model(tmp_path / "models", NOW_S)
    answer_signals(tmp_path / "one.db", model, 30)
    whole = newest_vectors(tmp_path / "one.db", model.version)
    (tmp_path / "rest").mkdir()
    answer_signals(tmp_path / "rest" / "two.db", model, 10)
    both = newest_vectors([tmp_path / "one.db", tmp_path / "rest" / "two.db"], model.version)
    assert len(both) == len(whole) + 10
    times = [at_s for at_s, _ in both]
    assert times == sorted(times)


def test_a_text_that_many_rows_share_is_kept_once(tmp_path: Path) -> None:
    rows: list[ScoreRow | OutcomeRow] = [score_row(i, X[i]) for i in (0, 2)]
    stored(tmp_path / "one.db", [*rows, *(outcome_row(i, True) for i in (0, 2))])
    with read(tmp_path / "one.db") as connection:
        one, two = scores_of(connection).sound
        labels = [label for labels in labels_by_id(connection).values() for label in labels]
    for name in ("symbol", "pattern", "fingerprint", "missing"):
        assert getattr(one, name) is getattr(two, name), name
    assert labels[0].source is labels[1].source


@pytest.mark.parametrize("damage", ["event_time = 'no time'", "features = 5"])
def test_a_damaged_vector_ends_no_monitor(tmp_path: Path, damage: str) -> None:
    model = published_model(tmp_path / "models", NOW_S)
    answer_signals(tmp_path / "one.db", model, 5)
    with closing(sqlite3.connect(tmp_path / "one.db")) as connection, connection:
        connection.execute(f"UPDATE scores SET {damage} WHERE seq = 2")
    assert len(newest_vectors(tmp_path / "one.db", model.version)) == 4


def test_nothing_is_written_and_a_missing_one_is_named(tmp_path: Path) -> None:
    parts = [stored(tmp_path / f"{k}.db", [score_row(k, X[k])]) for k in range(2)]
    before = [path.read_bytes() for path in parts]
    read_dataset(parts, {}, RULES, now_s=LATER_S)
    assert [path.read_bytes() for path in parts] == before
    with pytest.raises(FileNotFoundError, match=r"gone\.db"):
        open_journals([parts[0], tmp_path / "gone.db"])
    with pytest.raises(ConfigError, match="at most"):
        open_journals([parts[0]] * (MAX_JOURNALS + 1))
    open_journals([parts[0]] * MAX_JOURNALS).close()


def test_a_damaged_one_is_named(tmp_path: Path) -> None:
    whole = stored(tmp_path / "whole.db", [score_row(0, X[0])])
    damaged = tmp_path / "damaged.db"
    damaged.write_bytes(b"no journal" * 1000)
    models = ["--models", str(tmp_path / "models")]
    for pair in ([whole, damaged], [damaged, whole]):
        options = [f"--journal={path}" for path in pair]
        said = give("status", *models, *options)
        assert said.exit_code == exit_codes.CONFIG
        assert f"{damaged}: file is not a database" in said.output


@pytest.mark.parametrize("newer", [0, 1])
def test_one_of_a_newer_schema_is_not_read(tmp_path: Path, newer: int) -> None:
    paths = [stored(tmp_path / f"{i}.db", [score_row(i, X[i])]) for i in range(2)]
    with closing(sqlite3.connect(paths[newer])) as connection:
        connection.execute("PRAGMA user_version = 2")
    for reader in (open_journals, lambda paths: open_backfill(paths[newer])):
        with pytest.raises(ConfigError, match=rf"{newer}\.db has schema 2, .* a newer one wrote"):
            reader(paths)


@pytest.mark.skipif(shutil.which("sqlite3") is None, reason="sqlite3 is not installed")
def test_what_the_runbook_saves_of_a_damaged_one_trains(tmp_path: Path) -> None:
    n = 400
    rows = vectors(n)
    scores = [score_row(i, rows[i]) for i in range(n)]
    moved = stored(tmp_path / "journal.db", [*scores, *(outcome_row(i, True) for i in range(n))])
    with moved.open("r+b") as file:
        file.seek(18 * 8192)
        file.write(b"\xff" * 8192)
    fresh = stored(tmp_path / "fresh.db", [score_row(n, rows[0])])
    spans = documents.document("docs/runbook.md").spans
    (save,) = (span.text for span in spans if span.text.startswith("sqlite3 journal.db .recover"))
    subprocess.run(save, shell=True, cwd=tmp_path, check=True)
    with journal_reading.reading(tmp_path / "saved.db") as connection:
        assert connection.execute("SELECT count(*) FROM scores").fetchone()[0] > n // 2
    data = read_dataset([fresh, tmp_path / "saved.db"], {}, RULES, now_s=LATER_S)
    assert n // 2 < len(data.samples) < n


def test_a_damage_within_is_said_of_the_files_that_may_hold_it(tmp_path: Path) -> None:
    whole = stored(tmp_path / "whole.db", [score_row(0, X[0])])
    damaged = stored(tmp_path / "damaged.db", [score_row(1, X[1])])
    with closing(sqlite3.connect(damaged)) as connection:
        (size,) = connection.execute("pragma page_size").fetchone()
        page = "select rootpage from sqlite_master where name = 'scores'"
        (number,) = connection.execute(page).fetchone()
    with damaged.open("r+b") as file:
        file.seek(size * (number - 1))
        file.write(b"\xff" * size)
    models = ["--models", str(tmp_path / "models")]
    options = [f"--journal={path}" for path in (whole, damaged)]
    said = give("status", *models, *options)
    assert said.exit_code == exit_codes.CONFIG
    assert f"{whole} or {damaged}: database disk image is malformed" in said.output
    backfill = tmp_path / "backfill.db"
    backfill.write_bytes(b"no backfill" * 1000)
    options = [f"--journal={whole}", f"--backfill={backfill}"]
    said = give("status", *models, *options)
    assert f"{backfill}: file is not a database" in said.output


def test_the_trainer_takes_several_by_option_and_by_configuration(tmp_path: Path) -> None:
    for k in range(2):
        mine = range(k, N, 2)
        rows = [score_row(i, X[i]) for i in mine]
        stored(tmp_path / f"{k}.db", [*rows, *(outcome_row(i, True) for i in mine)])
    journals = [str(tmp_path / f"{k}.db") for k in range(2)]
    models = ["--models", str(tmp_path / "models")]
    options = [*models, "--journal", journals[0], "--journal", journals[1]]
    by_option = give("status", *options)
    assert f"of {N} scored signals" in by_option.output
    config = tmp_path / "config.toml"
    config.write_text(
        f'[journal]\npath = "{journals[0]}"\n[training]\njournals = ["{journals[1]}"]\n'
    )
    by_file = give("status", *models, "--config", str(config))
    assert by_file.output == by_option.output


def test_a_journal_given_alone_is_read_alone_and_once(tmp_path: Path) -> None:
    stored(tmp_path / "b.db", [score_row(0, X[0]), outcome_row(0, True)])
    config = tmp_path / "config.toml"
    config.write_text(f'[training]\njournals = ["{tmp_path / "b.db"}"]\n')
    models = ["--models", str(tmp_path / "models")]
    options = [*models, "--journal", str(tmp_path / "b.db")]
    alone = give("status", *options)
    assert "of 1 scored signals" in alone.output
    told = give("status", *options, "--config", str(config))
    assert told.output == alone.output


def test_a_backfill_that_is_not_there_is_not_called_a_journal(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"backfill.db is not there: .*training.backfills"):
        open_backfill(tmp_path / "backfill.db")
