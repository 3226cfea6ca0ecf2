"""The faults: each is done for real to a service of its own and names the alerts that follow.

One that has to go on while the alerts are looked for is a generator, which gives the instance to
look at; what is behind its `yield` runs afterwards. The rule: no metric is made up. Where something
takes days, the clock of that process is set back (libfaketime), or a model is published under an
earlier date; months of outcomes are written into a journal; the one bug is planted.
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
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import zmq
from background import meanwhile
from builders import NOW_S, small_model
from harness import eventually, free_port
from monitored import answer_signals
from scored_journal import write_journal
from serving import body, published_model, tick
from watched import Prometheus, Watched

from protocol import messages
from protocol.client import ScorerClient
from protocol.curve import CurveKeys
from service.journal.file import open_reader

DAY_S = 86_400.0
FAKETIME = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1")


class Fault(NamedTuple):
    """What is done to a service that has these settings and is not started yet, and what fires."""

    alerts: tuple[str, ...]
    text: str
    do: Callable[[Watched], Iterator[str] | None]
    values: dict[str, str]

    @contextmanager
    def done(self, prometheus: Prometheus, folder: Path) -> Iterator[str]:
        """Do it; the instance to look at for as long as the block lasts."""
        with closing(Watched(prometheus, folder, **self.values)) as one:
            going_on = self.do(one)
            yield one.instance if going_on is None else next(going_on)
            for _ in going_on or ():
                raise AssertionError("a fault yields once")


FAULTS: list[Fault] = []
Do = Callable[[Watched], Iterator[str] | None]


def fault(text: str, *alerts: str, **values: str) -> Callable[[Do], None]:
    """Register a fault."""
    return lambda do: FAULTS.append(Fault(alerts, text, do, values))


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
def down(one: Watched) -> None:
    one.start(warm=False).service.kill()


@fault("kill -9, three times, started again each time", "ScorerRestarting")
def restarting(one: Watched) -> None:
    started = "signal_scorer_start_time_seconds"
    one.start(warm=False)
    query = f'{started}{{instance="{one.instance}"}}'
    for _ in range(3):
        before = one.prometheus.value(query)
        one.service.kill()
        one.service.start()
        eventually(lambda b=before: one.prometheus.value(query) not in (None, b), "a scrape")


@fault("the feed falls silent", "ScorerFeedSilent", "ScorerNotReady", FEED_SILENCE_S="1")
def silent(one: Watched) -> None:
    one.start().opened()
    one.bridge.silent = True


@fault("the feed sends heartbeats only", "ScorerNoTicks")
def heartbeats(one: Watched) -> None:
    one.start().opened()
    one.bridge.ticks = False


SECOND = f"tcp://127.0.0.1:{free_port()}"


@fault("of two feeds one sends heartbeats only", "ScorerFeedWithoutTicks", FEED_INGEST=SECOND)
def second_without_ticks(one: Watched) -> Iterator[str]:
    lost = threading.Event()

    def beat(stop: threading.Event) -> None:
        with zmq.Context() as context, context.socket(zmq.PUSH) as socket:
            socket.linger = 0
            socket.connect(SECOND)
            while not stop.wait(0.05):
                # A coin: its market is open whenever this is run.
                now_s = time.time()
                trade = tick("ETHUSD", now_s, 1.1 + now_s % 1 * 1e-4)
                socket.send(b'{"type":"heartbeat"}' if lost.is_set() else trade)

    one.start()
    with meanwhile(beat):
        one.opened("ingest")
        lost.set()
        yield one.instance


@fault("the loop stands still, and the metrics answer", "ScorerDown")
def stuck(one: Watched) -> None:
    (one.folder / "sitecustomize.py").write_text(
        "import time\n"
        "from service.engine import Engine\n"
        "Engine.on_request = lambda *all: time.sleep(3600)\n"
    )
    one.start(warm=False, scrape=False, PYTHONPATH=str(one.folder))
    with ScorerClient(one.service.address, 200) as client:
        client.score("BTCUSD", 70.0)
    one.scrape()


@fault("the feed is an hour ahead", "ScorerFeedLagging")
def ahead(one: Watched) -> None:
    one.bridge.ahead_s = 3600.0
    one.start(warm=False)


@fault("the feed is a minute behind", "ScorerFeedLagging")
def lagging(one: Watched) -> None:
    one.bridge.ahead_s = -60.0
    one.start(warm=False)


@fault("ticks without a history", "ScorerNoSymbolWarm")
def cold(one: Watched) -> None:
    one.start(warm=False)


@fault("every other tick is 30 s old", "ScorerTicksRefused")
def late(one: Watched) -> None:
    one.start().bridge.late = True


@fault("the name of one symbol has a space", "ScorerFeedUnreadable")
def garbled(one: Watched) -> None:
    one.start().bridge.garbled = True


@fault("as many symbols as fit (limits.symbols = 2)", "ScorerSymbolsFull", LIMITS_SYMBOLS="2")
def full(one: Watched) -> None:
    one.start()


@fault(
    "the feed's clock jumps by three hours", "ScorerClockOffsetChanged", FEED_CLOCK_OFFSET="auto"
)
def offset(one: Watched) -> None:
    one.start()

    def found(state: str, offset_s: float) -> bool:
        with one.service.client() as client:
            (endpoint,) = client.stats()["feed"]["endpoints"]
        return (endpoint["clock_state"], endpoint["clock_offset_s"]) == (state, offset_s)

    eventually(lambda: found("live", 0.0), "the clock to be found", 60.0)
    one.bridge.ahead_s = 10_800.0
    eventually(lambda: found("live", 10_800.0), "the clock to be found elsewhere", 60.0)


@fault("this machine's clock is set an hour ahead", "ScorerClockStepped")
def stepped(one: Watched) -> None:
    setting = one.folder / "offset"
    setting.write_text("+0")
    one.start(
        warm=False,
        LD_PRELOAD=str(FAKETIME),
        FAKETIME_TIMESTAMP_FILE=str(setting),
        FAKETIME_NO_CACHE="1",
        FAKETIME_DONT_FAKE_MONOTONIC="1",
    )
    setting.write_text("+3600")


@fault("a damaged model is published", "ScorerModelRefused")
def damaged(one: Watched) -> None:
    small_model(one.folder / "models", now_s=time.time() - 60.0)
    version = small_model(one.folder / "other", seed=1, now_s=time.time())
    forest = one.folder / "other" / version / "forest.npz"
    forest.chmod(0o644)
    forest.write_bytes(forest.read_bytes()[:-100])
    one.start()
    shutil.copytree(one.folder / "other" / version, one.folder / "models" / version)
    (one.folder / "other" / "CURRENT.json").replace(one.folder / "models" / "CURRENT.json")


@fault("the pointer to the model is removed, and the service restarted", "ScorerModelGone")
def gone(one: Watched) -> None:
    small_model(one.folder / "models", now_s=time.time())
    one.start().service.terminate()
    (one.folder / "models" / "CURRENT.json").unlink()
    one.service.start()


@fault("the published model is damaged, and the service restarted",
       "ScorerModelRefused", "ScorerModelGone")  # fmt: skip
def gone_bad(one: Watched) -> None:
    version = small_model(one.folder / "models", now_s=time.time())
    one.start().service.terminate()
    forest = one.folder / "models" / version / "forest.npz"
    forest.chmod(0o644)
    forest.write_bytes(forest.read_bytes()[:-100])
    one.service.start()


@fault("a model that was reviewed 30 days ago", "ScorerModelStale")
def stale(one: Watched) -> None:
    small_model(one.folder / "models", now_s=time.time() - 30 * DAY_S)
    one.start()


@fault("a model that was reviewed 36 days ago", "ScorerModelExpired")
def expired(one: Watched) -> None:
    small_model(one.folder / "models", now_s=time.time() - 36 * DAY_S)
    one.start()


@fault("signals of a symbol that the feed does not have", "ScorerBaseScores")
def unknown(one: Watched) -> None:
    small_model(one.folder / "models", now_s=time.time())
    one.start()
    with one.service.client() as client:
        signals(client, 20, "NOSUCH")


@fault("signal-scorer mode off", "ScorerModeOff")
def off(one: Watched) -> None:
    one.start()
    command = [sys.executable, "-m", "service", "mode", "off"]
    environ = os.environ | {
        "SIGNAL_SCORER_STATE_DIR": str(one.folder),
        "SIGNAL_SCORER_ENDPOINT": one.service.address,
    }
    subprocess.run(command, env=environ, check=True, capture_output=True)


@fault("five requests that are none", "ScorerRequestsRefused")
def malformed(one: Watched) -> None:
    one.start()
    with zmq.Context() as context, context.socket(zmq.REQ) as socket:
        socket.connect(one.service.address)
        for _ in range(5):
            socket.send(b"hello")
            socket.recv()


@fault("4,000 requests while the process stands still", "ScorerOverloaded")
def overloaded(one: Watched) -> Iterator[str]:
    one.start()
    with zmq.Context() as context, ExitStack() as stack:
        sockets = [stack.enter_context(context.socket(zmq.DEALER)) for _ in range(8)]
        for socket in sockets:
            socket.linger = 0
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


@fault("a bug, planted: one symbol raises in the engine", "ScorerInternalErrors")
def bug(one: Watched) -> None:
    (one.folder / "sitecustomize.py").write_text(
        "from service.engine import Engine\n"
        "sound = Engine.on_request\n"
        "def broken(self, request, *more):\n"
        "    if getattr(request, 'symbol', '') == 'BUG':\n"
        "        raise RuntimeError('planted')\n"
        "    return sound(self, request, *more)\n"
        "Engine.on_request = broken\n"
    )
    one.start(PYTHONPATH=str(one.folder))
    with one.service.client() as client:
        client.score("BUG", 70.0)


@fault("no processor for 300 ms at a time, under load", "ScorerSlow", "ScorerLoopStalled")
def starved(one: Watched) -> None:
    one.start()
    with flooding(one.service.address):
        for _ in range(20):
            # So short that those who met the stop are far more than one in a hundred.
            time.sleep(0.01)
            stop_for(one, 0.3)


@fault("clients that ask and are gone", "ScorerRepliesDropped")
def dropped(one: Watched) -> None:
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


@fault("ten connections with a key that is not listed", "ScorerStrangers", CURVE_LOOPBACK="true",
       CURVE_SERVER_SECRET_FILE="keys/server.key", CURVE_CLIENTS_DIR="keys/clients")  # fmt: skip
def strangers(one: Watched) -> None:
    keys = one.folder / "keys"
    for name in ("friend", "stranger"):
        command = [sys.executable, "-m", "service", "keygen", "--name", name, str(keys)]
        subprocess.run(command, check=True, capture_output=True)
    (keys / "clients" / "stranger.pub").unlink()
    one.start(warm=False)
    pair = CurveKeys.read(keys / "server.pub", keys / "stranger.key")
    for _ in range(10):
        with ScorerClient(one.service.address, 200, curve=pair) as client:
            client.score("BTCUSD", 70.0)


@fault("a full disk (tmpfs)", "ScorerJournalFailing", "ScorerDiskFilling")
def disk(one: Watched) -> Iterator[str]:
    with full_disk(one), asking(one.service.address, clients=1):
        yield one.instance


@fault("a disk that was full and has room again", "ScorerAnswersNotKept")
def mended_disk(one: Watched) -> Iterator[str]:
    with full_disk(one) as filler:
        filler.unlink()
        yield one.instance


@contextmanager
def full_disk(one: Watched) -> Iterator[Path]:
    """The service on a disk of its own, with a file on it that left no room for the journal."""
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "scorer-watch", str(one.folder)]
    subprocess.run(mount, check=True)
    try:
        one.start()
        path = one.folder / "filler"
        with path.open("wb", buffering=0) as filler, suppress(OSError):
            while True:
                filler.write(bytes(4096))
        with one.service.client() as client:

            def fails() -> bool:
                signals(client, 50)
                return bool(client.stats()["journal"]["unwritten"])

            eventually(fails, "the journal to fail")
        yield path
    finally:
        subprocess.run(["umount", "--lazy", str(one.folder)], check=True)


@fault("a damaged score in the spool at the start", "ScorerJournalErrors")
def damaged_spool(one: Watched) -> None:
    (one.folder / "journal.db-spool").write_bytes(struct.pack("<II", 1, 0) + b"damaged")
    one.start(warm=False)


@fault("a reader that keeps its transaction open, under load", "ScorerWalLarge")
def wal(one: Watched) -> Iterator[str]:
    one.start()
    with closing(open_reader(one.folder / "journal.db")) as reader:
        reader.execute("begin")
        reader.execute("select count(*) from scores").fetchone()
        path = one.folder / "journal.db-wal"
        with asking(one.service.address):
            eventually(lambda: path.stat().st_size > 70 << 20, "the WAL to grow", 120.0)
        yield one.instance


@fault(
    "as many paper positions as fit (paper.max_positions = 3)",
    "ScorerPaperFull",
    PAPER_MAX_POSITIONS="3",
)
def paper(one: Watched) -> None:
    one.start()
    with one.service.client() as client:
        signals(client, 4, **LEVELS)


@fault("outcomes far below the promise; an alert command that fails",
       "ScorerModelDegraded", "ScorerAlertCommandFailing")  # fmt: skip
def degraded(one: Watched) -> Iterator[str]:
    model = published_model(one.folder / "models", NOW_S)
    answer_signals(one.folder / "journal.db", model, 400, worse_by=0.25)
    textfile = one.prometheus.textfiles / "monitor.prom"
    trainer(
        one.folder, "monitor", "--textfile", str(textfile),
        SIGNAL_SCORER_ALERTS_COMMAND='["/bin/false"]',
        SIGNAL_SCORER_MODEL_EXPIRE_AFTER_DAYS="0",
    )  # fmt: skip
    yield one.prometheus.node
    textfile.unlink()


@fault("a monitor that ran five hours ago, and not since", "ScorerMonitorSilent")
def monitor_silent(one: Watched) -> Iterator[str]:
    return ran_last(one, "monitor", "5h")


@fault("a trainer that ran ten days ago, and not since", "ScorerTrainerSilent")
def trainer_silent(one: Watched) -> Iterator[str]:
    return ran_last(one, "train", "10d")


def ran_last(one: Watched, command: str, ago: str) -> Iterator[str]:
    write_journal(one.folder / "journal.db", 10, edge=0.1)
    textfile = one.prometheus.textfiles / f"{command}.prom"
    trainer(one.folder, command, "--textfile", str(textfile), ago=ago)
    yield one.prometheus.node
    textfile.unlink()


@fault("signals unlike those that the model knows", "ScorerDrift")
def drift(one: Watched) -> None:
    small_model(one.folder / "models", now_s=time.time())
    one.start()
    with one.service.client() as client:
        client.call(
            messages.ScoreManyRequest(
                signals=[{"symbol": "BTCUSD", "base_score": 99.0} for _ in range(120)]
            )
        )
