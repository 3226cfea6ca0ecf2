"""The watch over real files: what it hands to the loop, once, and what it never does."""

from __future__ import annotations

import os
import queue
import resource
import shutil
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest
from builders import NOW_S, small_model
from harness import eventually

from protocol.manifest import FOREST_NAME, MANIFEST_NAME, POINTER_NAME, REPORT_NAME
from service.errors import RejectReason
from service.files.durable import TrainerLock
from service.model.bundle import DEFAULT_LIMITS, ModelLimits
from service.model.watch import MAX_WAITING, Loaded, ModelWatch, Rejected, Removed
from training.models.registry import revalidate, rollback

_opened: list[list[str]] = []


def _hook(event, arguments):
    if event == "open" and _opened:
        _opened[-1].append(str(arguments[0]))


sys.addaudithook(_hook)


@contextmanager
def opened(name):
    """How often a file of that name is opened meanwhile."""
    seen = []
    _opened.append([])
    try:
        yield seen
    finally:
        seen += [path for path in _opened.pop() if path.endswith(name)]


def loaded(watch):
    """The model that a look hands over."""
    event = watch.poll_once()
    assert isinstance(event, Loaded)
    return event.model


def rejected(watch):
    """What a look refuses."""
    event = watch.poll_once()
    assert isinstance(event, Rejected)
    return event


def silent(watch):
    """Whether looks find nothing new."""
    return not any(watch.poll_once() for _ in range(3))


def test_without_models_there_is_nothing_to_say(tmp_path):
    for place in (tmp_path, tmp_path / "absent"):
        watch = ModelWatch(place)
        assert silent(watch)
        assert watch.take() is None


def test_a_published_model_is_handed_over_once(tmp_path):
    watch = ModelWatch(tmp_path)
    watch.poll_once()
    version = small_model(tmp_path)
    found = loaded(watch)
    assert found.version == version
    assert watch.take().model is found
    assert silent(watch)
    assert watch.take() is None


def test_a_bad_model_is_reported_once_and_left_alone_until_the_pointer_changes(tmp_path):
    watch = ModelWatch(tmp_path)
    bad = small_model(tmp_path)
    (tmp_path / bad / FOREST_NAME).write_bytes(b"cut short")
    found = rejected(watch)
    assert (found.reason, found.version) == (RejectReason.DIGEST, bad)
    os.utime(tmp_path / POINTER_NAME, (1.0, 1.0))
    assert silent(watch)
    good = small_model(tmp_path, now_s=NOW_S + 1)
    assert loaded(watch).version == good


def test_a_model_that_cannot_be_read_yet_is_taken_up_when_it_can(tmp_path):
    watch, version = ModelWatch(tmp_path), small_model(tmp_path)
    (tmp_path / version).rename(tmp_path / "elsewhere")
    assert [type(watch.poll_once()) for _ in range(4)] == [Rejected, *3 * [type(None)]]
    (tmp_path / "elsewhere").rename(tmp_path / version)
    assert loaded(watch).version == version


@pytest.mark.parametrize("instead", ["nothing", "a link", "a folder"])
def test_a_model_that_lacks_a_file_is_read_no_more_until_it_is_there(tmp_path, instead):
    watch, version = ModelWatch(tmp_path), small_model(tmp_path)
    forest, moved = tmp_path / version / FOREST_NAME, tmp_path / "elsewhere"
    forest.rename(moved)
    if instead == "a link":
        forest.symlink_to(moved)
    elif instead == "a folder":
        forest.mkdir()
    with opened(MANIFEST_NAME) as names:
        assert isinstance(watch.poll_once(), Rejected)
        assert [watch.poll_once() for _ in range(9)] == [None] * 9
    assert len(names) == 1
    if instead == "a folder":
        forest.rmdir()
    moved.rename(forest)
    assert loaded(watch).version == version
    assert silent(watch)


@pytest.mark.parametrize("name", [FOREST_NAME, MANIFEST_NAME, REPORT_NAME])
@pytest.mark.parametrize("looked", [True, False])
def test_a_model_may_be_copied_while_its_pointer_is_there(tmp_path, name, looked):
    watch, version = ModelWatch(tmp_path), small_model(tmp_path)
    file = tmp_path / version / name
    content = file.read_bytes()
    file.unlink()
    reasons = [watch.poll_once().reason] if looked else [RejectReason.UNREADABLE]
    with file.open("wb") as copy:
        for byte in content[:-1][:6]:
            copy.write(bytes([byte]))
            copy.flush()
            reasons += [event.reason for event in (watch.poll_once() for _ in range(3)) if event]
        copy.write(content[copy.tell() :])
    assert reasons == [RejectReason.UNREADABLE, RejectReason.DIGEST]
    assert isinstance(watch.poll_once(), Loaded)


def test_content_decides_and_not_the_date(tmp_path):
    watch = ModelWatch(tmp_path)
    small_model(tmp_path)
    watch.poll_once()
    os.utime(tmp_path / POINTER_NAME, (1.0, 1.0))
    assert watch.poll_once() is None
    shutil.copy(tmp_path / POINTER_NAME, tmp_path / "same")
    (tmp_path / "same").replace(tmp_path / POINTER_NAME)
    assert watch.poll_once() is None


def test_an_older_model_is_taken_up_again_when_pointed_back_at(tmp_path):
    watch = ModelWatch(tmp_path)
    first = small_model(tmp_path)
    small_model(tmp_path, now_s=NOW_S + 1)
    watch.poll_once()
    with TrainerLock(tmp_path):
        rollback(tmp_path, now_s=NOW_S + 2, why="test")
    assert loaded(watch).version == first


def test_a_review_reaches_the_model(tmp_path):
    watch = ModelWatch(tmp_path)
    small_model(tmp_path)
    watch.poll_once()
    with TrainerLock(tmp_path):
        revalidate(tmp_path, now_s=NOW_S + 77.0, why="test")
    assert loaded(watch).reviewed_at == NOW_S + 77.0


@pytest.mark.parametrize("content", [b"", b"{", b"[" * 50_000, b" " * 70_000])
def test_a_damaged_pointer_is_reported_once(tmp_path, content):
    (tmp_path / POINTER_NAME).write_bytes(content)
    watch = ModelWatch(tmp_path)
    found = rejected(watch)
    assert found.reason in (RejectReason.POINTER, RejectReason.TOO_LARGE)
    assert silent(watch)


def test_a_linked_pointer_is_refused(tmp_path):
    small_model(tmp_path)
    shutil.move(tmp_path / POINTER_NAME, tmp_path / "elsewhere")
    (tmp_path / POINTER_NAME).symlink_to(tmp_path / "elsewhere")
    watch = ModelWatch(tmp_path)
    assert rejected(watch).reason is RejectReason.UNREADABLE
    assert watch.poll_once() is None


def test_the_same_pointer_is_read_again_when_the_way_to_it_is_mended(tmp_path):
    (tmp_path / "real").mkdir()
    small_model(tmp_path / "real")
    models = tmp_path / "models"
    models.symlink_to("real")
    watch = ModelWatch(models)
    assert [type(watch.poll_once()) for _ in range(2)] == [Loaded, type(None)]
    models.unlink()
    models.symlink_to("models")
    assert [type(watch.poll_once()) for _ in range(3)] == [Rejected, *2 * [type(None)]]
    models.unlink()
    models.symlink_to("real")
    assert [type(watch.poll_once()) for _ in range(3)] == [Loaded, *2 * [type(None)]]


def test_a_file_in_the_place_of_the_folder_is_told_once_until_it_is_one(tmp_path):
    folder = tmp_path / "models"
    folder.write_bytes(b"")
    watch = ModelWatch(folder)
    found = rejected(watch)
    assert found.reason is RejectReason.UNREADABLE
    assert found.detail == f"{POINTER_NAME}: Not a directory"
    assert watch.poll_once() is None
    folder.unlink()
    small_model(folder)
    assert isinstance(watch.poll_once(), Loaded)


def test_a_fault_of_ours_is_told_once_and_does_not_end_the_looking(tmp_path):
    watch = ModelWatch(tmp_path / "\0")
    found = rejected(watch)
    assert found.reason is RejectReason.INTERNAL
    assert found.detail.startswith(f"looking at {POINTER_NAME}: ValueError: ")
    assert "embedded null" in found.detail
    assert watch.poll_once() is None


def test_a_candidate_that_memory_is_too_small_for_is_told_once(tmp_path):
    version = small_model(tmp_path)
    large = 32 * DEFAULT_LIMITS.file_bytes  # what earlier tests left has no room for it
    os.truncate(tmp_path / version / FOREST_NAME, large)
    watch = ModelWatch(tmp_path, limits=ModelLimits(file_bytes=large))
    in_use = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (in_use + DEFAULT_LIMITS.file_bytes // 8, hard))
    try:
        found = watch.poll_once()
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
    assert isinstance(found, Rejected)
    assert (found.reason, found.version) == (RejectReason.INTERNAL, version)
    assert found.detail.startswith("MemoryError")
    assert watch.poll_once() is None


def test_a_pointer_that_vanishes_is_told_once(tmp_path):
    watch = ModelWatch(tmp_path)
    version = small_model(tmp_path)
    watch.poll_once()
    content = (tmp_path / POINTER_NAME).read_bytes()
    (tmp_path / POINTER_NAME).unlink()
    assert isinstance(watch.poll_once(), Removed)
    assert watch.poll_once() is None
    (tmp_path / POINTER_NAME).write_bytes(content)
    assert loaded(watch).version == version


def test_limits_reach_the_reader(tmp_path):
    small_model(tmp_path)
    for limits in (ModelLimits(file_bytes=1000), ModelLimits(nodes=5)):
        assert isinstance(ModelWatch(tmp_path, limits=limits).poll_once(), Rejected)


def test_a_loop_that_takes_nothing_is_not_buried_and_misses_nothing(tmp_path):
    watch = ModelWatch(tmp_path)
    for n in range(MAX_WAITING + 2):
        (tmp_path / POINTER_NAME).write_text(f"damaged {n}")
        watch.poll_once()
    taken = [watch.take() for _ in range(MAX_WAITING)]
    assert all(isinstance(event, Rejected) for event in taken)
    assert watch.take() is None
    # The last one was not looked at before; now it is.
    assert isinstance(watch.poll_once(), Rejected)


def test_the_thread_finds_a_model(tmp_path):
    watch = ModelWatch(tmp_path, interval_s=0.01)
    watch.start()
    try:
        version = small_model(tmp_path)
        found = eventually(watch.take, "the model")
    finally:
        watch.stop()
    assert isinstance(found, Loaded)
    assert found.model.version == version
    assert not [thread for thread in threading.enumerate() if thread.name == "model-watch"]


class Turned(threading.Event):
    """A pause that says how long it is to be, and ends when it is turned."""

    def __init__(self):
        super().__init__()
        self.asked_s, self.turns = queue.Queue(), queue.Queue()

    def wait(self, timeout=None):
        self.asked_s.put(timeout)
        self.turns.get(timeout=20.0)
        return self.is_set()


def test_the_thread_looks_no_oftener_than_it_is_to(tmp_path):
    watch = ModelWatch(tmp_path, interval_s=1000.0)
    watch._stopping = pause = Turned()
    (tmp_path / POINTER_NAME).write_text("damaged")
    watch.start()
    try:
        assert pause.asked_s.get(timeout=20.0) == 1000.0
        assert isinstance(watch.take(), Rejected)
        (tmp_path / POINTER_NAME).write_text("also damaged")
        assert watch.take() is None
        pause.turns.put(None)
        assert pause.asked_s.get(timeout=20.0) == 1000.0
        assert isinstance(watch.take(), Rejected)
    finally:
        pause.set()
        pause.turns.put(None)
        watch.stop()
