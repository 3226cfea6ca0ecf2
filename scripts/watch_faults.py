"""The faults: each is done for real to a service of its own and names the alerts that follow.

A fault is a generator that gives the instance to look at once all is done; what is behind its
`yield` runs when the alerts have been seen. The rule: no metric is made up. Where something takes
days, the clock of that process is set back (libfaketime), or a model is published under an earlier
date; months of outcomes are written into a journal; the one bug is planted.
"""

from __future__ import annotations

import os
import shutil
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import zmq
from background import meanwhile
from builders import small_model
from harness import eventually
from monitored import answer_signals, publish_small
from scored_journal import write_journal
from serving import body
from watched import Prometheus, Watched

from protocol import messages
from protocol.client import ScorerClient
from protocol.curve import CurveKeys
from service.journal_file import open_reader

DAY_S = 86_400.0
FAKETIME = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1")
Seen = Iterator[str]


class Fault(NamedTuple):
    """What is done, and what fires then."""

    alerts: tuple[str, ...]
    text: str
    do: Callable[[Prometheus, Path], Seen]


FAULTS: list[Fault] = []


def fault(text: str, *alerts: str) -> Callable[[Callable[[Prometheus, Path], Seen]], None]:
    """Register a fault."""

    def keep(do: Callable[[Prometheus, Path], Seen]) -> None:
        FAULTS.append(Fault(alerts, text, do))

    return keep


@contextmanager
def watched(prometheus: Prometheus, folder: Path, **values: str) -> Iterator[Watched]:
    """A service that is not started yet, ended with the block."""
    one = Watched(prometheus, folder, **values)
    with closing(one):
        yield one


LEVELS = {"direction": "BUY", "entry_price": 1.1, "stop_loss": 1.0, "take_profit": 1.3}


def signals(client: ScorerClient, count: int, symbol: str = "BTCUSD", **more: Any) -> None:
    """So many signals with ids of their own."""
    for number in range(count):
        client.score(symbol, 40.0 + number % 50, signal_id=f"W{time.monotonic_ns()}", **more)


def asking(address: str, clients: int = 4) -> AbstractContextManager[None]:
    """Clients that ask as fast as they are answered, for as long as the block lasts."""

    def ask(stop: threading.Event) -> None:
        with ScorerClient(address, 10_000) as client:
            while not stop.is_set():
                signals(client, 20)

    return meanwhile(*[ask] * clients)


def flooding(address: str) -> AbstractContextManager[None]:
    """One peer that keeps 256 scores waiting, so that the loop has no pause."""

    def flood(stop: threading.Event) -> None:
        with zmq.Context() as context, context.socket(zmq.DEALER) as socket:
            socket.linger = 0
            socket.connect(address)
            frames = [b"", body("score", symbol="BTCUSD", base_score=70.0)]
            for _ in range(256):
                socket.send_multipart(frames)
            while not stop.is_set():
                if socket.poll(100):
                    socket.recv_multipart()
                    socket.send_multipart(frames)

    return meanwhile(flood)


def stop_for(one: Watched, seconds: float) -> None:
    """The process stands still for so long."""
    assert one.service.process
    one.service.process.send_signal(signal.SIGSTOP)
    time.sleep(seconds)
    one.service.process.send_signal(signal.SIGCONT)


def trainer(folder: Path, *arguments: str, ago: str = "", **environ: str) -> None:
    """`signal-scorer-train` as cron runs it, by a clock that is so much behind."""
    shifted = {"LD_PRELOAD": str(FAKETIME), "FAKETIME": f"-{ago}"} if ago else {}
    places = ["--journal", str(folder / "journal.db"), "--models", str(folder / "models")]
    done = subprocess.run(
        [sys.executable, "-m", "training", *arguments, *places],
        env=os.environ | shifted | environ,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode not in (0, 3, 4, 5):
        raise SystemExit(done.stdout + done.stderr)


@fault("kill -9", "ScorerDown")
def down(prometheus: Prometheus, folder: Path) -> Seen:
    with watched(prometheus, folder) as one:
        one.start(warm=False).service.kill()
        yield one.instance


@fault("kill -9, three times, started again each time", "ScorerRestarting")
def restarting(prometheus: Prometheus, folder: Path) -> Seen:
    started = "signal_scorer_start_time_seconds"
    with watched(prometheus, folder) as one:
        one.start(warm=False)
        query = f'{started}{{instance="{one.instance}"}}'
        for _ in range(3):
            before = prometheus.value(query)
            one.service.kill()
            one.service.start()
            eventually(lambda b=before: prometheus.value(query) not in (None, b), "a scrape")
        yield one.instance


@fault("the feed falls silent", "ScorerFeedSilent", "ScorerNotReady")
def silent(prometheus: Prometheus, folder: Path) -> Seen:
    with watched(prometheus, folder, FEED_SILENCE_S="1") as one:
        one.start().bridge.silent = True
        yield one.instance


@fault("the feed sends heartbeats only", "ScorerNoTicks")
def heartbeats(prometheus: Prometheus, folder: Path) -> Seen:
    with watched(prometheus, folder) as one:
        one.start(scrape=False).bridge.ticks = False
        time.sleep(0.5)
        one.scrape()
        yield one.instance


@fault("the feed is a minute behind", "ScorerFeedLagging")
def lagging(prometheus: Prometheus, folder: Path) -> Seen:
    with watched(prometheus, folder) as one:
        one.bridge.ahead_s = -60.0
        one.start(warm=False)
        yield one.instance


@fault("ticks without a history", "ScorerNoSymbolWarm")
def cold(prometheus: Prometheus, folder: Path) -> Seen:
    with watched(prometheus, folder) as one:
        one.start(warm=False)
        yield one.instance


@fault("every other tick is 30 s old", "ScorerTicksRefused")
def late(prometheus: Prometheus, folder: Path) -> Seen:
    with watched(prometheus, folder) as one:
        one.start().bridge.late = True
        yield one.instance


@fault("as many symbols as fit (limits.symbols = 2)", "ScorerSymbolsFull")
def full(prometheus: Prometheus, folder: Path) -> Seen:
    with watched(prometheus, folder, LIMITS_SYMBOLS="2") as one:
        one.start()
        yield one.instance


@fault("the feed's clock jumps by three hours", "ScorerClockOffsetChanged")
def offset(prometheus: Prometheus, folder: Path) -> Seen:
    with watched(prometheus, folder, FEED_CLOCK_OFFSET="auto") as one:
        one.start()

        def found(state: str, offset_s: float) -> bool:
            with one.service.client() as client:
                (endpoint,) = client.stats()["feed"]["endpoints"]
            return (endpoint["clock_state"], endpoint["clock_offset_s"]) == (state, offset_s)

        eventually(lambda: found("live", 0.0), "the clock to be found", 60.0)
        one.bridge.ahead_s = 10_800.0
        eventually(lambda: found("live", 10_800.0), "the clock to be found elsewhere", 60.0)
        yield one.instance


@fault("this machine's clock is set an hour ahead", "ScorerClockStepped")
def stepped(prometheus: Prometheus, folder: Path) -> Seen:
    setting = folder / "offset"
    setting.write_text("+0")
    with watched(prometheus, folder) as one:
        one.start(
            warm=False,
            LD_PRELOAD=str(FAKETIME),
            FAKETIME_TIMESTAMP_FILE=str(setting),
            FAKETIME_NO_CACHE="1",
            FAKETIME_DONT_FAKE_MONOTONIC="1",
        )
        setting.write_text("+3600")
        yield one.instance


@fault("a damaged model is published", "ScorerModelRefused")
def damaged(prometheus: Prometheus, folder: Path) -> Seen:
    small_model(folder / "models", now_s=time.time() - 60.0)
    version = small_model(folder / "other", seed=1, now_s=time.time())
    forest = folder / "other" / version / "forest.npz"
    forest.chmod(0o644)
    forest.write_bytes(forest.read_bytes()[:-100])
    with watched(prometheus, folder) as one:
        one.start()
        shutil.copytree(folder / "other" / version, folder / "models" / version)
        (folder / "other" / "CURRENT.json").replace(folder / "models" / "CURRENT.json")
        yield one.instance


@fault("the pointer to the model is removed, and the service restarted", "ScorerModelGone")
def gone(prometheus: Prometheus, folder: Path) -> Seen:
    small_model(folder / "models", now_s=time.time())
    with watched(prometheus, folder) as one:
        one.start().service.terminate()
        (folder / "models" / "CURRENT.json").unlink()
        one.service.start()
        yield one.instance


@fault("a model that was reviewed 30 days ago", "ScorerModelStale")
def stale(prometheus: Prometheus, folder: Path) -> Seen:
    small_model(folder / "models", now_s=time.time() - 30 * DAY_S)
    with watched(prometheus, folder) as one:
        one.start()
        yield one.instance


@fault("a model that was reviewed 36 days ago", "ScorerModelExpired")
def expired(prometheus: Prometheus, folder: Path) -> Seen:
    small_model(folder / "models", now_s=time.time() - 36 * DAY_S)
    with watched(prometheus, folder) as one:
        one.start()
        yield one.instance


@fault("signals of a symbol that the feed does not have", "ScorerBaseScores")
def unknown(prometheus: Prometheus, folder: Path) -> Seen:
    small_model(folder / "models", now_s=time.time())
    with watched(prometheus, folder) as one:
        one.start()
        with one.service.client() as client:
            signals(client, 20, "NOSUCH")
        yield one.instance


@fault("signal-scorer mode off", "ScorerModeOff")
def off(prometheus: Prometheus, folder: Path) -> Seen:
    with watched(prometheus, folder) as one:
        one.start()
        command = [sys.executable, "-m", "service", "mode", "off"]
        environ = os.environ | {
            "SIGNAL_SCORER_STATE_DIR": str(folder),
            "SIGNAL_SCORER_ENDPOINT": one.service.address,
        }
        subprocess.run(command, env=environ, check=True, capture_output=True)
        yield one.instance


@fault("five requests that are none", "ScorerRequestsRefused")
def malformed(prometheus: Prometheus, folder: Path) -> Seen:
    with watched(prometheus, folder) as one:
        one.start()
        with zmq.Context() as context, context.socket(zmq.REQ) as socket:
            socket.connect(one.service.address)
            for _ in range(5):
                socket.send(b"hello")
                socket.recv()
        yield one.instance


@fault("4,000 requests while the process stands still", "ScorerOverloaded")
def overloaded(prometheus: Prometheus, folder: Path) -> Seen:
    with watched(prometheus, folder) as one:
        one.start()
        context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        sockets = [context.socket(zmq.DEALER) for _ in range(8)]
        for socket in sockets:
            socket.connect(one.service.address)
            socket.send_multipart([b"", body("health")])
            socket.recv_multipart()
        halted = threading.Thread(target=stop_for, args=(one, 1.0))
        halted.start()
        time.sleep(0.1)
        for _ in range(500):
            for socket in sockets:
                socket.send_multipart([b"", body("score", symbol="BTCUSD", base_score=70.0)])
        halted.join()
        yield one.instance
        context.destroy(linger=0)


@fault("a bug, planted: one symbol raises in the engine", "ScorerInternalErrors")
def bug(prometheus: Prometheus, folder: Path) -> Seen:
    (folder / "sitecustomize.py").write_text(
        "from service.engine import Engine\n"
        "sound = Engine.on_request\n"
        "def broken(self, request, *more):\n"
        "    if getattr(request, 'symbol', '') == 'BUG':\n"
        "        raise RuntimeError('planted')\n"
        "    return sound(self, request, *more)\n"
        "Engine.on_request = broken\n"
    )
    with watched(prometheus, folder) as one:
        one.start(PYTHONPATH=str(folder))
        with one.service.client() as client:
            client.score("BUG", 70.0)
        yield one.instance


@fault("no processor for 300 ms at a time, under load", "ScorerSlow", "ScorerLoopStalled")
def starved(prometheus: Prometheus, folder: Path) -> Seen:
    with watched(prometheus, folder) as one:
        one.start()
        with flooding(one.service.address):
            for _ in range(20):
                # So short that those who met the stop are far more than one in a hundred.
                time.sleep(0.01)
                stop_for(one, 0.3)
        yield one.instance


@fault("clients that ask and are gone", "ScorerRepliesDropped")
def dropped(prometheus: Prometheus, folder: Path) -> Seen:
    with watched(prometheus, folder) as one:
        one.start()
        for _ in range(10):
            halted = threading.Thread(target=stop_for, args=(one, 0.3))
            with zmq.Context() as context, context.socket(zmq.DEALER) as socket:
                socket.linger = 0
                socket.connect(one.service.address)
                socket.send_multipart([b"", body("health")])
                socket.recv_multipart()
                halted.start()
                time.sleep(0.05)
                for _ in range(5):
                    socket.send_multipart([b"", body("health")])
                time.sleep(0.1)
            halted.join()
        yield one.instance


@fault("ten connections with a key that is not listed", "ScorerStrangers")
def strangers(prometheus: Prometheus, folder: Path) -> Seen:
    keys = folder / "keys"
    for name in ("friend", "stranger"):
        command = [sys.executable, "-m", "service", "keygen", "--name", name, str(keys)]
        subprocess.run(command, check=True, capture_output=True)
    (keys / "clients" / "stranger.pub").unlink()
    values = {
        "CURVE_SERVER_SECRET_FILE": str(keys / "server.key"),
        "CURVE_CLIENTS_DIR": str(keys / "clients"),
        "CURVE_LOOPBACK": "true",
    }
    with watched(prometheus, folder, **values) as one:
        one.start(warm=False)
        pair = CurveKeys.read(keys / "server.pub", keys / "stranger.key")
        for _ in range(10):
            with ScorerClient(one.service.address, 200, curve=pair) as client:
                client.score("BTCUSD", 70.0)
        yield one.instance


@fault("a full disk (tmpfs)", "ScorerJournalFailing", "ScorerDiskFilling")
def disk(prometheus: Prometheus, folder: Path) -> Seen:
    yield from _full_disk(prometheus, folder, mended=False)


@fault("a disk that was full and has room again", "ScorerAnswersNotKept")
def mended_disk(prometheus: Prometheus, folder: Path) -> Seen:
    yield from _full_disk(prometheus, folder, mended=True)


def _full_disk(prometheus: Prometheus, folder: Path, *, mended: bool) -> Seen:
    small = folder / "disk"
    small.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "scorer-watch", str(small)]
    subprocess.run(mount, check=True)
    try:
        with watched(prometheus, small) as one:
            one.start()
            with (small / "filler").open("wb", buffering=0) as filler, suppress(OSError):
                while True:
                    filler.write(bytes(4096))
            with one.service.client() as client:

                def fails() -> bool:
                    signals(client, 50)
                    return bool(client.stats()["journal"]["unwritten"])

                eventually(fails, "the journal to fail")
            if mended:
                (small / "filler").unlink()
                yield one.instance
            else:
                with asking(one.service.address, clients=1):
                    yield one.instance
    finally:
        subprocess.run(["umount", "--lazy", str(small)], check=True)


@fault("a damaged score in the spool at the start", "ScorerJournalErrors")
def damaged_spool(prometheus: Prometheus, folder: Path) -> Seen:
    with watched(prometheus, folder) as one:
        (folder / "journal.db-spool").write_bytes(struct.pack("<II", 1, 0) + b"damaged")
        one.start(warm=False)
        yield one.instance


@fault("a reader that keeps its transaction open, under load", "ScorerWalLarge")
def wal(prometheus: Prometheus, folder: Path) -> Seen:
    with watched(prometheus, folder) as one:
        one.start()
        with closing(open_reader(folder / "journal.db")) as reader:
            reader.execute("begin")
            reader.execute("select count(*) from scores").fetchone()
            path = folder / "journal.db-wal"
            with asking(one.service.address):
                eventually(lambda: path.stat().st_size > 70 << 20, "the WAL to grow", 120.0)
            yield one.instance


@fault("as many paper positions as fit (paper.max_positions = 3)", "ScorerPaperFull")
def paper(prometheus: Prometheus, folder: Path) -> Seen:
    with watched(prometheus, folder, PAPER_MAX_POSITIONS="3") as one:
        one.start()
        with one.service.client() as client:
            signals(client, 4, **LEVELS)
        yield one.instance


@fault("outcomes far below the promise; an alert command that fails",
       "ScorerModelDegraded", "ScorerAlertCommandFailing")  # fmt: skip
def degraded(prometheus: Prometheus, folder: Path) -> Seen:
    model = publish_small(folder / "models")
    answer_signals(folder / "journal.db", model, 400, worse_by=0.25)
    textfile = prometheus.textfiles / "monitor.prom"
    trainer(
        folder, "monitor", "--textfile", str(textfile),
        SIGNAL_SCORER_ALERTS_COMMAND='["/bin/false"]',
        SIGNAL_SCORER_MODEL_EXPIRE_AFTER_DAYS="0",
    )  # fmt: skip
    yield prometheus.node
    textfile.unlink()


@fault("a monitor that ran five hours ago, and not since", "ScorerMonitorSilent")
def monitor_silent(prometheus: Prometheus, folder: Path) -> Seen:
    yield from _ran_last(prometheus, folder, "monitor", "5h")


@fault("a trainer that ran ten days ago, and not since", "ScorerTrainerSilent")
def trainer_silent(prometheus: Prometheus, folder: Path) -> Seen:
    yield from _ran_last(prometheus, folder, "train", "10d")


def _ran_last(prometheus: Prometheus, folder: Path, command: str, ago: str) -> Seen:
    write_journal(folder / "journal.db", 10, edge=0.1)
    textfile = prometheus.textfiles / f"{command}.prom"
    trainer(folder, command, "--textfile", str(textfile), ago=ago)
    yield prometheus.node
    textfile.unlink()


@fault("signals unlike those that the model knows", "ScorerDrift")
def drift(prometheus: Prometheus, folder: Path) -> Seen:
    small_model(folder / "models", now_s=time.time())
    with watched(prometheus, folder) as one:
        one.start()
        with one.service.client() as client:
            client.call(
                messages.ScoreManyRequest(
                    signals=[{"symbol": "BTCUSD", "base_score": 99.0} for _ in range(120)]
                )
            )
        yield one.instance
