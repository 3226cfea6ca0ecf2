"""One frame of the terminal's size at most: facts above, rows below, or side by side."""

from __future__ import annotations

from textwrap import wrap

from rich.text import Text

from service.config.settings import Config
from service.console.printable import printable
from service.top import blocks
from service.top.look import Look
from service.top.trend import Trend

WIDE = 130
MOST_COMPLAINTS = 4
LEAST_WIDTH, LEAST_HEIGHT = 40, 10
GAP = 2


def frame(look: Look, trend: Trend, config: Config, endpoint: str, width: int, height: int) -> Text:
    """The whole screen, `height` lines of at most `width` columns."""
    height = max(height, LEAST_HEIGHT)
    drawn = page(look, trend, config, endpoint, width, height - 1)
    drawn.append("\n" * (height - 1 - drawn.plain.count("\n")))
    return drawn.append("q or Ctrl-C leaves", blocks.DIM)


def page(look: Look, trend: Trend, config: Config, endpoint: str, width: int, height: int) -> Text:
    """What there is to be seen, in at most `height` lines of at most `width` columns."""
    width, height = max(width, LEAST_WIDTH), max(height, LEAST_HEIGHT - 1)
    head = [blocks.title(look, endpoint, width), *_complaints(look, width, height)]
    room = height - len(head)
    facts = _facts(look, trend, config)
    beside = width >= WIDE
    body = _side_by_side(look, facts, width, room) if beside else _stacked(look, facts, room)
    lines = [*head, *body][:height]
    while not lines[-1].plain.strip():
        lines.pop()
    for line in lines:
        line.no_wrap = True
        line.plain = printable(line.plain)
        line.truncate(width, overflow="ellipsis")
    return Text("\n", no_wrap=True, end="").join(lines)


def _complaints(look: Look, width: int, height: int) -> list[Text]:
    """To their ends where a quarter of the height suffices, else the first, each on its line."""
    cut = list(blocks.complaints(look))
    whole = [
        Text(part, line.style)
        for line in cut
        for part in wrap(line.plain, width, subsequent_indent="    ")
    ]
    return whole if len(whole) <= height // 4 else cut[:MOST_COMPLAINTS]


def _facts(look: Look, trend: Trend, config: Config) -> list[Text]:
    return [
        *blocks.feed(look, trend, config),
        *blocks.scoring(look, trend),
        *blocks.model(look, config),
        *blocks.journal(look),
    ]


def _stacked(look: Look, facts: list[Text], room: int) -> list[Text]:
    left = room - len(facts) - 2
    # Positions get what they need up to a third, the newest scores the rest.
    positions = min(len(look.positions), max(left // 3, 1))
    scores = left - positions
    return [*facts, *blocks.scores(look, scores), *blocks.paper(look, positions)]


def _side_by_side(look: Look, facts: list[Text], width: int, room: int) -> list[Text]:
    left_width = (width - GAP) // 2
    left = [*facts, Text()]
    drift = list(blocks.drift_table(look, left_width))
    if drift:
        left += [blocks.rule("drift by feature", ""), *drift, Text()]
    left += blocks.paper(look, room - len(left) - 1)
    right = list(blocks.scores(look, room - 1))
    lines = []
    for number in range(room):
        line = left[number].copy() if number < len(left) else Text()
        line.truncate(left_width, overflow="ellipsis")
        line.pad_right(left_width - len(line) + GAP)
        lines.append(line.append_text(right[number]) if number < len(right) else line)
    return lines
