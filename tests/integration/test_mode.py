"""The mode commanded from outside: who may, how soon, and that it outlives the process."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import builders
import msgspec
import pytest
from command import Done, invoke
from harness import Service, eventually, free_port, running
from serving import Parts
from wire import answering

from service.mode_file import FILE_NAME, Command, ModeWatch, read, write
from service.recording.rerun import compare

HEALTH = {
    "ready": True, "mode": "live", "reasons": [], "notes": [], "uptime_s": 1.0,
    "versions": {"service": "1"},
}  # fmt: skip


def signal_scorer(service: Service, *arguments: str) -> Done:
    named = {"STATE_DIR": str(service.folder), "ENDPOINT": service.address}
    return invoke(*arguments, "--timeout-ms", "5000", **named)


def test_nothing_is_withdrawn_where_there_is_no_folder(tmp_path: Path):
    with pytest.raises(FileNotFoundError):
        write(tmp_path / "absent", None)


def test_a_command_is_followed_journalled_and_outlives_a_kill(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("SUDO_USER", "trader")
    builders.small_model(tmp_path / "models")
    with running(tmp_path, with_feed=True, MODEL_EXPIRE_AFTER_DAYS="0") as service:
        service.warm()
        with service.client() as client:
            assert client.score("EURUSD", 70.0).status == "success"
            done = signal_scorer(service, "mode", "shadow")
            assert (done.returncode, done.stdout) == (0, "shadow: served from now on\n")
            reply = client.score("EURUSD", 71.0)
            assert (reply.status, reply.final_score) == ("shadow", 71.0)
            assert reply.shadow is not None
            asked = ("score", "--symbol", "EURUSD", "--base-score", "71")
            shown = signal_scorer(service, *asked).stdout
            assert f"the model says {reply.shadow.final_score:.1f}:\nwin prob" in shown
            assert any("commanded by trader" in note for note in client.health()["notes"])
        service.kill()
        service.start()
        assert signal_scorer(service, "mode").stdout == "shadow\n"
        done = signal_scorer(service, "mode", "configured")
        assert done.stdout == "live: served from now on\n"
        with service.client() as client:
            assert not any("command" in note for note in client.health()["notes"])
        told = [(e["before"], e["mode"], e["by"]) for e in service.events("mode")]
        assert told == [
            ("live", "shadow", "trader"),
            ("live", "shadow", "trader"),  # at the second start
            ("shadow", "live", "the configuration"),
        ]


def test_without_a_service_the_command_waits_for_the_next_start(tmp_path: Path):
    with closing(Service(tmp_path, SCORE_BIND="tcp://127.0.0.1:*")) as service:
        service.address = "tcp://127.0.0.1:1"
        done = subprocess.run(
            [sys.executable, "-m", "service", "mode", "off", "--timeout-ms", "100"],
            capture_output=True,
            text=True,
            env=os.environ
            | {"SIGNAL_SCORER_STATE_DIR": str(tmp_path), "SIGNAL_SCORER_ENDPOINT": service.address},
        )
        assert done.returncode == 0, done.stderr
        assert "holds from the next start" in done.stdout
        service.start()
        with service.client() as client:
            assert client.health()["mode"] == "off"
            assert client.score("EURUSD", 50.0).status == "off"


def test_a_command_for_another_folder_says_where_the_service_looks(tmp_path: Path):
    with running(tmp_path / "a") as service:
        other = Service(tmp_path / "b")
        other.address = service.address
        for wanted in ("off", "live"):  # it serves live already, and not because of this
            done = signal_scorer(other, "mode", wanted)
            assert done.returncode == 1
            assert str(tmp_path / "a") in done.stderr


def test_a_mode_is_written_where_the_service_has_no_time_to_say_its_own(tmp_path: Path):
    refusal = {
        "ok": False,
        "error": {"code": "overloaded", "message": "1024 requests wait already"},
    }
    with answering(lambda request: refusal) as busy:
        done = invoke("mode", "off", STATE_DIR=str(tmp_path), ENDPOINT=busy.address)
    assert done.returncode == 1
    command = read(tmp_path)
    assert command is not None
    assert command.mode == "off"
    assert "off: written, but the service does not say what it serves" in done.stderr
    assert "1024 requests wait already" in done.stderr


def test_a_mode_is_written_where_what_answers_is_no_service(tmp_path: Path):
    with answering(lambda request: {}) as stranger:
        done = invoke("mode", "off", STATE_DIR=str(tmp_path), ENDPOINT=stranger.address)
    command = read(tmp_path)
    assert command is not None
    assert command.mode == "off"
    assert done.returncode == 1
    assert "off: written, but" in done.stderr
    assert done.stderr.endswith("is no signal-scorer that this version knows\n")


def test_statistics_of_no_service_name_no_folder_that_it_keeps_its_state_in(tmp_path: Path):
    with answering(lambda request: HEALTH if request["op"] == "health" else {}) as stranger:
        done = invoke("mode", "live", STATE_DIR=str(tmp_path), ENDPOINT=stranger.address)
    assert done.returncode == 1
    assert "the service goes on serving live: " in done.stderr
    assert done.stderr.endswith("is no signal-scorer that this version knows\n")


def test_a_service_that_has_gone_meanwhile_is_not_said_to_go_on_serving(tmp_path: Path):
    with answering(lambda request: HEALTH if request["op"] == "health" else None) as gone:
        done = invoke("mode", "off", STATE_DIR=str(tmp_path), ENDPOINT=gone.address)
    assert done.returncode == 1
    assert "off: written, but the service does not say what it serves: " in done.stderr


def test_a_mode_that_waits_for_a_reload_is_said_to(tmp_path: Path):
    with running(tmp_path) as service:
        named = {"STATE_DIR": str(tmp_path), "ENDPOINT": service.address, "SCORE_MODE": "shadow"}
        done = invoke("mode", "configured", **named)
        assert done.returncode == 1
        assert "goes on serving live" in done.stderr
        assert "systemctl reload signal-scorer" in done.stderr


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The configuration file of a service that runs."""
    folder = tmp_path_factory.mktemp("asked")
    with running(folder) as service:
        path = folder / "config.toml"
        path.write_text(
            f'state_dir = "{folder}"\nscore.bind = ["{service.address}"]\nfeed.endpoints = []\n'
        )
        yield path


def test_it_asks_where_the_configuration_lets_the_service_listen(tmp_path: Path):
    ipc, port = f"ipc://{tmp_path}/s", free_port()
    with running(tmp_path, SCORE_BIND=f"tcp://127.0.0.1:{port},{ipc}"):
        for bind in (*(f"tcp://{host}:{port}" for host in ("127.0.0.1", "*", "0.0.0.0")), ipc):
            named = {"SCORE_BIND": bind, "SCORE_ALLOW_INSECURE": "true"}
            assert invoke("mode", STATE_DIR=str(tmp_path), **named).stdout == "live\n"


@pytest.mark.parametrize(
    "command",
    [
        ["health"],
        ["stats"],
        ["features", "EURUSD"],
        ["score", "--symbol", "EURUSD", "--base-score", "70"],
        ["outcome", "--outcome", "WIN_TP", "--signal-id", "S1"],
        ["status"],
        ["mode"],
    ],
    ids=lambda command: command[0],
)
def test_every_question_goes_where_the_configuration_lets_the_service_listen(
    asked: Path, command: list[str]
):
    done = invoke(*command, "--config", str(asked), "--timeout-ms", "10000")
    assert done.returncode == 0, done.stderr
    assert invoke(*command, "--timeout-ms", "10000", CONFIG=str(asked)).returncode == 0
    elsewhere = invoke(*command, "--endpoint", "tcp://127.0.0.1:1", "--timeout-ms", "50")
    assert elsewhere.returncode == 69


def test_an_address_that_is_named_needs_no_configuration(tmp_path: Path):
    absent = str(tmp_path / "none.toml")
    assert invoke("health", CONFIG=absent).returncode == 78
    named = invoke("health", "--timeout-ms", "50", CONFIG=absent, ENDPOINT="tcp://127.0.0.1:1")
    assert named.returncode == 69


def test_a_mode_changed_within_a_recording_is_replayed_to_the_bit(tmp_path: Path):
    builders.small_model(tmp_path / "models")
    with running(
        tmp_path, with_feed=True, RECORD_ENABLED="true", MODEL_EXPIRE_AFTER_DAYS="0"
    ) as service:
        service.warm()
        with service.client() as client:
            for wanted in ("shadow", "off", "live"):
                client.score("EURUSD", 70.0)
                write(service.folder, Command(wanted))
                eventually(lambda w=wanted: client.health()["mode"] == w, wanted)
            client.score("EURUSD", 70.0)
        assert service.terminate()[0] == 0
        account = compare(sorted((tmp_path / "segments").glob("*")), service.journal_path)
        assert (account.rows, account.identical) == (4, 4), account.lines()
        assert [row["status"] for row in service.scores()] == [
            "success",
            "shadow",
            "off",
            "success",
        ]


def test_it_is_followed_within_a_second_by_the_clock_of_the_loop(tmp_path: Path):
    parts = Parts(tmp_path)
    parts.housekeeping.turn()
    write(tmp_path, Command("off", "me", 1.0))
    parts.clock.advance(0.5)
    parts.housekeeping.turn()
    assert parts.engine.mode == "off"


def other_owner(path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a file away")
    os.chown(path, 12345, 12345)


@pytest.mark.parametrize(
    ("spoil", "word"),
    [
        (lambda path: path.chmod(0o664), "others"),
        (lambda path: path.chmod(0o646), "others"),
        (other_owner, "12345"),
        (lambda path: path.write_text("{"), "no command"),
        (lambda path: path.write_text('{"mode": "loud"}'), "no command"),
        (lambda path: path.write_bytes(b"\xff" * 10_000), "no command"),
        (lambda path: (path.unlink(), path.symlink_to("elsewhere")), "cannot be read"),
        (lambda path: (path.unlink(), path.mkdir()), "regular"),
        (lambda path: (path.unlink(), os.mkfifo(path)), "regular"),
    ],
)
def test_a_file_without_authority_or_sense_changes_nothing_and_is_told_once(
    tmp_path: Path, spoil, word: str
):
    parts = Parts(tmp_path)
    write(tmp_path, Command("shadow", "me", 1.0))
    parts.housekeeping.turn()
    spoil(tmp_path / FILE_NAME)
    for _ in range(3):
        parts.clock.advance(1.0)
        parts.housekeeping.turn()
    assert parts.engine.mode == "shadow"
    events = parts.rows("SELECT * FROM events WHERE kind = 'mode_refused'")
    assert len(events) == 1
    assert word in events[0]["detail"]
    assert any("refused" in note for note in parts.ask("health")["notes"])


def test_a_refused_file_keeps_no_configured_mode_from_a_reload(tmp_path: Path):
    parts = Parts(tmp_path)
    write(tmp_path, Command("live"))
    (tmp_path / FILE_NAME).chmod(0o666)
    parts.housekeeping.turn()
    off = msgspec.structs.replace(parts.config.score, mode="off")
    parts.housekeeping.reconfigure(msgspec.structs.replace(parts.config, score=off))
    assert parts.engine.mode == "off"
    assert any("refused" in note for note in parts.ask("health")["notes"])


def test_a_file_that_is_nested_without_end_is_refused(tmp_path: Path):
    (tmp_path / FILE_NAME).write_text('{"mode": "off", "x": ' + "[" * 1000)
    look = ModeWatch(tmp_path).look()
    assert look is not None
    assert look.refused


def test_a_mended_file_is_read_again(tmp_path: Path):
    watch = ModeWatch(tmp_path)
    assert watch.look() is None
    write(tmp_path, Command("off"))
    (tmp_path / FILE_NAME).chmod(0o666)
    look = watch.look()
    assert look is not None
    assert look.refused
    assert watch.look() is None
    (tmp_path / FILE_NAME).chmod(0o644)
    look = watch.look()
    assert look is not None
    assert look.command == Command("off")


@pytest.mark.parametrize(("wanted", "stands"), [(Command("off"), [FILE_NAME]), (None, [])])
def test_what_a_killed_command_left_the_next_one_removes(
    tmp_path: Path, wanted: Command | None, stands: list[str]
):
    gone = subprocess.run(["/bin/sh", "-c", "echo $$"], capture_output=True, text=True)
    (tmp_path / f".{FILE_NAME}.incoming-{gone.stdout.strip()}").touch()
    write(tmp_path, wanted)
    assert [path.name for path in tmp_path.iterdir()] == stands


def test_what_is_written_is_read_back_and_may_be_read_by_the_service(tmp_path: Path):
    before = os.umask(0o077)
    try:
        write(tmp_path / "new", Command("shadow", "me", 2.0))
    finally:
        os.umask(before)
    assert read(tmp_path / "new") == Command("shadow", "me", 2.0)
    assert (tmp_path / "new" / FILE_NAME).stat().st_mode & 0o777 == 0o644
    write(tmp_path / "new", None)
    write(tmp_path / "new", None)
    assert read(tmp_path / "new") is None
