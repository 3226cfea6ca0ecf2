"""A run of the trainer, or a replay, tells how far it is in the way that fits where it runs."""

from __future__ import annotations

import io
import os
import signal
import threading

import pytest

from service.console.progress import Lines, show_progress, unstamped
from training.interrupt import finished_first


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_gets_a_bar_for_each_stage_and_sentences_above() -> None:
    terminal = Terminal()
    with show_progress(terminal) as progress:
        progress.say("reading [bold]")
        for done in range(1, 41):
            progress.step("windows", done, 40)
        progress.step("drawing", 1, 1)
    shown = terminal.getvalue()
    assert "reading [bold]" in shown
    assert "40/40" in shown
    assert "drawing" in shown


def test_elsewhere_a_stage_is_a_line_at_its_ends_and_every_ten_seconds() -> None:
    stream, clock = io.StringIO(), [0.0]
    lines = Lines(stream, clock=lambda: clock[0], now=lambda: 1_760_000_000.0)
    for done in range(1, 41):
        lines.step("windows", done, 40)
        clock[0] += 1.0
    lines.step("drawing", 1, 1)
    assert stream.getvalue().splitlines() == [
        f"2025-10-09T08:53:20Z {text}"
        for text in (
            "windows: 1 of 40",
            "windows: 11 of 40",
            "windows: 21 of 40",
            "windows: 31 of 40",
            "windows: 40 of 40",
            "drawing: 1 of 1",
        )
    ]


def test_a_stage_that_goes_on_beyond_its_total_is_not_told_with_every_step() -> None:
    stream = io.StringIO()
    lines = Lines(stream, clock=lambda: 0.0)
    for done in range(1, 100):
        lines.step("published", done, 50)
    lines.step("published", 1, 50)
    told = [unstamped(line) for line in stream.getvalue().splitlines()]
    assert told == [f"published: {done} of 50" for done in (1, 50, 1)]


def test_a_pipe_gets_lines() -> None:
    stream = io.StringIO()
    with show_progress(stream) as progress:
        progress.say("reading")
    assert stream.getvalue().endswith("Z reading\n")
    assert unstamped(stream.getvalue()) == "reading\n"
    assert unstamped("published 20261126T000147Z-7eb28e.") == "published 20261126T000147Z-7eb28e."


def test_an_interruption_waits_for_the_block_and_is_itself_again_after_it() -> None:
    with finished_first():
        os.kill(os.getpid(), signal.SIGINT)
        reached = True
    assert reached
    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGINT)


def test_the_handler_is_put_back_after_a_failure() -> None:
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(OSError, match="full"), finished_first():
        raise OSError("full")
    assert signal.getsignal(signal.SIGINT) is before


def test_outside_of_the_main_thread_nothing_is_changed() -> None:
    def work() -> None:
        with finished_first():
            seen.append(signal.getsignal(signal.SIGINT))

    seen: list[object] = []
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [signal.getsignal(signal.SIGINT)]
