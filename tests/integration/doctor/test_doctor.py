"""`doctor` names each fault that is seeded, with what to do, and nothing where all is well.

The faults are real: files, modes, sockets, processes. None of the checks leaves a trace.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zmq
from another_user import NOBODY, as_root
from background import meanwhile
from builders import small_model
from command import invoke
from doctored import DAY_S, MONDAY_S, Setup, beside, kept_right, snapshot
from harness import PATIENCE_S, Service, eventually, free_port, running
from journals import stored
from scored_journal import EVERY_S, START_S, score_row
from serving import Parts, body, tick

from protocol.curve import CurveKeys, KeyPair
from protocol.schema import FEATURE_COUNT
from service.config.load import load
from service.config.settings import Config
from service.doctor import examine as examining
from service.doctor.answers import base_scores
from service.doctor.running import check as service_check
from service.doctor.scene import Running, Scene, look_around
from service.keygen import keygen

# Healthy


def test_a_healthy_running_service_gives_no_fault_and_no_warning(tmp_path: Path) -> None:
    small_model(tmp_path / "models", now_s=time.time())
    (tmp_path / "models" / ".lock").touch()
    with running(tmp_path, with_feed=True) as service:
        service.warm()
        setup = Setup(
            tmp_path / "unused",
            STATE_DIR=str(tmp_path),
            SCORE_BIND=service.address,
            FEED_ENDPOINTS=service.feed.address,
        )

        def go_on(stop: threading.Event) -> None:
            while not stop.wait(0.02):
                service.feed.send(tick("EURUSD", time.time()))

        with meanwhile(go_on):
            found = setup.findings()
        assert [finding for finding in found if finding.level != "ok"] == []
        assert {finding.check for finding in found} >= {
            name for name, _ in examining.CHECKS if name != "keys"
        }


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


def test_a_service_that_leaves_the_keys_given_without_an_answer(tmp_path: Path) -> None:
    made = keygen(tmp_path / "keys", "me")
    assert made.client_secret
    listed = CurveKeys.read(made.server_public, made.client_secret)
    stranger = listed._replace(own=KeyPair(*zmq.curve_keypair()))
    values = {
        "CURVE_SERVER_SECRET_FILE": str(made.server_secret),
        "CURVE_CLIENTS_DIR": str(made.clients_dir),
        "CURVE_LOOPBACK": "true",
    }
    with running(tmp_path / "s", **values) as service:
        setup = beside(service, tmp_path / "beside", **values)
        assert "ready" in setup.findings("service", keys=listed)[0].text
        unasked = setup.fault("service", "was not asked", level="warn")
        assert "give --server-key and --key" in unasked.advice
        asked = {"keys": stranger, "ask_ms": 200.0}
        found = setup.fault("service", "does not answer", "hangs, does not know", **asked)
        assert "clients_dir" in found.advice
        assert service.process
        service.process.send_signal(signal.SIGSTOP)
        asked["keys"] = listed
        setup.fault("service", str(service.process.pid), "hangs, does not know", **asked)


def test_a_restart_that_is_due(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text("")
    with running(tmp_path / "state", CONFIG=str(file)) as service, service.client() as client:
        file.write_text("[feed]\nstale_after_s = 300\n")
        assert service.process
        service.process.send_signal(signal.SIGHUP)
        eventually(lambda: client.health()["notes"], "the restart that is due")
        found = beside(service, tmp_path / "beside").fault("service", "stale_after_s", level="warn")
    assert found.advice.endswith("systemctl restart signal-scorer")


def test_requests_that_were_not_understood(tmp_path: Path) -> None:
    with running(tmp_path / "state") as service, zmq.Context() as context:
        with context.socket(zmq.DEALER) as asker:
            asker.connect(service.address)
            for request in (b"GET /", b"HEAD /", body("scorn"), body("health")):
                asker.send_multipart([b"", request])
                assert asker.poll(PATIENCE_S * 1000)
                asker.recv_multipart()
        setup = beside(service, tmp_path / "beside")
        said = "3 requests not understood since its start: 2 malformed, 1 unknown_op"
        found = setup.fault("service", service.address, said, level="warn")
    assert "ScorerRequestsRefused" in found.advice


@pytest.mark.parametrize(
    ("answers", "uptime_s", "said"),
    [
        ({"deadline": 6}, 60.0, ["deadline"]),
        ({"deadline": 5}, 60.0, []),
        ({"deadline": 20, "success": 80}, 60.0, []),
        ({"deadline": 21, "success": 80}, 60.0, ["deadline"]),
        ({"no_direction": 50, "unknown_symbol": 50}, 60.0, ["no_direction", "unknown_symbol"]),
        ({"off": 50, "shadow": 50, "no_model": 50, "expired_model": 50}, 9e9, []),
        ({"warming_up": 50}, 2 * 3600.0, []),
        ({"warming_up": 50}, 3 * 3600.0, ["warming_up"]),
    ],
)
def test_base_scores_are_told_of_where_they_are_many_and_nobody_chose_them(
    tmp_path: Path, answers: dict[str, int], uptime_s: float, said: list[str]
) -> None:
    scores = {f"status_{status}": count for status, count in answers.items()} | {"retry": 900}
    stats = {"scores": scores, "journal": {"fault": None}}
    answering = Running("here", {"uptime_s": uptime_s}, stats, None)
    scene = Scene(Config(state_dir=str(tmp_path)), 0.0, running=answering)
    assert [status for status, _ in base_scores(scene)] == said


def test_base_scores_of_the_last_day_show_among_those_of_weeks(tmp_path: Path) -> None:
    config, now_s = Config(state_dir=str(tmp_path)), START_S + EVERY_S * 100

    def found(
        stale: int = 7,
        *,
        uptime_s: float = 30 * DAY_S,
        at_s: float = now_s,
        fault: str | None = None,
    ) -> list[str]:
        scores = {"status_success": 90_000, "status_stale_feed": stale}
        stats = {"scores": scores, "journal": {"fault": fault}}
        answering = Running("here", {"uptime_s": uptime_s}, stats, None)
        return [said for _, said in base_scores(Scene(config, at_s, running=answering))]

    assert found() == []  # no journal
    status = {i: "stale_feed" if 93 < i < 100 else "success" for i in range(100)}
    rows = [score_row(i, np.zeros(FEATURE_COUNT), status=status[i]) for i in range(100)]
    stored(config.journal_path, rows)
    assert found() == ["6 of the last 23 answers are base scores: stale_feed"]
    # The service's own counts have those too that were not kept, as today's may not be.
    lacking: tuple[dict[str, Any], ...] = (
        {"uptime_s": 0.9 * DAY_S},
        {"fault": "disk full"},
        {"at_s": now_s + 2 * DAY_S},
        {"at_s": now_s - 200 * EVERY_S},  # of a clock that was ahead
    )
    for case in lacking:
        assert found(**case) == []
        (said,) = found(90_000, **case)
        assert said == "90000 of 180000 answers since its start are base scores: stale_feed"


def test_a_stale_feed_that_most_answers_met(tmp_path: Path) -> None:
    with running(tmp_path, with_feed=True, FEED_STALE_AFTER_S="0.001") as service:
        service.feed.send(tick("EURUSD", time.time()))
        with service.client() as client:
            eventually(lambda: client.stats()["symbols"], "the tick")
            for _ in range(6):
                client.score("EURUSD", 70.0)
        setup = beside(service, tmp_path / "beside")
        found = setup.fault("service", "6 of 6 answers", "stale_feed", level="warn")
    assert "ScorerBaseScores" in found.advice


def test_replies_that_nobody_read_are_laid_to_a_loop_that_stood_still(tmp_path: Path) -> None:
    parts = Parts(tmp_path)
    parts.vitals.requests["reply_dropped"] = 46

    def told() -> str:
        answering = Running("here", parts.ask("health"), parts.ask("stats"), None)
        scene = Scene(parts.config, parts.clock.utc_s(), running=answering)
        (found,) = (one for one in service_check(scene) if "dropped" in one.text)
        assert "ScorerRepliesDropped" in found.advice
        return found.text

    assert "the loop" not in told()
    parts.vitals.turned(0.55)
    assert told().endswith("; once the loop was busy for 550 ms")


# The command


def test_the_command_says_what_and_what_to_do_and_ends_with_one(setup: Setup, taken: int) -> None:
    setup.values["SCORE_BIND"] = f"tcp://127.0.0.1:{taken}"
    done = invoke("doctor", "--timeout-ms", "50", **setup.values)
    assert done.returncode == 1
    assert "fail  addresses" in done.stdout
    assert "-> stop that program" in done.stdout
    assert "1 fault" in done.stdout


def test_a_name_that_others_chose_does_nothing_to_the_terminal(setup: Setup) -> None:
    left = setup.models / ".incoming-\x1b[2J\x1b]0;root\x07\nok    files"
    left.mkdir(parents=True)
    os.utime(left, (1.0, 1.0))
    said = invoke("doctor", "--timeout-ms", "50", **setup.values).stdout
    assert ".incoming-?[2J?]0;root??ok" in "".join(said.split())
    assert said.replace("\n", "").isprintable()


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


@as_root
def test_root_tries_the_alert_command_as_the_user_that_will_run_it(served_by_nobody: Setup) -> None:
    """A token that only root may read would not be sent by the monitor either."""
    setup = served_by_nobody
    setup.models.mkdir()
    os.chown(setup.models, NOBODY, NOBODY)
    script, token = setup.state / "tell.sh", setup.state / "token"
    token.touch(0o600)
    script.write_text(f"#!/bin/sh\ncat {token}\n")
    script.chmod(0o755)
    setup.values["ALERTS_COMMAND"] = str(script)
    done = invoke("doctor", "--test-alert", **setup.values)
    assert done.returncode == 1
    assert "as user nobody" in done.stderr
    assert "Permission denied" in done.stderr
    os.chown(token, NOBODY, NOBODY)
    # A session of its own, too: in root's it could type into root's terminal.
    script.write_text(f"#!/bin/sh\ncat {token} && [ $(ps -o sid= -p $$) -eq $$ ]\n")
    assert invoke("doctor", "--test-alert", **setup.values).returncode == 0


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
