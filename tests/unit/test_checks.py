"""What the monitor says of made-up outcomes."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
from builders import NOW_S
from sample_rows import sample_rows
from serving import published_model

from protocol.schema import FEATURE_COUNT
from service.alerting import Alert
from service.config.settings import AlertsSection
from service.model.model import Model
from training.bound import DAY_S, t_quantile
from training.dataset.answered import Advice
from training.monitor.alerts import State, news
from training.monitor.alerts import told as delivered
from training.monitor.checks import (
    CheckResult,
    age,
    calibration_and_loss,
    input_drift,
    shortfall,
    win_rate,
)
from training.monitor.cusum import Limit
from training.monitor.live import Live, live_of


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return published_model(tmp_path_factory.mktemp("models"), NOW_S)


def outcomes(n: int, *, p: float, won: float, days: int = 20) -> Live:
    """`n` outcomes evenly over `days`, of which the share `won` are wins, evenly."""
    wins = np.floor(won * np.arange(1, n + 1)) > np.floor(won * np.arange(n))
    time_s = NOW_S + days * DAY_S * np.arange(n) / n
    return Live(np.zeros((n, FEATURE_COUNT)), np.full(n, p), wins, np.ones(n), time_s)


def rate(live: Live) -> CheckResult:
    return win_rate(live, window_days=30.0, warn_points=5.0)


@pytest.mark.parametrize(
    ("n", "promised", "won", "level", "sure"),
    [
        (400, 0.7, 0.7, "fine", False),
        (400, 0.7, 0.64, "warning", False),  # chance may explain six points
        (400, 0.7, 0.5, "alert", True),
        (20_000, 0.7, 0.66, "fine", True),  # four points are, however sure
        (400, 0.5, 0.8, "fine", False),
    ],
)
def test_an_alert_needs_more_than_five_points_and_an_interval_that_excludes_the_promise(
    n: int, promised: float, won: float, level: str, sure: bool
) -> None:
    found = rate(outcomes(n, p=promised, won=won))
    assert (found.level, found.facts["high"] < promised) == (level, sure)
    assert found.facts["won"] == pytest.approx(won, abs=0.01)
    assert found.facts["promised"] == pytest.approx(promised, abs=0.01)


def test_only_the_last_days_count() -> None:
    early = outcomes(400, p=0.7, won=0.2)
    late = outcomes(400, p=0.7, won=0.7)
    both = Live(
        np.vstack([early.x, late.x]),
        np.concatenate([early.p, late.p]),
        np.concatenate([early.win, late.win]),
        np.ones(800),
        np.concatenate([early.time_s, late.time_s + 50 * DAY_S]),
    )
    assert rate(both).level == "fine"
    assert rate(both).facts["outcomes"] == 400


@pytest.mark.parametrize(
    ("n", "days", "level"),
    [(49, 20, "unknown"), (50, 20, "alert"), (400, 4, "unknown"), (400, 5, "alert")],
)
def test_few_outcomes_or_days_are_not_judged(n: int, days: int, level: str) -> None:
    live = outcomes(n, p=0.7, won=0.0, days=days)
    whole = replace(live, time_s=live.time_s - NOW_S % DAY_S)  # from midnight on
    assert rate(whole).level == level


def test_luck_that_many_share_for_days_is_no_alert_where_signals_run_as_long() -> None:
    early = NOW_S - NOW_S % (10 * DAY_S)
    wins = np.concatenate([outcomes(200, p=0.5, won=won).win for won in (0.2, 0.5, 0.2)])
    time_s = early + 30 * DAY_S * np.arange(600) / 600
    live = Live(np.zeros((600, FEATURE_COUNT)), np.full(600, 0.5), wins, np.ones(600), time_s)
    assert rate(live).level == "alert"
    found = rate(replace(live, holding_s=5 * DAY_S))
    assert found.level == "warning"
    assert found.facts["low"] < 0.3 < 0.5 < found.facts["high"]
    endless = rate(replace(live, holding_s=60 * DAY_S))
    assert endless.level == "warning"
    assert (endless.facts["low"], endless.facts["high"]) == (0.0, 1.0)


def test_a_shortfall_is_the_promise_less_the_wins_by_weight() -> None:
    live = outcomes(100, p=0.7, won=0.5)
    weighted = Live(live.x, live.p, live.win, np.where(live.win, 1.0, 3.0), live.time_s)
    short, margin = shortfall(weighted)
    assert short == pytest.approx(0.7 - 50 / 200)
    assert margin > 0.0


def test_days_that_agree_leave_the_error_of_as_many_signals_on_their_own() -> None:
    # Of the ten signals of each day five won: by days there would be no error at all.
    _, margin = shortfall(outcomes(100, p=0.6, won=0.5, days=10))
    alone = np.sqrt(100 * 0.6 * 0.4) / 100
    assert margin == pytest.approx(t_quantile(9, 0.999) * alone)


def test_signals_told_twice_at_half_their_weight_are_no_surer() -> None:
    once = outcomes(100, p=0.7, won=0.5)
    at = np.repeat(np.arange(100), 2)
    twice = Live(once.x[at], once.p[at], once.win[at], np.full(200, 0.5), once.time_s[at])
    assert shortfall(twice) == pytest.approx(shortfall(once))


@pytest.mark.parametrize(
    ("after", "words"),
    [(80.0, "would show after about 80 outcomes"), (np.inf, "It promises too little for a lost")],
)
def test_where_the_promise_holds_it_says_when_a_lost_edge_would_show(
    after: float, words: str
) -> None:
    live = outcomes(300, p=0.7, won=0.7)
    found = calibration_and_loss(live, 0.5, Limit(50.0, after), answered=900)
    assert found.level == "fine"
    assert words in found.text


def test_outcomes_that_no_longer_follow_what_is_said_raise_the_alarm() -> None:
    said = np.tile([0.9, 0.1], 200)
    time_s = NOW_S + 3600.0 * np.arange(400)
    even = np.arange(400) // 2 % 2 == 0  # half of either kind win
    live = Live(np.zeros((400, FEATURE_COUNT)), said, even, np.ones(400), time_s)
    found = calibration_and_loss(live, 0.5, Limit(5.0, 80.0), answered=900)
    assert found.level == "alert"
    assert "no longer tells winners from losers" in found.text
    assert found.facts["log_loss"] > found.facts["log_loss_constant"]


def test_fewer_wins_across_the_board_raise_the_other_alarm() -> None:
    found = calibration_and_loss(outcomes(300, p=0.7, won=0.5), 0.7, Limit(5.0, 80.0), answered=900)
    assert found.level == "alert"
    assert "fewer win than it says" in found.text
    assert "winners from losers" not in found.text


def test_an_alarm_says_since_when() -> None:
    live = outcomes(300, p=0.7, won=0.5)
    before = outcomes(300, p=0.7, won=0.75)
    both = Live(
        np.zeros((600, FEATURE_COUNT)),
        np.full(600, 0.7),
        np.concatenate([before.win, live.win]),
        np.ones(600),
        np.concatenate([before.time_s - 30 * DAY_S, live.time_s]),
    )
    found = calibration_and_loss(both, 0.7, Limit(5.0, 80.0), answered=900)
    # The good ones lie from 16 August to 4 September, the others from 15 September on.
    assert "since 2025-09-19" in found.text


def test_an_alarm_that_is_on_again_says_since_when_it_is() -> None:
    won = [outcomes(200, p=0.7, won=share).win for share in (0.5, 0.95, 0.5)]
    live = replace(outcomes(600, p=0.7, won=0.7), win=np.concatenate(won))
    on = [
        calibration_and_loss(live.take(slice(0, n + 1)), 0.7, Limit(3.0, 80.0), answered=900).level
        == "alert"
        for n in range(600)
    ]
    came = [n for n in range(1, 600) if on[n] and not on[n - 1]]
    assert on[-1]
    assert len(came) == 2
    found = calibration_and_loss(live, 0.7, Limit(3.0, 80.0), answered=900)
    began = datetime.fromtimestamp(live.time_s[came[1]], UTC)
    assert f"since {began:%Y-%m-%d %H:%M} UTC" in found.text


@pytest.mark.parametrize(
    ("answered", "said"),
    [
        (0, "it has answered no signal yet"),
        (1900, "none of 1,900 scores that it gave has an outcome that counts; `status` shows"),
    ],
)
def test_without_outcomes_nothing_is_said_of_the_loss(answered: int, said: str) -> None:
    none = outcomes(10, p=0.7, won=0.5).take(np.zeros(10, dtype=bool))
    found = calibration_and_loss(none, 0.7, Limit(5.0, 80.0), answered=answered)
    assert (found.level, found.text.startswith(said)) == ("unknown", True)


def vectors(n: int, shift: float = 0.0) -> list[tuple[float, np.ndarray]]:
    x = np.random.default_rng(8).uniform(0.0, 100.0, (n, FEATURE_COUNT))
    x[:, 3] += shift
    return [(NOW_S + 3600.0 * i, row) for i, row in enumerate(x)]


def test_inputs_as_in_training_are_fine(model: Model) -> None:
    found = input_drift(model, vectors(300))
    assert found.level == "fine"
    assert len([name for name in found.facts if name.startswith("psi_")]) == FEATURE_COUNT


def test_a_feature_that_moved_is_named(model: Model) -> None:
    found = input_drift(model, vectors(300, shift=40.0))
    assert found.level == "alert"
    assert "sentiment_score" in found.text
    assert "volume_delta" not in found.text


def test_99_signals_are_too_few_for_drift(model: Model) -> None:
    assert input_drift(model, vectors(99, shift=40.0)).level == "unknown"
    assert input_drift(model, vectors(100, shift=60.0)).level == "alert"


@pytest.mark.parametrize(
    ("days", "level"), [(0.0, "fine"), (27.9, "fine"), (28.1, "alert"), (40.0, "alert")]
)
def test_age_is_an_alert_from_four_fifths_of_expiry(model: Model, days: float, level: str) -> None:
    now_s = model.reviewed_at + days * DAY_S
    assert age(model, expire_after_days=35.0, now_s=now_s)[0].level == level
    (found,) = age(model, expire_after_days=0.0, now_s=now_s)
    assert found.level == "fine"


def test_a_review_that_lies_ahead_is_an_alert(model: Model) -> None:
    """One of the two clocks is wrong; if that was the review's, the model outlives its time."""
    now_s = model.reviewed_at - 365 * DAY_S
    (found,) = age(model, expire_after_days=35.0, now_s=now_s)
    assert found.level == "alert"
    assert "reviewed 365 d from now: this clock is behind, or one was ahead then" in found.text
    assert "compare `date -u` with the true time" in found.text
    (found,) = age(model, expire_after_days=35.0, now_s=model.reviewed_at - 2 * 3600.0)
    assert "reviewed 2 h 00 from now" in found.text
    for now_s in (model.reviewed_at - 600.0, model.reviewed_at):  # of another machine's clock
        assert age(model, expire_after_days=35.0, now_s=now_s)[0].level == "fine"
    assert age(model, expire_after_days=0.0, now_s=0.0)[0].level == "fine"


def test_that_a_model_has_expired_is_told_though_its_age_was(model: Model) -> None:
    def told(state: State, days: float) -> Alert | None:
        now_s = model.reviewed_at + days * DAY_S
        findings = age(model, expire_after_days=35.0, now_s=now_s)
        return news(state, findings, AlertsSection(), now_s=now_s, model=model.version)

    due = told(State(), 28.1)
    assert due is not None
    assert told(delivered(due, State()), 34.9) is None
    expired = told(delivered(due, State()), 35.0)
    assert expired is not None
    assert [finding.name for finding in expired.findings] == ["age", "expired"]
    # A clock that is ahead would have a good model replaced.
    assert "where `date -u` is right, run train" in expired.text
    assert "no longer used" in expired.text
    assert told(delivered(expired, State()), 40.0) is None


@pytest.mark.parametrize("pinned", [False, True])
def test_whose_pin_withholds_what_would_follow_it_is_told(model: Model, pinned: bool) -> None:
    now_s = model.reviewed_at + 30 * DAY_S
    (found,) = age(model, expire_after_days=35.0, now_s=now_s, pinned=pinned)
    assert ("unpin" in found.text) == pinned


def test_outcomes_are_of_the_model_that_answered() -> None:
    samples = sample_rows(4, win_probability=np.array([0.6, 0.7, np.nan, 0.8]))
    advice = {
        "0": Advice("ours", True),
        "1": Advice("older", True),
        "2": Advice("ours", None),
    }
    live = live_of(samples, advice, "ours", 9.0)
    assert live.p.tolist() == [0.6]
    assert live.holding_s == 9.0
