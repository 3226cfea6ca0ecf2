"""`doctor` names each fault that is seeded, with what to do, and nothing where all is well.

The faults are real: files, modes, sockets, processes. None of the checks leaves a trace.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import zmq
from builders import small_model
from command import invoke
from harness import Feed, Service, eventually, running
from msgspec.structs import astuple
from scored_journal import score_row
from serving import tick

from protocol.manifest import FOREST_NAME, MANIFEST_NAME, POINTER_NAME
from protocol.schema import FEATURE_COUNT
from service import mode_file
from service.bundle import read_pointer
from service.config import load
from service.doctor import clock
from service.doctor import examine as examining
from service.doctor.finding import Finding
from service.doctor.scene import look_around
from service.journal import Journal
from service.journal_file import SCHEMA_VERSION
from service.keygen import keygen
from service.records import EventRow
from service.spool import Spool, spool_path

DAY_S = 86_400.0
NOBODY = 65_534
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="files of another user take root")


def kept_right(scene: Any) -> Any:
    """The clock's check where the machine of the test may be kept right by nothing."""
    return clock.check(scene, lambda: True)


class Setup:
    """A configuration on disk, healthy unless a test seeds a fault."""

    def __init__(self, folder: Path, **values: str) -> None:
        self.state = folder / "state"
        self.models = self.state / "models"
        self.journal = self.state / "journal.db"
        self.state.mkdir(parents=True)
        self.values = {
            "STATE_DIR": str(self.state),
            "SCORE_BIND": f"tcp://127.0.0.1:{free_port()}",
            "METRICS_BIND": "",
            "FEED_ENDPOINTS": "[]",
            "FEED_CLOCK_OFFSET": "0",
        } | values

    @property
    def environ(self) -> dict[str, str]:
        return {f"SIGNAL_SCORER_{key}": value for key, value in self.values.items()}

    def findings(self, *checks: str, now_s: float | None = None, **options: Any) -> list[Finding]:
        """What the named checks find, or all."""
        sourced = load(environ=self.environ)
        options = {
            "listen_s": 0.4,
            "ask_ms": 2000.0,
            "now_s": time.time() if now_s is None else now_s,
        } | options
        scene = look_around(sourced, **options)
        wanted = [
            (name, kept_right if name == "clock" else check)
            for name, check in examining.CHECKS
            if not checks or name in checks
        ]
        assert len(wanted) >= len(checks)
        return list(examining.examine(scene, wanted))

    def fault(self, check: str, *words: str, level: str = "fail", **options: Any) -> Finding:
        """The finding that says all the words, with advice."""
        found = self.findings(check, **options)
        bad = [finding for finding in found if finding.level != "ok"]
        for finding in bad:
            said = f"{finding.about} {finding.text}"
            if finding.level == level and all(word in said for word in words):
                assert len(finding.advice) > 10
                return finding
        raise AssertionError(f"nothing says {words}: {found}")

    def write_journal(self, *rows: EventRow) -> None:
        journal = Journal(self.journal)
        assert journal.open()
        journal.write(rows)
        journal.close()


@pytest.fixture
def setup(tmp_path: Path) -> Setup:
    return Setup(tmp_path)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user may pass through; pytest's own is for one."""
    folder = Path(tempfile.mkdtemp(prefix="doctor-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def served_by_nobody(open_folder: Path) -> Setup:
    """The service runs as another user than ours."""
    setup = Setup(open_folder)
    os.chown(setup.state, NOBODY, NOBODY)
    return setup


@pytest.fixture(scope="module")
def lone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A running service that has answered once; tests look at it and change nothing."""
    with running(tmp_path_factory.mktemp("lone")) as service:
        with service.client() as client:
            client.score("EURUSD", 70.0)
        yield service


def beside(service: Service, tmp_path: Path, **values: str) -> Setup:
    """The configuration of a running service."""
    values = {"STATE_DIR": str(service.folder), "SCORE_BIND": service.address} | values
    return Setup(tmp_path, **values)


def free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that another program listens on."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        yield int(server.getsockname()[1])


class Publisher:
    """A PUB that repeats a frame until closed."""

    def __init__(self, make: Callable[[], bytes] | None) -> None:
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._socket = self._context.socket(zmq.PUB)
        port = self._socket.bind_to_random_port("tcp://127.0.0.1")
        self.address = f"tcp://127.0.0.1:{port}"
        self._make = make
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.wait(0.01):
            if self._make is not None:
                self._socket.send(self._make())

    def close(self) -> None:
        self._stop.set()
        self._thread.join()
        self._context.destroy(linger=0)


@pytest.fixture
def publish() -> Iterator[Callable[[Callable[[], bytes] | None], str]]:
    made: list[Publisher] = []

    def start(make: Callable[[], bytes] | None) -> str:
        made.append(Publisher(make))
        return made[-1].address

    yield start
    for one in made:
        one.close()


def snapshot(folder: Path) -> dict[str, tuple[int, int, int, bytes]]:
    """Everything in a folder: mode, owner, time and content."""
    found = {}
    for path in sorted(folder.rglob("*")):
        status = path.lstat()
        content = path.read_bytes() if path.is_file() else b""
        digest = hashlib.sha256(content).digest()
        found[str(path)] = (status.st_mode, status.st_uid, status.st_mtime_ns, digest)
    return found


# Healthy


def test_a_healthy_running_service_gives_no_fault_and_no_warning(tmp_path: Path) -> None:
    small_model(tmp_path / "models", now_s=time.time())
    (tmp_path / "models" / ".lock").touch()
    feed = Feed()
    service = Service(tmp_path, feed)
    try:
        service.start()
        service.warm()
        setup = Setup(
            tmp_path / "unused",
            STATE_DIR=str(tmp_path),
            SCORE_BIND=service.address,
            FEED_ENDPOINTS=feed.address,
        )
        stop = threading.Event()

        def go_on() -> None:
            while not stop.wait(0.02):
                feed.send(tick("EURUSD", time.time()))

        thread = threading.Thread(target=go_on)
        thread.start()
        try:
            found = setup.findings()
        finally:
            stop.set()
            thread.join()
        assert [finding for finding in found if finding.level != "ok"] == []
        assert {finding.check for finding in found} >= {
            name for name, _ in examining.CHECKS if name != "keys"
        }
    finally:
        service.close()
        feed.close()


def test_a_healthy_setup_that_does_not_run_lacks_only_that(setup: Setup) -> None:
    setup.values["FEED_INGEST"] = f"tcp://127.0.0.1:{free_port()}"
    small_model(setup.models, now_s=time.time())
    setup.write_journal()
    bad = [finding for finding in setup.findings() if finding.level != "ok"]
    assert [(finding.check, finding.level) for finding in bad] == [("service", "warn")]
    assert "systemctl start" in bad[0].advice


def test_nothing_is_written_while_it_runs_or_after_it_was_killed(tmp_path: Path) -> None:
    with running(tmp_path) as service:
        with service.client() as client:
            client.score("EURUSD", 70.0)
        assert len(service.scores()) == 1
        setup = Setup(tmp_path / "unused", STATE_DIR=str(tmp_path), SCORE_BIND=service.address)
        shutil.rmtree(tmp_path / "unused")
        # The service goes on with its own files: only what is new or gone would be ours.
        names = set(snapshot(tmp_path))
        setup.findings(listen_s=0.1)
        assert set(snapshot(tmp_path)) == names
        service.kill()
        assert (tmp_path / "journal.db-wal").stat().st_size > 0
        before = snapshot(tmp_path)
        found = setup.findings("journal")
        assert snapshot(tmp_path) == before
        assert [finding.level for finding in found] == ["ok"]
        assert "last score" in found[0].text


# Addresses


def test_a_port_that_another_program_has(setup: Setup, taken: int) -> None:
    setup.values["SCORE_BIND"] = f"tcp://127.0.0.1:{taken}"
    found = setup.fault("addresses", str(taken), "taken by", str(os.getpid()), ask_ms=50.0)
    assert "score.bind" in found.advice


def test_a_port_of_the_metrics_that_another_program_has(setup: Setup, taken: int) -> None:
    setup.values["METRICS_BIND"] = f"127.0.0.1:{taken}"
    assert "metrics.bind" in setup.fault("addresses", str(taken), "no metrics").advice


def test_a_service_of_another_state_directory(lone: Service, tmp_path: Path) -> None:
    setup = Setup(tmp_path, SCORE_BIND=lone.address)
    found = setup.fault("addresses", "another state directory", str(lone.folder))
    assert "--config" in found.advice


def test_a_running_service_that_listens_elsewhere(lone: Service, tmp_path: Path) -> None:
    other = f"tcp://127.0.0.1:{free_port()}"
    setup = beside(lone, tmp_path, SCORE_BIND=f"{lone.address},{other}")
    assert "restart" in setup.fault("addresses", other, "does not listen").advice


def test_a_file_where_the_ipc_socket_belongs(setup: Setup) -> None:
    (setup.state / "score.sock").write_text("notes")
    setup.values["SCORE_BIND"] = f"ipc://{setup.state}/score.sock"
    assert "mv " in setup.fault("addresses", "score.sock", "no socket").advice


@as_root
def test_an_ipc_folder_that_the_service_may_not_write(
    served_by_nobody: Setup, open_folder: Path
) -> None:
    (open_folder / "run").mkdir(mode=0o755)
    served_by_nobody.values["SCORE_BIND"] = f"ipc://{open_folder}/run/score.sock"
    found = served_by_nobody.fault("addresses", "may not write")
    assert "RuntimeDirectory" in found.advice


def test_an_address_open_to_other_machines(setup: Setup) -> None:
    setup.values["SCORE_BIND"] = f"tcp://0.0.0.0:{free_port()}"
    assert "keygen" in setup.fault("addresses", "other machines").advice
    setup.values["SCORE_ALLOW_INSECURE"] = "true"
    assert "keygen" in setup.fault("addresses", "every machine", level="warn").advice


def test_metrics_open_to_other_machines(setup: Setup) -> None:
    setup.values["METRICS_BIND"] = f"0.0.0.0:{free_port()}"
    assert "metrics.bind" in setup.fault("addresses", "other machines", level="warn").advice


# Keys


@pytest.fixture
def guarded(setup: Setup, tmp_path: Path) -> Setup:
    made = keygen(tmp_path / "keys", "elite_guard")
    setup.values |= {
        "CURVE_SERVER_SECRET_FILE": str(made.server_secret),
        "CURVE_CLIENTS_DIR": str(made.clients_dir),
    }
    return setup


def test_keys_as_keygen_makes_them_are_fine(guarded: Setup) -> None:
    assert {finding.level for finding in guarded.findings("keys")} == {"ok"}


def test_a_secret_that_others_may_read(guarded: Setup, tmp_path: Path) -> None:
    (tmp_path / "keys" / "server.key").chmod(0o644)
    assert "chmod 600" in guarded.fault("keys", "server.key", "0644").advice


def test_an_empty_list_of_clients(guarded: Setup, tmp_path: Path) -> None:
    (tmp_path / "keys" / "clients" / "elite_guard.pub").unlink()
    assert "keygen --name" in guarded.fault("keys", "nobody is let in").advice


def test_a_clients_key_that_is_none(guarded: Setup, tmp_path: Path) -> None:
    (tmp_path / "keys" / "clients" / "broken.pub").write_text("not a key\n")
    assert "keygen" in guarded.fault("keys", "broken.pub", "no key").advice


def test_a_list_of_clients_that_anybody_may_add_to(guarded: Setup, tmp_path: Path) -> None:
    (tmp_path / "keys" / "clients").chmod(0o777)
    assert "chmod o-w" in guarded.fault("keys", "let himself in").advice


# Feed


def test_a_feed_where_nothing_listens(setup: Setup) -> None:
    setup.values["FEED_ENDPOINTS"] = f"tcp://127.0.0.1:{free_port()}"
    found = setup.fault("feed", "nothing listens", listen_s=0.1)
    assert "bridge" in found.advice


MONDAY_S = 1_757_944_800.0
SATURDAY_S = MONDAY_S + 5 * DAY_S


def test_a_feed_that_is_silent(setup: Setup, publish: Callable[[Any], str]) -> None:
    setup.values["FEED_ENDPOINTS"] = publish(None)
    found = setup.fault("feed", "is silent", now_s=MONDAY_S, listen_s=0.1)
    assert "terminal" in found.advice
    setup.fault("feed", "weekend", level="warn", now_s=SATURDAY_S, listen_s=0.1)


def test_a_feed_that_is_no_eas(setup: Setup, publish: Callable[[Any], str]) -> None:
    setup.values["FEED_ENDPOINTS"] = publish(lambda: b"GET / HTTP/1.1")
    assert "PUB" in setup.fault("feed", "no message of an EA", "GET /").advice


def test_a_feed_with_heartbeats_alone(setup: Setup, publish: Callable[[Any], str]) -> None:
    setup.values["FEED_ENDPOINTS"] = publish(lambda: b"HEARTBEAT")
    assert "market watch" in setup.fault("feed", "no ticks", "heartbeat").advice


@pytest.mark.parametrize("hours", [3, -2])
def test_a_clock_offset_that_is_wrong(
    setup: Setup, publish: Callable[[Any], str], hours: int
) -> None:
    setup.values["FEED_ENDPOINTS"] = publish(lambda: tick("EURUSD", time.time() + hours * 3600))
    found = setup.fault("feed", "offset is wrong", f"{abs(hours)} h", "feed.clock_offset = 0")
    assert f"or {hours * 3600}" in found.advice
    setup.values["FEED_CLOCK_OFFSET"] = str(hours * 3600)
    assert {finding.level for finding in setup.findings("feed")} == {"ok"}


def test_a_feed_that_carried_the_time_forward(tmp_path: Path) -> None:
    feed = Feed()
    try:
        with closing(Service(tmp_path, feed)) as service:
            service.start()
            feed.send(tick("EURUSD", time.time() + 3 * 3600))
            setup = beside(service, tmp_path / "unused")
            with service.client() as client:
                eventually(lambda: client.stats()["symbols"], "the tick")
            found = setup.fault("service", feed.address, "ahead of this machine", level="warn")
            assert "feed.clock_offset" in found.advice
    finally:
        feed.close()


def test_a_feed_whose_clock_is_minutes_late(setup: Setup, publish: Callable[[Any], str]) -> None:
    setup.values["FEED_ENDPOINTS"] = publish(lambda: tick("EURUSD", time.time() - 420))
    found = setup.fault("feed", "7 min behind", level="warn", now_s=MONDAY_S)
    assert "server time" in found.advice


def test_no_feed_at_all(setup: Setup) -> None:
    assert "feed.endpoints" in setup.fault("feed", "names no feed", level="warn").advice


# Model


def test_no_model_yet(setup: Setup) -> None:
    assert "first weeks" in setup.fault("model", "no model yet", level="warn").advice


def test_a_pointer_that_is_gone_though_models_are_there(setup: Setup) -> None:
    version = small_model(setup.models, now_s=time.time())
    (setup.models / POINTER_NAME).unlink()
    assert version in setup.fault("model", POINTER_NAME, "is missing").advice


@pytest.mark.parametrize(
    ("days", "level", "said"), [(29, "warn", "expires after 35"), (36, "fail", "no longer used")]
)
def test_a_model_that_is_stale_or_expired(setup: Setup, days: int, level: str, said: str) -> None:
    small_model(setup.models, now_s=time.time() - days * DAY_S)
    assert "train" in setup.fault("model", said, level=level).advice


def test_a_model_made_for_other_features(setup: Setup) -> None:
    small_model(setup.models, now_s=time.time())
    found = read_pointer(setup.models)
    assert found is not None
    path = setup.models / found[0].version / MANIFEST_NAME
    content = json.loads(path.read_bytes()) | {"fingerprint": "0" * 16}
    path.write_bytes(json.dumps(content).encode())
    sealed = msgspec.structs.replace(
        found[0],
        manifest_sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        manifest_size=path.stat().st_size,
    )
    (setup.models / POINTER_NAME).write_bytes(msgspec.json.encode(sealed))
    assert "train anew" in setup.fault("model", "fingerprint").advice


def test_a_damaged_model(setup: Setup) -> None:
    version = small_model(setup.models, now_s=time.time())
    with (setup.models / version / FOREST_NAME).open("r+b") as file:
        file.seek(2000)
        file.write(b"\xff")
    assert "rollback" in setup.fault("model", "digest", FOREST_NAME).advice


@as_root
def test_a_model_that_the_service_may_not_read(served_by_nobody: Setup) -> None:
    version = small_model(served_by_nobody.models, now_s=time.time())
    (served_by_nobody.models / version / FOREST_NAME).chmod(0o600)
    assert "chmod -R" in served_by_nobody.fault("model", FOREST_NAME, "may not read").advice


def test_a_published_model_that_the_service_refused(tmp_path: Path) -> None:
    with running(tmp_path, MODEL_MAX_NODES="1") as service:
        setup = Setup(tmp_path / "unused", STATE_DIR=str(tmp_path), SCORE_BIND=service.address)
        small_model(tmp_path / "models", now_s=time.time())
        with service.client() as client:
            eventually(lambda: client.stats()["rejections"], "a refusal")
        assert "restart" in setup.fault("model", "serves base scores").advice


# Journal


def test_a_journal_that_is_no_database(setup: Setup) -> None:
    setup.journal.write_bytes(b"no database " * 1000)
    assert "restore" in setup.fault("journal", "damaged").advice


def test_a_journal_with_a_page_of_nonsense(setup: Setup) -> None:
    setup.write_journal(*(EventRow(at=1.0, kind="x" * 500, detail={}) for _ in range(500)))
    with setup.journal.open("r+b") as file:
        file.seek(20 * 8192)
        file.write(os.urandom(8192 * 4))
    assert "restore" in setup.fault("journal", "damaged").advice


def test_a_journal_of_a_newer_version(setup: Setup) -> None:
    setup.write_journal()
    with closing(sqlite3.connect(setup.journal)) as connection:
        connection.execute(f"PRAGMA user_version={SCHEMA_VERSION + 1}")
    assert "newer" in setup.fault("journal", f"schema {SCHEMA_VERSION + 1}").text


def test_a_folder_where_the_journal_belongs(setup: Setup) -> None:
    setup.journal.mkdir()
    assert "move it away" in setup.fault("journal", "is no file").advice


LOCKING = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("locked", flush=True)
sys.stdin.read()
"""


def test_a_journal_that_another_program_locks(tmp_path: Path) -> None:
    with running(tmp_path) as service:
        setup = Setup(tmp_path / "unused", STATE_DIR=str(tmp_path), SCORE_BIND=service.address)
        locking = subprocess.Popen(
            [sys.executable, "-c", LOCKING, str(service.journal_path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        try:
            assert locking.stdout
            locking.stdout.readline()
            found = setup.fault("journal", "is locked by", str(locking.pid))
            assert f"kill {locking.pid}" in found.advice
            with service.client() as client:
                eventually(lambda: not client.score("EURUSD", 70.0).journalled, "the lock")
                eventually(lambda: not client.health()["ready"], "a warning")
            setup.fault("service", "not ready", "journal")
            assert "lost" in setup.fault("service", "not kept", level="warn").advice
        finally:
            locking.communicate()


def test_a_wal_that_grows_since_a_reader_stays(setup: Setup) -> None:
    writer = sqlite3.connect(setup.journal, isolation_level=None)
    try:
        writer.execute("PRAGMA journal_mode=WAL")
        writer.execute("PRAGMA wal_autocheckpoint=0")
        writer.execute("CREATE TABLE big(x)")
        for _ in range(9):
            writer.execute("INSERT INTO big VALUES(zeroblob(8000000))")
        assert "reader" in setup.fault("journal", "wait to be moved", level="warn").advice
    finally:
        writer.close()


def test_promised_scores_that_are_damaged(setup: Setup) -> None:
    setup.write_journal()
    path = spool_path(setup.journal)
    spool = Spool(path)
    spool.open()
    spool.append([astuple(score_row(1, np.full(FEATURE_COUNT, 50.0)))])
    spool.close()
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    assert "disk" in setup.fault("journal", path.name, "damaged").advice


def test_a_link_where_promised_scores_belong(setup: Setup) -> None:
    setup.write_journal()
    path = spool_path(setup.journal)
    path.symlink_to(setup.state / "elsewhere")
    (setup.state / "elsewhere").touch()
    assert "move it away" in setup.fault("journal", path.name, "is a link").advice


@as_root
def test_a_journal_that_belongs_to_root(served_by_nobody: Setup) -> None:
    served_by_nobody.write_journal()
    served_by_nobody.journal.chmod(0o640)
    assert "chown" in served_by_nobody.fault("journal", "may not write it").advice


def test_a_clock_that_was_ahead_when_the_last_score_was_written(
    lone: Service, tmp_path: Path
) -> None:
    yesterday_s = time.time() - DAY_S
    found = beside(lone, tmp_path).fault("journal", "yet to come", now_s=yesterday_s)
    assert "date -u" in found.advice


def test_a_service_that_starts_again_and_again(setup: Setup) -> None:
    now_s = time.time()
    starts = [EventRow(at=now_s - 60 * n, kind="started", detail={}) for n in range(7)]
    setup.write_journal(*starts)
    found = setup.fault("journal", "started 7 times", level="warn", now_s=now_s)
    assert "journalctl" in found.advice


# Files and disk


def test_a_state_directory_that_anybody_may_write(setup: Setup) -> None:
    setup.state.chmod(0o777)
    assert "chmod o-w" in setup.fault("files", "every user", "0777").advice


@as_root
def test_a_state_directory_that_the_service_may_not_make(
    open_folder: Path, served_by_nobody: Setup
) -> None:
    (open_folder / "closed").mkdir(mode=0o700)
    served_by_nobody.values["MODEL_DIRECTORY"] = str(open_folder / "closed")
    assert "chown" in served_by_nobody.fault("files", "closed", "may not").advice


def test_a_configuration_that_anybody_may_write(setup: Setup, tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text("")
    file.chmod(0o666)
    assert "chmod o-w" in setup.fault("files", "config.toml", config_file=file).advice


def test_a_publication_that_was_interrupted(setup: Setup) -> None:
    left = setup.models / ".incoming-x"
    left.mkdir(parents=True)
    os.utime(left, (1.0, 1.0))
    assert "removes it" in setup.fault("files", "interrupted", level="warn").advice


@as_root
@pytest.mark.parametrize(("size", "level"), [("50m", "fail"), ("500m", "warn")])
def test_a_disk_that_is_nearly_full(setup: Setup, size: str, level: str) -> None:
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(setup.state)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("this machine lets nobody mount a small disk")
    try:
        assert "make room" in setup.fault("disk", "free", level=level).advice
    finally:
        subprocess.run(["umount", str(setup.state)], check=True)


# Mode, clock, configuration


def test_a_mode_that_somebody_commanded(setup: Setup) -> None:
    mode_file.write(setup.state, mode_file.Command("shadow", "anna", MONDAY_S))
    found = setup.fault("mode", "shadow", "anna", "2025-09-15", level="warn")
    assert "mode live" in found.advice


def test_a_mode_that_is_configured(setup: Setup) -> None:
    setup.values["SCORE_MODE"] = "off"
    assert "mode live" in setup.fault("mode", "off is configured", level="warn").advice


def test_a_mode_that_is_not_obeyed(setup: Setup) -> None:
    mode_file.write(setup.state, mode_file.Command("off", "mallory", MONDAY_S))
    (setup.state / mode_file.FILE_NAME).chmod(0o666)
    assert "signal-scorer mode" in setup.fault("mode", "not obeyed").advice


def test_a_clock_that_nothing_keeps_right(setup: Setup) -> None:
    scene = look_around(load(environ=setup.environ), now_s=MONDAY_S, listen_s=0.0)
    (found,) = clock.check(scene, lambda: False)
    assert (found.level, "timedatectl" in found.advice) == ("warn", True)


def test_a_clock_of_another_decade(setup: Setup) -> None:
    assert "timedatectl" in setup.fault("clock", "long passed", now_s=1e9).advice


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"SCORE_BASE_WEIGHT": "0.6"}, "scale"),
        ({"FEED_STALE_AFTER_S": "10"}, "silence"),
        ({"MODEL_EXPIRE_AFTER_DAYS": "0"}, "for ever"),
    ],
)
def test_values_that_say_what_nobody_means(setup: Setup, values: dict[str, str], said: str) -> None:
    setup.values |= values
    setup.fault("configuration", said, level="warn")


# Trainer and alerts


def test_a_truth_log_that_is_not_there(setup: Setup) -> None:
    setup.values["TRUTH_LOG_PATHS"] = str(setup.state / "truth_log.jsonl")
    assert "truth_log.paths" in setup.fault("trainer", "truth_log.jsonl", "not there").advice


@as_root
def test_a_truth_log_that_the_trainer_may_not_read(
    served_by_nobody: Setup, open_folder: Path
) -> None:
    small_model(served_by_nobody.models, now_s=time.time())
    os.chown(served_by_nobody.models, NOBODY, NOBODY)
    (open_folder / "private").mkdir(mode=0o700)
    (open_folder / "private" / "truth_log.jsonl").touch()
    served_by_nobody.values["TRUTH_LOG_PATHS"] = str(open_folder / "private" / "truth_log.jsonl")
    assert "--truth-log" in served_by_nobody.fault("trainer", "may not read", "private").advice


def test_a_zone_that_there_is_not(setup: Setup) -> None:
    setup.values["TRUTH_LOG_TIMEZONE"] = "Europe/Atlantis"
    assert "Europe/Athens" in setup.fault("trainer", "Atlantis").advice


def test_a_trainer_that_did_not_run(lone: Service, tmp_path: Path) -> None:
    setup = beside(lone, tmp_path, MODEL_DIRECTORY=str(tmp_path / "models"))
    later_s = time.time() + 9 * DAY_S
    assert "cron" in setup.fault("trainer", "never ran", level="warn", now_s=later_s).advice
    small_model(tmp_path / "models", now_s=time.time())
    setup.fault("trainer", "last ran", "published", level="warn", now_s=later_s)


def test_a_monitor_that_did_not_run(setup: Setup) -> None:
    (setup.state / "scorer.prom").touch()
    setup.values["MONITOR_TEXTFILE"] = "scorer.prom"
    assert {f.level for f in setup.findings("trainer")} == {"ok"}
    found = setup.fault("trainer", "hourly", level="warn", now_s=time.time() + 20_000)
    assert "cron" in found.advice


def test_an_alert_command_that_cannot_be_run(setup: Setup) -> None:
    script = setup.state / "tell.sh"
    setup.values["ALERTS_COMMAND"] = str(script)
    assert "alerts.command" in setup.fault("alerts", "not there").advice
    script.write_text("#!/bin/sh\n")
    assert "chmod +x" in setup.fault("alerts", "not executable").advice
    script.chmod(0o755)
    assert [finding.level for finding in setup.findings("alerts")] == ["ok"]


# The running service


def test_a_service_that_hangs(lone: Service, tmp_path: Path) -> None:
    assert lone.process
    pid = str(lone.process.pid)
    lone.process.send_signal(signal.SIGSTOP)
    try:
        found = beside(lone, tmp_path).fault("service", pid, "does not answer", ask_ms=200.0)
    finally:
        lone.process.send_signal(signal.SIGCONT)
    assert "restart" in found.advice


# The command


def test_the_command_says_what_and_what_to_do_and_ends_with_one(setup: Setup, taken: int) -> None:
    setup.values["SCORE_BIND"] = f"tcp://127.0.0.1:{taken}"
    done = invoke("doctor", "--timeout-ms", "50", **setup.values)
    assert done.returncode == 1
    assert "fail  addresses" in done.stdout
    assert "-> stop that program" in done.stdout
    assert "1 fault" in done.stdout


def test_as_json_it_is_for_programs(setup: Setup) -> None:
    small_model(setup.models, now_s=time.time())
    setup.values["FEED_INGEST"] = f"tcp://127.0.0.1:{free_port()}"
    done = invoke("doctor", "--json", **setup.values)
    content = json.loads(done.stdout)
    assert content["exit_code"] == done.returncode == 0
    assert {"check", "level", "about", "text", "advice"} == set(content["findings"][0])
    assert invoke("doctor", "--json", "--strict", **setup.values).returncode == 1


def test_a_configuration_that_cannot_be_read_is_a_finding(setup: Setup) -> None:
    done = invoke("doctor", **setup.values, SCORE_BIMD="x")
    assert done.returncode == 1
    assert "bimd" in done.stdout
    assert "signal-scorer config" in done.stdout


def test_a_check_that_fails_hides_no_other(setup: Setup) -> None:
    def broken(_scene: Any) -> Any:
        raise RuntimeError("no idea")

    scene = look_around(load(environ=setup.environ), now_s=MONDAY_S, listen_s=0.0)
    found = list(examining.examine(scene, [("one", broken), ("clock", kept_right)]))
    assert [(finding.check, finding.level) for finding in found] == [
        ("one", "fail"),
        ("clock", "ok"),
    ]
    assert "no idea" in found[0].text


def test_the_alert_command_is_run_with_a_message_that_says_it_is_a_test(setup: Setup) -> None:
    script, got = setup.state / "tell.sh", setup.state / "got.json"
    script.write_text(f"#!/bin/sh\ncat > {got}\n")
    script.chmod(0o755)
    setup.values["ALERTS_COMMAND"] = str(script)
    done = invoke("doctor", "--test-alert", **setup.values)
    assert done.returncode == 0, done.stderr
    message = json.loads(got.read_text())
    assert (message["v"], message["event"], message["findings"]) == (1, "test", [])
    script.write_text("#!/bin/sh\necho no such chat >&2\nexit 3\n")
    done = invoke("doctor", "--test-alert", **setup.values)
    assert done.returncode == 1
    assert "no such chat" in done.stderr
    del setup.values["ALERTS_COMMAND"]
    assert invoke("doctor", "--test-alert", **setup.values).returncode == 78
