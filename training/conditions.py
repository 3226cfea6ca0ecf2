"""The gate's conditions: numbers of a verdict, each against its bound.

The rule: a verdict's metrics are all that is looked at, so whoever reads a manifest or the
history can see again why a candidate passed or did not.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

MIN_DAYS = 5
CHAMPION_MARGIN_NATS = 0.002
SLOPE_LOW, SLOPE_HIGH = 0.7, 1.3
CHAMPION_MARGIN_R = 0.02
MAX_PARITY = 1e-12
MAX_ROW_S = 0.005
NAMES = {
    "constant": "the constant",
    "logit_base_score": "the rule on the base score",
    "logit_stop_spreads": "the rule on stop distance against spread",
    "champion": "the champion",
}

Metrics = Mapping[str, Mapping[str, float]]


class Condition(NamedTuple):
    """One condition: what is asked, the number found, the bound; `why` is for where it fails."""

    asked: str
    found: str
    bound: str
    held: bool
    why: str


def conditions(metrics: Metrics) -> list[Condition]:
    """All of them, in the order in which a verdict names those that failed."""
    own = metrics["challenger"]
    rivals = [name for name in metrics if not name.startswith("challenger") and name != "champion"]
    found = [_better(name, metrics[name]) for name in rivals]
    found += [_slope(own), *_reward(own)]
    if "champion" in metrics:
        found += _against(metrics["champion"])
    return [*found, *_sound(own)]


def only_the_champion(metrics: Metrics) -> bool:
    """Whether it would have passed where no model served."""
    alone = {name: found for name, found in metrics.items() if name != "champion"}
    return all(condition.held for condition in conditions(alone))


def nats(value: float | None, bound: float = 0.0) -> str:
    """A log loss or its confidence limit; None where there is none."""
    return "none" if value is None else f"{value:+.{_digits(value, bound, 4)}f} nats"


def _digits(value: float, bound: float, least: int) -> int:
    """So many that what misses its bound is not rounded onto it."""
    apart = (n for n in range(least, 12) if round(value, n) != round(bound, n))
    return next(apart, least)


def _better(name: str, shown: Mapping[str, float]) -> Condition:
    low = shown.get("improvement_low")
    return Condition(
        f"log loss lower than {_of(name)}, with 95 % confidence",
        nats(low),
        "above 0",
        low is not None and low > 0.0,
        f"no better than {NAMES[name]} for sure (bound {nats(low)})",
    )


def _of(name: str) -> str:
    return {"constant": "a constant's"}.get(name, f"that of {NAMES[name]}")


def _slope(own: Mapping[str, float]) -> Condition:
    slope = own.get("calibration_slope")
    asked, bound = "calibration slope before shrinking", f"{SLOPE_LOW} to {SLOPE_HIGH}"
    if slope is None:
        return Condition(asked, "none", bound, False, "it tells no signal from another")
    shown = f"{slope:.{_digits(slope, SLOPE_LOW if slope < 1.0 else SLOPE_HIGH, 2)}f}"
    return Condition(
        asked,
        shown,
        bound,
        SLOPE_LOW <= slope <= SLOPE_HIGH,
        f"calibration slope {shown} is not within {SLOPE_LOW}..{SLOPE_HIGH}",
    )


def _reward(own: Mapping[str, float]) -> Iterator[Condition]:
    if "r_taken" not in own:
        return
    made, everything = own["r_taken"], own["r_all"]
    form = f"+.{_digits(made, everything, 3)}f"
    yield Condition(
        "R a signal of the better half",
        f"{made:{form}}",
        f"at least that of all, {everything:{form}}",
        made >= everything,
        f"its better half made {made:{form}} R a signal, all made {everything:{form}}",
    )


def _against(champion: Mapping[str, float]) -> Iterator[Condition]:
    if "improvement" not in champion:
        count = champion["days"]
        yield Condition(
            "days of signals that the champion had not seen either",
            f"{count:.0f}",
            f"at least {MIN_DAYS}",
            False,
            f"only {count:.0f} days of signals that the champion had not seen either",
        )
        return
    low = champion.get("improvement_low")
    yield Condition(
        "log loss no higher than the champion's, with 95 % confidence",
        nats(low, -CHAMPION_MARGIN_NATS),
        f"at least {-CHAMPION_MARGIN_NATS}",
        low is not None and low >= -CHAMPION_MARGIN_NATS,
        f"maybe worse than {NAMES['champion']} (bound {nats(low, -CHAMPION_MARGIN_NATS)})",
    )
    if "r_challenger" in champion:
        made, theirs = champion["r_challenger"], champion["r_taken"]
        form = f"+.{_digits(made, theirs - CHAMPION_MARGIN_R, 3)}f"
        yield Condition(
            "R a signal of the better half, where the champion is asked too",
            f"{made:{form}}",
            f"at most {CHAMPION_MARGIN_R} below the champion's, {theirs:{form}}",
            made >= theirs - CHAMPION_MARGIN_R,
            f"its better half made {made:{form}} R a signal, the champion's {theirs:{form}}",
        )


def _sound(own: Mapping[str, float]) -> Iterator[Condition]:
    parity, row_s = own["parity"], own["row_us"] / 1e6
    yield Condition(
        "packed forest against the fitted one",
        f"{parity:.1e}",
        f"at most {MAX_PARITY:.0e}",
        parity <= MAX_PARITY,
        f"the packed forest differs from the fitted one by {parity:.1e}",
    )
    yield Condition(
        "quickest row",
        f"{1e6 * row_s:.0f} µs",
        f"at most {1e3 * MAX_ROW_S:.0f} ms",
        row_s <= MAX_ROW_S,
        f"a row takes {1e3 * row_s:.1f} ms",
    )
