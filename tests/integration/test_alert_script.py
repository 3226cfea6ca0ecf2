"""The shipped alert script against a server that stands in for Telegram's."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from urllib.parse import parse_qs

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "deploy" / "alert" / "telegram.sh"
ALERT = {"v": 1, "event": "degraded", "text": 'signal-scorer degraded: 50 % & a "quote"\nline 2'}

pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")


class Telegram(HTTPServer):
    """Keeps what it was sent, and the argument lists of curl at that time."""

    def __init__(self, status: int) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.status = status
        self.calls: list[tuple[str, dict[str, list[str]]]] = []
        self.arguments = b""


class Handler(BaseHTTPRequestHandler):
    server: Telegram

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        for process in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                content = process.read_bytes()
            except OSError:
                continue
            if b"curl" in content:
                self.server.arguments += content
        self.server.calls.append((self.path, parse_qs(body)))
        self.send_response(self.server.status)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture(params=[200])
def telegram(request: pytest.FixtureRequest) -> Iterator[Telegram]:
    server = Telegram(request.param)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def run(server: Telegram | None, **extra: str) -> subprocess.CompletedProcess[str]:
    api = f"http://127.0.0.1:{server.server_port}" if server else "http://127.0.0.1:9"
    env = {"PATH": os.environ["PATH"], "TELEGRAM_API": api, "TELEGRAM_ENV": "/none", **extra}
    return subprocess.run(
        [SCRIPT], input=json.dumps(ALERT), env=env, capture_output=True, text=True, check=False
    )


def test_the_text_arrives_and_the_token_is_in_no_argument_list(telegram: Telegram) -> None:
    done = run(telegram, TELEGRAM_TOKEN="1:secret", TELEGRAM_CHAT="-42")
    assert done.returncode == 0, done.stderr
    ((path, form),) = telegram.calls
    assert path == "/bot1:secret/sendMessage"
    assert form["chat_id"] == ["-42"]
    assert form["text"][0].strip() == ALERT["text"]
    assert b"sendMessage" not in telegram.arguments
    assert b"secret" not in telegram.arguments


def test_token_and_chat_may_come_from_a_file(telegram: Telegram, tmp_path: Path) -> None:
    secrets = tmp_path / "telegram.env"
    secrets.write_text("TELEGRAM_TOKEN=2:filed\nTELEGRAM_CHAT=7\n")
    assert run(telegram, TELEGRAM_ENV=str(secrets)).returncode == 0
    assert telegram.calls[0][0] == "/bot2:filed/sendMessage"


@pytest.mark.parametrize("telegram", [403], indirect=True)
def test_a_refusal_is_a_failure_that_names_no_token(telegram: Telegram) -> None:
    done = run(telegram, TELEGRAM_TOKEN="1:secret", TELEGRAM_CHAT="-42")
    assert done.returncode != 0
    assert "403" in done.stderr
    assert "secret" not in done.stderr


def test_nothing_of_the_folder_it_is_called_in_is_run(
    telegram: Telegram, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "json.py").write_text("raise SystemExit('of the current folder')")
    monkeypatch.chdir(tmp_path)
    done = run(telegram, TELEGRAM_TOKEN="1:secret", TELEGRAM_CHAT="-42")
    assert done.returncode == 0, done.stderr
    assert len(telegram.calls) == 1


def test_without_a_token_it_says_what_is_needed() -> None:
    done = run(None)
    assert done.returncode == 78
    assert "TELEGRAM_TOKEN" in done.stderr
