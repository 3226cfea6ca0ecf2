"""`serve` as a process: what it promises when it is killed, stopped, misconfigured, or full."""

from __future__ import annotations

import itertools
import os
import random
import re
import sqlite3
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest
import zmq
from background import meanwhile
from harness import Feed, Service, eventually, running
from serving import body, history, published_model, rows, tick, unpacked

from protocol.client import ScorerClient
from service.config.settings import Config
from service.console import exit_codes
from service.files.locks import hold
from service.serve import PATIENCE_S

ROOT = Path(__file__).resolve().parents[2]
ROUNDS = 5


def ask(address: str, prefix: str, replies: list[Any], stop: threading.Event) -> None:
    """Score without a pause and keep every reply that came."""
    with ScorerClient(address, timeout_ms=500, retries=0, open_after=0) as client:
        n = 0
        while not stop.is_set():
            n += 1
            reply = client.score("EURUSD", n % 100, direction="BUY", signal_id=f"{prefix}-{n}")
            if reply.status != "unreachable":
                replies.append(reply)


def test_kill_9_at_any_moment_loses_no_answered_score(tmp_path: Path) -> None:
    moments = random.Random(7)
    with closing(Feed()) as feed, closing(Service(tmp_path, feed)) as service:
        answered = []
        for round_ in range(ROUNDS):
            service.start()
            replies: dict[str, list[Any]] = {f"{round_}{name}": [] for name in "ab"}
            asking = [partial(ask, service.address, *one) for one in replies.items()]
            with meanwhile(*asking):
                eventually(
                    lambda replies=replies: all(len(got) > 10 for got in replies.values()),
                    "first replies",
                )
                time.sleep(moments.uniform(0.0, 0.25))  # the moment is what this test varies
                service.kill()
            answered += itertools.chain(*replies.values())
        service.start()
        kept = {row["score_id"]: row for row in service.scores()}
        assert len(answered) > 20 * ROUNDS
        for reply in answered:
            assert reply.journalled is True
            assert kept[reply.score_id]["signal_id"] == reply.signal_id
            assert kept[reply.score_id]["final_score"] == reply.final_score


def test_after_kill_9_it_is_ready_with_its_bars_and_knows_its_retries(tmp_path: Path) -> None:
    published_model(tmp_path / "models", time.time())
    with running(tmp_path, with_feed=True) as service:
        service.warm()
        with service.client() as client:
            first = client.score("EURUSD", 75.0, direction="BUY", signal_id="s")
            assert first.status == "success"
            client.outcome("WIN", signal_id="s")
        # Bars are kept by the minute or at the end; a restart in between makes them certain.
        assert service.terminate()[0] == 0
        service.start()
        service.kill()
        service.start()
        fresh = [f for f in history(("EURUSD", "GBPUSD"), time.time()) if b"OHLC" not in f]
        service.feed.send(*fresh)
        eventually(lambda: service.received() >= len(fresh), "the ticks")
        with service.client() as client:
            again = client.score("EURUSD", 75.0, direction="BUY", signal_id="s")
            assert (again.score_id, again.final_score) == (first.score_id, first.final_score)
            assert client.score("EURUSD", 80.0, direction="BUY", signal_id="s").status == "success"
            assert client.outcome("WIN", signal_id="s")["duplicate"] is True
        assert [row["revision"] for row in service.scores()] == [0, 1]


def test_sigterm_answers_what_was_accepted_and_ends_within_two_seconds(tmp_path: Path) -> None:
    with running(tmp_path, with_feed=True) as service:
        context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        with context.socket(zmq.DEALER) as client:
            client.setsockopt(zmq.LINGER, 0)
            client.connect(service.address)
            client.send(body("health", id="connected"))
            assert client.poll(20_000)
            client.recv()
            for n in range(300):
                client.send(body("score", id=n, symbol="EURUSD", base_score=50, signal_id=str(n)))
            # The first reply says that they have begun to arrive.
            assert client.poll(20_000)
            code, seconds = service.terminate()
            kept = {row["signal_id"] for row in service.scores()}
            replies = []
            # On a busy machine the last may not have come up from the kernel yet.
            while client.poll(0 if sum(reply["ok"] for reply in replies) >= len(kept) else 20_000):
                replies.append(unpacked(client.recv()))
        context.term()
        assert code == 0
        assert seconds < 2.0
        ids = [reply["id"] for reply in replies]
        assert len(ids) == len(set(ids))
        for reply in replies:
            assert reply["ok"] or reply["error"]["code"] == "shutting_down"
            assert reply["ok"] == (str(reply["id"]) in kept)
        # Nothing that was scored went unanswered.
        assert len(kept) == sum(reply["ok"] for reply in replies)
        # No WAL is left: the file is complete by itself.
        assert {path.name for path in tmp_path.glob("journal*")} == {
            "journal.db",
            "journal.db.lock",
        }
        assert service.events("stopped") == [{}]


def test_sigint_ends_it_as_well(tmp_path: Path) -> None:
    with running(tmp_path) as service:
        assert service.process
        service.process.send_signal(2)
        assert service.wait() == 0


FAULTY = """
from service.__main__ import main
from service.features.windows import EventBuckets

def add(*_):
    raise ZeroDivisionError("as a fault of ours would be")

EventBuckets.add = add
main()
"""


def test_ten_ticks_in_a_minute_that_it_fails_on_end_it_as_a_fault(tmp_path: Path) -> None:
    with closing(Feed()) as feed, closing(Service(tmp_path, feed)) as service:
        service.program = ("-c", FAULTY)
        service.start()
        now_s = time.time()
        feed.send(*(tick("EURUSD", now_s - 9 + at, 1.1 + at * 1e-5) for at in range(10)))
        assert service.wait() == exit_codes.SOFTWARE
        assert eventually(
            lambda: next((one for one in service.log if one.get("event") == "giving up"), None),
            "the reason",
        )
        assert len(service.events("tick_fault")) == 10


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """One that runs, beside which a second is started in vain."""
    with running(tmp_path_factory.mktemp("first")) as service:
        yield service


def test_a_port_that_is_taken_ends_it_with_advice(tmp_path: Path, first: Service) -> None:
    second = Service(tmp_path, SCORE_BIND=first.address)
    second.launch()
    assert second.wait() == 69
    said = eventually(lambda: next((s for s in second.log if "text" in s), None), "advice")
    assert first.address in said["text"]
    assert "score.bind" in said["text"]
    with first.client() as client:
        assert client.health()["ready"] is True


def test_a_journal_has_one_writer(first: Service) -> None:
    second = Service(first.folder)
    second.launch()
    assert second.wait() == 75
    assert eventually(
        lambda: next((line for line in second.log if "is in use by" in str(line)), None),
        "advice",
    )
    with first.client() as client:
        assert client.score("EURUSD", 70.0).journalled


def test_it_waits_for_a_restore_that_holds_the_journal(tmp_path: Path) -> None:
    with closing(Service(tmp_path)) as service:
        descriptor = hold(tmp_path / "journal.db.lock")
        service.launch()
        said = eventually(
            lambda: next((line for line in service.log if line.get("level") == "warning"), None),
            "the wait to be said",
        )
        assert said["event"] == "waiting for the journal"
        assert said["process"] == str(os.getpid())
        os.close(descriptor)
        ready = eventually(
            lambda: next((line for line in service.log if line.get("event") == "ready"), None),
            "ready",
        )
        assert ready


def test_told_to_stop_while_it_waits_it_does(tmp_path: Path) -> None:
    service = Service(tmp_path)
    descriptor = hold(tmp_path / "journal.db.lock")
    try:
        service.launch()
        eventually(lambda: "waiting for" in str(service.log), "the wait to be said")
        assert service.terminate()[0] == 0
        assert service.log[-1]["event"] == "stopping"
    finally:
        os.close(descriptor)
        service.close()


def test_systemd_never_gives_up_a_service_whose_journal_is_held() -> None:
    unit = (ROOT / "deploy" / "systemd" / "signal-scorer.service").read_text()
    keys = dict(re.findall(r"^(\w+)=(\d+)(?:ms)?$", unit, re.M))
    cycle_s = PATIENCE_S + float(keys["RestartSec"]) / 1000.0
    assert int(keys["StartLimitBurst"]) * cycle_s > float(keys["StartLimitIntervalSec"])


def test_the_journal_of_systemd_tells_a_warning_from_the_rest(tmp_path: Path) -> None:
    """What `journalctl -p warning` shows: lines that begin with their priority."""
    (tmp_path / "journal.db-spool").write_bytes(struct.pack("<II", 1, 0) + b"xyz")
    path = tmp_path / "log"
    with path.open("wb") as log:
        found = os.fstat(log.fileno())
        environ = os.environ | {
            "JOURNAL_STREAM": f"{found.st_dev}:{found.st_ino}",
            "SIGNAL_SCORER_STATE_DIR": str(tmp_path),
            "SIGNAL_SCORER_SCORE_BIND": "tcp://127.0.0.1:*",
            "SIGNAL_SCORER_METRICS_BIND": "",
        }
        command = [sys.executable, "-m", "service", "serve"]
        with subprocess.Popen(command, env=environ, stderr=log) as process:
            eventually(lambda: '"event": "ready"' in path.read_text(), "ready")
            process.terminate()
        environ["SIGNAL_SCORER_SCORE_BIND"] = "nowhere"
        assert subprocess.run(command, env=environ, stderr=log, check=False).returncode == 78
    lines = path.read_text().splitlines()
    warnings = [line for line in lines if line.startswith("<4>")]
    assert any("damaged rows in the journal were left out" in line for line in warnings)
    assert any(line.startswith("<6>") and '"event": "ready"' in line for line in lines)
    assert lines[-1].startswith("<3>signal-scorer: score.bind")


def ready_is(client: ScorerClient, expected: bool) -> bool:
    return client.health()["ready"] is expected


def test_a_corrupt_journal_stops_no_answer(tmp_path: Path) -> None:
    (tmp_path / "journal.db").write_bytes(b"no database " * 1000)
    with running(tmp_path) as service, service.client() as client:
        assert client.score("EURUSD", 75.0).journalled is False
        assert ready_is(client, False)
        assert service.terminate()[0] == 0


def test_a_journal_locked_by_another_stops_no_answer(tmp_path: Path) -> None:
    with running(tmp_path) as service, service.client() as client:
        other = sqlite3.connect(service.journal_path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        # One is promised until the table cannot be had, and then none is.
        eventually(lambda: not client.score("EURUSD", 75.0).journalled, "the lock to be met")
        assert client.score("EURUSD", 76.0).status == "unknown_symbol"
        other.execute("ROLLBACK")
        other.close()
        eventually(lambda: client.score("EURUSD", 77.0).journalled, "recovery")
        eventually(lambda: ready_is(client, True), "ready")


@pytest.mark.parametrize("replaced", [False, True])
def test_a_journal_that_was_moved_alone_keeps_what_was_answered(
    tmp_path: Path, replaced: bool
) -> None:
    moved, other = tmp_path / "moved.db", tmp_path / "other" / "journal.db"
    before = []
    if replaced:
        with running(other.parent) as service, service.client() as client:
            before = [client.score("EURUSD", 1.0).score_id]
            service.terminate()
    with running(tmp_path) as service, service.client() as client:
        for n in range(100):
            assert client.score("EURUSD", n % 100, signal_id=f"S{n}").journalled
            assert client.outcome("WIN", signal_id=f"S{n}")["journalled"]
        service.journal_path.rename(moved)
        if replaced:
            other.rename(service.journal_path)
        eventually(
            lambda: any(line["event"] == "journal works again" for line in service.log),
            "another one to be begun",
        )
        after = client.score("EURUSD", 2.0)
        assert after.journalled
        service.kill()
        service.start()
        assert service.terminate()[0] == 0
        kept = [row["score_id"] for row in service.scores()]
    assert kept == [*before, after.score_id]
    assert rows(tmp_path / "journal.db", "PRAGMA integrity_check") == [{"integrity_check": "ok"}]
    assert len(rows(moved, "SELECT * FROM outcomes")) == 100
    assert len(rows(moved, "SELECT * FROM scores")) == 100


def test_a_full_disk_stops_no_answer(tmp_path: Path) -> None:
    import resource
    import subprocess

    # The disk of this test: no file of the process may grow beyond some pages.
    with running(tmp_path) as service, service.client() as client:
        assert client.score("EURUSD", 75.0).journalled is True
        assert service.process
        limit = str(60_000)
        pid = str(service.process.pid)
        done = subprocess.run(["prlimit", "--pid", pid, f"--fsize={limit}:unlimited"], check=False)
        if done.returncode != 0:
            pytest.skip("prlimit is not there to make the disk full")
        eventually(lambda: not client.score("EURUSD", 50.0).journalled, "the disk to be full")
        assert client.score("EURUSD", 75.0).final_score == 75.0
        eventually(lambda: ready_is(client, False), "a warning")
        whole = str(resource.RLIM_INFINITY)
        subprocess.run(["prlimit", "--pid", pid, f"--fsize={whole}:{whole}"], check=True)
        eventually(lambda: client.score("EURUSD", 60.0).journalled, "recovery")
        eventually(lambda: ready_is(client, True), "ready")


def test_its_log_is_one_json_object_a_line_and_says_the_configuration(tmp_path: Path) -> None:
    with running(tmp_path, SCORE_TAKE_MARGIN_R="0.3") as service:
        with service.client() as client:
            for n in range(50):
                client.score("EURUSD", n)
        service.terminate()
        assert all("event" in line for line in service.log)
        said = service.log[0]
        assert said["event"] == "configuration"
        assert said["set"]["score.take_margin_r"] == "$SIGNAL_SCORER_SCORE_TAKE_MARGIN_R"
        assert said["effective"]["score"]["take_margin_r"] == 0.3
        # What nobody set is said too.
        assert said["effective"]["limits"] == msgspec.to_builtins(Config().limits)
        # Nothing is logged for each request.
        assert len(service.log) < 20
        assert rows(service.journal_path, "SELECT count(*) AS n FROM scores") == [{"n": 50}]
