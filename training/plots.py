"""The report's pictures, as PNG bytes. Drawn without a display and without global state."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
_BLUE, _GREY, _RED = "#1f5fa8", "#8a8f98", "#b3372f"


def wilson(wins: Floats, n: Floats, z: float = 1.96) -> tuple[Floats, Floats]:
    """95 % interval of a share: Wilson, JASA 22 (1927) 209. Arrays of one shape."""
    share = wins / n
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * np.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return middle - half, middle + half


def bins(p: Floats, win: NDArray[np.bool_], count: int = 10) -> tuple[Floats, Floats, Floats]:
    """Mean of `p`, wins and size of `count` bins of equal size by `p`; fewer where n is small."""
    order = np.argsort(p, kind="stable")
    parts = [part for part in np.array_split(order, min(count, max(1, len(p) // 5))) if len(part)]
    return (
        np.array([p[part].mean() for part in parts]),
        np.array([float(win[part].sum()) for part in parts]),
        np.array([float(len(part)) for part in parts]),
    )


def reliability(p: Floats, win: NDArray[np.bool_]) -> bytes:
    """Promised against observed win rate, with 95 % intervals."""
    mean, wins, n = bins(p, win)
    low, high = wilson(wins, n)
    figure, axes = _figure()
    lowest = float(max(0.0, min(mean.min(), low.min()) - 0.05))
    highest = float(min(1.0, max(mean.max(), high.max()) + 0.05))
    axes.plot([lowest, highest], [lowest, highest], color=_GREY, lw=1, ls="--")
    axes.errorbar(
        mean, wins / n, yerr=_arms(wins / n, low, high), fmt="o", color=_BLUE, ms=5, capsize=3
    )
    axes.set(
        xlabel="promised win probability",
        ylabel="observed win rate",
        xlim=(lowest, highest),
        ylim=(lowest, highest),
        title="Does it happen as often as promised?",
    )
    return _png(figure)


def deciles(p: Floats, win: NDArray[np.bool_]) -> bytes:
    """Win rate by decile of the predicted probability, with 95 % intervals and the base rate."""
    _, wins, n = bins(p, win)
    low, high = wilson(wins, n)
    figure, axes = _figure()
    at = np.arange(1, len(n) + 1)
    axes.bar(at, wins / n, color=_BLUE, alpha=0.35, width=0.8)
    axes.errorbar(at, wins / n, yerr=_arms(wins / n, low, high), fmt="none", color=_BLUE, capsize=3)
    base = float(np.mean(win))
    axes.axhline(base, color=_RED, lw=1.2, label=f"all signals: {100 * base:.1f} %")
    axes.set(
        xlabel="tenth of the signals, by predicted probability" if len(n) == 10 else "group",
        ylabel="observed win rate",
        ylim=(0, 1),
        xticks=at,
        title="Do the better-rated signals win more?",
    )
    # Below the axes: above, it would lie on the tallest bar.
    figure.legend(frameon=False, loc="outside lower center", fontsize=9)
    return _png(figure)


def importances(values: dict[str, float]) -> bytes:
    """What the trees split on, as shares of the impurity removed."""
    names = sorted(values, key=values.__getitem__)
    figure, axes = _figure()
    axes.barh(names, [values[name] for name in names], color=_BLUE, alpha=0.6)
    axes.set(xlabel="share of the impurity removed", title="What the forest looks at")
    axes.tick_params(axis="y", labelsize=8)
    return _png(figure)


def _arms(share: Floats, low: Floats, high: Floats) -> Floats:
    # A share of 0 or 1 lies on the interval's end up to rounding.
    arms: Floats = np.maximum(np.array([share - low, high - share]), 0.0)
    return arms


def _figure() -> tuple[Any, Any]:
    # Figure alone, not pyplot: no global list of figures, no display is looked for.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.2, 3.9), dpi=130, layout="constrained")
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    axes.title.set_fontsize(11)
    return figure, axes


def _png(figure: Any) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()
