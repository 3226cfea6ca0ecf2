"""The original's three examples, on hand-made feeds through the engine and a trained model.

It describes a London breakout in BTCUSD (volume 85, timeframes 78), a New York reversal in
ETHUSD (whale 45, spread 88, momentum 75) and a quiet Asian hour (volume 25, timeframes 40);
each raises the base score, by 7.8, 6.5 and 4.3, so that London's ends highest and Asia's lowest.
Here the same markets give the same features, but for what was changed on purpose: sessions go by
UTC (London's morning 15, New York's 20, Asia's night 10; the original took its server's hours),
three timeframes give alignment nine values, and `volume_delta` ends at 30, where nothing is
traded. In the truth that the model learns timeframes that agree win, most of all with volume: one
in which a breakout is worth more than a reversal. The order follows from the features alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import numpy as np
import pytest
from builders import model_of, small_draft
from serving import tick

from protocol.messages import ScoreReply, ScoreRequest
from protocol.schema import FEATURE_NAMES
from service.arrays import Floats
from service.config.settings import Config, FeedSection
from service.engine import Engine
from service.files.durable import TrainerLock
from service.model.model import Model
from training.calibration.calibrate import fit_calibration
from training.fit import fit_forest, importances, min_samples_leaf, pack
from training.models.draft import golden_inputs, reference
from training.models.publish import publish
from training.simulate import planted
from training.simulate.truth import Term, line

MINUTES, EVERY_S = 90, 10
AGREEMENT = (Term("tf_alignment", 75.0, 25.0, 1.0), Term("volume_delta", 50.0, 12.0, 0.3))
Path_ = Callable[[float], float]
Size = Callable[[float], float]


def at(hour: int, minute: int) -> float:
    """UTC seconds on a Tuesday."""
    return datetime(2025, 9, 16, hour, minute, tzinfo=UTC).timestamp()


def zigzag(left_s: float) -> float:
    """What every market does besides: up and down by the tick, in units of its breath."""
    return (0.0, 0.5, 1.0, 0.4, -0.2, 0.3)[int(left_s // EVERY_S) % 6]


@dataclass(frozen=True)
class Agreement(planted.Bend):
    """Half of all win, and more the better the timeframes agree, above all with volume."""

    def probability(self, x: Floats) -> Floats:
        share = 1.0 / (1.0 + np.exp(-4.0 * (line(AGREEMENT, x) - self.at)))
        result: Floats = self.low + (self.high - self.low) * share
        return result


class Scene:
    """A market up to a moment: `move` and `size` by seconds before it, spread in bps."""

    def __init__(self, symbol: str, now_s: float, move: Path_, size: Size, bps: float) -> None:
        self.symbol, self.now_s = symbol, now_s
        self.engine = Engine(Config(feed=FeedSection(volume="deal", clock_offset=0.0)), "scene")
        feed = self.engine.endpoint("feed", volume_is_deal=True)
        for left_s in range(60 * MINUTES, -1, -EVERY_S):
            stamp_s = now_s - left_s
            mid = 1000.0 * (1 + 1e-4 * (move(left_s) + zigzag(left_s)))
            half = mid * bps / 2e4
            frame = tick(symbol, stamp_s, mid - half, 2 * half, volume=size(left_s))
            self.engine.on_frame(feed, frame, stamp_s)
            # Another symbol that goes its own way: so there is a correlation.
            other = 50.0 + 0.01 * ((left_s // 60 * 7) % 11)
            self.engine.on_frame(feed, tick("OTHER", stamp_s, other), stamp_s)

    def score(self, model: Model, base_score: float, direction: str) -> ScoreReply:
        self.engine.install(model)
        request = ScoreRequest(
            symbol=self.symbol,
            base_score=base_score,
            direction=direction,  # type: ignore[arg-type]
            reward_risk=1.5,
        )
        answer = self.engine.on_request(request, b"", self.now_s)
        assert isinstance(answer.reply, bytes)
        return msgspec.msgpack.decode(answer.reply, type=ScoreReply)


def london(*, breaks_out: bool = True) -> Scene:
    """A range until 40 minutes ago, then up, and 2.75 times the usual volume in the last one."""

    def move(left_s: float) -> float:
        return max(0.0, 2400.0 - left_s) / 60.0 if breaks_out else 0.0

    def size(left_s: float) -> float:
        return 2.75 if breaks_out and left_s < 60 else 1.0

    return Scene("BTCUSD", at(8, 30), move, size, 5.0)


def new_york(*, turns: bool = True) -> Scene:
    """Down for an hour, up again for the last 14 minutes, and one deal of 5.5 times the mean."""

    def move(left_s: float) -> float:
        falling = -(5400.0 - left_s) / 60.0
        return falling + (2.0 * max(0.0, 840.0 - left_s) / 60.0 if turns else 0.0)

    def size(left_s: float) -> float:
        return 5.5 if turns and left_s == 30 else 1.0

    return Scene("ETHUSD", at(14, 45), move, size, 5**0.6)


def asia(*, quiet: bool = True) -> Scene:
    """Sideways with a late dip, and in the last minute a quarter of the usual volume."""

    def move(left_s: float) -> float:
        # Enough for M1 to see it, and less than M5 and M15 notice.
        return -max(0.0, 180.0 - left_s) / 900.0 if quiet else max(0.0, 2400.0 - left_s) / 60.0

    def size(left_s: float) -> float:
        return 0.25 if quiet and left_s < 60 else 1.0

    return Scene("BTCUSD", at(2, 30), move, size, 5.0)


@pytest.fixture(scope="module")
def truth() -> Agreement:
    return Agreement(0.5, 0.9, 0.2)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory, truth: Agreement) -> Model:
    """A forest that learnt from 3,000 signals of a known truth, calibrated on 1,000 others."""
    folder: Path = tmp_path_factory.mktemp("models")
    learnt = planted.samples(3000, 60, truth, seed=1)
    other = planted.samples(1000, 30, truth, seed=2)
    estimator = fit_forest(learnt.x, learnt.win, n_effective=3000, trees=50, n_jobs=1)
    forest = pack(estimator)
    _, draft = small_draft()
    draft = replace(
        draft,
        directed=True,
        min_samples_leaf=min_samples_leaf(3000),
        calibration=fit_calibration(forest.predict_many(other.x), other.win, n_effective=1000),
        importances=importances(estimator),
        reference=reference(learnt.x, forest.predict_many(learnt.x)),
        golden=golden_inputs(learnt.x, forest),
    )
    with TrainerLock(folder):
        publish(folder, forest, draft, b"", now_s=at(0, 0), why="scenarios")
    return model_of(folder)


def features(reply: ScoreReply) -> dict[str, float]:
    return {name: float(reply.features[name]) for name in FEATURE_NAMES}


def true_probability(truth: Agreement, reply: ScoreReply) -> float:
    return float(truth.probability(np.array([list(features(reply).values())]))[0])


def test_london_breakout_of_btc(model: Model, truth: Agreement) -> None:
    reply = london().score(model, 74.5, "BUY")
    seen = features(reply)
    assert reply.missing == ("sentiment_score",)
    assert seen["volume_delta"] == pytest.approx(85.0)
    assert seen["tf_alignment"] >= 78.0
    assert seen["session_bonus"] == 15.0
    calm = london(breaks_out=False).score(model, 74.5, "BUY")
    assert reply.final_score > calm.final_score
    assert true_probability(truth, reply) > true_probability(truth, calm)


def test_new_york_reversal_of_eth(model: Model, truth: Agreement) -> None:
    reply = new_york().score(model, 67.0, "BUY")
    seen = features(reply)
    assert seen["whale_activity"] == pytest.approx(45.0)
    assert seen["spread_quality"] == pytest.approx(88.0, abs=0.1)
    assert seen["momentum_strength"] >= 75.0
    assert seen["session_bonus"] == 20.0
    # M1 and M5 have turned, M15 has not: a reversal, no trend.
    assert seen["tf_alignment"] == pytest.approx(200 / 3)
    falling = new_york(turns=False).score(model, 67.0, "BUY")
    assert features(falling)["momentum_strength"] < 50.0
    assert reply.final_score > falling.final_score
    assert true_probability(truth, reply) > true_probability(truth, falling)


def test_asian_hour_of_low_volume(model: Model, truth: Agreement) -> None:
    reply = asia().score(model, 62.5, "BUY")
    seen = features(reply)
    assert 30.0 <= seen["volume_delta"] <= 40.0
    assert 33.0 <= seen["tf_alignment"] <= 50.0
    assert seen["session_bonus"] == 10.0
    busy = asia(quiet=False).score(model, 62.5, "BUY")
    assert reply.final_score < busy.final_score
    assert true_probability(truth, reply) < true_probability(truth, busy)


def test_all_three_are_raised_and_in_the_order_described(model: Model, truth: Agreement) -> None:
    replies = [
        london().score(model, 74.5, "BUY"),
        new_york().score(model, 67.0, "BUY"),
        asia().score(model, 62.5, "BUY"),
    ]
    breakout, reversal, quiet = (r.final_score - r.original_base_score for r in replies)
    assert breakout > reversal > quiet > 0.0
    finals = [reply.final_score for reply in replies]
    assert 100.0 > finals[0] > finals[1] > finals[2]
    assert [reply.status for reply in replies] == ["success"] * 3
    # What the model says of them is in the order of the truth that it learnt from examples.
    said = [reply.win_probability or 0.0 for reply in replies]
    true = [true_probability(truth, reply) for reply in replies]
    assert np.argsort(said).tolist() == np.argsort(true).tolist()
    assert said == pytest.approx(true, abs=0.2)


def test_the_session_is_that_of_utc_whatever_the_machines_zone(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    import time

    before = features(london().score(model, 74.5, "BUY"))
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    try:
        assert features(london().score(model, 74.5, "BUY")) == before
    finally:
        monkeypatch.undo()
        time.tzset()
