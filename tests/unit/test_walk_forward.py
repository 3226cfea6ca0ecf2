"""The walk-forward: nothing of the future trains or calibrates, and all that may, does."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sample_rows import sample_rows

from protocol.schema import SCHEMA
from service.arrays import Floats
from training.calibration.calibrate import served
from training.candidate import Candidate, draft, final_calibration, grow
from training.dataset.join_rules import Rhythm
from training.dataset.samples import Samples
from training.fit import importances, pack
from training.gate import Checks, judge
from training.settings import Settings
from training.walk_forward import Fit, NotEnough, trainable, walk_forward, windows

QUICK = Rhythm(step=20, embargo_s=0.0, holding_s=0.0)


def knows_the_edge(edge: float) -> Fit:
    """A predictor that was told the truth: what is measured is then known."""

    def predict(x: Floats) -> Floats:
        return 0.5 + edge * np.where(x[:, 8] > 50, 1.0, -1.0)

    return lambda _part: predict


def at_times(starts: list[int], holding: list[int]) -> Samples:
    time_s = np.sort(np.array(starts, dtype=np.float64))
    return sample_rows(len(starts), time_s=time_s, end_s=time_s + np.array(holding, np.float64))


@settings(max_examples=200)
@given(st.lists(st.integers(0, 1000), min_size=1, max_size=60), st.data())
def test_what_trains_had_ended_before_the_embargo_and_was_of_a_ripe_cohort(
    starts: list[int], data: st.DataObject
) -> None:
    n = len(starts)
    rows = at_times(starts, data.draw(st.lists(st.integers(1, 500), min_size=n, max_size=n)))
    embargo_s, holding_s = data.draw(st.integers(0, 300)), data.draw(st.integers(0, 300))
    rhythm = Rhythm(embargo_s=embargo_s, holding_s=holding_s)
    start_s = data.draw(st.integers(0, 1000))
    may = trainable(rows, start_s, rhythm)
    for i in range(n):
        clear = rows.end_s[i] + embargo_s < start_s
        assert may[i] == (clear and rows.time_s[i] + embargo_s + holding_s < start_s)


def test_the_trainers_embargo_is_as_long_as_the_bars_that_features_are_made_of() -> None:
    rhythm = Settings(journal=Path(), models=Path()).rhythm
    assert rhythm.embargo_s == 60.0 * SCHEMA.constants["kept_bars"]


@settings(max_examples=100)
@given(st.lists(st.integers(0, 400), min_size=31, max_size=100), st.integers(1, 100))
def test_windows_hold_each_later_row_once_and_divide_no_moment(
    starts: list[int], step: int
) -> None:
    rows = at_times(starts, [1] * len(starts))
    plan = windows(rows, Rhythm(step=step))
    assert [a for a, _ in plan[1:]] == [b for _, b in plan[:-1]]
    assert plan[-1][1] == len(rows)
    assert all(a == 0 or rows.time_s[a - 1] < rows.time_s[a] for a, _ in plan)


@settings(max_examples=40)
@given(
    st.lists(st.integers(0, 3000), min_size=80, max_size=110),
    st.integers(1, 400),
    st.integers(0, 200),
)
def test_every_answer_is_given_by_what_had_ended_before_its_question(
    starts: list[int], holding_s: int, embargo_s: int
) -> None:
    rows = at_times(starts, [holding_s] * len(starts))
    asked_s = dict(zip(rows.x[:, 0].tolist(), rows.time_s.tolist(), strict=True))

    def fit(part: Samples) -> object:
        def predict(x: Floats) -> Floats:
            first_s = min(asked_s[value] for value in x[:, 0].tolist())
            assert part.end_s.max() + embargo_s < first_s
            return np.clip(x[:, 8] / 100, 0.01, 0.99)

        return predict

    rhythm = Rhythm(step=20, embargo_s=embargo_s, holding_s=holding_s)
    try:
        walk = walk_forward(rows, fit, rhythm)  # type: ignore[arg-type]
    except NotEnough:
        return
    # Each row is asked at most once, and stands beside its own answer.
    assert len(set(walk.past.score_id)) == len(walk.past)
    assert np.array_equal(walk.past_raw, np.clip(walk.past.x[:, 8] / 100, 0.01, 0.99))
    assert np.array_equal(walk.raw, np.clip(walk.test.x[:, 8] / 100, 0.01, 0.99))
    assert set(walk.test.score_id) <= set(walk.past.score_id)


def test_changing_the_future_leaves_every_earlier_answer() -> None:
    rows = sample_rows(500, edge=0.2)
    win = rows.win.copy()
    win[400:] = ~win[400:]
    before = walk_forward(rows, knows_the_edge(0.2), QUICK)
    after = walk_forward(replace(rows, win=win), knows_the_edge(0.2), QUICK)
    early = before.test.time_s < rows.time_s[400]
    assert early.any()
    assert np.array_equal(before.p[early], after.p[early])
    assert np.array_equal(before.others["constant"][early], after.others["constant"][early])
    assert not np.array_equal(before.p[~early], after.p[~early])


def test_an_end_that_was_still_to_come_calibrates_no_answer() -> None:
    rows = sample_rows(500, edge=0.2, holding_s=30 * 3600.0)
    cut_s = rows.time_s[400]
    win = np.where(rows.end_s >= cut_s, ~rows.win, rows.win)
    before = walk_forward(rows, knows_the_edge(0.2), QUICK)
    after = walk_forward(replace(rows, win=win), knows_the_edge(0.2), QUICK)
    early = np.zeros(len(before.test), np.bool_)
    for fold in before.folds:  # one calibration each, of what had ended when it began
        early[fold.rows] = before.test.time_s[fold.rows][0] <= cut_s
    assert early.any()
    assert np.array_equal(before.p[early], after.p[early])


def test_signals_that_come_together_are_believed_as_one() -> None:
    edge, four_hours_s = 0.1, 14_400.0
    alone = sample_rows(300, edge=edge, every_s=four_hours_s)
    fives = alone.take(np.repeat(np.arange(300), 5))
    later_s = 60.0 * (np.arange(1500) % 5)
    fives = replace(fives, time_s=fives.time_s + later_s, end_s=fives.end_s + later_s)

    def believed(rows: Samples, rhythm: Rhythm) -> list[float]:
        walk = walk_forward(rows, knows_the_edge(edge), rhythm)
        return [fold.curve.shrink_weight for fold in walk.folds]

    once = believed(alone, QUICK)
    assert believed(fives, msgspec.structs.replace(QUICK, step=100)) == pytest.approx(once)
    assert 0.1 < once[0] < 0.9


def test_backfilled_rows_train_and_are_never_asked() -> None:
    backfilled = np.arange(400) % 2 == 0
    rows = sample_rows(400, edge=0.2, backfilled=backfilled)
    seen: list[Samples] = []

    def spy(part: Samples) -> object:
        seen.append(part)
        return knows_the_edge(0.2)(part)

    walk = walk_forward(rows, spy, QUICK)  # type: ignore[arg-type]
    assert not walk.past.backfilled.any()
    assert seen[-1].backfilled.any()


def test_a_share_of_wins_of_backfilled_rows_is_promised_to_nobody() -> None:
    backfilled = np.arange(2400) < 1800
    rng = np.random.default_rng(1)
    rows = sample_rows(2400, backfilled=backfilled, win=np.zeros(2400, dtype=np.bool_))
    edge = 0.15 * np.where(rows.x[:, 8] > 50, 1.0, -1.0)
    rows = replace(rows, win=rng.random(2400) < np.where(backfilled, 0.65, 0.45) + edge)

    def forest(part: Samples) -> object:
        known = 0.15 * np.where(part.x[:, 8] > 50, 1.0, -1.0)
        middle = part.base_rate - float(np.mean(known))
        return lambda x: middle + 0.15 * np.where(x[:, 8] > 50, 1.0, -1.0)

    walk = walk_forward(rows, forest, QUICK)  # type: ignore[arg-type]
    assert walk.p.mean() == pytest.approx(0.45, abs=0.04)
    for said in walk.others.values():
        assert said.mean() == pytest.approx(0.45, abs=0.04)
    final, raw = final_calibration(walk, rows), forest(rows)(rows.x)  # type: ignore[operator]
    assert served(final, raw[~backfilled]).mean() == pytest.approx(0.45, abs=0.04)
    assert final.base_rate == rows.live.base_rate == pytest.approx(0.45, abs=0.04)


def test_a_share_of_wins_counts_as_known_from_the_live_rows_it_is_that_of(tmp_path: Path) -> None:
    rows = sample_rows(700, edge=0.2, backfilled=np.arange(700) < 400, weight=np.full(700, 0.5))
    place = Settings(journal=tmp_path, models=tmp_path, jobs=1)
    walk, forest = walk_forward(rows, knows_the_edge(0.2), QUICK), grow(rows, place)
    verdict = judge(walk, Checks(parity=0.0, row_s=4e-5))
    made = Candidate(0.0, rows, walk, verdict, forest, pack(forest), importances(forest), 0)
    promised = draft(made).samples
    assert (promised.n, promised.n_effective) == (700, 150.0)
    assert promised.base_rate == rows.take(~rows.backfilled).base_rate


def test_many_backfilled_rows_of_old_leave_the_live_ones_their_windows() -> None:
    backfilled = np.arange(3000) < 2700
    rows = sample_rows(3000, edge=0.2, backfilled=backfilled)
    plan = windows(rows, QUICK)
    live = [int(np.count_nonzero(~backfilled[start:stop])) for start, stop in plan]
    assert sum(live) == 300
    assert max(live) - min(live) <= 1
    walk = walk_forward(rows, knows_the_edge(0.2), QUICK)
    assert len(walk.past) == 300
    assert len(walk.test) >= 240


def test_rows_that_are_all_backfilled_are_not_enough() -> None:
    rows = sample_rows(400, edge=0.2, backfilled=np.ones(400, dtype=np.bool_))
    with pytest.raises(NotEnough, match="400 of them are backfilled"):
        walk_forward(rows, knows_the_edge(0.2), QUICK)


def test_true_probabilities_beat_the_constant_by_what_they_know() -> None:
    edge = 0.3
    walk = walk_forward(sample_rows(4000, edge=edge), knows_the_edge(edge), Rhythm())
    entropy = -(0.8 * math.log(0.8) + 0.2 * math.log(0.2))
    p = np.clip(np.where(walk.test.win, walk.p, 1 - walk.p), 1e-6, 1)
    # Sampling noise of 2,600 rows, and calibration that has to find that it is not needed.
    assert math.log(2) + float(np.mean(np.log(p))) == pytest.approx(math.log(2) - entropy, abs=0.03)


def test_the_rules_are_asked_about_the_same_rows() -> None:
    distance = np.random.default_rng(1).uniform(1, 50, 400)
    walk = walk_forward(sample_rows(400, stop_spreads=distance), knows_the_edge(0.0), QUICK)
    assert set(walk.others) == {"constant", "logit_base_score", "logit_stop_spreads"}
    assert {len(p) for p in walk.others.values()} == {len(walk.test)}


def test_a_rule_without_its_number_is_not_asked() -> None:
    walk = walk_forward(sample_rows(400), knows_the_edge(0.0), QUICK)
    assert set(walk.others) == {"constant", "logit_base_score"}


@pytest.mark.parametrize("n", [0, 1, 2, 5, 31])
def test_too_few_samples_are_not_enough(n: int) -> None:
    with pytest.raises(NotEnough):
        walk_forward(sample_rows(n), knows_the_edge(0.1), QUICK)


def test_a_future_without_a_loss_is_not_enough() -> None:
    win = sample_rows(200).win.copy()
    win[60:] = True
    with pytest.raises(NotEnough, match="lack a win or a loss"):
        walk_forward(sample_rows(200, win=win), knows_the_edge(0.1), QUICK)


def test_one_loss_among_wins_is_named_where_nothing_can_be_tested() -> None:
    win = np.arange(300) != 250
    with pytest.raises(NotEnough, match=r"300 samples, 299 won and 1 not, leave no later signals"):
        walk_forward(sample_rows(300, win=win), knows_the_edge(0.2), QUICK)
