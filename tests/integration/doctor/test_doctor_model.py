"""What is published, and whether it can serve."""

from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path

import pytest
from another_user import as_nobody, as_root
from builders import pointer_of, small_model
from doctored import DAY_S, Setup
from harness import eventually, running
from seals import seal_manifest

from protocol.manifest import FOREST_NAME, MANIFEST_NAME, POINTER_NAME
from training.models.registry import rollback


def test_no_model_yet(setup: Setup) -> None:
    assert "first weeks" in setup.fault("model", "no model yet", level="warn").advice


def test_models_that_are_gone_while_one_is_served(tmp_path: Path) -> None:
    version = small_model(tmp_path / "models", now_s=time.time())
    with running(tmp_path) as service:
        setup = Setup(tmp_path / "unused", STATE_DIR=str(tmp_path), SCORE_BIND=service.address)
        (tmp_path / "models").rename(tmp_path / "elsewhere")
        assert "mounted" in setup.fault("model", "empty or not there", version).advice
        with service.client() as client:
            assert client.score("EURUSD", 70.0).model_version == version


def test_a_pointer_that_is_gone_though_models_are_there(setup: Setup) -> None:
    version = small_model(setup.models, now_s=time.time())
    (setup.models / POINTER_NAME).unlink()
    assert version in setup.fault("model", POINTER_NAME, "is missing").advice


def test_the_model_that_was_rolled_back_from_is_not_advised(setup: Setup) -> None:
    now_s = time.time()
    older, _ = (small_model(setup.models, now_s=now_s + n) for n in (-60, 0))
    rollback(setup.models, now_s=now_s, why="bad")
    (setup.models / POINTER_NAME).unlink()
    advised = f"signal-scorer-train rollback {older}"
    assert setup.fault("model", POINTER_NAME, "2 models are there").advice.endswith(advised)


def test_the_model_that_still_serves_is_advised(tmp_path: Path) -> None:
    now_s = time.time()
    older = small_model(tmp_path / "models", now_s=now_s - 60)
    with running(tmp_path) as service:
        setup = Setup(tmp_path / "unused", STATE_DIR=str(tmp_path), SCORE_BIND=service.address)
        (tmp_path / "models" / POINTER_NAME).unlink()
        small_model(tmp_path / "another", now_s=now_s)
        (newer,) = (path for path in (tmp_path / "another").iterdir() if path.is_dir())
        newer.rename(tmp_path / "models" / newer.name)
        assert older in setup.fault("model", POINTER_NAME, "2 models are there").advice


def test_a_folder_that_is_named_as_no_model_is_no_part_of_a_command(setup: Setup) -> None:
    version = small_model(setup.models, now_s=time.time())
    (setup.models / POINTER_NAME).unlink()
    (setup.models / version).rename(setup.models / "z;echo pasted #")
    setup.fault("model", "no model yet", level="warn")


def test_models_behind_a_link_to_what_is_not_mounted(setup: Setup, tmp_path: Path) -> None:
    setup.models.symlink_to(tmp_path / "unmounted")
    assert "mounted" in setup.fault("model", "models", "is a link to", "model.directory").advice


def test_a_first_publication_that_was_interrupted_is_no_model(setup: Setup) -> None:
    version = small_model(setup.models, now_s=time.time())
    (setup.models / version).rename(setup.models / f".incoming-{version}")
    (setup.models / POINTER_NAME).unlink()
    setup.fault("model", "no model yet", level="warn")


@as_root
def test_a_model_that_is_hidden_from_who_asks_is_not_called_unusable(
    served_by_nobody: Setup, open_folder: Path
) -> None:
    closed = open_folder / "models"
    small_model(closed, now_s=time.time())
    closed.chmod(0o700)
    served_by_nobody.values["MODEL_DIRECTORY"] = str(closed)
    os.chown(served_by_nobody.state, 0, 0)
    served_by_nobody.state.chmod(0o755)
    with as_nobody():
        for check in ("model", "trainer"):
            (found,) = served_by_nobody.findings(check)
            assert (found.level, found.text) == (
                "warn",
                "is hidden from you: this check ended there",
            )


@as_root
def test_a_closed_folder_among_the_models_hides_none(served_by_nobody: Setup) -> None:
    version = small_model(served_by_nobody.models, now_s=time.time())
    (served_by_nobody.models / POINTER_NAME).unlink()
    (served_by_nobody.models / "lost+found").mkdir(mode=0o700)
    with as_nobody():
        found = served_by_nobody.fault("model", POINTER_NAME, "1 models are there")
    assert version in found.advice


@pytest.mark.parametrize(
    ("days", "level", "said"), [(29, "warn", "expires after 35"), (36, "fail", "no longer used")]
)
def test_a_model_that_is_stale_or_expired(setup: Setup, days: int, level: str, said: str) -> None:
    small_model(setup.models, now_s=time.time() - days * DAY_S)
    advice = setup.fault("model", said, level=level).advice
    assert "train" in advice
    assert ("date -u" in advice) == (level == "fail")


@pytest.mark.parametrize(("ahead_s", "said"), [(30.5 * DAY_S, "30 d"), (2730.0, "45 min")])
def test_a_review_that_lies_ahead_of_the_clock(setup: Setup, ahead_s: float, said: str) -> None:
    now_s = time.time()
    small_model(setup.models, now_s=now_s + ahead_s)
    found = setup.fault("model", f"reviewed {said} from now", level="warn", now_s=now_s)
    assert "date -u" in found.advice


def test_a_model_made_for_other_features(setup: Setup) -> None:
    small_model(setup.models, now_s=time.time())
    path = setup.models / pointer_of(setup.models).version / MANIFEST_NAME
    content = json.loads(path.read_bytes()) | {"fingerprint": "0" * 16}
    seal_manifest(setup.models, json.dumps(content).encode())
    advice = setup.fault("model", "fingerprint").advice
    assert "train anew" in advice
    assert "after signal-scorer-train unpin" in advice


def test_a_damaged_model(setup: Setup) -> None:
    version = small_model(setup.models, now_s=time.time())
    with (setup.models / version / FOREST_NAME).open("r+b") as file:
        file.seek(2000)
        file.write(b"\xff")
    advice = setup.fault("model", "digest", FOREST_NAME).advice
    assert "VERSION; if there is no other: signal-scorer-train train --force" in advice


@as_root
def test_a_model_that_the_service_may_not_read(served_by_nobody: Setup) -> None:
    version = small_model(served_by_nobody.models, now_s=time.time())
    (served_by_nobody.models / version / FOREST_NAME).chmod(0o600)
    assert "chmod -R" in served_by_nobody.fault("model", FOREST_NAME, "may not read").advice


def test_a_published_model_that_the_service_refused(tmp_path: Path) -> None:
    damaged, mended = tmp_path / "models", tmp_path / "mended"
    version = small_model(damaged, now_s=time.time())
    shutil.copytree(damaged, mended)
    os.truncate(damaged / version / FOREST_NAME, 2000)
    with running(tmp_path) as service:
        values = {"STATE_DIR": str(tmp_path), "MODEL_DIRECTORY": str(mended)}
        setup = Setup(tmp_path / "unused", SCORE_BIND=service.address, **values)
        with service.client() as client:
            eventually(lambda: client.stats()["rejections"], "a refusal")
        assert "restart" in setup.fault("model", "serves base scores").advice
