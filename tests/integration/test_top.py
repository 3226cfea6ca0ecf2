"""`top` and `status`: what they show is so, in any terminal, and they leave it as it was."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import sqlite3
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from fcntl import ioctl
from pathlib import Path
from typing import Any

import pytest
from another_user import as_nobody, as_root
from command import Done, invoke
from harness import eventually, running
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from serving import Parts, published_model, settings

from service.console.words import offset, span
from service.top import blocks
from service.top.frame import frame
from service.top.look import Look, Source
from service.top.trend import BLOCKS, Rate, Trend

NOBODY_THERE = "tcp://127.0.0.1:9"
COMMAND = [sys.executable, "-m", "service"]
SIGNAL = {"entry_price": 1.1, "stop_loss": 1.098, "take_profit": 1.103}


def environ(**values: str) -> dict[str, str]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith("SIGNAL_SCORER_")}
    return clean | {f"SIGNAL_SCORER_{key}": value for key, value in values.items()}


def run(*arguments: str, **values: str) -> Done:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", "80")
        patch.setenv("LINES", "25")
        return invoke(*arguments, **values)


@pytest.fixture(scope="module")
def looks(tmp_path_factory: pytest.TempPathFactory) -> tuple[Look, Look]:
    """Two looks at a service that has a model and has answered, a second apart."""
    folder = tmp_path_factory.mktemp("looked")
    parts = Parts(folder)
    published_model(parts.config.models_dir, parts.clock.utc_s())
    parts.watch.poll_once()
    parts.journal.open()
    parts.warm()
    parts.clock.advance(1.0)
    parts.housekeeping.turn()
    for n in range(120):
        parts.score(signal_id=f"s{n}", direction="BUY", pattern="OB_BOUNCE", **SIGNAL)
    parts.clock.advance(1.0)
    parts.housekeeping.turn()

    class Direct:
        """Answers as the service does, without a socket."""

        def health(self) -> dict[str, Any]:
            return parts.ask("health")

        def stats(self) -> dict[str, Any]:
            return parts.ask("stats")

    source = Source(Direct(), "tcp://here", parts.config)  # type: ignore[arg-type]
    first = source.look()
    for n in range(10):
        parts.score(signal_id=f"t{n}", direction="SELL", pattern="\x1b[2J\x9b")
    second = source.look()._replace(at_s=first.at_s + 2.0)
    parts.journal.close()
    return first, second


def text_of(look: Look, trend: Trend, width: int, height: int) -> list[str]:
    return frame(look, trend, settings(), "tcp://here", width, height).plain.split("\n")


@hypothesis_settings(max_examples=60)
@given(width=st.integers(40, 240), height=st.integers(10, 90), down=st.booleans())
def test_a_frame_fills_its_terminal_and_never_more(
    looks: tuple[Look, Look], width: int, height: int, down: bool
) -> None:
    look = looks[1]._replace(health=None, stats=None, trouble="x" * 300) if down else looks[1]
    lines = text_of(look, Trend(), width, height)
    assert len(lines) == height
    assert max(map(len, lines)) <= width
    assert all(line.isprintable() for line in lines)
    assert lines[-1].startswith("q or Ctrl-C")


def test_at_80_by_24_everything_is_there(looks: tuple[Look, Look]) -> None:
    trend = Trend()
    for look in looks:
        trend.see(look)
    text = "\n".join(text_of(looks[1], trend, 80, 24))
    for word in ("READY", "live", "feed", "UTC", "ticks", "symbols", "latency", "p99", "model"):
        assert word in text
    assert re.search(r"latency .* ms  longest stall \d+ ms\n", text)
    assert "5.0/s" in text  # ten scores within two seconds
    assert "300 samples" in text
    assert "drift     130 signals  1 drift: volume_delta" in text
    assert re.search(r"last scores\n.*EURUSD +SELL +75\.0 -> ", text)
    assert "paper positions: 120 open" in text


def test_a_wide_one_has_every_features_drift_beside_the_scores(looks: tuple[Look, Look]) -> None:
    lines = text_of(looks[1], Trend(), 160, 50)
    assert "drift by feature" in "\n".join(lines)
    assert any(re.match(r"  volume_delta +\d\.\d{3} ━", line) for line in lines)
    assert any(line.startswith("feed") and "last scores" in line for line in lines)


def test_what_is_wrong_stands_on_top(looks: tuple[Look, Look]) -> None:
    health = dict(looks[1].health or {}) | {"ready": False, "reasons": ["journal: disk is full"]}
    lines = text_of(looks[1]._replace(health=health), Trend(), 80, 24)
    assert "NOT READY" in lines[0]
    assert "journal: disk is full" in lines[1]


def test_a_long_note_is_said_to_its_end_where_there_is_room(looks: tuple[Look, Look]) -> None:
    note = f"feed tcp://a is ahead{' of all' * 20}: a recording, or a clock is wrong"

    def beginning(notes: list[str], width: int = 80, height: int = 24) -> str:
        health = dict(looks[1].health or {}) | {"notes": notes}
        lines = text_of(looks[1]._replace(health=health), Trend(), width, height)
        return " ".join(" ".join(lines[1:9]).split())

    assert beginning([note]).startswith(f"- {note} feed")
    assert f"- {note} - short feed" in beginning([note, "short"])
    assert beginning([note] * 3).count(" a…") == 3
    assert f"- {note} - {note} - {note} feed" in beginning([note] * 3, 120, 50)


@pytest.mark.parametrize(
    ("take", "said"), [(True, "  take  "), (False, "  leave "), (None, "  -     ")]
)
def test_of_a_score_it_shows_whether_to_take_it(take: bool | None, said: str) -> None:
    signal = {"symbol": "EURUSD", "direction": 1, "base_score": 75.0, "pattern": "SWEEP"}
    answer = {"final_score": 80.0, "win_probability": 0.61, "take": take, "status": "success"}
    one = signal | answer | {"scored_at": 0.0}
    _, line = blocks.scores(Look(0.0, scores=(one,)), 5)
    assert f"EURUSD    BUY   75.0 ->  80.0  p 0.61{said}success" in line.plain
    assert line.plain.endswith(" SWEEP")


def test_a_counter_that_falls_began_anew() -> None:
    rate = Rate()
    rate.see(0.0, 100)
    assert rate.now is None
    rate.see(2.0, 140)
    assert rate.now == 20.0
    rate.see(4.0, 10)
    assert rate.now == 20.0
    rate.see(5.0, 15)
    assert rate.now == 5.0
    assert rate.line(5) == f"   {BLOCKS[-1]}{BLOCKS[2]}"
    rate.lost()
    rate.see(9.0, 400)
    assert rate.now is None


def test_durations_and_offsets_in_words() -> None:
    assert [span(s) for s in (0.24, 59.6, 240, 11_100, 187_200, 9e6)] == [
        "0.2 s",
        "60 s",
        "4 min",
        "3 h 05",
        "2 d 4 h",
        "104 d",
    ]
    assert [offset(s) for s in (0.0, 10_800.0, -12_600.0)] == ["UTC", "UTC+3 h", "UTC-3.5 h"]


def test_once_prints_a_frame_of_the_running_service(tmp_path: Path) -> None:
    with running(tmp_path, with_feed=True) as service:
        service.warm()
        with service.client() as client:
            client.score("EURUSD", 71.0, direction="BUY", signal_id="s")
            # Warmth is looked after a little in each turn.
            eventually(lambda: client.stats()["symbols_warm"] == 2, "both to be known as warm")
        assert len(service.scores()) == 1
        values = {"STATE_DIR": str(tmp_path), "SCORE_BIND": service.address}
        done = run("top", "--once", "--interval-s", "0.1", "--timeout-ms", "5000", **values)
        assert done.returncode == 0, done.stderr
        assert service.address in done.stdout
        assert "71.0 ->  71.0" in done.stdout
        lines = done.stdout.splitlines()
        assert lines[-1].startswith("paper positions")
        assert len(lines) < 24
        assert all(lines)
        done = run("status", "--timeout-ms", "5000", **values)
        assert done.returncode == 0
        assert "2 warm" in done.stdout.replace("known, ", "")
        assert "EURUSD 71 -> 71.0, no_model" in done.stdout
        assert "no verdict yet" in done.stdout


def test_status_without_a_service_tells_what_a_start_would_find(tmp_path: Path) -> None:
    model = published_model(tmp_path / "models", time.time())
    done = run("status", "--timeout-ms", "50", STATE_DIR=str(tmp_path), SCORE_BIND=NOBODY_THERE)
    assert done.returncode == 69
    assert "NO ANSWER" in done.stdout
    assert model.version in done.stdout
    assert "published on 300 samples" in done.stdout


def test_of_a_journal_that_cannot_be_read_no_number_is_said(tmp_path: Path) -> None:
    (tmp_path / "journal.db").write_text("no journal at all")
    values = {"STATE_DIR": str(tmp_path), "SCORE_BIND": NOBODY_THERE}
    for command in (["status"], ["top", "--once", "--interval-s", "0.1"]):
        done = run(*command, "--timeout-ms", "50", **values)
        assert "0 positions" not in done.stdout
        assert "0 open" not in done.stdout
    found = json.loads(run("status", "--json", "--timeout-ms", "50", **values).stdout)
    assert found["open_positions"] is None
    assert "cannot be read" in found["journal_trouble"]


def newest_of_three(state: Path, damage: str) -> dict[str, str]:
    """Three scores of which the newest has this damage; the settings that name their journal."""
    parts = Parts(state)
    parts.journal.open()
    for n in range(3):
        parts.score(signal_id=f"s{n}", base_score=70.0 + n)
    parts.journal.close()
    with closing(sqlite3.connect(parts.config.journal_path)) as connection, connection:
        connection.execute(f"UPDATE scores SET {damage} WHERE seq = (SELECT max(seq) FROM scores)")
    return {"STATE_DIR": str(state), "SCORE_BIND": NOBODY_THERE}


def test_a_damaged_row_costs_itself_alone(tmp_path: Path) -> None:
    named = newest_of_three(tmp_path, "base_score = 'x', scored_at = x'00'")
    lines = run("journal", "tail", **named).stdout.splitlines()
    assert [line for line in lines if "is damaged" in line] == lines[:1]
    assert len(lines) == 3
    assert "scores     3" in run("journal", "stats", **named).stdout
    assert len(run("journal", "export", "--jsonl", "--kind", "scores", **named).stdout.split()) == 3
    assert "EURUSD 71 -> 71.0" in run("status", "--timeout-ms", "50", **named).stdout
    done = run("top", "--once", "--interval-s", "0.1", "--timeout-ms", "50", **named)
    assert "71.0 ->  71.0" in done.stdout


def test_text_that_is_no_utf_8_costs_itself_alone(tmp_path: Path) -> None:
    turned = "symbol = CAST(x'c5555253' AS TEXT), status = CAST(x'f3' AS TEXT)"
    named = newest_of_three(tmp_path, turned)
    lines = run("journal", "tail", **named).stdout.splitlines()
    assert len(lines) == 3
    assert "\ufffdURS" in lines[-1]
    assert "scores     3" in run("journal", "stats", **named).stdout
    assert len(run("journal", "export", **named).stdout.splitlines()) == 3
    assert "\ufffdURS 72 -> 72.0" in run("status", "--timeout-ms", "50", **named).stdout


def test_of_another_service_nothing_is_shown_that_is_ours(tmp_path: Path) -> None:
    parts = Parts(tmp_path / "ours")
    parts.journal.open()
    parts.score(signal_id="s", direction="BUY", **SIGNAL)
    parts.journal.close()
    with running(tmp_path / "theirs") as service:
        asked = ["--timeout-ms", "5000", "--endpoint", service.address]
        done = run("status", *asked, STATE_DIR=str(tmp_path / "ours"))
    assert "READY" in done.stdout
    assert "EURUSD" not in done.stdout
    assert "position" not in done.stdout
    assert "verdict" not in done.stdout
    assert f"its journal is in {tmp_path / 'theirs'}: name its configuration" in done.stdout


@as_root
def test_what_may_not_be_read_is_not_said_to_be_none(tmp_path: Path) -> None:
    published_model(tmp_path / "models", time.time())
    (tmp_path / "journal.db").write_text("a journal")
    tmp_path.chmod(0o700)
    with as_nobody():
        done = run("status", "--timeout-ms", "50", STATE_DIR=str(tmp_path), SCORE_BIND=NOBODY_THERE)
    assert done.returncode == 69
    assert "no verdict yet" not in done.stdout
    assert "history.jsonl: Permission denied; run this as" in done.stdout
    assert "0 B" not in done.stdout


class Terminal:
    """`top` in a terminal of its own."""

    def __init__(self, size: tuple[int, int], **values: str) -> None:
        self.parent, child = pty.openpty()
        os.set_blocking(self.parent, False)
        ioctl(child, termios.TIOCSWINSZ, struct.pack("HHHH", size[1], size[0], 0, 0))
        self.child = child
        self.before = termios.tcgetattr(child)
        self.seen = ""
        self.process = subprocess.Popen(
            [*COMMAND, "top", "--interval-s", "0.2", "--timeout-ms", "500"],
            env=environ(**values) | {"TERM": "xterm-256color"},
            stdin=child,
            stdout=child,
            stderr=child,
            start_new_session=True,
        )

    def shows(self, word: str) -> None:
        """Read until it does."""

        def look() -> bool:
            with suppress(BlockingIOError):
                self.seen += os.read(self.parent, 65_536).decode(errors="replace")
            return word in self.seen

        eventually(look, word)

    def ended(self) -> int:
        """The exit code, once it has left; what it still writes is read."""

        def look() -> bool:
            with suppress(BlockingIOError):
                self.seen += os.read(self.parent, 65_536).decode(errors="replace")
            return self.process.poll() is not None

        eventually(look, "the end")
        return int(self.process.returncode)


@contextmanager
def terminal(size: tuple[int, int], **values: str) -> Iterator[Terminal]:
    shown = Terminal(size, **values)
    try:
        yield shown
    finally:
        shown.process.kill()
        shown.process.wait()
        os.close(shown.parent)
        os.close(shown.child)


@pytest.mark.parametrize("leave", ["q", "Ctrl-C"])
def test_it_is_live_outlives_the_service_and_leaves_the_terminal_as_it_was(
    tmp_path: Path, leave: str
) -> None:
    with running(tmp_path) as service:
        values = {"STATE_DIR": str(tmp_path), "SCORE_BIND": service.address}
        with terminal((100, 30), **values) as shown:
            shown.shows("READY")
            with service.client() as client:
                client.score("GBPUSD", 64.0, direction="SELL", signal_id="s")
            shown.shows("GBPUSD")
            service.terminate()
            shown.shows("NO ANSWER")
            if leave == "q":
                os.write(shown.parent, b"q")
            else:
                shown.process.send_signal(signal.SIGINT)
            assert shown.ended() == 0
            assert "Traceback" not in shown.seen
            assert termios.tcgetattr(shown.child) == shown.before
            assert "\x1b[?1049l" in shown.seen  # back on the screen that was there before


def test_without_a_terminal_it_says_what_to_do() -> None:
    done = run("top")
    assert done.returncode == 2
    assert "--once" in done.stderr


@pytest.mark.parametrize("command", [("top", "--once"), ("status",)])
def test_a_terminal_that_lacks_a_character_shows_another(
    tmp_path: Path, command: tuple[str, ...]
) -> None:
    values = environ(STATE_DIR=str(tmp_path), SCORE_BIND=NOBODY_THERE, METRICS_BIND="")
    given = [*COMMAND, *command, "--timeout-ms", "50"]
    done = subprocess.run(
        given, env=values | {"PYTHONIOENCODING": "ascii"}, capture_output=True, check=False
    )
    assert b"Traceback" not in done.stderr
    assert done.stdout.isascii()
    assert b"tcp://127.0.0.1:9" in done.stdout + done.stderr
