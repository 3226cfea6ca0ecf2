"""One suite over all features: range, neutral value, warm-up, claim, scale, reset."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from serving import snapshot
from taken_in import Given

from protocol.schema import FEATURE_NAMES, FINGERPRINT, SCHEMA
from service.features.correlation import compared, independence
from service.features.state import Sentiment, SymbolState
from service.features.vector import FUNCTIONS, Vector, compute_vector
from service.vectors import Vectors

NOON_S = 19_000 * 86_400 + 43_200
NEED_NOTHING = ("session_bonus", "base_score")
FEATURES = pytest.mark.parametrize("feature", SCHEMA.features, ids=lambda spec: spec.name)


@dataclass(frozen=True)
class Market:
    """Half an hour of ticks, one a second, that ends at `end_s`; prices are n / 1024, so that
    ten times a price is exact."""

    seed: int = 7
    end_s: int = NOON_S
    drift: float = 0.0  # of the last ten minutes, in 1/1024 a second
    unrest: float = 1.0  # factor on the moves of the last five minutes
    jump: int = 0  # of the last tick, in 1/1024
    half_spread: int = 20  # in 1/1024
    last_minute_deals: float = 1.0
    whale: float = 0.0
    sentiment: float = 50.0
    base_score: float = 70.0
    correlation: float = 50.0
    scale: float = 1.0

    def state(self, symbol: str = "X") -> SymbolState:
        state = SymbolState(symbol)
        self.feed(state)
        return state

    def ticks(self) -> Iterator[tuple[float, float, float, float]]:
        """Time (UTC s), bid, ask and size of the deal."""
        rng = np.random.default_rng(self.seed)
        seconds = 1860
        moves = rng.integers(-20, 21, seconds).astype(float)
        moves[-300:] *= self.unrest
        moves[-600:] += self.drift
        moves[-1] += self.jump
        mids = 102_400 + np.cumsum(np.rint(moves))
        deals = rng.exponential(1.0, seconds)
        deals[-60:] *= self.last_minute_deals
        deals[-30] += self.whale
        for i, (mid, deal) in enumerate(zip(mids.tolist(), deals.tolist(), strict=True)):
            bid, ask = (mid - self.half_spread) / 1024, (mid + self.half_spread) / 1024
            time = self.end_s - seconds + 1 + i
            yield float(time), bid * self.scale, ask * self.scale, deal

    def feed(self, state: SymbolState) -> None:
        for tick in self.ticks():
            state.apply_tick(*tick)
        state.sentiment = Sentiment(self.sentiment, float(self.end_s), 600.0)

    def vector(self, direction: int = 1) -> Vector:
        return self.vector_of(self.state(), direction)

    def vector_of(self, state: SymbolState, direction: int = 1) -> Vector:
        return compute_vector(state, self.end_s, direction, self.base_score, self.correlation)


CALM = Market()
# What a feature claims to measure: the first market has less of it than the second.
CLAIMS = {
    "atr_volatility": (CALM, replace(CALM, unrest=4.0)),
    "volume_delta": (CALM, replace(CALM, last_minute_deals=3.0)),
    "tf_alignment": (replace(CALM, drift=-20.0), replace(CALM, drift=20.0)),
    "sentiment_score": (CALM, replace(CALM, sentiment=80.0)),
    "whale_activity": (CALM, replace(CALM, whale=8.0)),
    "spread_quality": (replace(CALM, half_spread=200), CALM),
    "correlation_check": (CALM, replace(CALM, correlation=90.0)),
    "session_bonus": (CALM, replace(CALM, end_s=NOON_S + 3 * 3600)),
    "momentum_strength": (replace(CALM, drift=-5.0), replace(CALM, drift=5.0)),
    "support_resistance": (replace(CALM, jump=5000), CALM),
    "base_score": (CALM, replace(CALM, base_score=80.0)),
}


def value(vector: Vector, name: str) -> float:
    return vector.values[FEATURE_NAMES.index(name)]


def test_the_functions_stand_in_the_schemas_order() -> None:
    assert tuple(function.__name__ for function in FUNCTIONS) == FEATURE_NAMES


@FEATURES
def test_every_number_of_a_feature_moves_the_fingerprint(feature) -> None:
    at = SCHEMA.features.index(feature)
    for name in feature.constants:
        changed = msgspec.structs.replace(feature, constants=feature.constants | {name: -1})
        features = (*SCHEMA.features[:at], changed, *SCHEMA.features[at + 1 :])
        assert msgspec.structs.replace(SCHEMA, features=features).fingerprint != FINGERPRINT


def test_every_number_that_features_share_moves_the_fingerprint() -> None:
    assert {"kept_bars", "max_missing_bars", "observation_gap_s"} <= SCHEMA.constants.keys()
    for name in SCHEMA.constants:
        changed = msgspec.structs.replace(SCHEMA, constants=SCHEMA.constants | {name: -1})
        assert changed.fingerprint != FINGERPRINT


@FEATURES
def test_a_symbol_never_seen_has_neutral_values_and_names_them(feature) -> None:
    vector = compute_vector(SymbolState("X"), NOON_S, 1, 70.0, None)
    if feature.name in NEED_NOTHING:
        assert feature.name not in vector.missing
    else:
        assert feature.name in vector.missing
        assert value(vector, feature.name) == feature.neutral


@FEATURES
def test_a_feature_responds_to_what_it_claims_to_measure(feature) -> None:
    less, more = (market.vector() for market in CLAIMS[feature.name])
    assert feature.name not in (*less.missing, *more.missing)
    assert value(less, feature.name) < value(more, feature.name)


@pytest.mark.parametrize("name", ["tf_alignment", "momentum_strength"])
def test_a_directional_feature_is_mirrored_by_the_direction(name: str) -> None:
    market = replace(CALM, drift=3.0)
    buy, sell = (value(market.vector(direction), name) for direction in (1, -1))
    assert buy > 50.0
    assert buy + sell == pytest.approx(100.0, rel=1e-12)


def test_the_other_features_do_not_look_at_the_direction() -> None:
    vectors = [replace(CALM, drift=3.0).vector(direction) for direction in (1, 0, -1)]
    for name in set(FEATURE_NAMES) - {"tf_alignment", "momentum_strength"}:
        assert len({value(vector, name) for vector in vectors}) == 1


@settings(max_examples=10)
@given(
    seed=st.integers(0, 10**6),
    unrest=st.sampled_from([0.0, 1.0, 30.0]),
    drift=st.sampled_from([-30.0, 0.0, 2.0]),
    half_spread=st.sampled_from([0, 1, 2000]),
    deals=st.sampled_from([0.0, 1.0, 1e9]),
    direction=st.sampled_from([1, 0, -1]),
)
def test_every_value_is_a_float_in_its_range(
    seed: int, unrest: float, drift: float, half_spread: int, deals: float, direction: int
) -> None:
    market = Market(seed, NOON_S, drift, unrest, 0, half_spread, deals)
    for spec, number in zip(SCHEMA.features, market.vector(direction).values, strict=True):
        assert type(number) is float
        assert spec.low <= number <= spec.high


@pytest.mark.parametrize("scale", [8.0, 1 / 64])
def test_prices_times_a_power_of_two_change_no_bit(scale: float) -> None:
    assert replace(CALM, scale=scale).vector() == CALM.vector()


def test_prices_times_ten_change_nothing() -> None:
    one, ten = CALM.vector(), replace(CALM, scale=10.0).vector()
    assert one.missing == ten.missing == ()
    assert ten.values == pytest.approx(one.values, rel=1e-12, abs=0)


def test_a_reset_symbol_learns_the_same_again() -> None:
    used = replace(CALM, seed=8, end_s=NOON_S - 86_400).state()
    CALM.vector_of(used)
    used.reset()
    CALM.feed(used)
    assert CALM.vector_of(used) == CALM.vector()
    assert snapshot(used) == snapshot(CALM.state())


def test_the_order_of_symbols_is_irrelevant() -> None:
    states = [replace(CALM, seed=seed).state(f"S{seed}") for seed in range(6)]
    minute = NOON_S // 60
    forward = independence(compared(states[0], states, minute))
    assert forward is not None
    assert independence(compared(states[0], states[::-1], minute)) == forward


def taken_in_together(markets: dict[str, Market]) -> Vector:
    """The vector of X in an intake that got these markets, second by second."""
    given = Given(deals=True)
    for ticks in zip(*(market.ticks() for market in markets.values()), strict=True):
        for name, (given.now_s, bid, ask, deal) in zip(markets, ticks, strict=True):
            assert given.quote(name, bid, ask, volume=deal) == "accepted"
    for name, market in markets.items():
        given.intake.set_sentiment(name, market.sentiment, 600.0, given.now_s)
    vectors = Vectors(given.intake, Counter())
    given.intake.roll(given.now_s)
    found = {
        name: vectors.vector(given.intake.feeds[name], name, given.now_s, 1, market.base_score)
        for name, market in markets.items()
    }
    return found["X"]


def test_no_feature_but_the_correlation_depends_on_other_symbols() -> None:
    before = replace(CALM, seed=8, unrest=4.0, whale=8.0, sentiment=90.0, base_score=20.0)
    behind = replace(CALM, seed=9, drift=20.0, half_spread=200, last_minute_deals=3.0, scale=8.0)
    alone = taken_in_together({"X": CALM})
    among = taken_in_together({"A": before, "X": CALM, "Z": replace(behind, sentiment=10.0)})
    assert (alone.missing, among.missing) == (("correlation_check",), ())
    unlike = {name for name in FEATURE_NAMES if value(alone, name) != value(among, name)}
    assert unlike == {"correlation_check"}
