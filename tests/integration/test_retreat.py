"""When the monitor would take a model back: by which outcomes, how many, and how sure."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from builders import NOW_S
from journals import stored
from monitored import FIRST_S
from scipy.stats import ttest_1samp  # type: ignore[import-untyped]
from scored_journal import outcome_row, score_row, vectors
from serving import published_model
from trained import give

from service.model.model import Model
from training.bound import DAY_S
from training.logit import log_loss, logit, sigmoid
from training.models.publish import current_pointer
from training.models.registry import pin
from training.monitor.live import Live
from training.monitor.retreat import Retreat, carry_out, consider

# What all features of all signals are: the older model says 70 %, the newer one 91 %, a constant
# 51 %; of the lower ones 33 %, 69 % and 51 %.
ALIKE, LOWER = 50.0, 30.0
MIDNIGHT_S = math.ceil(NOW_S / DAY_S) * DAY_S
DAYS, A_DAY = 10, 10
SURE = 0.01


class Published:
    """An older model, and the newer one that serves."""

    def __init__(self, models: Path) -> None:
        self.folder = models
        self.older = published_model(models, NOW_S)
        self.newer = published_model(models, NOW_S + 3600, probability_bias=1.5)

    def said(self, alike: float) -> tuple[float, float]:
        """What the newer and the older one say of a signal like all others."""
        x = np.full((1, 11), alike)
        return self.newer.probabilities(x)[0].p, self.older.probabilities(x)[0].p

    def live(self, win: np.ndarray, time_s: np.ndarray, alike: float = ALIKE) -> Live:
        n = len(win)
        p = np.full(n, self.said(alike)[0])
        return Live(np.full((n, 11), alike), p, win.astype(np.bool_), np.ones(n), time_s)

    def considered(self, live: Live) -> Retreat:
        return consider(self.newer, live, self.folder, expire_after_days=0.0, now_s=FIRST_S)


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Published:
    return Published(tmp_path_factory.mktemp("retreat") / "models")


def spread(n: int, days: int) -> np.ndarray:
    """`n` moments over so many UTC days."""
    return MIDNIGHT_S + days * DAY_S * np.arange(n) / n


@pytest.mark.parametrize(
    ("n", "days", "due"), [(50, 5, True), (49, 5, False), (50, 4, False), (400, 4, False)]
)
def test_fifty_outcomes_of_five_days_are_the_fewest_to_choose_by(
    published: Published, n: int, days: int, due: bool
) -> None:
    found = published.considered(published.live(np.zeros(n), spread(n, days)))
    assert found.due is due
    assert ("too few" in found.text) is not due


def test_signals_that_the_older_model_may_have_seen_do_not_speak_for_it(
    published: Published,
) -> None:
    seen_s = NOW_S - 20 * DAY_S * np.arange(100)[::-1] / 100  # the last at the very moment
    time_s = np.concatenate([seen_s, spread(49, 5)])
    found = published.considered(published.live(np.zeros(149), time_s))
    assert (found.due, found.text) == (False, "49 outcomes are too few to choose by")
    time_s = np.concatenate([seen_s, spread(50, 5)])
    found = published.considered(published.live(np.zeros(150), time_s))
    assert found.due
    assert found.text.startswith("on 50 signals")


@pytest.mark.parametrize(("alike", "rates"), [(ALIKE, (0.6, 0.85)), (LOWER, (0.3, 0.6))])
def test_it_is_due_only_where_an_excess_is_99_percent_sure_by_days(
    published: Published, alike: float, rates: tuple[float, float]
) -> None:
    """Days of equal weight make the bound Student's one-sided test of their means."""
    rng = np.random.default_rng(3)
    served, before = published.said(alike)
    others = before, published.newer.manifest.calibration.base_rate
    unsure, alone = [], 0
    for won in np.linspace(*rates, 60):
        win = rng.random((DAYS, A_DAY)) < won + rng.normal(0.0, 0.1, (DAYS, 1))
        loss = log_loss(np.full_like(win, served, float), win)
        over = [loss - log_loss(np.full_like(win, p, float), win) for p in others]
        chances = [ttest_1samp(by.mean(axis=1), 0.0, alternative="greater").pvalue for by in over]
        live = published.live(win.ravel(), spread(win.size, DAYS), alike)
        found = published.considered(live)
        better = over[0].mean() > 0.0
        assert found.due == (min(chances) < SURE and better), (won, chances, found.text)
        if min(chances) >= SURE:
            assert "not significant" in found.text
            unsure.append(min(chances))
        alone += found.due and chances[0] >= SURE
    assert min(unsure) < 0.05  # what 95 % would have taken back
    assert len(unsure) < 50
    assert bool(alone) == (alike == LOWER)  # sure by the constant's loss alone


def answered(journal: Path, newer: Model, older: Model) -> None:
    """20 days of hourly signals that the newer model answered.

    They win as often as the older one says, in the last six days as often as is half way (in
    log odds) between what the two say.
    """
    n, middling = 480, 6 * 24
    x = vectors(n)
    said = np.array([answer.p for answer in newer.probabilities(x)])
    true = np.array([answer.p for answer in older.probabilities(x)])
    true[-middling:] = sigmoid((logit(said) + logit(true))[-middling:] / 2.0)
    win = np.random.default_rng(5).random(n) < true
    rows: list[object] = []
    for i in range(n):
        at_s = FIRST_S + 3600.0 * i
        told = {"status": "success", "model_version": newer.version}
        rows += [
            score_row(i, x[i], scored_at=at_s, event_time=at_s, win_probability=said[i], **told),
            outcome_row(i, bool(win[i]), closed_at=at_s + 300, received_at=at_s + 301),
        ]
    stored(journal, rows)


def test_what_is_older_than_the_days_of_the_win_rate_does_not_tip_it(
    published: Published, tmp_path: Path
) -> None:
    answered(tmp_path / "journal.db", published.newer, published.older)

    def said(days: int) -> str:
        config = tmp_path / "config.toml"
        config.write_text(f"[monitor]\nwin_rate_days = {days}\n[model]\nexpire_after_days = 0\n")
        places = ["--models", published.folder, "--journal", tmp_path / "journal.db"]
        result = give("monitor", "--config", config, *places)
        return " ".join(result.output.split())

    assert f"rollback to {published.older.version} is advised" in said(30)
    recent = said(6)
    assert "no rollback: on 144 signals" in recent
    assert "not significant" in recent


def test_a_model_that_was_pinned_meanwhile_is_not_taken_back(tmp_path: Path) -> None:
    published = Published(tmp_path / "models")
    found = published.considered(published.live(np.zeros(60), spread(60, 6)))
    assert found.due
    pin(published.folder, published.newer.version, now_s=NOW_S + 7200)
    said, moved = carry_out(found, published.folder, now_s=NOW_S + 7300)
    assert "pinned meanwhile" in said
    assert not moved
    pointer = current_pointer(published.folder)
    assert pointer is not None
    assert (pointer.version, pointer.pinned) == (published.newer.version, True)
