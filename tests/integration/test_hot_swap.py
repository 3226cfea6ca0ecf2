"""Models are published while requests are sent: none is lost, each names one model."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import builders
import pytest
from background import meanwhile
from harness import Service, eventually, running
from serving import published_model, tick

from protocol.client import ScorerClient
from protocol.manifest import POINTER_NAME


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    """Warm, with a first model, polling as often as it does by default."""
    published_model(tmp_path / "models", time.time(), seed=1)
    with running(tmp_path, with_feed=True, MODEL_POLL_S="1.0") as service:
        service.warm()
        yield service


def version_of(service: Service) -> str | None:
    with service.client() as client:
        return client.score("EURUSD", 75.0, direction="BUY").model_version


def test_a_second_model_serves_within_two_seconds_and_no_request_is_lost(service: Service) -> None:
    first = version_of(service)
    replies: list[tuple[float, Any]] = []

    def ask(stop: threading.Event) -> None:
        """Score without a pause, and feed, and note what was answered when."""
        with service.client() as client:
            n = 0
            while not stop.is_set():
                n += 1
                if n % 20 == 0:
                    service.feed.send(tick("EURUSD", time.time(), 1.1 + n * 1e-7))
                reply = client.score("EURUSD", n % 100, direction="BUY", signal_id=f"s{n}")
                replies.append((time.monotonic(), reply))

    with meanwhile(ask):
        eventually(lambda: len(replies) > 50, "replies")
        second = builders.small_model(
            service.models_dir, seed=2, now_s=time.time(), probability_bias=0.5
        )
        published_s = time.monotonic()
        eventually(lambda: replies[-1][1].model_version == second, "the second model")
        after = len(replies)
        eventually(lambda: len(replies) > after + 50, "more replies")
    assert {reply.status for _, reply in replies} == {"success"}
    versions = [reply.model_version for _, reply in replies]
    swap = versions.index(second)
    assert versions == [first] * swap + [second] * (len(versions) - swap)
    assert replies[swap][0] - published_s < 2.0
    # Each row was written by the model that its reply named.
    kept = {row["score_id"]: row["model_version"] for row in service.scores()}
    assert all(kept[reply.score_id] == reply.model_version for _, reply in replies)
    installed = [event["version"] for event in service.events("model_installed")]
    assert installed == [first, second]


def tamper(folder: Path) -> None:
    path = folder / "forest.npz"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_a_damaged_bundle_leaves_the_first_serving_and_is_reported_once(tmp_path: Path) -> None:
    models = tmp_path / "models"
    first = published_model(models, time.time(), seed=1).version
    with running(tmp_path, with_feed=True) as service:
        service.warm()
        # Made elsewhere and damaged before the pointer names it, as a bad copy would be.
        workshop = tmp_path / "workshop"
        second = builders.small_model(workshop, seed=2, now_s=time.time())
        shutil.copytree(workshop / second, models / second)
        tamper(models / second)
        shutil.copy(workshop / POINTER_NAME, models / "incoming")
        (models / "incoming").replace(models / POINTER_NAME)
        events = eventually(lambda: service.events("model_rejected"), "the refusal")
        (event,) = events
        assert event["serving"] == first
        assert version_of(service) == first
        with service.client() as client:
            health, stats = client.health(), client.stats()
            assert health["ready"] is True
            assert event["reason"] in health["notes"][0]
            assert sum(stats["rejections"].values()) == 1
            # Several more looks at it, the pointer's date renewed, say nothing new.
            (models / POINTER_NAME).touch()
            looks_s = time.monotonic() + 0.6
            eventually(lambda: time.monotonic() > looks_s and client.health(), "more looks")
        assert len(service.events("model_rejected")) == 1
        # A good one is found nevertheless.
        third = builders.small_model(models, seed=3, now_s=time.time())
        eventually(lambda: version_of(service) == third, "the third model")
        with service.client() as client:
            assert client.health()["notes"] == []


def test_a_damaged_model_at_the_start_means_the_base_score(tmp_path: Path) -> None:
    version = published_model(tmp_path / "models", time.time()).version
    tamper(tmp_path / "models" / version)
    with running(tmp_path, with_feed=True) as service:
        service.warm()
        with service.client() as client:
            assert client.score("EURUSD", 75.0, direction="BUY").status == "no_model"
            assert client.health()["ready"] is True
        (event,) = (line for line in service.log if line["event"] == "model_rejected")
        assert event["advice"] == "signal-scorer doctor says what to do"
        said = [line["event"] for line in service.log if "base scores are served" in line["event"]]
        assert said == ["the published model was refused: base scores are served"]


def test_a_pointer_that_goes_away_leaves_the_model_serving(tmp_path: Path) -> None:
    version = published_model(tmp_path / "models", time.time()).version
    with running(tmp_path, with_feed=True) as service:
        service.warm()
        (tmp_path / "models" / POINTER_NAME).unlink()
        eventually(lambda: service.events("model_pointer_missing"), "a remark")
        assert version_of(service) == version
        with service.client() as client:
            (note,) = client.health()["notes"]
            assert f"CURRENT.json is gone: {version} serves on" in note
            # Doctor's advice for a note with this word is to do it.
            assert "restart" not in note
            (event,) = (line for line in service.log if line["event"] == "model_pointer_missing")
            assert "ScorerModelGone" in event["advice"]
            published_model(tmp_path / "models", time.time())
            eventually(lambda: not client.health()["notes"], "the note to go")


def test_a_refused_pointer_that_goes_away_is_refused_no_longer(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / POINTER_NAME).write_text("{}")
    with running(tmp_path) as service, service.client() as client:
        assert any("was refused" in note for note in client.health()["notes"])
        (tmp_path / "models" / POINTER_NAME).unlink()
        eventually(lambda: service.events("model_pointer_missing"), "a remark")
        assert client.health()["notes"] == ["no model: base scores are served"]


def test_a_client_of_its_own_thread_sees_one_version_at_a_time(service: Service) -> None:
    """A batch is answered by one model, whatever is published meanwhile."""
    signals = [{"symbol": "EURUSD", "base_score": n, "direction": "BUY"} for n in range(100)]
    with ScorerClient(service.address, 10_000) as client:
        from protocol.messages import ScoreManyRequest

        builders.small_model(service.models_dir, seed=4, now_s=time.time())
        seen = set()

        def both() -> bool:
            scores = client.call(ScoreManyRequest(signals=signals))["scores"]
            (version,) = {one["model_version"] for one in scores}
            seen.add(version)
            return len(seen) == 2

        eventually(both, "both models")
