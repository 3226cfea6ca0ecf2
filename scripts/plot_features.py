"""Draw every feature over the recorded markets and print how its values are spread.

The pictures go to docs/images, the numbers to the terminal; docs/features.md says what they
show. `make evidence-features` runs it. Needs the training extra (matplotlib).

    .venv/bin/python scripts/plot_features.py
"""

import heapq
import io
import math
import sys
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.dates import ConciseDateFormatter, DateFormatter, MinuteLocator, date2num
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from PIL import Image

from protocol.ea_feed import Tick
from protocol.schema import FEATURE_NAMES, SCHEMA
from service.feed.clock_offset import ClockOffset
from service.feed.intake import Intake
from service.feed.symbol_feed import Endpoint, SymbolLimits
from service.recording.market_files import MarketAccount, read_market
from service.vectors import Vectors

ROOT = Path(__file__).resolve().parents[1]
MARKET = ROOT.parent / "shared" / "data" / "market"
IMAGES = ROOT / "docs" / "images"
BLUE, RED, GREY = "#1f5fa8", "#b3372f", "#8a8f98"
# Sentiment comes from outside, and the base score is the signal's own.
DRAWN = tuple(name for name in FEATURE_NAMES if name not in ("sentiment_score", "base_score"))
BUY = 1
LONG_GAP_S = 1800


@dataclass(frozen=True)
class View:
    """What to sample: files, a symbol, the seconds between two vectors; and its colour."""

    name: str
    title: str
    pattern: str
    symbol: str
    every_s: int
    colour: str


COINBASE, OANDA, BINANCE = "lean_coinbase_*", "lean_fx_tick_*.oanda_*", "hft_*"
# Okabe and Ito's colours, which colour-blind readers tell apart too.
VIEWS = (
    View(
        "coinbase-btcusd", "Coinbase BTCUSD, one quote a minute", COINBASE, "BTCUSD", 60, "#0072b2"
    ),
    View("oanda-xauusd", "OANDA XAUUSD, every quote", OANDA, "XAUUSD", 60, "#e69f00"),
    View("oanda-eurusd", "OANDA EURUSD, every quote", OANDA, "EURUSD", 60, "#009e73"),
    View(
        "binance-btcusdt",
        "Binance BTCUSDT spot, every event",
        BINANCE,
        "BTCUSDT.spot",
        1,
        "#cc79a7",
    ),
)


@dataclass
class Samples:
    """Vectors (for a buyer) of one symbol over time; NaN where a feature was missing."""

    times: list[float] = field(default_factory=list)
    mids: list[float] = field(default_factory=list)
    values: list[list[float]] = field(default_factory=list)

    def column(self, name: str) -> np.ndarray:
        return np.array(self.values)[:, FEATURE_NAMES.index(name)]


def sample(view: View) -> Samples:
    """Stream the files through the intake; a vector of the symbol at each step of time."""
    intake = Intake(SymbolLimits())
    endpoint = Endpoint("recorded", True, ClockOffset(0.0))
    vectors = Vectors(intake, Counter())
    streams = [read_market([p], MarketAccount()) for p in sorted(MARKET.glob(view.pattern))]
    samples, due_s = Samples(), -math.inf
    for recorded in heapq.merge(*streams, key=lambda one: one.stamp_s):
        tick = recorded.message
        if not isinstance(tick, Tick):
            continue
        # At the step, with all that came up to it.
        if recorded.stamp_s > due_s:
            feed = intake.feeds.get(view.symbol)
            if feed is not None and due_s - feed.state.last_seen_s < LONG_GAP_S:
                intake.roll(due_s)
                vector = vectors.vector(feed, view.symbol, due_s, BUY, 70.0)
                samples.times.append(due_s)
                samples.mids.append(feed.state.mid or math.nan)
                samples.values.append(
                    [
                        math.nan if name in vector.missing else value
                        for name, value in zip(FEATURE_NAMES, vector.values, strict=True)
                    ]
                )
            due_s = math.ceil(recorded.stamp_s / view.every_s) * view.every_s
        intake.on_tick(endpoint, tick, recorded.stamp_s)
    return samples


def draw(view: View, samples: Samples) -> bytes:
    """The mid, then a strip for each feature; red below: missing."""
    figure = Figure(figsize=(10, 11), dpi=80, layout="constrained")
    strips = figure.subplots(len(DRAWN) + 1, 1, sharex=True)
    when = date2num(np.array(samples.times).astype("datetime64[s]"))
    # No line is drawn over a weekend.
    breaks = np.flatnonzero(np.diff(samples.times) > LONG_GAP_S) + 1
    drawn = np.insert(when, breaks, when[breaks])
    strips[0].plot(drawn, np.insert(samples.mids, breaks, math.nan), color=GREY, lw=0.8)
    strips[0].set_ylabel("mid", rotation=0, ha="right", va="center", fontsize=8)
    strips[0].set_title(f"{view.title}: the features of a BUY every {view.every_s} s", fontsize=10)
    for strip, name in zip(strips[1:], DRAWN, strict=True):
        column = samples.column(name)
        strip.plot(drawn, np.insert(column, breaks, math.nan), color=BLUE, lw=0.6)
        absent = np.isnan(column)
        strip.plot(when[absent], np.full(absent.sum(), -4.0), "|", color=RED, ms=3)
        low, high = _range(name)
        strip.set_ylim(low - 8, high + 4)
        strip.set_ylabel(name, rotation=0, ha="right", va="center", fontsize=8)
    for strip in strips:
        strip.tick_params(labelsize=7)
        strip.grid(visible=True, color="#e4e6ea", lw=0.5)
    axis = strips[-1].xaxis
    if samples.times[-1] - samples.times[0] < 3600:
        axis.set_major_locator(MinuteLocator())
        axis.set_major_formatter(DateFormatter("%H:%M"))
    else:
        axis.set_major_formatter(ConciseDateFormatter(axis.get_major_locator()))
    first = datetime.fromtimestamp(samples.times[0], UTC)
    strips[-1].set_xlabel(f"UTC, from {first:%Y-%m-%d %H:%M}", fontsize=8)
    return _png(figure)


def draw_spread(sampled: dict[str, Samples]) -> bytes:
    """How the values of each feature are spread, market by market."""
    figure = Figure(figsize=(10, 8), dpi=80, layout="constrained")
    panels = figure.subplots(3, 3).ravel()
    for panel, name in zip(panels, DRAWN, strict=True):
        low, high = _range(name)
        for view in VIEWS:
            column = sampled[view.name].column(name)
            present = column[~np.isnan(column)]
            if len(present):
                weights = np.full(len(present), 100.0 / len(present))
                panel.hist(
                    present,
                    40,
                    range=(low, high),
                    weights=weights,
                    histtype="step",
                    color=view.colour,
                )
        panel.set_title(name, fontsize=9)
        panel.set_ylabel("% of vectors", fontsize=7)
        panel.set_yscale("symlog", linthresh=1)
        panel.set_ylim(0, 100)
        panel.tick_params(labelsize=7)
    # Of all of them: not every market has every feature.
    lines = [Line2D([], [], color=view.colour, label=view.name) for view in VIEWS]
    figure.legend(handles=lines, loc="outside upper center", ncols=len(VIEWS), fontsize=8)
    return _png(figure)


def print_spread(view: View, samples: Samples) -> None:
    print(f"\n{view.title}: {len(samples.times):,} vectors, one every {view.every_s} s")
    print(f"  {'':20} missing   at low  at high      p5   median     p95")
    for name in DRAWN:
        column = samples.column(name)
        present = column[~np.isnan(column)]
        missing = 100 * np.mean(np.isnan(column))
        if not len(present):
            print(f"  {name:20} {missing:6.1f}%")
            continue
        low, high = _range(name)
        ends = 100 * np.mean(present <= low), 100 * np.mean(present >= high)
        p5, median, p95 = np.percentile(present, [5, 50, 95])
        print(f"  {name:20} {missing:6.1f}%  {ends[0]:6.1f}%  {ends[1]:6.1f}%", end="")
        print(f"  {p5:6.1f}   {median:6.1f}  {p95:6.1f}")


def _range(name: str) -> tuple[float, float]:
    return next((spec.low, spec.high) for spec in SCHEMA.features if spec.name == name)


def _png(figure: Figure) -> bytes:
    """A picture of few colours: a third of the bytes, and nothing is lost to the eye."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    picture = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB").quantize(48)
    image = io.BytesIO()
    picture.save(image, format="png", optimize=True)
    return image.getvalue()


def main() -> int:
    if not MARKET.is_dir():
        print(f"nothing to draw: {MARKET} is not there")
        return 0
    IMAGES.mkdir(parents=True, exist_ok=True)
    sampled = {}
    for view in VIEWS:
        samples = sampled[view.name] = sample(view)
        print_spread(view, samples)
        (IMAGES / f"features-{view.name}.png").write_bytes(draw(view, samples))
    (IMAGES / "features-spread.png").write_bytes(draw_spread(sampled))
    for path in sorted(IMAGES.glob("features-*.png")):
        print(f"{path.relative_to(ROOT)}: {path.stat().st_size / 1024:.0f} KiB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
