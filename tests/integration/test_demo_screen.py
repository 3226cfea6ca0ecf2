"""The demo's live picture on a terminal of eighty columns, and its lines where there is none."""

from __future__ import annotations

import io
import time
from collections.abc import Iterator

import pytest
from rich.console import Console
from rich.control import strip_control_codes
from rich.text import Text

from training.simulate.account import Account
from training.simulate.feed import Feed
from training.simulate.scene import STAGES, Scene
from training.simulate.screen import screen

COLUMNS, BAR = 80, 30


@pytest.fixture
def feed() -> Iterator[Feed]:
    quiet = Feed(iter(()), 0.0)
    yield quiet
    quiet.stop()


def drawn(scene: Scene) -> list[str]:
    """The lines that stand on the terminal."""
    file = io.StringIO()
    # Without colours only what is done of the bar is drawn.
    console = Console(
        file=file,
        width=COLUMNS,
        height=60,
        force_terminal=True,
        color_system=None,
        _environ={"TERM": "xterm"},
    )
    with screen(console, lines=False) as shown:
        shown.refresh(scene)
        text = Text.from_ansi(file.getvalue().replace("\r", "")).plain
    return strip_control_codes(text).strip().splitlines()


def scene_of(feed: Feed, stage: int, elapsed_s: float) -> Scene:
    """A play of twelve seconds at least."""
    return Scene(12.0, feed, Account(), stage, begun_s=time.monotonic() - elapsed_s)


def test_the_rule_is_one_line(feed: Feed) -> None:
    rule, progress = drawn(scene_of(feed, 0, 0.0))[:2]
    assert len(set(rule)) == 1
    assert len(rule) == COLUMNS
    assert progress.rstrip().endswith(STAGES[0])


def test_a_play_that_lasts_longer_than_asked_for_is_not_shown_as_over(feed: Feed) -> None:
    done = []
    for stage, name in enumerate(STAGES):
        progress = drawn(scene_of(feed, stage, 23.0))[1].rstrip()
        assert "23 of at least 12 s" in progress
        assert progress.endswith(name)
        done.append(progress.count("━"))
    assert done == sorted(set(done))
    assert done[-1] < BAR


def test_each_stage_ends_with_how_things_are_told_once(feed: Feed) -> None:
    file = io.StringIO()
    scene = scene_of(feed, 0, 0.0)
    with screen(Console(file=file, width=COLUMNS), lines=True) as shown:
        shown.say(scene, "stage 1 of 2: first")
        scene.stage = 1
        shown.refresh(scene)
        for asked, text in ((0, "stage 2 of 2: second"), (7, "a model"), (7, "stage 3 of 2: none")):
            scene.account.sent = asked
            shown.say(scene, text)
    told = [line.split(" s  ")[1] for line in file.getvalue().splitlines()]
    assert [text.split(" frames, ")[-1] for text in told] == [
        "stage 1 of 2: first",
        "0 scores asked, 0 lost, 0 outcomes",
        "stage 2 of 2: second",
        "a model",
        "7 scores asked, 0 lost, 0 outcomes",
        "stage 3 of 2: none",
    ]
