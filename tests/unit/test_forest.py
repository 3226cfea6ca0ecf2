"""The packed forest against scikit-learn, and against arrays that are no trees."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from builders import small_draft, training_rows
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays as numpy_arrays
from sample_rows import sample_rows

from protocol.schema import FEATURE_COUNT
from service.errors import ModelRejected, RejectReason
from service.model.forest import Forest
from service.model.forest_arrays import Arrays, check_structure
from service.model.forest_file import decode, encode
from service.model.leaf_masks import FEW, MOST_LEAVES, NARROW, leaf_masks
from training import fit
from training.candidate import grow
from training.fit import fit_forest, importances, min_samples_leaf, pack, parity, probes
from training.settings import Settings

INF = np.inf
PARITY_TOLERANCE = 1e-12


def stump(threshold=50.0):
    """One tree: feature 3 against a threshold."""
    return Arrays(
        feature=np.array([3, 0, 0], np.int16),
        threshold=np.array([threshold, INF, INF]),
        left=np.array([1, 1, 2], np.int32),
        probability=np.array([0.5, 0.2, 0.8]),
        roots=np.array([0], np.int32),
    )


def row(value):
    x = np.zeros(FEATURE_COUNT)
    x[3] = value
    return x


@pytest.fixture(scope="module")
def grown():
    x, y = training_rows(0)
    estimator = fit_forest(x, y, n_effective=len(x), trees=60, n_jobs=1)
    return estimator, pack(estimator), x


def by_levels(forest):
    """The same forest, walked the way that large ones are."""
    return Forest(forest.arrays, forest.depth, stepping=True)


def test_tables_that_take_many_pieces_find_the_leaves_that_stepping_finds():
    x, y = training_rows(0)
    forest, pauses = pack(fit_forest(x, y, n_effective=len(x), trees=400, n_jobs=1)), []
    assert leaf_masks(forest.arrays, lambda: pauses.append(0)) is not None
    assert len(pauses) > 2 * FEATURE_COUNT
    np.testing.assert_array_equal(forest.predict_many(x), by_levels(forest).predict_many(x))


@pytest.mark.parametrize("together", [1, 2, FEW + 1])
def test_a_value_is_rounded_to_float32_and_goes_left_on_the_threshold(together):
    """Alone, as one of a few and as one of many: each has a way of its own."""

    def answers(value, threshold=50.0):
        forest = Forest(stump(threshold), depth=1)
        return {forest.predict(row(value)), *forest.predict_many([row(value)] * together)}

    # 50 + 1e-7 is 50 in float32, so it is not beyond the threshold.
    assert answers(50.0 + 1e-7) == {0.2}
    assert answers(np.nextafter(np.float32(50.0), np.float32(INF))) == {0.8}
    # 0.1 in float32 lies above 0.1.
    assert answers(0.1, threshold=0.1) == {0.8}


def test_a_forest_of_leaves_answers_their_mean():
    leaves = Arrays(
        feature=np.zeros(2, np.int16),
        threshold=np.full(2, INF),
        left=np.array([0, 1], np.int32),
        probability=np.array([0.25, 0.75]),
        roots=np.array([0, 1], np.int32),
    )
    check_structure(leaves, 0, 11, 10)
    forest = Forest(leaves, 0)
    assert forest.predict(row(1.0)) == 0.5
    bias, shares = forest.contributions(row(1.0))
    assert (bias, shares.any()) == (0.5, False)


def comb(leaves):
    """One tree whose right children are leaves but for the last: `leaves` of them."""
    inner = leaves - 1
    nodes = 2 * leaves - 1
    # Node 0 is the root, the left child of each inner node goes on: 0, 1, 3, 5, ...
    order = [0, *range(1, nodes, 2)][:inner]
    left = np.arange(nodes)
    for place, node in enumerate(order):
        left[node] = 2 * place + 1
    threshold = np.full(nodes, INF)
    threshold[order] = 50.0 - np.arange(inner)
    return Arrays(
        feature=np.zeros(nodes, np.int16),
        threshold=threshold,
        left=left.astype(np.int32),
        probability=np.linspace(0.0, 1.0, nodes),
        roots=np.array([0], np.int32),
    )


@pytest.mark.parametrize(
    "leaves", [2, NARROW, NARROW + 1, MOST_LEAVES - 1, MOST_LEAVES, MOST_LEAVES + 1, 80]
)
def test_trees_with_few_or_many_leaves_are_answered_as_by_stepping(leaves):
    arrays = comb(leaves)
    check_structure(arrays, leaves - 1, 11, 10**6)
    assert (leaf_masks(arrays) is None) == (leaves > MOST_LEAVES)
    forest = Forest(arrays, leaves - 1)
    rows = np.zeros((200, 11))
    rows[:, 0] = np.linspace(-40.0, 60.0, 200)
    found = forest.predict_many(rows).tolist()
    assert found == [by_levels(forest).predict(row) for row in rows]
    assert len(set(found)) == leaves


def test_a_large_forest_is_answered_as_scikit_learn_does():
    x, y = training_rows(0)
    estimator = fit_forest(x, y, n_effective=len(x), trees=8, n_jobs=1)
    estimator.set_params(min_samples_leaf=1, max_samples=None).fit(x, y)
    forest = pack(estimator)
    assert leaf_masks(forest.arrays) is None
    assert parity(estimator, forest, x) <= PARITY_TOLERANCE


@pytest.mark.parametrize("stepping", [False, True])
def test_answers_as_scikit_learn_on_ties_extremes_and_rounded_inputs(grown, stepping):
    estimator, forest, x = grown
    if stepping:
        forest = by_levels(forest)
    assert parity(estimator, forest, x) <= PARITY_TOLERANCE
    assert len(probes(forest, x)) > 1500


def test_the_column_of_a_win_is_looked_up():
    x, y = training_rows(0)
    estimator = fit_forest(x, y, n_effective=len(x), trees=5, n_jobs=1)
    before = pack(estimator).predict(x[0])
    estimator.classes_ = estimator.classes_[::-1]
    assert pack(estimator).predict(x[0]) == pytest.approx(1.0 - before, abs=1e-12)


@settings(max_examples=60)
@given(numpy_arrays(np.float64, FEATURE_COUNT, elements=st.floats(-1e6, 1e6)))
def test_both_walks_agree_on_any_row(values):
    forest, _ = small_draft(0)
    levels = by_levels(forest)
    assert levels.predict(values) == forest.predict(values) == forest.predict(tuple(values))


@settings(max_examples=60)
@given(numpy_arrays(np.float64, FEATURE_COUNT, elements=st.floats(0, 100)))
def test_bias_and_contributions_add_up_to_the_prediction(values):
    forest, _ = small_draft(0)
    bias, shares = forest.contributions(values)
    assert bias + shares.sum() == pytest.approx(forest.predict(values), abs=1e-12)


def test_a_contribution_belongs_to_the_feature_that_was_split():
    bias, shares = Forest(stump(), depth=1).contributions(row(60.0))
    assert bias == 0.5
    assert shares[3] == pytest.approx(0.3)
    assert np.count_nonzero(shares) == 1


@pytest.mark.parametrize("count", [0, 1, 3, 20])
def test_trees_of_a_leaf_alone_are_stepped_down_for_each_row(count):
    leaf = np.arange(2, dtype=np.int32)
    probability = np.array([0.25, 0.5])
    arrays = Arrays(leaf.astype(np.int16), np.full(2, INF), leaf, probability, roots=leaf)
    forest = Forest(arrays, 0, stepping=True)
    assert forest.predict(row(1.0)) == 0.375
    assert forest.predict_many(np.zeros((count, FEATURE_COUNT))).tolist() == [0.375] * count


@pytest.mark.parametrize("count", [0, 1, 2, 12, 13, 63, 64, 65, 131])
def test_many_rows_give_the_same_bits_as_one_at_a_time(grown, count):
    _, forest, x = grown
    alone = [forest.predict(r) for r in x[:count]]
    assert forest.predict_many(x[:count]).tolist() == alone
    assert forest.predict_many([tuple(r) for r in x[:count].tolist()]).tolist() == alone
    stepped = Forest(forest.arrays, forest.depth, stepping=True)
    assert stepped.predict_many([tuple(r) for r in x[:count].tolist()]).tolist() == alone


@settings(max_examples=60)
@given(
    numpy_arrays(np.float64, (7, FEATURE_COUNT), elements=st.floats(-1e6, 1e6)), st.integers(1, 20)
)
def test_rows_that_walk_together_agree_with_each_alone(values, trees):
    forest, _ = small_draft(0)
    few = Forest(replace(forest.arrays, roots=forest.arrays.roots[:trees]), forest.depth)
    # However the rows lie in memory.
    for rows in (values, np.asfortranarray(values)):
        assert few.predict_many(rows).tolist() == [few.predict(row) for row in values]


def test_a_fitted_forest_passes_the_structure_check_and_its_file(grown):
    _, forest, _ = grown
    check_structure(forest.arrays, forest.depth, FEATURE_COUNT, 10**6)
    again = decode(encode(forest.arrays), nodes=forest.nodes, trees=forest.trees)
    for field in fields(Arrays):
        ours, theirs = getattr(forest.arrays, field.name), getattr(again, field.name)
        assert ours.dtype == theirs.dtype
        assert ours.tolist() == theirs.tolist()
    assert encode(forest.arrays) == encode(again)


BROKEN = {
    "a child of itself beyond the leaf rule": {"left": np.array([0, 1, 2], np.int32)},
    "a child before its parent": {"left": np.array([1, 0, 2], np.int32)},
    "a child out of range": {"left": np.array([2, 1, 2], np.int32)},
    "the largest child index": {"left": np.array([2**31 - 1, 1, 2], np.int32)},
    "a negative child": {"left": np.array([-1, 1, 2], np.int32)},
    "a root out of range": {"roots": np.array([3], np.int32)},
    "a negative root": {"roots": np.array([-1], np.int32)},
    "a root twice": {"roots": np.array([0, 0], np.int32)},
    "a root that is a child": {"roots": np.array([0, 2], np.int32)},
    "no root": {"roots": np.array([], np.int32)},
    "an orphan": {"roots": np.array([1], np.int32)},
    "a feature out of range": {"feature": np.array([11, 0, 0], np.int16)},
    "a negative feature": {"feature": np.array([3, -1, 0], np.int16)},
    "a threshold that is no number": {"threshold": np.array([np.nan, INF, INF])},
    "an infinite threshold": {"threshold": np.array([INF, INF, INF])},
    "a leaf with a threshold": {"threshold": np.array([50.0, 1.0, INF])},
    "a leaf with a threshold that is no number": {"threshold": np.array([50.0, np.nan, INF])},
    "a probability above one": {"probability": np.array([0.5, 0.2, 1.1])},
    "a probability that is no number": {"probability": np.array([0.5, np.nan, 0.8])},
    "a shorter array": {"probability": np.array([0.5, 0.2])},
}


@pytest.mark.parametrize("change", BROKEN.values(), ids=BROKEN.keys())
def test_arrays_that_are_no_trees_are_refused(change):
    check_structure(stump(), 1, 11, 3)
    with pytest.raises(ModelRejected) as caught:
        check_structure(replace(stump(), **change), 1, 11, 3)
    assert caught.value.reason is RejectReason.STRUCTURE


@pytest.mark.parametrize(("depth", "max_nodes"), [(0, 3), (2, 3), (1, 2)])
def test_another_depth_or_too_many_nodes_are_refused(depth, max_nodes):
    with pytest.raises(ModelRejected):
        check_structure(stump(), depth, 11, max_nodes)


@st.composite
def nearly_trees(draw):
    """Up to three trees and their depth, in which at most one number is another one."""
    count = draw(st.integers(1, 3))
    left, level = list(range(count)), [0] * count
    for at in range(9):
        if at < len(left) and len(left) < 9 and draw(st.booleans()):
            left[at] = len(left)
            level += [level[at] + 1] * 2
            left += [len(left), len(left) + 1]
    numbers = {"left": left, "roots": list(range(count)), "depth": [max(level)]}
    name = draw(st.sampled_from([None, *numbers]))
    if name:
        at = draw(st.integers(0, len(numbers[name]) - 1))
        numbers[name][at] = draw(st.integers(-1, 10))
    return numbers["left"], numbers["roots"], numbers["depth"][0]


@settings(max_examples=300)
@given(nearly_trees(), st.integers(0, 11))
def test_whatever_passes_the_structure_check_can_be_walked(trees, feature):
    left, roots, depth = trees
    nodes = len(left)
    inner = np.array(left) != np.arange(nodes)
    candidate = Arrays(
        feature=np.full(nodes, feature, np.int16),
        threshold=np.where(inner, 50.0, INF),
        left=np.array(left, np.int32),
        probability=np.linspace(0.0, 1.0, nodes),
        roots=np.array(roots, np.int32),
    )
    try:
        check_structure(candidate, depth, 11, 11)
    except ModelRejected:
        return
    # By steps: masks would hide a wrong depth.
    stepped, deeper = (Forest(candidate, depth + more, stepping=True) for more in (0, 1))
    for x in (np.zeros(FEATURE_COUNT), np.full(FEATURE_COUNT, 100.0)):
        assert 0.0 <= stepped.predict(x) <= 1.0
        # Everything has come to rest: another level would change nothing.
        assert Forest(candidate, depth).predict(x) == stepped.predict(x) == deeper.predict(x)
    assert len(roots) + 2 * np.count_nonzero(inner) == nodes


@pytest.mark.parametrize(("n", "leaf"), [(0, 10), (100, 10), (400, 20), (1_000, 50), (10**6, 50)])
def test_leaf_size_follows_the_effective_sample(n, leaf):
    assert min_samples_leaf(n) == leaf


def test_a_forest_has_150_trees_of_depth_12_at_most_however_deep_they_would_grow():
    # Stairs of one value, which every feature is: each split cuts off a step or two.
    value = np.random.default_rng(0).uniform(0.0, 100.0, 4_000)
    x = np.repeat(value[:, None], FEATURE_COUNT, axis=1)
    rows = replace(sample_rows(4_000, win=value % 10.0 < 5.0), x=x)
    forest = pack(grow(rows, Settings(journal=Path(), models=Path(), jobs=1)))
    assert (len(forest.arrays.roots), forest.depth) == (150, 12)


def test_trees_of_many_signals_have_no_more_leaves_than_masks_can_find():
    rng = np.random.default_rng(0)
    x = rng.uniform(0.0, 100.0, (20_000, FEATURE_COUNT))
    y = rng.uniform(0.0, 100.0, len(x)) < x[:, 0]
    forest = fit_forest(x, y, n_effective=len(x), trees=5, n_jobs=1)
    leaves = [tree.get_n_leaves() for tree in forest.estimators_]
    assert max(leaves) == MOST_LEAVES


def test_rare_wins_are_as_rare_in_the_answers():
    x, _ = training_rows(0)
    y = np.arange(len(x)) % 10 == 0
    found = pack(fit_forest(x, y, n_effective=len(x), n_jobs=1)).predict_many(x)
    assert found.mean() == pytest.approx(0.1, abs=0.03)


def test_a_signal_counts_in_the_forest_by_its_weight():
    wins = np.arange(200) % 2 == 0
    rows = sample_rows(200, win=wins, weight=np.where(wins, 0.1, 1.0))
    found = pack(grow(rows, Settings(journal=Path(), models=Path(), jobs=1))).predict_many(rows.x)
    assert found.mean() == pytest.approx(rows.base_rate, abs=0.05)


def test_the_same_seed_grows_the_same_forest_whatever_the_jobs(monkeypatch):
    monkeypatch.setattr(fit, "WORTH_THREADS", 0)
    x, y = training_rows(0)
    one, two = (fit_forest(x, y, n_effective=300, trees=8, n_jobs=jobs) for jobs in (1, 2))
    assert (one.n_jobs, two.n_jobs) == (1, 2)
    assert pack(one).arrays.threshold.tolist() == pack(two).arrays.threshold.tolist()


def test_importances_are_named_and_add_up(grown):
    estimator, _, _ = grown
    found = importances(estimator)
    assert sum(found.values()) == pytest.approx(1.0)
    assert max(found, key=found.get) in ("atr_volatility", "base_score")


def test_training_on_one_class_or_on_no_numbers_is_refused():
    x, y = training_rows(0)
    with pytest.raises(ValueError, match="both wins and losses"):
        fit_forest(x, np.ones(len(x), np.bool_), n_effective=300)
    with pytest.raises(ValueError, match="not finite"):
        fit_forest(np.where(x > 99.0, np.nan, x), y, n_effective=300)
    with pytest.raises(ValueError, match="x is"):
        fit_forest(x[:, :-1], y, n_effective=300)
