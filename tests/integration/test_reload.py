"""SIGHUP: what may change is taken up, what may not is named, and nothing is interrupted."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from harness import Service, eventually, running
from serving import settings

from protocol.client import ScorerClient
from service import mode_file
from service.config.settings import Config
from service.reload import LIVE, TRAINERS, compare, with_live

Configured = tuple[Service, Callable[[str], None]]


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Service, Path]]:
    """A running service and its file."""
    folder = tmp_path_factory.mktemp("reloaded")
    file = folder / "config.toml"
    file.write_text("")
    with running(folder / "state", CONFIG=str(file)) as service:
        yield service, file


@pytest.fixture
def configured(started: tuple[Service, Path]) -> Iterator[Configured]:
    """A service as the defaults have it, and what writes its file and has it read again."""
    service, file = started
    service.log.clear()

    def change(text: str) -> None:
        file.write_text(text)
        assert service.process
        service.process.send_signal(signal.SIGHUP)

    yield service, change
    # By a value that no test gives: its lines come after all that the test's own changes write.
    change("[limits]\nfaults_per_minute = 77\n")
    eventually(lambda: faults_per_minute(service).endswith("-> 77"), "the reload")
    change("")
    eventually(lambda: faults_per_minute(service) == "77 -> 10", "the defaults")
    with service.client() as client:
        eventually(lambda: client.health()["mode"] == "live", "the default mode")
        eventually(lambda: not restart_wanted(client), "the other defaults")


def faults_per_minute(service: Service) -> str:
    """What the newest reload has made of it."""
    changed: dict[str, str] = logged(service, "reloaded")["changed"]
    return changed.get("limits.faults_per_minute", "")


def restart_wanted(client: ScorerClient) -> list[str]:
    return [note for note in client.health()["notes"] if "restart" in note]


def logged(service: Service, event: str) -> dict[str, Any]:
    """The newest line of this kind, which comes."""

    def look() -> dict[str, Any] | None:
        return next((one for one in reversed(service.log) if one.get("event") == event), None)

    return eventually(look, event)


def test_what_may_change_is_taken_up_without_a_restart(configured: Configured) -> None:
    service, change = configured
    with service.client() as client:
        uptime_s = client.health()["uptime_s"]
        change('[score]\nmode = "shadow"\n[limits]\nfaults_per_minute = 99\n')
        eventually(lambda: client.health()["mode"] == "shadow", "the configured mode")
        assert logged(service, "reloaded")["changed"] == {
            "limits.faults_per_minute": "10 -> 99",
            "score.mode": "live -> shadow",
        }
        change("")
        eventually(lambda: client.health()["mode"] == "live", "the default again")
        assert client.health()["uptime_s"] > uptime_s
        assert not [line for line in service.log if "restart" in line.get("event", "")]


def test_a_commanded_mode_stands_above_a_changed_configuration(configured: Configured) -> None:
    service, change = configured
    with service.client() as client:
        mode_file.write(service.folder, mode_file.Command("off", "anna", 0.0))
        eventually(lambda: client.health()["mode"] == "off", "the command")
        change('[score]\nmode = "shadow"\n')
        logged(service, "reloaded")
        assert client.health()["mode"] == "off"
        mode_file.write(service.folder, None)
        eventually(lambda: client.health()["mode"] == "shadow", "the configuration")


def test_the_log_changes_its_level(configured: Configured) -> None:
    service, change = configured
    change('[log]\nlevel = "error"\n[score]\nmode = "shadow"\n')
    with service.client() as client:
        eventually(lambda: client.health()["mode"] == "shadow", "the reload")
        # It was quiet when it took the mode up, which is logged otherwise.
        assert not [line for line in service.log if line.get("event") == "mode"]
        change("")
        assert logged(service, "reloaded")["changed"]["log.level"] == "error -> info"
        assert logged(service, "mode")["mode"] == "live"


def test_what_needs_a_restart_is_named_and_changes_nothing(configured: Configured) -> None:
    service, change = configured
    change("[feed]\nstale_after_s = 7\n[limits]\nsymbols = 3\n[training]\nmin_samples = 200\n")
    assert logged(service, "changed, but a restart is needed")["keys"] == [
        "feed.stale_after_s",
        "limits.symbols",
    ]
    assert logged(service, "reloaded")["of_the_trainer"] == ["training.min_samples"]
    with service.client() as client:
        (note,) = restart_wanted(client)
        assert "limits.symbols" in note
        change("")
        eventually(lambda: not restart_wanted(client), "what was taken back to need none")


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ("bimd = 1\n", "bimd"),
        ('[feed]\ningest = "tcp://0.0.0.0:5562"\n', "feed.ingest"),
    ],
    ids=["no such key", "what a start would refuse"],
)
def test_a_file_that_is_wrong_changes_nothing(
    configured: Configured, wrong: str, named: str
) -> None:
    service, change = configured
    change('[score]\nmode = "shadow"\n' + wrong)
    line = logged(service, "configuration not reloaded; what was loaded before holds")
    assert named in line["error"]
    with service.client() as client:
        assert client.health()["mode"] == "live"
        assert client.score("EURUSD", 70.0).journalled is True


def test_every_key_is_taken_up_named_or_the_trainers() -> None:
    fields = [
        f"{section}.{key}"
        for section in Config.__struct_fields__
        if section != "state_dir"
        for key in getattr(Config(), section).__struct_fields__
    ]
    assert set(fields) >= LIVE
    assert all(any(field.startswith(prefix) for field in fields) for prefix in TRAINERS)


def test_keys_that_wait_for_a_restart_are_not_taken_up() -> None:
    before = settings()
    after = settings(SCORE_MODE="off", SCORE_RETRY_WINDOW_S="5", STATE_DIR="elsewhere")
    assert compare(before, after).restart == ("state_dir", "score.retry_window_s")
    now = with_live(before, after)
    assert (now.score.mode, now.score.retry_window_s, now.state_dir) == ("off", 60.0, "var")
    assert compare(now, after).live == {}
