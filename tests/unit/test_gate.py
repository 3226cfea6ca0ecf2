"""The gate: each condition can stop a candidate on its own, and every number is there."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import numpy as np
import pytest
from builders import small_draft, training_rows
from sample_rows import sample_rows

from protocol.manifest import Verdict
from service.arrays import Bools, Floats
from training.candidate import row_seconds
from training.conditions import conditions
from training.gate import Checks, Unseen, judge
from training.logit import log_loss
from training.measure import calibration_error, calibration_slope, expected_r, measure, taken_r
from training.walk_forward import NotEnough, WalkForward

SOUND = Checks(parity=0.0, row_s=4e-5)
N = 1200


def walked(p: Floats | None = None, *, days: float = 20.0) -> WalkForward:
    """Answers of one who knows the edge, or `p`."""
    rows = sample_rows(N, edge=0.2, every_s=86_400.0 * days / N)
    rows = replace(rows, reward_risk=np.ones(N), cost_r=np.full(N, 0.05))
    knows = 0.5 + 0.2 * np.where(rows.x[:, 8] > 50, 1.0, -1.0)
    said = knows if p is None else p
    flat = np.full(N, 0.5)
    return WalkForward(
        test=rows,
        p=said,
        calibrated=said,
        raw=said,
        others={"constant": flat, "logit_base_score": flat},
        past=rows,
        past_raw=said,
        past_base=flat,
        windows=10,
        purged=0,
    )


def test_signals_that_run_for_days_are_counted_by_longer_stretches() -> None:
    by_days = judge(walked(), SOUND).metrics["constant"]
    by_stretches = judge(replace(walked(), holding_s=2 * 86_400.0), SOUND).metrics["constant"]
    assert by_stretches["improvement"] == by_days["improvement"]
    assert by_stretches["improvement_low"] != by_days["improvement_low"]
    assert by_stretches["days"] == by_days["days"] == 20.0
    with pytest.raises(NotEnough, match="lie in 20 days; 5 stretches of twice"):
        judge(replace(walked(), holding_s=5 * 86_400.0), SOUND)
    with pytest.raises(NotEnough, match="5 stretches"):
        judge(replace(walked(), holding_s=2.5 * 86_400.0), SOUND)  # four of them


def failures(walk: WalkForward, checks: Checks = SOUND, champion: Unseen | None = None) -> str:
    verdict = judge(walk, checks, champion)
    assert verdict.published == (not verdict.failed)
    return "; ".join(verdict.failed)


def champion_says(p: Floats, since: int = 0) -> Unseen:
    at = np.arange(N) >= since
    return Unseen("20260101T000000Z-000000", at, p[at])


def test_a_plain_edge_is_published_with_every_number() -> None:
    verdict = judge(walked(), SOUND, champion_says(np.full(N, 0.5)))
    assert verdict.published
    assert set(verdict.metrics) == {
        "challenger",
        "challenger_raw",
        "constant",
        "logit_base_score",
        "champion",
    }
    assert {"calibration_slope", "r_taken", "r_all", "parity", "row_us"} <= set(
        verdict.metrics["challenger"]
    )
    for other in ("constant", "logit_base_score", "champion"):
        shown = verdict.metrics[other]
        assert 0 < shown["improvement_low"] < shown["improvement"]
        assert shown["days"] == 20
    assert msgspec.json.decode(msgspec.json.encode(verdict), type=Verdict) == verdict


def test_a_verdict_says_on_which_side_of_the_constant_it_may_lie() -> None:
    sure = judge(walked(), SOUND)
    low = sure.metrics["constant"]["improvement_low"]
    assert f"below a constant's (with 95 % confidence at least {low:.4f} below)." in sure.reason
    lot = 0.5 + 0.02 * np.sign(np.random.default_rng(1).normal(size=N))
    unsure = judge(walked(lot), SOUND)
    low = unsure.metrics["constant"]["improvement_low"]
    assert f"constant's (with 95 % confidence at most {-low:.4f} above)." in unsure.reason


def test_a_gain_counts_each_signal_by_its_weight() -> None:
    walk, flat = walked(), np.full(N, 0.5)
    weight = np.where((walk.p > 0.5) == walk.test.win, 0.2, 1.0)
    gain = log_loss(flat, walk.test.win) - log_loss(walk.p, walk.test.win)
    weighed = replace(walk, test=replace(walk.test, weight=weight))
    metrics = judge(weighed, SOUND, champion_says(flat)).metrics
    for other in ("constant", "champion"):
        shown = metrics[other]["improvement"]
        assert shown == pytest.approx(np.average(gain, weights=weight))


def test_a_rule_as_good_as_the_forest_keeps_it_out() -> None:
    walk = walked()
    rule = walk.others | {"logit_stop_spreads": walk.p}
    assert "stop distance against spread" in failures(replace(walk, others=rule))


@pytest.mark.parametrize(("stretch", "stopped"), [(0.5, True), (1.0, False), (2.0, True)])
def test_a_slope_off_its_range_keeps_it_out(stretch: float, stopped: bool) -> None:
    walk = walked()
    odds = np.log(walk.p / (1 - walk.p)) * stretch
    bold = replace(walk, calibrated=1 / (1 + np.exp(-odds)))
    assert ("calibration slope" in failures(bold)) == stopped


@pytest.mark.parametrize(
    ("slope", "shown"),
    [(0.6975, "0.698"), (0.699996, "0.699996"), (1.3004, "1.3004"), (2.0, "2.00")],
)
def test_a_slope_is_never_rounded_onto_the_bound_that_it_misses(slope: float, shown: str) -> None:
    metrics = judge(walked(), SOUND).metrics
    metrics["challenger"]["calibration_slope"] = slope
    [failed] = [one for one in conditions(metrics) if not one.held]
    assert failed.found == shown
    assert failed.why == f"calibration slope {shown} is not within 0.7..1.3"


@pytest.mark.parametrize(
    ("said_of", "changes", "held"),
    [
        ("champion", {"improvement_low": -0.002}, True),
        ("champion", {"improvement_low": -0.00201}, False),
        ("champion", {"r_challenger": -0.02, "r_taken": 0.0}, True),
        ("champion", {"r_challenger": -0.0201, "r_taken": 0.0}, False),
        ("challenger", {"parity": 1e-12}, True),
        ("challenger", {"parity": 1.01e-12}, False),
        ("challenger", {"row_us": 5_000.0}, True),
        ("challenger", {"row_us": 5_001.0}, False),
        ("challenger", {"r_taken": 0.1, "r_all": 0.0999}, True),
        ("challenger", {"r_taken": 0.1, "r_all": 0.1001}, False),
    ],
)
def test_each_condition_holds_up_to_its_bound(
    said_of: str, changes: dict[str, float], held: bool
) -> None:
    metrics = judge(walked(), SOUND, champion_says(np.full(N, 0.5))).metrics
    metrics[said_of].update(changes)
    assert all(one.held for one in conditions(metrics)) is held


@pytest.mark.parametrize(("quickest_ms", "held"), [(4.9, True), (5.1, False)])
def test_a_forest_is_as_slow_as_its_quickest_row(quickest_ms: float, held: bool) -> None:
    forest, _ = small_draft(0)
    x, _ = training_rows(0)
    ticks = iter([0.0, 9.0, 100.0, 100.0 + quickest_ms, 200.0, 207.0])
    row_s = row_seconds(forest, x[:3], lambda: next(ticks) / 1e3)
    assert row_s == pytest.approx(quickest_ms / 1e3)
    assert next(ticks, None) is None, "each row is timed on its own"
    said = failures(walked(), Checks(parity=0.0, row_s=row_s))
    assert said == ("" if held else "a row takes 5.1 ms")


def test_what_tells_nothing_apart_is_kept_out() -> None:
    found = failures(walked(np.full(N, 0.5)))
    assert "no better than the constant" in found
    assert "tells no signal from another" in found


def test_skill_that_costs_eat_is_kept_out() -> None:
    walk = walked()
    # The likely winners pay little, the others much.
    paid = np.where(walk.p > 0.5, 0.1, 5.0)
    rows = replace(walk.test, realised_r=np.where(walk.test.win, paid, -1.0))
    assert "its better half made" in failures(replace(walk, test=rows))


def closed_by_hand(walk: WalkForward, closed: Bools) -> WalkForward:
    """R is known of the others alone: the better half of these made less than all of them."""
    likely = walk.p > 0.5
    made = np.where(walk.test.win, np.where(likely, 0.1, 5.0), -1.0)
    made[closed] = np.nan
    return replace(walk, test=replace(walk.test, realised_r=made, at_level=~closed))


def test_by_r_that_is_known_of_one_kind_of_end_nothing_is_judged() -> None:
    walk = walked()
    lot = np.random.default_rng(3).random(N) < 0.4
    verdict = judge(
        closed_by_hand(walk, lot & walk.test.win), SOUND, champion_says(np.full(N, 0.5))
    )
    assert verdict.published
    assert "It was judged by wins alone. R is not shown, since it is known of" in verdict.reason
    assert not any(key.startswith("r_") for shown in verdict.metrics.values() for key in shown)
    by_lot = judge(closed_by_hand(walk, lot), SOUND)
    assert "its better half made" in "; ".join(by_lot.failed)
    assert "by wins alone" not in by_lot.reason
    nowhere = closed_by_hand(walk, np.ones(N, dtype=np.bool_))
    assert judge(nowhere, SOUND).metrics["challenger"] == verdict.metrics["challenger"]


def test_the_champion_is_not_judged_by_r_that_is_known_of_one_kind_of_end() -> None:
    walk = walked(days=60.0)
    since = 9 * N // 10
    few = np.zeros(N, dtype=np.bool_)  # of all too few to tell
    few[since + np.flatnonzero(~walk.test.win[since:])[:11]] = True
    verdict = judge(closed_by_hand(walk, few), SOUND, champion_says(np.full(N, 0.5), since))
    assert "r_taken" in verdict.metrics["challenger"]
    assert "r_challenger" not in verdict.metrics["champion"]
    assert "Against the champion it was judged by wins alone. R is not shown" in verdict.reason


@pytest.mark.parametrize(
    ("checks", "word"),
    [(Checks(1e-6, 4e-5), "differs"), (Checks(0.0, 0.05), "a row takes")],
)
def test_a_forest_that_is_wrong_or_slow_is_kept_out(checks: Checks, word: str) -> None:
    assert word in failures(walked(), checks)


def test_a_better_champion_stays() -> None:
    walk = walked(np.where(walked().p > 0.5, 0.55, 0.45))
    better = champion_says(walked().p)
    assert "maybe worse than the champion" in failures(walk, champion=better)


def test_an_equal_champion_is_displaced() -> None:
    assert failures(walked(), champion=champion_says(walked().p)) == ""


def test_a_champion_of_four_days_ago_cannot_be_judged() -> None:
    said = champion_says(np.full(N, 0.5), since=N * 16 // 20)
    assert "only 4 days" in failures(walked(), champion=said)


def test_four_days_are_not_enough() -> None:
    with pytest.raises(NotEnough, match="4 days, 5 are needed"):
        judge(walked(days=4.0), SOUND)


def test_metrics_agree_with_their_definitions() -> None:
    p, win = np.array([0.8, 0.6, 0.3, 0.1]), np.array([True, False, True, False])
    found = measure(p, win, np.ones(4))
    assert found["log_loss"] == pytest.approx(-np.log(0.8 * 0.4 * 0.3 * 0.9) / 4)
    assert found["brier"] == pytest.approx((0.04 + 0.36 + 0.49 + 0.01) / 4)
    # Of the four pairs of a win and a loss, three are in the right order.
    assert found["auc"] == pytest.approx(0.75)
    assert found["ece"] == pytest.approx((0.2 + 0.6 + 0.7 + 0.1) / 4)
    assert found["win_rate_top_half"] == 0.5
    assert measure(np.full(4, 0.5), win, np.ones(4))["auc"] == 0.5


def test_certainty_that_fails_costs_a_finite_loss() -> None:
    found = measure(np.array([0.0, 1.0]), np.array([True, False]), np.ones(2))
    assert np.isfinite(found["log_loss"])


def test_true_probabilities_have_slope_one_and_no_calibration_error() -> None:
    rng = np.random.default_rng(0)
    p = rng.uniform(0.1, 0.9, 50_000)
    win, weight = rng.random(50_000) < p, np.ones(50_000)
    assert calibration_slope(p, win, weight) == pytest.approx(1.0, abs=0.03)
    assert calibration_error(p, win.astype(float), weight) < 0.01
    assert calibration_slope(np.full(10, 0.3), win[:10], np.ones(10)) is None


def test_r_is_expected_by_terms_and_taken_where_it_is_realised() -> None:
    nan = float("nan")
    rows = sample_rows(
        3,
        win=np.array([True, False, True]),
        realised_r=np.array([nan, nan, 0.7]),
        reward_risk=np.array([1.5, 1.5, 1.5]),
        cost_r=np.array([0.1, 0.1, 0.1]),
    )
    assert expected_r(np.full(3, 0.5), rows) == pytest.approx([0.15] * 3)
    unknown = replace(rows, reward_risk=np.full(3, nan), cost_r=np.full(3, nan))
    assert expected_r(np.full(3, 0.6), unknown) == pytest.approx([0.2] * 3)
    assert taken_r(np.array([0.9, 0.1, 0.8]), rows) == pytest.approx((1.05, 1.0 / 3))
