"""The join of a real journal with outcomes: what becomes a sample, and why the rest does not."""

from __future__ import annotations

import sqlite3
import tracemalloc
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from joined import LATER_S, RULES, Read, reader, said
from journals import stored
from scored_journal import EVERY_S, START_S, outcome_row, score_row, vectors

from service.journal.records import OutcomeRow, ScoreRow
from training.dataset.join import read_dataset
from training.dataset.join_rules import JoinRules

X = vectors(64)


@pytest.fixture
def read(tmp_path: Path) -> Read:
    return reader(tmp_path)


def test_a_sample_carries_the_recorded_vector_bit_by_bit(read: Read) -> None:
    data = read(score_row(0, X[0]), score_row(1, X[1]), outcome_row(1, True))
    assert np.array_equal(data.samples.x, X[1:2])
    assert data.samples.win.tolist() == [True]
    assert data.samples.end_s.tolist() == [START_S + EVERY_S + 300]
    assert data.excluded == {"no_outcome": 1}


def test_how_far_off_a_stop_lies_is_told_in_spreads_of_its_quote(read: Read) -> None:
    quotes = {"bid": 1.1, "ask": 1.1002, "entry_price": 1.1002, "stop_loss": 1.0992}
    rows = (quotes, quotes | {"ask": 1.1}, quotes | {"stop_loss": None})
    data = read(
        *(score_row(i, X[i], **row) for i, row in enumerate(rows)),
        *(outcome_row(i, True) for i in range(3)),
    )
    assert data.samples.stop_spreads == pytest.approx([5.0, np.nan, np.nan], nan_ok=True)


def test_truth_log_and_score_id_join_too(read: Read) -> None:
    by_score = outcome_row(1, False, signal_id=None, score_id="score-1")
    data = read(
        score_row(0, X[0]),
        score_row(1, X[1], signal_id=None),
        by_score,
        reported=said(0, True),
    )
    assert data.samples.win.tolist() == [True, False]
    assert data.samples.label_source.tolist() == ["truth_log", "request"]


def test_signals_that_run_together_weigh_as_one(read: Read) -> None:
    together = {"event_time": START_S + 1.0, "scored_at": START_S + 1.0}
    data = read(
        score_row(0, X[0]),
        score_row(2, X[2], **together),
        outcome_row(0, True),
        outcome_row(2, False, closed_at=START_S + 301, received_at=START_S + 302),
    )
    assert len(data.samples) == 2
    assert 1.0 < data.samples.n_effective < 1.1


def test_samples_come_in_order_of_event_time(read: Read) -> None:
    rows = [score_row(i, X[i], event_time=START_S - 1000 * i) for i in range(5)]
    data = read(*rows, *(outcome_row(i, i % 2 == 0) for i in range(5)))
    assert (np.diff(data.samples.time_s) > 0).all()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"fingerprint": "0" * 16}, "other_features"),
        ({"features": b"\0" * 80}, "damaged_features"),
        ({"features": np.full(11, np.nan).tobytes()}, "damaged_features"),
        (
            {"missing": "atr_volatility,volume_delta,tf_alignment,spread_quality"},
            "features_missing",
        ),
        ({"signal_id": "A_TEST_1"}, "test"),
    ],
)
def test_an_unfit_score_is_excluded_for_its_reason(
    read: Read, changes: dict[str, Any], reason: str
) -> None:
    row = score_row(0, X[0], **changes)
    data = read(row, outcome_row(0, True, signal_id=row.signal_id))
    assert data.excluded == {reason: 1}


def test_missing_sentiment_is_not_a_missing_market_feature(read: Read) -> None:
    missing = "sentiment_score,volume_delta,whale_activity,correlation_check"
    data = read(score_row(0, X[0], missing=missing), outcome_row(0, True))
    assert len(data.samples) == 1


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"closed_at": START_S + 2}, "label_at_signal_time"),
        ({"runtime_s": 0.0}, "label_at_signal_time"),
        ({"closed_at": START_S - 3600}, "ended_before_signal"),
        ({"closed_at": None, "received_at": START_S + 4.9}, "label_at_signal_time"),
        ({"closed_at": None, "received_at": START_S - 3600}, "ended_before_signal"),
        ({"closed_at": 1000 * START_S}, "ended_in_the_future"),
        ({"closed_at": None, "runtime_s": 1e9}, "ended_in_the_future"),
        ({"closed_at": 2e9, "source": "paper"}, "ended_in_the_future"),
        ({"realised_r": 1e300}, "impossible_levels"),
        ({"realised_r": -1.0}, "result_contradicts_levels"),
        ({"win": False, "outcome": "LOSS_SL", "final_pips": 7.0}, "result_contradicts_levels"),
        ({"win": None, "outcome": "timeout"}, "timeout_without_result"),
        ({"win": None, "outcome": "perhaps"}, "unknown_outcome"),
    ],
)
def test_an_unbelievable_outcome_is_excluded_for_its_reason(
    read: Read, changes: dict[str, Any], reason: str
) -> None:
    data = read(score_row(0, X[0]), outcome_row(0, True, **changes))
    assert data.excluded == {reason: 1}


@pytest.mark.parametrize(
    "changes",
    [
        {"closed_at": START_S + 5.1},
        {"closed_at": None, "received_at": START_S + 5.1},
        {"runtime_s": 5.1},
    ],
)
def test_an_end_five_seconds_after_its_signal_is_believed(
    read: Read, changes: dict[str, Any]
) -> None:
    assert len(read(score_row(0, X[0]), outcome_row(0, True, **changes)).samples) == 1


def test_a_timeout_is_judged_by_its_realised_r(read: Read) -> None:
    row = outcome_row(0, None, "timeout", realised_r=-0.2)
    assert read(score_row(0, X[0]), row).samples.win.tolist() == [False]


def test_only_the_first_score_of_a_signal_counts(read: Read) -> None:
    again = score_row(1, X[1], signal_id="SIG_0")
    data = read(score_row(0, X[0]), again, outcome_row(0, True))
    assert np.array_equal(data.samples.x, X[:1])
    assert data.excluded == {"later_revision": 1}


def test_contradicting_reports_are_excluded_across_sources(read: Read) -> None:
    data = read(score_row(0, X[0]), outcome_row(0, True), reported=said(0, False))
    assert data.excluded == {"contradicting_outcomes": 1}


@pytest.mark.parametrize(("prefer", "win"), [("paper", True), ("reported", False)])
def test_where_paper_and_report_differ_the_setting_decides(
    read: Read, prefer: Any, win: bool
) -> None:
    data = read(
        score_row(0, X[0]),
        outcome_row(0, True, source="paper"),
        outcome_row(0, False),
        rules=JoinRules(max_holding_s=600.0, prefer=prefer),
    )
    assert data.samples.win.tolist() == [win]
    assert data.differ == 1


def test_outcomes_of_signals_never_scored_are_counted(read: Read) -> None:
    assert read(score_row(0, X[0]), reported=said(7, True)).unmatched == 1


def test_outcomes_that_name_no_signal_are_counted_one_by_one(read: Read) -> None:
    nameless = {"score_id": None, "signal_id": None}
    lost = [outcome_row(i, True, **nameless) for i in range(1, 4)]
    assert read(score_row(0, X[0]), *lost).unmatched == 3


def test_outcomes_of_signals_never_scored_cost_little_memory(tmp_path: Path) -> None:
    journal = stored(tmp_path / "journal.db", [score_row(0, X[0])])
    (outcome,) = said(0, True).values()
    many = {f"SIG_{i}": outcome for i in range(50_000)}
    read_dataset(journal, {}, RULES, now_s=LATER_S)
    tracemalloc.start()
    try:
        data = read_dataset(journal, many, RULES, now_s=LATER_S)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (len(data.samples), data.unmatched) == (1, 49_999)
    assert peak < 100 * len(many)


def test_a_cohort_ripens_on_the_feeds_clock_or_on_the_wall(read: Read) -> None:
    rows = [score_row(i, X[i]) for i in range(4)] + [outcome_row(i, True) for i in range(4)]
    now_s = START_S + 3 * EVERY_S + 301
    rules = JoinRules(max_holding_s=2 * EVERY_S)
    assert read(*rows, rules=rules, now_s=now_s).excluded == {"cohort_still_open": 2}
    assert len(read(*rows, rules=rules, now_s=LATER_S).samples) == 4


def test_a_score_stamped_in_the_future_is_no_sample_and_ripens_no_cohort(read: Read) -> None:
    ahead = score_row(4, X[4], event_time=2e9)
    rows = [*(score_row(i, X[i]) for i in range(4)), ahead]
    now_s = START_S + 3 * EVERY_S + 301
    data = read(
        *rows,
        *(outcome_row(i, True) for i in range(4)),
        outcome_row(4, True, closed_at=None, runtime_s=60.0),
        rules=JoinRules(max_holding_s=2 * EVERY_S),
        now_s=now_s,
    )
    assert data.excluded == {"cohort_still_open": 2, "scored_in_the_future": 1}


def test_signals_whose_end_nobody_told_in_time_are_kept_apart(read: Read) -> None:
    rows = [score_row(i, X[i]) for i in range(4)]
    data = read(*rows, outcome_row(1, True), now_s=START_S + 3 * EVERY_S + 1.0)
    # The last one still has time.
    assert data.silent_s == (START_S, START_S + 2 * EVERY_S)
    assert data.excluded == {"no_outcome": 3}


@pytest.mark.parametrize(
    ("end", "reason"),
    [
        (outcome_row(1, None, "timeout"), "timeout_without_result"),
        (outcome_row(1, None, "VOID", source="paper"), "void"),
        (outcome_row(1, None, "BREAKEVEN"), "unknown_outcome"),
        (outcome_row(1, None, "CLOSED_PARTIAL", realised_r=0.5), "unknown_outcome"),
        (outcome_row(1, True, realised_r=-1.0), "result_contradicts_levels"),
        (outcome_row(1, True, closed_at=START_S + EVERY_S + 1.0), "label_at_signal_time"),
    ],
)
def test_a_signal_of_whose_end_nothing_is_believed_is_as_silent_as_one_not_told_of(
    read: Read, end: OutcomeRow, reason: str
) -> None:
    rows = [score_row(i, X[i]) for i in range(3)]
    data = read(*rows, outcome_row(0, True), end, outcome_row(2, False))
    assert data.silent_s == (START_S + EVERY_S,)
    assert data.excluded == {reason: 1}


def test_directed_and_undirected_signals_are_not_mixed(read: Read) -> None:
    rows = [score_row(i, X[i], direction=(1, -1, 0)[i]) for i in range(3)]
    data = read(*rows, *(outcome_row(i, True) for i in range(3)))
    assert data.excluded == {"undirected": 1}
    assert data.samples.direction.tolist() == [1, -1]


def test_an_empty_journal_gives_no_samples(read: Read) -> None:
    data = read(outcome_row(0, True))
    assert data.samples.x.shape == (0, 11)


def test_no_journal_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="has the service run"):
        read_dataset(tmp_path / "none.db", {}, RULES, now_s=LATER_S)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(
            st.integers(8, 63),
            st.booleans(),
            st.sampled_from(["request", "paper"]),
            st.floats(5, 1e5),
        ),
        max_size=12,
        unique_by=lambda row: row[0],
    )
)
def test_what_comes_later_changes_no_sample_there_is(
    read: Read, future: list[tuple[int, bool, str, float]]
) -> None:
    now = [score_row(i, X[i]) for i in range(8)] + [outcome_row(i, i % 3 == 0) for i in range(8)]
    later: list[ScoreRow | OutcomeRow] = []
    for i, win, source, after_s in future:
        end = outcome_row(i, win, source=source, closed_at=START_S + EVERY_S * i + after_s)
        later += [score_row(i, X[i]), end]
    before, after = read(*now).samples, read(*now, *later).samples
    assert np.array_equal(after.x[: len(before)], before.x)
    assert np.array_equal(after.win[: len(before)], before.win)
    assert np.array_equal(after.end_s[: len(before)], before.end_s)


def test_a_row_whose_types_are_not_those_of_its_columns_is_left_out_and_counted(
    read: Read, tmp_path: Path
) -> None:
    read(*(score_row(i, X[i]) for i in range(4)), *(outcome_row(i, True) for i in range(4)))
    with closing(sqlite3.connect(tmp_path / "journal.db")) as connection, connection:
        connection.execute("UPDATE scores SET event_time = 'no time' WHERE score_id = 'score-1'")
        connection.execute("UPDATE outcomes SET closed_at = x'00' WHERE signal_id = 'SIG_2'")
    data = read_dataset(tmp_path / "journal.db", {}, RULES, now_s=LATER_S)
    assert data.samples.score_id.tolist() == ["score-0", "score-3"]
    assert data.scored == 4
    assert data.excluded == {"damaged_row": 1, "no_outcome": 1}


def test_a_paper_outcome_within_seconds_is_believed_and_a_void_one_is_not(read: Read) -> None:
    quick = outcome_row(0, False, source="paper", closed_at=START_S + 2, runtime_s=2.0)
    void = outcome_row(1, None, "VOID", source="paper")
    data = read(score_row(0, X[0]), score_row(1, X[1]), quick, void)
    assert data.samples.win.tolist() == [False]
    assert data.excluded == {"void": 1}
