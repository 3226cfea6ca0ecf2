"""A running demo on a terminal, or in plain lines where there is none."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from training.simulate.account import Scored
from training.simulate.market import INSTRUMENTS
from training.simulate.scene import STAGES, Scene, Screen

ROWS = 7
LINE_EVERY_S = 3.0


@contextmanager
def screen(console: Console, *, lines: bool) -> Iterator[Screen]:
    """Where the play is shown, while it lasts."""
    if lines:
        yield Lines(console)
        return
    with Live(console=console, auto_refresh=False, transient=True) as live:
        yield Terminal(console, live)


class Terminal:
    """What happens scrolls by; below it stay the newest ticks, scores and outcomes."""

    def __init__(self, console: Console, live: Live) -> None:
        self._console = console
        self._live = live

    def refresh(self, scene: Scene) -> None:
        """Draw anew."""
        self._live.update(_picture(scene), refresh=True)

    def say(self, scene: Scene, text: str) -> None:
        """Print above the picture."""
        style = "bold" if text.startswith("stage ") else ""
        self._console.print(Text(f"{scene.elapsed_s:5.1f} s  {text}", style=style))


class Lines:
    """One line an event, and how things are every few seconds and as each stage ends.

    For logs and pipes.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._due_s = 0.0
        self._told: list[str] = []

    def refresh(self, scene: Scene) -> None:
        """Say how things are, when it is time."""
        if scene.elapsed_s >= self._due_s:
            self._tell(scene)

    def say(self, scene: Scene, text: str) -> None:
        """Print it; before a new stage, also what the last one came to, however short it was."""
        if scene.stage and text.startswith("stage "):
            self._tell(scene)
        self._print(scene, text)

    def _tell(self, scene: Scene) -> None:
        self._due_s = scene.elapsed_s + LINE_EVERY_S
        account = scene.account
        texts = [
            f"market {_clock(scene.feed.event_s)}, {scene.feed.sent} frames, "
            f"{account.sent} scores asked, {account.lost} lost, {len(account.closed)} outcomes"
        ]
        if account.newest_scored:
            texts.append("scored " + " ".join(_signal(account.newest_scored[-1])))
        if account.newest_closed:
            texts.append("ended  " + " ".join(_outcome(account.newest_closed[-1])))
        for text in texts if texts != self._told else []:
            self._print(scene, text)
        self._told = texts

    def _print(self, scene: Scene, text: str) -> None:
        self._console.print(Text(f"{scene.elapsed_s:5.1f} s  {text}"), soft_wrap=True)


def _picture(scene: Scene) -> RenderableType:
    account = scene.account
    status = (
        f"simulated market {_clock(scene.feed.event_s)} UTC, {scene.feed.sent:,} frames   "
        f"scores {account.sent:,}, lost {account.lost}   outcomes {len(account.closed):,}"
    )
    bar = Table.grid(padding=(0, 1))
    bar.add_row(
        ProgressBar(len(STAGES), scene.stage, width=30),
        f"{scene.elapsed_s:.0f} of at least {scene.seconds:.0f} s",
        STAGES[scene.stage],
    )
    serving = f"the service serves {scene.model or 'base scores: no model yet'}"
    columns = Table.grid(padding=(0, 3))
    columns.add_row(_ticks(scene), _outcomes(scene))
    texts = Text(f"{status}\n{serving}")
    return Group(Rule(style="dim"), bar, texts, columns, Text(""), _scores(scene))


def _ticks(scene: Scene) -> Table:
    table = Table("tick", "bid", "ask", "bps", box=None, pad_edge=False, title="ticks, published")
    for instrument in INSTRUMENTS:
        tick = scene.feed.quotes.get(instrument.symbol)
        if tick is None:
            table.add_row(instrument.symbol, "", "", "")
            continue
        places = 5 if instrument.point < 1e-3 else 2
        spread = 1e4 * (tick.ask - tick.bid) / tick.bid
        table.add_row(
            instrument.symbol, f"{tick.bid:.{places}f}", f"{tick.ask:.{places}f}", f"{spread:4.1f}"
        )
    return table


def _scores(scene: Scene) -> Table:
    table = Table(
        "signal", "", "base -> final", "win probability", "model", "", box=None, pad_edge=False
    )
    table.title = "signals, scored by the service"
    for scored in list(scene.account.newest_scored)[-ROWS:]:
        table.add_row(*_signal(scored), style="" if scored.model_version else "dim")
    return table


def _outcomes(scene: Scene) -> Table:
    table = Table("trade", "", "ended", "R", box=None, pad_edge=False)
    table.title = "outcomes, in truth_log.jsonl"
    for scored in list(scene.account.newest_closed)[-len(INSTRUMENTS) :]:
        table.add_row(*_outcome(scored), style="green" if scored.win else "red")
    return table


def _signal(scored: Scored) -> tuple[str, ...]:
    p = scored.win_probability
    return (
        scored.symbol,
        f"{scored.direction:<4}",
        f"{scored.base_score:4.1f} -> {scored.final_score:5.1f}",
        "no model" if p is None else f"{p:.3f}",
        "" if p is None else ("take" if scored.take else "leave"),
        "" if scored.model_version is None else scored.model_version[-6:],
    )


def _outcome(scored: Scored) -> tuple[str, ...]:
    word = "WIN_TP " if scored.win else "LOSS_SL"
    return scored.symbol, f"{scored.direction:<4}", word, f"{scored.made_r:+.2f}"


def _clock(time_s: float) -> str:
    return datetime.fromtimestamp(time_s, UTC).strftime("%a %Y-%m-%d %H:%M")
