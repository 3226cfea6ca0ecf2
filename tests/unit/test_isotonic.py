"""Isotonic calibration: when it is chosen, and that what is exported is what was fitted."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import msgspec
import numpy as np
import pytest
from builders import NOW_S, model_of, small_draft
from hypothesis import example, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace as with_fields
from seals import seal_manifest
from sklearn.isotonic import IsotonicRegression

from protocol.manifest import Calibration
from service.errors import ModelRejected
from service.files.durable import TrainerLock
from service.model.model import calibrate
from training.calibration.calibrate import curve_of, fit_calibration, fit_curve, served
from training.calibration.isotonic import BINS, Isotonic, binned, fit_isotonic
from training.calibration.platt import Platt
from training.models.publish import publish

N = 6_000


def answers(bent: bool, n: int = N, seed: int = 0):
    """Forest's probabilities and wins: a step at 0.7, or a line through the log odds."""
    rng = np.random.default_rng(seed)
    odds = rng.normal(0.5, 0.6, n)
    raw = 1.0 / (1.0 + np.exp(-odds))
    true = np.where(raw > 0.7, 0.9, 0.5) if bent else 1.0 / (1.0 + np.exp(-1.5 * odds))
    return raw, rng.random(n) < true


@cache
def fitted(bent: bool) -> Calibration:
    raw, y = answers(bent, N)
    return fit_calibration(raw, y, n_effective=N, groups=np.arange(N) * 40 // N)


def test_it_is_chosen_for_a_step_and_not_for_a_line() -> None:
    assert fitted(bent=True).kind == "isotonic"
    assert fitted(bent=False).kind == "platt"


def test_it_is_never_chosen_below_3000_effective_samples() -> None:
    raw, y = answers(bent=True)
    below, at = (
        fit_curve(raw, y, n_effective=n, groups=np.arange(N) * 40 // N).shape
        for n in (2_999.0, 3_000.0)
    )
    assert isinstance(below, Platt)
    assert isinstance(at, Isotonic)


def test_what_one_group_says_again_and_again_is_no_reason_for_it() -> None:
    raw, y = (np.repeat(part, 20) for part in answers(bent=True, n=600, seed=1))
    alone = fit_curve(raw, y, n_effective=len(y))
    together = fit_curve(raw, y, n_effective=len(y), groups=np.repeat(np.arange(600), 20))
    assert isinstance(alone.shape, Isotonic)
    assert isinstance(together.shape, Platt)


def test_the_step_is_served_as_it_is() -> None:
    low, high = (calibrate(fitted(bent=True), raw).calibrated for raw in (0.5, 0.85))
    assert low == pytest.approx(0.5, abs=0.04)
    assert high == pytest.approx(0.9, abs=0.04)


def test_its_pools_are_those_of_scikit_learn() -> None:
    raw, y = answers(bent=False)
    bins = binned(raw)
    rates = np.array([(y[bins.member == k].sum() + y.mean()) for k in range(BINS)]) / (
        np.bincount(bins.member) + 1.0
    )
    reference = IsotonicRegression().fit_transform(np.arange(BINS), rates)
    found = fit_isotonic(bins, y, np.ones(N))
    assert found is not None
    assert found.values == pytest.approx(np.unique(reference))


@settings(max_examples=200)
@given(
    st.lists(
        st.tuples(
            st.sampled_from([0.0, 0.2, 0.5, 0.5 + 1e-16, 0.9, 1.0]) | st.floats(0, 1),
            st.booleans(),
            st.sampled_from([0.0, 0.01, 1.0]),
        ),
        min_size=1,
        max_size=80,
    )
)
@example([(0.0, False, 0.01), (2.2250738585e-313, True, 0.01)])
def test_whatever_it_is_fitted_to_the_manifest_takes_it(rows) -> None:
    raw, y, weight = (np.array(column) for column in zip(*rows, strict=True))
    y = y.astype(bool)
    if not weight.sum():
        weight[:] = 1.0
    found = fit_isotonic(binned(raw), y, weight)
    if found is None:
        return
    assert 2 <= len(found.points) <= BINS
    assert ((found.values > 0.0) & (found.values < 1.0)).all() or len(set(y)) == 1
    exported = Calibration(
        kind="isotonic",
        base_rate=0.5,
        shrink_weight=1.0,
        at=(0.0, 1.0),
        low=(0.0, 0.0),
        high=(1.0, 1.0),
        coverage=0.9,
        method="test",
        points=tuple(found.points.tolist()),
        values=tuple(found.values.tolist()),
    )
    again = msgspec.json.decode(msgspec.json.encode(exported), type=Calibration)
    for value in (0.0, 0.3, 0.5, 1.0, *raw[:3].tolist()):
        assert calibrate(again, value).calibrated == pytest.approx(
            float(found(np.array([value]))[0]), abs=1e-12
        )


def test_trainer_and_service_serve_the_same() -> None:
    calibration = fitted(bent=True)
    assert isinstance(curve_of(calibration).shape, Isotonic)
    raw = np.linspace(0.0, 1.0, 301)
    ours = served(calibration, raw)
    theirs = [calibrate(calibration, value) for value in raw.tolist()]
    assert ours == pytest.approx([answer.p for answer in theirs], abs=1e-12)
    assert all(answer.low <= answer.p <= answer.high for answer in theirs)
    assert (np.diff(ours) >= 0.0).all()


def test_the_interval_holds_the_truth_about_as_often_as_it_says() -> None:
    held = 0
    for seed in range(12):
        raw, y = answers(bent=True, seed=seed)
        found = fit_calibration(raw, y, n_effective=N, groups=np.arange(N) * 40 // N, seed=seed)
        for value, true in ((0.55, 0.5), (0.8, 0.9)):
            answer = calibrate(found, value)
            held += answer.low <= true <= answer.high
    # 90 % nominal of 24; fewer than 17 happens once in 100.
    assert held >= 17


def test_one_that_loses_the_ranking_leaves_the_line() -> None:
    raw, y = answers(bent=True)
    inverted = fit_curve(1.0 - raw, y, n_effective=N, groups=np.arange(N) * 40 // N)
    assert isinstance(inverted.shape, Platt)
    assert inverted.shrink_weight == 0.0
    assert fit_isotonic(binned(1.0 - raw), y, np.ones(N)) is None


def test_it_is_published_with_golden_answers_and_refused_when_it_was_changed(tmp_path) -> None:
    forest, draft = small_draft(0)
    draft = replace(draft, calibration=fitted(bent=True))
    with TrainerLock(tmp_path):
        version = publish(tmp_path, forest, draft, b"", now_s=NOW_S, why="test")
    model = model_of(tmp_path)
    assert model.version == version
    assert model.manifest.calibration == draft.calibration
    row = model.manifest.golden[0]
    assert model.probability(np.array(row.features)).calibrated == row.calibrated
    # Another table under the same golden rows, with digest and pointer to match.
    table = draft.calibration.values
    changed = with_fields(draft.calibration, values=tuple(v / 2.0 for v in table))
    seal_manifest(tmp_path, msgspec.json.encode(with_fields(model.manifest, calibration=changed)))
    with pytest.raises(ModelRejected, match="golden row"):
        model_of(tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        {"points": (0.1, 0.1, 0.9), "values": (0.2, 0.3, 0.4)},
        {"points": (0.1, 0.5, 0.9), "values": (0.2, 0.1, 0.4)},
        {"points": (0.1, 0.9), "values": (0.2, 1.4)},
        {"points": (0.1,), "values": (0.2,)},
        {"points": tuple(k / 300 for k in range(300)), "values": (0.5,) * 300},
    ],
)
def test_a_table_that_falls_leaves_its_bounds_or_is_too_long_is_no_manifest(change) -> None:
    plain = msgspec.to_builtins(fitted(bent=True))
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(plain | change, type=Calibration)
