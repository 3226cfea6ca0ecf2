"""Publication and the registry on real files, with the publisher killed at every step."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from another_user import NOBODY, as_no_root
from background import meanwhile
from builders import NOW_S, model_of, pointer_of, small_draft, small_model, write_draft
from msgspec.structs import replace as with_fields
from trained import history

from protocol.manifest import FOREST_NAME, MANIFEST_NAME, POINTER_NAME
from service.errors import ModelRejected
from service.files.durable import LockHeld, TrainerLock
from service.model.bundle import MAX_MANIFEST_BYTES, load
from training.models.publish import Pinned, append_history, publish
from training.models.registry import (
    RegistryError,
    complete_history,
    list_models,
    pin,
    revalidate,
    rollback,
    unpin,
)

DAY_S = 86_400.0
POINTING = ("rollback", "pin", "pin-other", "unpin", "revalidate")


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """Three models, and a fourth whose publication was killed at each of its steps."""
    original = tmp_path_factory.mktemp("killed") / "original"
    versions = [small_model(original, now_s=NOW_S + day) for day in (0, 1, 2)]
    work = original.parent
    script = Path(__file__).with_name("killed_publisher.py")
    draft = write_draft(work / "draft", 1)
    command = [sys.executable, script, draft, str(NOW_S + 900.0)]
    command += [original, work, "publish", *POINTING]
    subprocess.run(command, check=True, timeout=120)
    return work / "publish", versions, steps_of(work / "publish")


def steps_of(work: Path) -> list[str]:
    return (work / "steps").read_text().splitlines()


def test_killed_at_any_step_the_old_or_the_new_model_is_there_whole(killed):
    work, versions, steps = killed
    new = pointer_of(work / "whole").version
    found = []
    for k in range(len(steps)):
        models = work / str(k)
        model = load(models, pointer_of(models))
        found.append(model.version)
        # What has a version's name is whole too, also while older ones are being removed.
        assert [entry.problem for entry in list_models(models)] == [""] * len(list_models(models))
    switch = steps.index(f"rename {POINTER_NAME}.tmp")
    assert found == [versions[-1]] * (switch + 1) + [new] * (len(steps) - switch - 1)


def test_after_a_kill_the_next_publication_cleans_up_and_succeeds(killed):
    work, _, steps = killed
    for k in range(0, len(steps), 3):
        models = work / str(k)
        version = small_model(models, now_s=NOW_S + DAY_S)
        assert load(models, pointer_of(models)).version == version
        left = {path.name for path in models.iterdir() if path.name.startswith(".")}
        assert left == {".lock"}
        assert not (models / f"{POINTER_NAME}.tmp").exists()


def test_a_publication_can_be_killed_at_each_step_that_it_takes(killed):
    _, versions, steps = killed
    removal = f".incoming-removed-{versions[0]}"
    assert steps[:3] == [f"rename {versions[0]}", "fsync whole/", f"remove {versions[0]}"]
    assert removal not in {path.name for path in (killed[0] / "whole").iterdir()}
    files = [
        f"{action} {name}"
        for name in (FOREST_NAME, "report.html", MANIFEST_NAME)
        for action in ("open", "write", "fsync")
    ]
    pointer = [f"{action} {POINTER_NAME}.tmp" for action in ("open", "write", "fsync", "rename")]
    incoming = next(step for step in steps if step.startswith("fsync .incoming-"))
    assert steps[3:] == [
        "mkdir",
        *files,
        incoming,
        "verify",
        incoming.replace("fsync", "rename").rstrip("/"),
        "fsync whole/",
        *pointer,
        "fsync whole/",
        "append history.jsonl",
    ]


def test_a_publication_that_was_killed_before_the_history_is_told_by_the_next_run(killed):
    work, _, steps = killed
    untold = work / str(len(steps) - 1)
    new = pointer_of(untold).version
    assert new not in {event["version"] for event in history(untold)}
    with TrainerLock(untold):
        assert complete_history(untold) == new
        assert complete_history(untold) is None
    assert history(untold)[-1] | {"gain": None} == history(work / "whole")[-1] | {"gain": None}
    with TrainerLock(work / "0"):
        assert complete_history(work / "0") is None


@pytest.mark.parametrize("action", POINTING)
def test_killed_while_the_pointer_moves_it_is_the_old_or_the_new_one(killed, action):
    work = killed[0].parent / action
    steps, whole = steps_of(work), pointer_of(work / "whole")
    before = pointer_of(killed[0].parent / "original")
    if action == "unpin":
        before = with_fields(before, pinned=True)
    switch = steps.index(f"rename {POINTER_NAME}.tmp")
    assert steps[-1] == "append history.jsonl"
    for k in range(len(steps)):
        models = work / str(k)
        found = pointer_of(models)
        assert found == (whole if k > switch else before)
        assert load(models, found).version == found.version
        assert len(list_models(models)) == 3
        assert len(history(models)) == (4 if action == "unpin" else 3)
    assert whole != before


def test_a_removal_that_was_cut_short_is_finished_by_the_next_publication(tmp_path):
    versions = [small_model(tmp_path, now_s=NOW_S + n) for n in range(2)]
    leaving = tmp_path / f".incoming-removed-{versions[0]}"
    (tmp_path / versions[0]).rename(leaving)
    (leaving / FOREST_NAME).unlink()
    assert [entry.version for entry in list_models(tmp_path)] == [versions[1]]
    small_model(tmp_path, now_s=NOW_S + 2)
    assert not leaving.exists()


def test_a_reader_never_meets_a_half_published_model(tmp_path):
    versions = [small_model(tmp_path)]
    seen = set()

    def read(done):
        while not done.is_set():
            seen.add(model_of(tmp_path).version)

    with meanwhile(read):
        versions += [small_model(tmp_path, now_s=NOW_S + n, seed=n % 3) for n in range(1, 12)]
    assert seen <= set(versions)
    assert pointer_of(tmp_path).version == versions[-1]


def test_the_newest_are_kept_and_what_the_pointer_names(tmp_path):
    versions = [small_model(tmp_path, now_s=NOW_S + n) for n in range(7)]
    assert [entry.version for entry in list_models(tmp_path)] == versions[:1:-1]
    with TrainerLock(tmp_path):
        rollback(tmp_path, versions[2], now_s=NOW_S + 10, why="test")
        forest, draft = small_draft(0)
        last = publish(tmp_path, forest, draft, b"", now_s=NOW_S + 11, why="test", keep=1)
    # The rolled-back one was current and names the one before it.
    assert {entry.version for entry in list_models(tmp_path)} == {last, versions[2], versions[6]}
    assert pointer_of(tmp_path).previous == versions[2]


def test_the_same_model_in_the_same_second_gets_a_name_of_its_own(tmp_path):
    assert small_model(tmp_path) != small_model(tmp_path)
    assert len(list_models(tmp_path)) == 2


def test_what_the_service_would_refuse_is_not_published(tmp_path):
    before = small_model(tmp_path)
    forest, draft = small_draft(0)
    broken = replace(draft, importances={"volume": 1.0})
    too_long = replace(draft, break_even="x" * 5000)
    with TrainerLock(tmp_path):
        with pytest.raises(ValueError, match="importances"):
            publish(tmp_path, forest, broken, b"", now_s=NOW_S + 1, why="test")
        with pytest.raises(ModelRejected):
            publish(tmp_path, forest, too_long, b"", now_s=NOW_S + 1, why="test")
        with pytest.raises(ModelRejected):
            publish(tmp_path, forest, draft, b"", now_s=NOW_S + 1, why="x" * 5000)
    assert pointer_of(tmp_path).version == before
    assert len(list_models(tmp_path)) == 1
    assert not list(tmp_path.glob(".incoming-*"))


def test_a_damaged_pointer_is_replaced_by_the_next_publication(tmp_path):
    small_model(tmp_path)
    (tmp_path / POINTER_NAME).write_text("{")
    version = small_model(tmp_path, now_s=NOW_S + 1)
    assert pointer_of(tmp_path).version == version
    assert pointer_of(tmp_path).previous is None


def test_a_pointer_that_may_not_be_read_is_not_replaced(open_folder):
    version = small_model(open_folder)
    with TrainerLock(open_folder):
        pin(open_folder, version, now_s=NOW_S)
    if os.geteuid() == 0:
        for path in (open_folder, *open_folder.rglob("*")):
            os.chown(path, NOBODY, NOBODY)
    pointer = open_folder / POINTER_NAME
    pointer.chmod(0)
    with as_no_root(), pytest.raises(PermissionError):
        small_model(open_folder, now_s=NOW_S + 1)
    pointer.chmod(0o644)
    assert pointer_of(open_folder).pinned
    assert len(list_models(open_folder)) == 1


def test_two_trainers_are_kept_apart(tmp_path):
    with TrainerLock(tmp_path), pytest.raises(LockHeld, match="another trainer"):
        TrainerLock(tmp_path).__enter__()
    with TrainerLock(tmp_path):
        pass


def test_a_killed_trainer_does_not_hold_the_lock(tmp_path):
    program = (
        "import os, signal, sys, pathlib; from service.files.durable import TrainerLock\n"
        "TrainerLock(pathlib.Path(sys.argv[1])).__enter__()\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    ended = subprocess.run([sys.executable, "-c", program, tmp_path], check=False, timeout=60)
    assert ended.returncode == -9
    with TrainerLock(tmp_path):
        pass


def test_rollback_points_back_and_forth_and_lets_nothing_else_change(tmp_path):
    first, second = (small_model(tmp_path, now_s=NOW_S + day) for day in (0.0, DAY_S))
    with TrainerLock(tmp_path):
        assert rollback(tmp_path, now_s=NOW_S + 5 * DAY_S, why="worse live") == first
        back = pointer_of(tmp_path)
        assert rollback(tmp_path, now_s=NOW_S + 6 * DAY_S, why="a mistake") == second
    assert (back.version, back.previous, back.why) == (first, second, "worse live")
    # Pointing back is no review: the model is as old as it was.
    assert back.reviewed_at == NOW_S
    assert model_of(tmp_path).version == second
    assert [event["event"] for event in history(tmp_path)[2:]] == ["rolled back", "rolled back"]


def test_a_review_is_remembered_across_a_rollback(tmp_path):
    first = small_model(tmp_path)
    with TrainerLock(tmp_path):
        assert revalidate(tmp_path, now_s=NOW_S + 10.0, why="still better") == first
    assert pointer_of(tmp_path).reviewed_at == NOW_S + 10.0
    small_model(tmp_path, now_s=NOW_S + 20.0)
    with (tmp_path / "history.jsonl").open("ab") as file:
        file.write(b'{"x":' + b"[" * 100_000 + b"\n")  # is passed over
    with TrainerLock(tmp_path):
        rollback(tmp_path, now_s=NOW_S + 30.0, why="test")
    assert pointer_of(tmp_path).reviewed_at == NOW_S + 10.0


def test_rollback_to_nothing_and_to_a_damaged_model_is_refused(tmp_path):
    with pytest.raises(RegistryError, match="no previous"):
        rollback(tmp_path, now_s=NOW_S, why="test")
    first, second = (small_model(tmp_path, now_s=NOW_S + n) for n in range(2))
    with pytest.raises(RegistryError, match="no version"):
        rollback(tmp_path, "20200101T000000Z-000000", now_s=NOW_S, why="test")
    with pytest.raises(RegistryError, match="no version"):
        rollback(tmp_path, "../elsewhere", now_s=NOW_S, why="test")
    with pytest.raises(RegistryError, match="already"):
        rollback(tmp_path, second, now_s=NOW_S, why="test")
    (tmp_path / first / FOREST_NAME).write_bytes(b"")
    with pytest.raises(RegistryError, match="cannot be served") as refused:
        rollback(tmp_path, first, now_s=NOW_S, why="test")
    problems = {entry.version: entry.problem for entry in list_models(tmp_path)}
    assert problems == {first: str(refused.value).removeprefix(f"{first} "), second: ""}
    assert pointer_of(tmp_path).version == second


def test_a_model_that_is_damaged_where_it_is_served_is_not_pinned(tmp_path):
    version = small_model(tmp_path)
    (tmp_path / version / FOREST_NAME).write_bytes(b"no forest")
    with TrainerLock(tmp_path), pytest.raises(RegistryError, match="cannot be served"):
        pin(tmp_path, version, now_s=NOW_S)
    assert b"true" not in (tmp_path / POINTER_NAME).read_bytes()


def test_a_pinned_model_is_not_displaced(tmp_path):
    first, second = (small_model(tmp_path, now_s=NOW_S + n) for n in range(2))
    with TrainerLock(tmp_path):
        pin(tmp_path, first, now_s=NOW_S)
    with pytest.raises(Pinned, match=first):
        small_model(tmp_path, now_s=NOW_S + 2)
    listed = {entry.version: entry for entry in list_models(tmp_path)}
    assert (listed[first].current, listed[first].pinned, listed[second].previous) == (True,) * 3
    with TrainerLock(tmp_path):
        unpin(tmp_path, now_s=NOW_S)
    assert pointer_of(tmp_path).version == first
    third = small_model(tmp_path, now_s=NOW_S + 3)
    assert pointer_of(tmp_path).version == third


def test_a_damaged_version_is_listed_with_its_problem(tmp_path):
    version = small_model(tmp_path)
    (tmp_path / version / MANIFEST_NAME).write_text("{}")
    (entry,) = list_models(tmp_path)
    assert (entry.version, entry.current) == (version, True)
    assert "missing required field" in entry.problem
    assert list_models(tmp_path / "absent") == []


def endless(path):
    path.unlink()
    os.mkfifo(path)


def huge(path):
    os.truncate(path, MAX_MANIFEST_BYTES + 1)


@pytest.mark.parametrize(
    ("spoil", "why"),
    [(endless, "is no regular file"), (huge, "at most 1048576 allowed")],
)
def test_a_manifest_that_is_none_keeps_nobody_waiting(tmp_path, spoil, why):
    first, second = (small_model(tmp_path, now_s=NOW_S + n) for n in range(2))
    spoil(tmp_path / first / MANIFEST_NAME)
    _, entry = list_models(tmp_path)
    assert entry.version == first
    assert why in entry.problem
    with pytest.raises(RegistryError, match=why):
        rollback(tmp_path, now_s=NOW_S, why="test")
    spoil(tmp_path / second / MANIFEST_NAME)
    assert complete_history(tmp_path) is None


def test_a_folder_that_was_copied_is_listed_as_that(tmp_path):
    version = small_model(tmp_path)
    name = version[:-6] + "c0ffee"
    shutil.copytree(tmp_path / version, tmp_path / name)
    copied = next(entry for entry in list_models(tmp_path) if entry.version == name)
    assert copied.problem == f"unreadable: manifest.json is that of {version}"
    assert not copied.current


def test_history_keeps_every_event_also_after_a_line_that_was_cut_short(tmp_path):
    append_history(tmp_path, {"event": "rejected", "at": 1.0})
    with (tmp_path / "history.jsonl").open("a") as file:
        file.write('{"event":"publ')
    append_history(tmp_path, {"event": "published", "at": 2.0})
    lines = (tmp_path / "history.jsonl").read_text().splitlines()
    assert [json.loads(lines[0])["at"], json.loads(lines[2])["at"]] == [1.0, 2.0]
    assert lines[1] == '{"event":"publ'


def test_a_publication_says_in_the_history_what_it_was(tmp_path):
    version = small_model(tmp_path)
    (event,) = history(tmp_path)
    assert (event["event"], event["version"], event["n"]) == ("published", version, 300)
    assert event["verdict"]["published"] is True
