"""However large the journal is, no one statement reads much of it: the WAL waits for its end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from journals import Journal, stored
from scored_journal import outcome_row, score_row, vectors
from serving import rows

from service.journal import reading as journal_reading
from service.journal.read_back import load_signals
from service.journal.reading import after, lacking, open_quietly, spooled, summary
from service.journal.records import ScoreRow

ROWS = 2_000
PIECE = 50
MOST_STEPS = 100 * PIECE
START_S = datetime(2026, 11, 1, tzinfo=UTC).timestamp()
X = vectors(1)[0]


def score(i: int) -> ScoreRow:
    """One a second."""
    at = START_S + i
    return score_row(
        i, X, seq=int(at * 1e6), score_id=f"s{i}", scored_at=at, status=("ok", "no_model")[i % 2]
    )


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Scores and an outcome of each."""
    path = tmp_path_factory.mktemp("journal") / "journal.db"
    ends = [outcome_row(i, i % 2 == 0, received_at=START_S + i) for i in range(ROWS)]
    return stored(path, [*(score(i) for i in range(ROWS)), *ends])


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PAGE_ROWS", "COUNTED_ROWS"):
        monkeypatch.setattr(journal_reading, name, PIECE)


@contextmanager
def short_reads(path: Path) -> Iterator[object]:
    """A connection for reading; the test fails where a statement took many of SQLite's steps."""
    longest = steps = 0

    def begun(_statement: str) -> None:
        nonlocal steps
        steps = 0

    def went_on() -> None:
        nonlocal longest, steps
        steps += 100
        longest = max(longest, steps)

    with closing(open_quietly(path)) as connection:
        connection.set_trace_callback(begun)
        connection.set_progress_handler(went_on, 100)
        yield connection
    assert longest < MOST_STEPS


@pytest.mark.parametrize("kind", ["scores", "outcomes"])
@pytest.mark.parametrize(("since", "until"), [(ROWS - 10, None), (None, 10), (500, 700)])
def test_an_export_of_a_time(path: Path, kind: str, since: int | None, until: int | None) -> None:
    bounds = {}
    if since is not None:
        bounds["since_s"] = START_S + since
    if until is not None:
        bounds["until_s"] = START_S + until
    with short_reads(path) as connection:
        found = [row.at for row in after(connection, kind, -1, **bounds)]
    expected = range(since or 0, ROWS if until is None else until)
    assert found == [START_S + i for i in expected]


def test_a_count_of_all(path: Path) -> None:
    with short_reads(path) as connection:
        found = summary(connection, [])
    assert (found.scores, found.outcomes) == (ROWS, ROWS)
    assert found.by_status == {"ok": ROWS // 2, "no_model": ROWS // 2}
    assert found.by_outcome == {
        ("request", "WIN"): ROWS // 2,
        ("request", "LOSS"): ROWS // 2,
    }


def test_a_score_that_comes_late_into_its_table_is_counted_once(tmp_path: Path) -> None:
    """Whatever number it has: another process takes it there while the count is under way."""
    journal = Journal(tmp_path / "journal.db")
    journal.write([score(i) for i in range(200) if i != 150])
    assert journal.settle()
    journal.write([score(150)])
    waiting = spooled(journal.path)
    with closing(open_quietly(journal.path)) as connection:
        ended = False

        def begun(statement: str) -> None:
            nonlocal ended
            if ended:
                ended = False
                assert journal.settle()
            ended = statement == "COMMIT"

        connection.set_trace_callback(begun)
        found = summary(connection, waiting)
        assert (found.scores, found.by_status["ok"]) == (200, 100)
        assert lacking(connection, waiting) == []


def test_a_search_for_known_signals_has_an_end(tmp_path: Path) -> None:
    """Where nobody names one, as in the original client, it would be of all there ever was."""
    journal = Journal(tmp_path / "journal.db")
    journal.write([score(0), outcome_row(0, True)])
    assert load_signals(journal, 10) == ["SIG_0"]
    connection = journal._connection
    assert connection is not None
    connection.execute(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 262144)"
        " INSERT INTO lookup SELECT ? + i, NULL, 0.0 FROM n",
        (score(0).seq,),
    )
    assert load_signals(journal, 10) == []
    (last,) = rows(journal.path, "SELECT max(seq) AS seq FROM lookup")
    newer = msgspec.structs.replace(score(1), seq=last["seq"] + 1)
    journal.write([newer, outcome_row(1, True)])
    assert load_signals(journal, 10) == ["SIG_1"]
