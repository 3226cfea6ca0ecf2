"""The pictures of the report, each of one finding.

The rule: a picture shows its intervals, and what all signals did beside what the model chose.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from protocol.schema import FEATURE_NAMES
from service.arrays import Floats
from training.bound import Mean
from training.gain import Gain
from training.report.coverage import Decile, Taken
from training.report.findings import Findings
from training.report.learning import Point
from training.report.plots import Picture, Theme, intervals, legend, percent, picture, signed
from training.report.stability import Part
from training.wording import fitting, name_of

LONGEST_NAME = 30


def figures(found: Findings) -> dict[str, Callable[[], Picture]]:
    """What draws each, by its name; absent are those that there is nothing to draw for."""
    return dict(_figures(found))


def _figures(found: Findings) -> Iterator[tuple[str, Callable[[], Picture]]]:
    yield "wins", partial(_wins, found.deciles, found.all.group.won)
    if np.isfinite([tenth.taken.group.r for tenth in found.deciles]).all():
        yield "reward", partial(_reward, found.deciles, found.all.group.r)
    yield "reliability", partial(_reliability, found.deciles)
    if np.isfinite([point.group.r for point in found.curve]).all():
        yield "coverage", partial(_coverage, found.curve)
    if found.importance:
        yield "importance", partial(_importance, found.importance)
    if len(found.learning) > 1:
        yield "learning", partial(_learning, found.learning)
    if sum(part.bounded is not None for part in found.parts["week"]) > 1:
        yield "weeks", partial(_weeks, found.parts["week"])
    sections = {name: parts for name, parts in found.parts.items() if name != "week"}
    yield "parts", partial(_parts, sections)


def _wins(tenths: Sequence[Decile], everything: float) -> Picture:
    at = np.arange(1, len(tenths) + 1)
    shares = _shares(tenths)

    def draw(axes: Any, theme: Theme) -> None:
        axes.bar(at, shares[0], color=theme.model, alpha=0.4, width=0.8)
        intervals(axes, theme, at, shares, fmt="none", lw=1.3)
        axes.axhline(everything, color=theme.all, lw=1.3, ls="--", label="all signals")
        axes.set(xlabel=_tenths(at), xticks=at, ylim=(0, 1), ylabel="won")
        percent(axes, "y")
        legend(axes)

    return picture(draw, "Share won by tenth of the predicted probability")


def _tenths(at: np.ndarray[tuple[int], Any]) -> str:
    return f"{'tenth' if len(at) == 10 else 'part'} of the signals, best-rated to the right"


def _shares(tenths: Sequence[Decile]) -> tuple[Any, Any, Any]:
    groups = [tenth.taken.group for tenth in tenths]
    won, low, high = (np.array([getattr(g, end) for g in groups]) for end in ("won", "low", "high"))
    return won, low, high


def _reward(tenths: Sequence[Decile], everything: float) -> Picture:
    at = np.arange(1, len(tenths) + 1)
    made = np.array([(t.taken.group.r, t.taken.low, t.taken.high) for t in tenths]).T
    expected = np.array([tenth.taken.promised_r for tenth in tenths])

    def draw(axes: Any, theme: Theme) -> None:
        axes.axhline(0.0, color=theme.limit, lw=1.2)
        intervals(axes, theme, at, made, label="made")
        axes.plot(at, expected, "_", color=theme.text, ms=13, mew=2, label="expected")
        axes.axhline(everything, color=theme.all, lw=1.3, ls="--", label="all signals")
        axes.set(xlabel=_tenths(at), xticks=at)
        signed(axes, "y", " R")
        legend(axes)

    return picture(draw, "R a signal by tenth of the predicted probability, made and expected")


def _reliability(tenths: Sequence[Decile]) -> Picture:
    promised = np.array([tenth.promised for tenth in tenths])
    won, low, high = _shares(tenths)
    lowest = max(0.0, min(promised.min(), low.min()) - 0.04)
    highest = min(1.0, max(promised.max(), high.max()) + 0.04)

    def draw(axes: Any, theme: Theme) -> None:
        ends = [lowest, highest]
        axes.plot(ends, ends, color=theme.all, lw=1.3, ls="--", label="as promised")
        intervals(axes, theme, promised, (won, low, high), label="happened")
        axes.set(xlabel="promised win probability", ylabel="won", xlim=ends, ylim=ends)
        percent(axes, "x")
        percent(axes, "y")
        legend(axes)

    return picture(draw, "Share won against promised probability, by tenths")


def _coverage(curve: Sequence[Taken]) -> Picture:
    share = np.array([point.share for point in curve])
    made, expected = (
        np.array(values) for values in ([c.group.r for c in curve], [c.promised_r for c in curve])
    )
    low, high = (np.array([getattr(c, end) for c in curve]) for end in ("low", "high"))
    bounded = np.isfinite(low) & np.isfinite(high)

    def draw(axes: Any, theme: Theme) -> None:
        axes.axhline(0.0, color=theme.limit, lw=1.2, label="break-even")
        axes.fill_between(
            share[bounded], low[bounded], high[bounded], color=theme.model, alpha=0.22, lw=0
        )
        axes.plot(share, made, color=theme.model, lw=2, label="made")
        axes.plot(share, expected, color=theme.text, lw=1.3, ls=":", label="expected")
        axes.plot(share[-1], made[-1], "o", color=theme.all, ms=6)
        axes.set(xlabel="coverage: the best-rated share that is taken", xlim=(0, 1.02))
        percent(axes, "x")
        signed(axes, "y", " R")
        legend(axes)

    return picture(draw, "R a signal against coverage, made and expected, with break-even at 0")


def _importance(importance: Mapping[str, Mean]) -> Picture:
    names = sorted(FEATURE_NAMES, key=lambda name: importance[name].value)
    found = [importance[name] for name in names]
    worth = 1e3 * np.array([(mean.value, mean.low, mean.high) for mean in found]).T
    at = np.arange(len(names))

    def draw(axes: Any, theme: Theme) -> None:
        axes.axvline(0.0, color=theme.all, lw=1.2)
        axes.barh(at, worth[0], color=theme.model, alpha=0.4, height=0.7)
        intervals(axes, theme, at, worth, along="x", fmt="none", capsize=2.5, lw=1.3)
        axes.set(
            yticks=at,
            yticklabels=[name.replace("_", " ") for name in names],
            xlabel="log loss it saves, thousandths of a nat",
        )
        axes.locator_params(axis="x", nbins=5)  # where it tells little they are long: -0.015

    return picture(draw, "What each feature is worth on unseen signals", height=3.7)


def _points(gains: Sequence[Gain]) -> Sequence[Floats]:
    """What each won more, and its interval, in points."""
    return tuple(100.0 * np.array([(g.taken - g.all, g.low, g.high) for g in gains]).T)


def _learning(points: Sequence[Point]) -> Picture:
    n = np.array([point.n for point in points], float)
    gains = _points([point.gain for point in points])

    def draw(axes: Any, theme: Theme) -> None:
        axes.axhline(0.0, color=theme.limit, lw=1.2, label="nothing")
        intervals(axes, theme, n, gains, fmt="o-", lw=1.5, label="better half above all")
        axes.set_xscale("log")
        axes.set_xticks(n, [f"{count:,.0f}" for count in n])
        axes.minorticks_off()
        axes.set(xlabel="newest samples that it was trained on", ylabel="points of win rate")
        signed(axes, "y")
        legend(axes)

    return picture(draw, "What more samples add: win rate of the better half above all, by n")


def _weeks(weeks: Sequence[Part]) -> Picture:
    kept = [part for part in weeks if part.bounded is not None]
    at = np.arange(len(kept))
    gains = _points([part.bounded for part in kept if part.bounded is not None])
    every = max(1, -(-len(kept) // 5))

    def draw(axes: Any, theme: Theme) -> None:
        axes.axhline(0.0, color=theme.limit, lw=1.2)
        intervals(axes, theme, at, gains, ms=4, capsize=2, lw=1.1)
        axes.set_xticks(at[::every], [part.name for part in kept][::every])
        axes.set(xlabel="week from Monday", ylabel="points above all of the week")
        signed(axes, "y")

    return picture(draw, "Win rate of the better half above all of the same week")


def _parts(sections: Mapping[str, Sequence[Part]]) -> Picture:
    rows: list[tuple[str, Part | None]] = []
    for name, parts in sections.items():
        rows.append((f"by {name}", None))
        rows += [
            (f"{fitting(name_of(part.name, name), LONGEST_NAME)}, {part.n:,}", part)
            for part in parts
        ]
    rows.reverse()

    def draw(axes: Any, theme: Theme) -> None:
        axes.axvline(0.0, color=theme.limit, lw=1.2)
        for at, (_, part) in enumerate(rows):
            if part is not None and part.bounded is not None:
                intervals(axes, theme, [at], _points([part.bounded]), along="x")
        axes.set(yticks=np.arange(len(rows)), yticklabels=[name for name, _ in rows])
        axes.set(xlabel="points above all", ylim=(-0.6, len(rows) - 0.4))
        axes.tick_params(axis="y", length=0)
        for tick, (_, part) in zip(axes.get_yticklabels(), rows, strict=True):
            tick.set_weight("bold" if part is None else "normal")
        signed(axes, "x")

    return picture(
        draw,
        "Win rate of the better half above all, by symbol, pattern and session",
        height=1.0 + 0.24 * len(rows),
    )
