"""How the report's pictures look: SVG for a light page and for a dark one.

The rule: drawn without a display, without pyplot's list of figures and without a background,
so that the page's own shows through. A picture is drawn once; the dark one differs in its
colours alone.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np

Draw = Callable[[Any, "Theme"], None]

WIDTH_INCHES = 4.6
PIXELS_AN_INCH = 96
"""Of CSS."""


class Theme(NamedTuple):
    """Colours: text and axes, the model, all signals, the line not to fall below."""

    text: str
    model: str
    all: str
    limit: str


LIGHT = Theme("#2b3138", "#1f5fa8", "#6b737d", "#b3372f")
DARK = Theme("#d5dae0", "#6cb0f5", "#a3abb5", "#f0867c")


class Picture(NamedTuple):
    """SVGs for a light and a dark page, their size in CSS pixels, and what they show in words."""

    light: bytes
    dark: bytes
    width: int
    height: int
    alt: str


def picture(draw: Draw, alt: str, *, height: float = 3.3) -> Picture:
    """Draw on axes of WIDTH_INCHES by `height` inches."""
    light = _svg(draw, LIGHT, height)
    dark = light
    for bright, dim in zip(LIGHT, DARK, strict=True):
        dark = dark.replace(bright.encode(), dim.encode())
    width, high = (round(inches * PIXELS_AN_INCH) for inches in (WIDTH_INCHES, height))
    return Picture(light, dark, width, high, alt)


def _svg(draw: Draw, theme: Theme, height: float) -> bytes:
    # Figure alone, not pyplot: no global list of figures, no display is looked for.
    import matplotlib
    from matplotlib.figure import Figure

    # A salt of its own would make each run's file another; and the name of a symbol or a pattern
    # is no formula, whatever signs are in it.
    with matplotlib.rc_context({"svg.hashsalt": "signal-scorer", "text.parse_math": False}):
        figure = Figure(figsize=(WIDTH_INCHES, height), layout="constrained")
        axes = figure.subplots()
        draw(axes, theme)
        axes.spines[["top", "right"]].set_visible(False)
        axes.spines[["bottom", "left"]].set_color(theme.all)
        axes.tick_params(colors=theme.text, labelsize=9)
        for label in (axes.xaxis.label, axes.yaxis.label):
            label.set_color(theme.text)
            label.set_fontsize(9.5)
        legend = axes.get_legend()
        if legend is not None:
            for text in legend.get_texts():
                text.set_color(theme.text)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    return buffer.getvalue()


def legend(axes: Any) -> None:
    """Above the axes, in one row: within, it would lie on what is drawn."""
    axes.legend(
        frameon=False,
        fontsize=9,
        loc="lower left",
        bbox_to_anchor=(-0.02, 1.0),
        ncols=3,
        borderaxespad=0.1,
        handlelength=1.4,
        columnspacing=1.2,
    )


def percent(axes: Any, which: str) -> None:
    """Ticks of an axis (x or y) of shares, in per cent."""
    _label(axes, which, " %", times=100.0)


def signed(axes: Any, which: str, unit: str = "") -> None:
    """Ticks with their sign; nothing is neither more nor less."""
    _label(axes, which, unit, sign="+")


def _label(axes: Any, which: str, unit: str, *, times: float = 1.0, sign: str = "") -> None:
    """As many decimals as the ticks need: at quarters, one decimal would make +0.25 a +0.2."""
    from matplotlib.ticker import Formatter

    class Labels(Formatter):
        # All at once: asked for each label alone, the axis looks for its ticks each time.
        def format_ticks(self, values: Any) -> list[str]:
            ticks = times * np.asarray(values)
            places = next((n for n in range(3) if np.allclose(ticks, ticks.round(n), atol=1e-6)), 3)
            # What is nothing may be -1e-17.
            shown = np.where(abs(ticks) <= times * 1e-9, 0.0, ticks).tolist()
            return [f"{tick:{sign if tick else ''}.{places}f}{unit}" for tick in shown]

    (axes.xaxis if which == "x" else axes.yaxis).set_major_formatter(Labels())


def intervals(
    axes: Any, theme: Theme, at: Any, found: Iterable[Any], *, along: str = "y", **style: Any
) -> None:
    """Values and their intervals (value, low, high), each (n,), at places of the other axis.

    An endless interval is not drawn.
    """
    value, low, high = (np.asarray(column) for column in found)
    both = np.array([value - low, high - value])
    # A share of 0 or 1 lies on the interval's end up to rounding.
    arms = np.where(np.isfinite(both), np.maximum(both, 0.0), 0.0)
    places = (at, value) if along == "y" else (value, at)
    style = {"fmt": "o", "color": theme.model, "ms": 5, "capsize": 3} | style
    axes.errorbar(*places, **{f"{along}err": arms}, **style)
