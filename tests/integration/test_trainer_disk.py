"""The trainer where its files cannot be written: one line that names the file, and exit code 73."""

from __future__ import annotations

import json
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from another_user import NOBODY, as_nobody, as_root
from builders import NOW_S, pointer_of, small_model
from click.testing import Result
from scored_journal import write_journal
from trained import begin_anew, history, run

from training.models.publish import current_pointer

PAGE_BYTES = 50_000
"""Fewer than a report has, and more than the other files."""


@contextmanager
def no_large_files() -> Iterator[None]:
    """Let none grow beyond a part of a report."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (PAGE_BYTES, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture
def reviewed(trained: Path) -> Path:
    """Where `train` will reject a candidate and renew the model that serves.

    The later signals are too few to show that a new one is no worse.
    """
    begin_anew(trained, 600)
    (trained / "models" / "last-report.html").write_text("of the one before")
    return trained


@pytest.fixture
def place(tmp_path: Path) -> Path:
    write_journal(tmp_path / "journal.db", 200, edge=0.3, turned=True)
    return tmp_path


def assert_one_line(result: Result, path: Path, *words: str) -> None:
    assert result.exit_code == 73
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("signal-scorer-tra")]
    assert line.startswith(f"signal-scorer-train: {path}: ")
    for word in words:
        assert word in line


def test_a_history_that_cannot_be_written_ends_train(place: Path) -> None:
    history = place / "models" / "history.jsonl"
    history.mkdir(parents=True)
    assert_one_line(run(place, "train"), history, "Is a directory", "mend that and run it again")


def test_a_directory_that_cannot_be_made_ends_train(place: Path) -> None:
    (place / "models").write_text("")
    assert_one_line(run(place, "train"), place / "models", "File exists", "mend that")


@as_root
def test_another_user_is_told_who_may(place: Path) -> None:
    place.chmod(0o700)
    with as_nobody():
        result = run(place, "models")
    assert_one_line(
        result, place / "models", "Permission denied", "become root or the trainer's user"
    )


@as_root
@pytest.mark.parametrize("command", ["train", "status", "results", "monitor"])
def test_a_journal_that_may_not_be_looked_at_ends_with_78_as_one_that_is_broken(
    place: Path, command: str
) -> None:
    hidden = place / "hidden"
    hidden.mkdir(0o700)
    (place / "journal.db").rename(hidden / "journal.db")
    (place / "journal.db").symlink_to(hidden / "journal.db")
    (place / "models").mkdir()
    os.chown(place / "models", NOBODY, NOBODY)
    with as_nobody():
        result = run(place, command)
    assert result.exit_code == 78
    assert "journal.db: Permission denied; become root or the trainer's user" in result.stderr


def test_a_pointer_that_cannot_be_written_ends_a_rollback_and_leaves_it(place: Path) -> None:
    old = small_model(place / "models", now_s=NOW_S)
    new = small_model(place / "models", now_s=NOW_S + 60.0)
    (place / "models" / "CURRENT.json.tmp").mkdir()
    for command in (("rollback",), ("rollback", old), ("pin", old)):
        result = run(place, *command)
        assert_one_line(result, place / "models" / "CURRENT.json.tmp", "Is a directory")
    pointer = current_pointer(place / "models")
    assert pointer is not None
    assert pointer.version == new


def test_a_full_disk_under_the_history_does_not_have_a_rollback_run_again(place: Path) -> None:
    old = small_model(place / "models", now_s=NOW_S)
    small_model(place / "models", now_s=NOW_S + 60.0)
    history = place / "models" / "history.jsonl"
    history.unlink()
    history.symlink_to("/dev/full")
    result = run(place, "rollback")
    assert_one_line(result, history, "CURRENT.json is changed, but history.jsonl may not say so")
    assert "run it again" not in result.stderr
    pointer = current_pointer(place / "models")
    assert pointer is not None
    assert pointer.version == old


def test_a_publication_that_the_history_lacks_is_named_and_told_later(tmp_path: Path) -> None:
    write_journal(tmp_path / "journal.db", 400, edge=0.3)
    models = tmp_path / "models"
    models.mkdir()
    (models / "history.jsonl").symlink_to("/dev/full")
    result = run(tmp_path, "train")
    version = pointer_of(models).version
    assert_one_line(result, models / "history.jsonl", f"{version} is current; make room there")
    (models / "history.jsonl").unlink()
    run(tmp_path, "train")
    assert history(models)[0]["version"] == version


def test_a_report_that_cannot_be_written_leaves_the_verdict(place: Path) -> None:
    with no_large_files():
        result = run(place, "train")
    assert result.exit_code == 3
    assert "Its report is missing" in result.output
    assert "last-report.html: File too large" in result.output
    (line,) = (place / "models" / "history.jsonl").read_text().splitlines()
    assert json.loads(line)["event"] == "rejected"


def test_a_review_that_cannot_be_written_leaves_verdict_and_page(reviewed: Path) -> None:
    models = reviewed / "models"
    (models / "CURRENT.json.tmp").mkdir()
    result = run(reviewed, "train")
    assert result.exit_code == 3, result.stderr
    assert result.stdout.startswith("rejected: ")
    assert "review of the published model failed" in result.stdout
    assert "CURRENT.json.tmp: Is a directory" in result.stdout
    assert history(models)[-1]["event"] == "rejected"
    assert "Not published" in (models / "last-report.html").read_text()


def test_an_evaluation_that_cannot_be_written_names_the_page(place: Path) -> None:
    with no_large_files():
        result = run(place, "evaluate", "--report", str(place / "page.html"))
    assert_one_line(result, place / "page.html", "File too large", "mend that")
    assert not list(place.glob("*page.html*"))


def no_regular_file(path: Path, kind: str) -> None:
    if kind == "pipe":
        os.mkfifo(path)
    else:
        (path.parent / "target").write_text("another's")
        path.symlink_to("target")


@pytest.mark.parametrize("kind", ["pipe", "link"])
def test_a_page_replaces_only_a_regular_file(place: Path, kind: str) -> None:
    page = place / "page.html"
    no_regular_file(page, kind)
    before = page.lstat()
    result = run(place, "evaluate", "--report", str(page))
    assert_one_line(result, page, "is no regular file and is not replaced; name a file")
    assert "walk" not in result.stderr  # before anything is read
    assert page.lstat() == before


@pytest.mark.parametrize("kind", ["pipe", "link"])
@pytest.mark.parametrize("command", ["train", "monitor"])
def test_metrics_replace_only_a_regular_file(place: Path, command: str, kind: str) -> None:
    metrics = place / "scorer.prom"
    no_regular_file(metrics, kind)
    before = metrics.lstat()
    # They are written too where there is too little to train on.
    few = ["--min-samples", "201"] if command == "train" else []
    result = run(place, command, "--textfile", str(metrics), *few)
    said = f"metrics not written to {metrics}: is no regular file and is not replaced"
    assert said in result.stdout
    assert metrics.lstat() == before
