"""A real Prometheus and node exporter beside the real service, for `watch` and its faults.

The configuration and the rules are the shipped ones, but for the targets, the intervals and the
`for:` of the alerts, all of which become a second or two, as do the three minutes in which a feed
is silent. Where ticks are looked back on for ten minutes, it is ten seconds.
"""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import subprocess
import threading
import time
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

import zmq
from harness import Service, eventually, free_port
from serving import history, tick

ROOT = Path(__file__).resolve().parents[1]
SHIPPED = ROOT / "deploy" / "prometheus"
PATIENCE_S = 60.0
SYMBOLS = ("BTCUSD", "EURUSD")
"""One of them a coin: its market is open whenever this is run."""


class Prometheus:
    """Prometheus with our rules, scraping node exporter and whatever `targets` lists."""

    def __init__(self, folder: Path) -> None:
        for program in ("prometheus", "prometheus-node-exporter"):
            if shutil.which(program) is None:
                raise SystemExit(f"{program} is needed: apt install {program}")
        self.textfiles = folder / "node-exporter-scorer"
        self.textfiles.mkdir()
        self._targets = folder / "targets.json"
        self._listed: list[str] = []
        self._write_targets()
        self.node = f"127.0.0.1:{free_port()}"
        self._address = f"127.0.0.1:{free_port()}"
        rules, self.shortened = re.subn(
            r"^( +)for: \w+$", r"\1for: 2s", (SHIPPED / "alerts.yml").read_text(), flags=re.M
        )
        rules, ticks = re.subn(r"(_tick\w*(?:{[^}]*})?)\[10m\]", r"\1[10s]", rules)
        rules, silences = re.subn(r"_feed_silent\[3m\]", "_feed_silent[2s]", rules)
        assert ticks
        assert silences
        (folder / "alerts.yml").write_text(rules)
        (folder / "prometheus.yml").write_text(self._configuration())
        self.alerts = re.findall(r"^ +- alert: (\w+)$", rules, re.M)
        self._processes = [
            subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=(folder / log).open("w"))
            for command, log in (
                (
                    [
                        "prometheus-node-exporter",
                        "--collector.disable-defaults",
                        "--collector.textfile",
                        f"--collector.textfile.directory={folder / 'node-exporter*'}",
                        f"--web.listen-address={self.node}",
                    ],
                    "node.log",
                ),
                (
                    [
                        "prometheus",
                        f"--config.file={folder / 'prometheus.yml'}",
                        f"--storage.tsdb.path={folder / 'tsdb'}",
                        f"--web.listen-address={self._address}",
                    ],
                    "prometheus.log",
                ),
            )
        ]
        eventually(self._answers, f"Prometheus (see {folder}/prometheus.log)")

    def _configuration(self) -> str:
        """The shipped one with quicker intervals and our targets."""
        text = (SHIPPED / "prometheus.yml").read_text()
        text = re.sub(r"_interval: 15s", "_interval: 1s", text)
        scorer = '    static_configs:\n      - targets: ["127.0.0.1:9461"] # metrics.bind\n'
        assert scorer in text
        files = f'    file_sd_configs:\n      - files: ["{self._targets}"]\n'
        text = text.replace(scorer, files + "        refresh_interval: 1s\n")
        assert '"127.0.0.1:9100"' in text
        return text.replace("127.0.0.1:9100", self.node)

    def _answers(self) -> bool:
        # Before it is ready, what its API says may be no JSON.
        try:
            with urllib.request.urlopen(f"http://{self._address}/-/ready", timeout=10):
                return True
        except OSError:
            return False

    def _get(self, path: str, **asked: str) -> Any:
        address = f"http://{self._address}/api/v1/{path}?{urllib.parse.urlencode(asked)}"
        with urllib.request.urlopen(address, timeout=10) as reply:
            return json.load(reply)["data"]

    def scrape(self, target: str) -> None:
        """Scrape this target too, and wait until it was."""
        self._listed.append(target)
        self._write_targets()
        eventually(lambda: self.value(f'up{{instance="{target}"}}') == 1, "a scrape", PATIENCE_S)

    def forget(self, target: str) -> None:
        """Scrape it no more; its alerts end with its series."""
        self._listed.remove(target)
        self._write_targets()

    def _write_targets(self) -> None:
        scratch = self._targets.with_suffix(".tmp")
        scratch.write_text(json.dumps([{"targets": self._listed}]))
        scratch.rename(self._targets.with_suffix(".json"))

    def query(self, expression: str) -> list[float]:
        """The values of an instant query, those that are no numbers left out."""
        found = self._get("query", query=expression)
        assert found["resultType"] == "vector", expression
        values = [float(one["value"][1]) for one in found["result"]]
        return [value for value in values if not math.isnan(value)]

    def value(self, expression: str) -> float | None:
        """The only value of a query, or None."""
        values = self.query(expression)
        return values[0] if len(values) == 1 else None

    def firing(self, instance: str | None = None) -> dict[str, str]:
        """What fires now (for this instance): name and summary."""
        return {
            alert["labels"]["alertname"]: alert["annotations"]["summary"]
            for alert in self._get("alerts")["alerts"]
            if alert["state"] == "firing" and instance in (None, alert["labels"].get("instance"))
        }

    def close(self) -> None:
        """End both."""
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            process.wait()


class Bridge:
    """The feed: 40 ticks a second in a thread of its own, of which the faults change the manner."""

    def __init__(self) -> None:
        self.silent = False
        self.ticks = True
        self.ahead_s = 0.0
        self.late = False
        self.garbled = False
        self._extra: list[bytes] = []
        self._stop = threading.Event()
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._socket = self._context.socket(zmq.PUB)
        port = self._socket.bind_to_random_port("tcp://127.0.0.1")
        self.address = f"tcp://127.0.0.1:{port}"
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def send(self, frames: list[bytes]) -> None:
        """Publish these too."""
        self._extra = frames

    def _run(self) -> None:
        number = 0
        while not self._stop.wait(0.05):
            extra, self._extra = self._extra, []
            for frame in extra:
                self._socket.send(frame)
            if self.silent:
                continue
            number += 1
            if not self.ticks:
                self._socket.send(b'{"type":"heartbeat"}')
                continue
            stamp_s = time.time() + self.ahead_s - 30.0 * (self.late and number % 2)
            for symbol in SYMBOLS:
                sent = tick(symbol, stamp_s, 1.1 + number % 7 * 1e-5)
                if self.garbled and symbol == SYMBOLS[0]:
                    sent = sent.replace(symbol.encode(), b"no symbol")
                self._socket.send(sent)

    def close(self) -> None:
        """End the thread and the socket."""
        self._stop.set()
        self._thread.join()
        self._context.destroy(linger=0)


class Watched:
    """A service with a feed, seen by Prometheus; each fault gets its own."""

    def __init__(self, prometheus: Prometheus, folder: Path, **values: str) -> None:
        self.prometheus, self.folder = prometheus, folder
        self.bridge = Bridge()
        self.instance = f"127.0.0.1:{free_port()}"
        self.service = Service(
            folder,
            **{
                "METRICS_BIND": self.instance,
                "FEED_ENDPOINTS": self.bridge.address,
                "MODEL_DIRECTORY": str(folder / "models"),
                **values,
            },
        )
        self._scraped = False

    def start(self, *, warm: bool = True, scrape: bool = True, **environ: str) -> Watched:
        """Start, with these in the environment; feed a history; be scraped."""
        before = dict(os.environ)
        os.environ.update(environ)
        try:
            self.service.start()
        finally:
            os.environ.clear()
            os.environ.update(before)
        if warm:
            eventually(self.service.received, "the first tick")
            self.bridge.send(history(SYMBOLS, time.time()))
            with self.service.client() as client:
                eventually(lambda: client.stats()["symbols_warm"] == len(SYMBOLS), "warmth")
        if scrape:
            self.scrape()
        return self

    def scrape(self) -> None:
        """Be seen by Prometheus from now on."""
        self._scraped = True
        self.prometheus.scrape(self.instance)

    def opened(self, endpoint: str = "") -> None:
        """Wait until the rules find its market open (the bridge's): at a weekend by its coins."""
        of = f'instance="{self.instance}",endpoint="{endpoint or self.bridge.address}"'
        query = f"signal_scorer:feed_open{{{of}}}"
        eventually(lambda: self.prometheus.value(query) == 1, "an open market", PATIENCE_S)
        query = f"max(increase(signal_scorer_ticks_total{{{of}}}[5d]))"
        # More than the rules ask for: a part of an increase is extrapolated, and goes again.
        eventually(lambda: (self.prometheus.value(query) or 0) > 200, "its ticks", PATIENCE_S)

    def close(self) -> None:
        """End it, its feed and its scrapes."""
        if self._scraped:
            self.prometheus.forget(self.instance)
        self.service.close()
        self.bridge.close()
