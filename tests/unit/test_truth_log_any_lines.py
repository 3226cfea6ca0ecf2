"""Any lines in any order: none raises, each is accounted for; and the real logs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from truth_lines import RULES, assert_adds_up, born, ended, stamp, told, tracked

from training.truth_check import check
from training.truth_log import ReadingRules, Reason, read_truth_logs

OTHERS = "win pair features lifespan action created_at timestamp outcome_source runtime_minutes"
FIELDS = st.sampled_from([*born(), *ended(), *tracked(), *OTHERS.split(), "realised_r", "quality"])
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=12),
    st.sampled_from(["WIN", "LOSS", "timeout", "BUY", "SELL", stamp(0), stamp(900), "9999-99-99"]),
    st.lists(st.integers(), max_size=2),
    st.dictionaries(st.text(max_size=4), st.integers(), max_size=2),
)
OBJECTS = st.builds(
    lambda line, changes: json.dumps(line | changes).encode(),
    st.sampled_from([{}, born(), ended(), tracked()]),
    st.dictionaries(FIELDS, VALUES, max_size=5),
)
LINES = st.lists(st.one_of(OBJECTS, st.binary(max_size=40)), max_size=8)


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lines=LINES, whole=st.booleans())
def test_no_bytes_raise_and_every_line_is_accounted_for(
    tmp_path: Path, lines: list[bytes], whole: bool
) -> None:
    path = tmp_path / "fuzz.jsonl"
    path.unlink(missing_ok=True)  # as in `told`
    path.write_bytes(b"\n".join(lines) + (b"\n" if whole else b""))
    log = read_truth_logs([path], RULES)
    assert_adds_up(log)


MOVED = {"symbol": "EURUSD.r", "entry_price": 1.1001, "sl": 1.0995, "tp": 1.1017}
MUTATIONS = st.fixed_dictionaries(
    {},
    optional={
        "signal_id": st.sampled_from(["A_1", "A_2", "B_TEST"]),
        "outcome": st.sampled_from(["WIN", "LOSS", "timeout"]),
        "completed_at": st.sampled_from([stamp(3), stamp(60), stamp(900), stamp(901)]),
        "pips_result": st.sampled_from([None, 0, 5.0, -5.0]),
        "ticks_processed": st.sampled_from([1, 2]),
    },
)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.one_of(
            MUTATIONS.map(lambda m: born() | {k: v for k, v in m.items() if k == "signal_id"}),
            MUTATIONS.map(lambda m: {**ended(symbol=None), "signal_id": "A_1", **m}),
            MUTATIONS.map(lambda m: {**ended(**MOVED), "signal_id": "A_1", **m}),
            MUTATIONS.map(lambda m: {**tracked(**MOVED), "signal_id": "A_1", **m}),
        ),
        max_size=8,
    ),
    st.randoms(use_true_random=False),
)
def test_what_is_believed_does_not_depend_on_the_order_of_lines(
    tmp_path: Path, lines: list[dict[str, Any]], shuffler: Any
) -> None:
    path = tmp_path / "order.jsonl"

    def believed() -> dict[str, tuple[Any, ...]]:
        outcomes = told(*lines, path=path).outcomes.items()
        return {key: (one.signal, one.win, one.completed_s) for key, one in outcomes}

    before = believed()
    shuffler.shuffle(lines)
    assert believed() == before


def test_real_logs_give_the_counts_of_reading_them_by_hand(shared_data: Path) -> None:
    folder = shared_data / "truth_logs"
    logs = {path.name: read_truth_logs([path], RULES) for path in folder.glob("*.jsonl*")}
    assert len(logs) == 4
    for log in logs.values():
        assert_adds_up(log)
        assert not log.problems
    flat = logs["flat_20250829.jsonl.gz"]
    assert (flat.lines, len(flat.outcomes)) == (2500, 0)
    assert flat.refused == {Reason.AT_SIGNAL_TIME: 2497, Reason.TEST: 3}
    assert logs["lifecycle_20250811.jsonl"].refused[Reason.NO_RESULT] == 18
    lifecycle = logs["lifecycle_20250819.jsonl.gz"]
    assert not lifecycle.outcomes
    assert (lifecycle.refused[Reason.NO_RESULT], lifecycle.refused[Reason.TEST]) == (531, 8)
    tracker = logs["outcomes_20250819.jsonl.gz"]
    # 14 of the 2,816 lines closed on their first tick are tests. Three signals were watched
    # within a minute of their birth.
    assert tracker.refused[Reason.FIRST_TICK] + tracker.refused[Reason.TEST] == 2816
    assert tracker.refused[Reason.WATCHED_LATE] == 1136
    assert len(tracker.outcomes) == 3


def test_watched_signals_of_the_real_log_without_the_limit_on_watching(shared_data: Path) -> None:
    log = read_truth_logs(
        [shared_data / "truth_logs" / "outcomes_20250819.jsonl.gz"],
        ReadingRules(max_watch_delay_s=float("inf")),
    )
    # 839 signals watched for more than a tick; 143 won and lost, 2 cannot have ended so.
    assert len(log.outcomes) == 839 - 143 - 2
    assert_adds_up(log)


def test_check_says_in_words_that_a_log_has_no_outcome(shared_data: Path) -> None:
    text = "\n".join(check([shared_data / "truth_logs" / "flat_20250829.jsonl.gz"], RULES))
    assert "usable outcomes   0" in text
    assert "Not one usable outcome here (label_at_signal_time)" in text
    assert all(len(line) <= 80 for line in text.splitlines())
