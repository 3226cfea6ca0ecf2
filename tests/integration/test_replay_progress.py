"""A replay tells its progress in the way that fits where it runs."""

from __future__ import annotations

import io

from structlog.testing import capture_logs

from service.replay_progress import show_progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_gets_a_bar() -> None:
    terminal = Terminal()
    with show_progress(terminal) as progress:
        progress.on_bound("tcp://127.0.0.1:5560", 1000)
        progress.on_sent(1000)
    assert "1000/1000" in terminal.getvalue()
    assert "tcp://127.0.0.1:5560" in terminal.getvalue()


def test_elsewhere_a_line_comes_for_each_twentieth() -> None:
    with capture_logs() as logs, show_progress(io.StringIO()) as progress:
        progress.on_bound("tcp://127.0.0.1:5560", 1000)
        for sent in range(0, 1001, 10):
            progress.on_sent(sent)
    assert [line["event"] for line in logs].count("replay_published") == 20
    assert logs[0]["messages"] == 1000
    assert logs[-1]["sent"] == logs[-1]["of"] == 1000
