"""What a reader of the documents has: a service that runs, and files of the usual names.

Commands are given as the documents give them. Where a document names a default address or a
folder of an installed service, the scene's own stand in for it; nothing else is changed.
"""

from __future__ import annotations

import gzip
import math
import os
import re
import shlex
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import builders
import click
import pytest
import zmq
from background import meanwhile
from click.testing import CliRunner
from documents import ROOT
from harness import Feed, Service, eventually
from made_market import write_lines
from original_setup import original_setup
from serving import tick

import service.__main__
import training.__main__
from protocol import compat, home
from service import keygen

PROGRAMS = {"signal-scorer": service.__main__.cli, "signal-scorer-train": training.__main__.main}
BIN = Path(sys.executable).parent
SHELL = re.compile(r"[|&;<>$`]")
DAY_S = 86_400.0


class Done(NamedTuple):
    """How a command ended and all that it printed."""

    code: int
    output: str


class Scene:
    """One running service, a model and the model before it, a journal, truth logs, a recording."""

    def __init__(self, folder: Path, service: Service, replayed_at: str, ingest: str) -> None:
        self.folder, self.service, self.ingest = folder, service, ingest
        self._default_map = {
            "replay": {"bind": replayed_at, "wait_s": 20},
            "doctor": {"listen_s": 0.3},
        }
        self._started: set[str] = set()
        self._places = {
            "tcp://127.0.0.1:5561": service.address,
            "http://127.0.0.1:9461": service.metrics().removesuffix("/metrics"),
            "/etc/": f"{folder}/etc/",
            "/srv/ticks": str(folder),
            "/root/HydraX-v2": str(folder / "HydraX-v2"),
            "/var/lib/signal-scorer": str(folder / "var"),
            "/var/backups": str(folder / "backups"),
            "/var/lib/prometheus": str(folder / "prometheus"),
            "-o scorer-trainer -g scorer ": "",
            ".venv/bin/": "",
            "/opt/signal-scorer/bin/": "",
        }

    @property
    def environment(self) -> dict[str, str]:
        """What a shell of this scene has set."""
        return {
            "SIGNAL_SCORER_ENDPOINT": self.service.address,
            "SIGNAL_SCORER_CONFIG": str(self.folder / "etc/signal-scorer/config.toml"),
            "SIGNAL_SCORER_INGEST": self.ingest,
            "SIGNAL_SCORER_TRAINER": f"{sys.executable} -m training",
        }

    def run(self, command: str) -> Done:
        """Give a command; ours run in this process, others in a shell beside it."""
        for place, here in self._places.items():
            command = command.replace(place, here)
        words = shlex.split(command)
        environment = dict(self.environment)
        while words and re.match(r"[A-Z_]+=", words[0]):
            name, _, value = words.pop(0).partition("=")
            environment[name] = value
        if words[:2] == ["signal-scorer", "serve"]:
            return self._serve(words[2:], environment)
        if words[0] in PROGRAMS and not SHELL.search(command):
            return self._invoke(PROGRAMS[words[0]], words[1:], environment)
        done = subprocess.run(
            ["bash", "-euc", command],
            cwd=self.folder,
            env=os.environ | environment | {"PATH": f"{BIN}:{os.environ['PATH']}"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
        )
        return Done(done.returncode, done.stdout)

    @contextmanager
    def reader(self) -> Iterator[None]:
        """This process as a program of the reader's: the scene's environment and folder."""
        with pytest.MonkeyPatch.context() as patch:
            for key, value in self.environment.items():
                patch.setenv(key, value)
            patch.chdir(self.folder)
            patch.setattr(compat, "_process_wide", [])
            _patient(patch, self.service.address)
            yield

    def python(self, text: str, name: str, told: dict[str, Any]) -> None:
        """Run a block of a document's Python among the names that those before it have left."""
        for place, here in self._places.items():
            text = text.replace(place, here)
        exec(compile(text, name, "exec"), told)

    def reset(self) -> None:
        """Take back what a document's commands have changed of the service."""
        (self.folder / "var" / "mode.json").unlink(missing_ok=True)
        with self.service.client() as asking:
            eventually(lambda: asking.health()["mode"] == "live", "the configured mode")

    def _invoke(
        self, program: click.Command, words: list[str], environment: dict[str, str]
    ) -> Done:
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(self.folder)
            found = [self._expanded(word) for word in words]
            result = CliRunner(env=environment).invoke(
                program, [word for each in found for word in each], default_map=self._default_map
            )
        if result.exception and not isinstance(result.exception, SystemExit):
            code = getattr(result.exception, "exit_code", None)
            if code is None:
                raise result.exception
            return Done(code, result.output + str(result.exception))
        return Done(result.exit_code, result.output)

    def _expanded(self, word: str) -> list[str]:
        """As a shell would: the files that a pattern names."""
        folder, _, pattern = word.rpartition("/")
        found = sorted(map(str, (self.folder / folder).glob(pattern))) if "*" in word else []
        return found or [word]

    def _serve(self, options: list[str], environment: dict[str, str]) -> Done:
        """Start a service of its own as the command says, on free ports; stop it once ready."""
        asked = shlex.join(options)
        if asked in self._started:
            return Done(0, "as before")
        self._started.add(asked)
        values = {k.removeprefix("SIGNAL_SCORER_"): v for k, v in environment.items()}
        for name in ("ENDPOINT", "INGEST", "TRAINER", "CONFIG"):
            values.pop(name, None)
        folder = self.folder / f"served-{len(self._started)}"
        with closing(Service(folder, None, **values | {"METRICS_BIND": "127.0.0.1:0"})) as another:
            another.options = tuple(options)
            another.start()
            code, _ = another.terminate()
            return Done(code, "\n".join(map(str, another.log)))


@contextmanager
def scene(folder: Path) -> Iterator[Scene]:
    """A scene in an empty folder."""
    state = folder / "var"
    now_s = time.time()
    for seed, age_s in ((0, 9 * DAY_S), (1, 2 * DAY_S)):
        builders.small_model(state / "models", seed, directed=True, now_s=now_s - age_s)
    _files(folder, now_s)
    ingest, replayed_at = f"ipc://{folder}/ingest.sock", f"ipc://{folder}/replay.sock"
    with ExitStack() as stack:
        stack.enter_context(_listening(replayed_at))
        feed = Feed()
        stack.callback(feed.close)
        service = Service(
            state,
            feed,
            FEED_INGEST=ingest,
            # The feed says nothing more; a busy machine may take minutes over the documents.
            FEED_SILENCE_S="3600",
            FEED_STALE_AFTER_S="3600",
            RECORD_ENABLED="true",
            METRICS_BIND="127.0.0.1:0",
        )
        stack.callback(service.close)
        service.start().warm()
        _configuration(folder, service, feed, ingest)
        with service.client() as client:
            client.score_many([_signal(number) for number in range(60)])
        yield Scene(folder, service, replayed_at, ingest)


def _signal(number: int) -> dict[str, Any]:
    """One of those that were scored before the reader begins."""
    score = 60.0 + number % 25
    return {"symbol": "EURUSD", "base_score": score, "direction": "BUY", "pattern": "OB_BOUNCE"}


def _configuration(folder: Path, service: Service, feed: Feed, ingest: str) -> None:
    """What the service was started with, as an installed one has it: in a file."""
    metrics = service.metrics().removeprefix("http://").removesuffix("/metrics")
    (folder / "etc/signal-scorer/config.toml").write_text(
        f"""
state_dir = "{service.folder}"
[score]
bind = ["{service.address}"]
[feed]
endpoints = ["{feed.address}"]
ingest = "{ingest}"
clock_offset = 0
silence_s = 3600
stale_after_s = 3600
[metrics]
bind = "{metrics}"
[record]
enabled = true
[truth_log]
paths = ["{folder}/HydraX-v2/ml_training_data.jsonl", "{folder}/HydraX-v2/truth_log.jsonl"]
"""
    )


def _listening(address: str) -> AbstractContextManager[None]:
    """A subscriber for replays: their stamps are not of this service's present."""

    def read(stop: threading.Event) -> None:
        with zmq.Context() as context, context.socket(zmq.SUB) as socket:
            socket.setsockopt(zmq.LINGER, 0)
            socket.subscribe(b"")
            socket.connect(address)
            while not stop.is_set():
                if socket.poll(50):
                    socket.recv()

    return meanwhile(read)


def _files(folder: Path, now_s: float) -> None:
    """Files that documents name as the reader's own."""
    for name in ("signal-scorer", "prometheus"):
        (folder / "etc" / name).mkdir(parents=True)
    (folder / "prometheus").mkdir()
    (folder / "deploy").symlink_to(ROOT / "deploy")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        keygen.keygen(Path("keys"), "elite_guard")
    for name in ("server.pub", "elite_guard.key"):
        (folder / "keys" / name).rename(folder / name)
    original_setup(folder / "HydraX-v2", now_s=now_s)
    began_s = int(now_s) // 60 * 60 - 12 * 3600
    born_s = [began_s + 3600 * (at + 3) for at in range(6)]
    write_lines(folder / "truth_log.jsonl", [line for at in born_s for line in _told(at)])
    signals = [{"symbol": "EURUSD", "time": at, "base_score": 72.0} for at in born_s]
    named = [{"signal_id": f"EG_{n}", **one, "direction": "BUY"} for n, one in enumerate(signals)]
    write_lines(folder / "signals.jsonl", named)
    for symbol in ("EURUSD", "GBPUSD"):
        _market(folder / f"ticks_{symbol}.csv.gz", int(now_s) // 60 * 60 - 36 * 3600, hours=36)
    _market(folder / "lean_fx_tick_EURUSD.oanda.csv.gz", began_s, hours=12)
    ahead_s = int(now_s) + 3 * 3600
    ticks = [tick("NZDUSD", ahead_s + at, price - 0.5) for at, price in _walk(40)]
    (folder / "ticks.jsonl").write_bytes(b"\n".join(ticks) + b"\n")


def _market(path: Path, began_s: int, *, hours: int) -> None:
    """A file of FX ticks, four a minute."""
    prices = _walk(240 * hours)
    rows = [f"{1000 * (began_s + 15 * at)},{p:.5f},{p + 1e-4:.5f}" for at, p in prices]
    path.write_bytes(gzip.compress("\n".join(["ts_ms,bid,ask", *rows]).encode(), 1))


def _walk(n: int) -> Iterator[tuple[int, float]]:
    """Prices that go up and down by a quarter of a percent."""
    return ((at, 1.1 + 0.0025 * math.sin(at / 97) + 1e-5 * (at % 7)) for at in range(n))


def _told(born_s: int) -> list[dict[str, Any]]:
    """A signal and its end, as the original's truth tracker writes them."""
    name = {"signal_id": f"ELITE_GUARD_EURUSD_{born_s}", "symbol": "EURUSD"}
    win = born_s // 3600 % 2 == 0
    return [
        name | {"direction": "BUY", "confidence": 74.5, "completed": False, "pattern": "OB"},
        name
        | {
            "completed": True,
            "outcome": "WIN_TP" if win else "LOSS_SL",
            "max_favorable_pips": 15.5,
            "max_adverse_pips": -3.2,
            "runtime_seconds": 2700,
        },
    ]


def _patient(patch: pytest.MonkeyPatch, address: str) -> None:
    """Budgets and the endpoint of the examples, made fit for a busy machine and this service."""
    made = home.Resident.__init__

    def make(
        self: Any, endpoint: str = address, timeout_ms: float = 0, *args: Any, **more: Any
    ) -> None:
        made(self, endpoint, 10_000, *args, **more)

    patch.setattr(home.Resident, "__init__", make)
