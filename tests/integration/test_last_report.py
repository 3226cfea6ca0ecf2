"""`last-report.html` is the last candidate's, also where its publication was cut off."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from builders import pointer_of
from trained import history, run


@pytest.fixture
def cut_off(trained: Path) -> Path:
    """A model whose publication did not come to its page; there lies one from before."""
    (trained / "models" / "last-report.html").write_text("Not published.")
    return trained


def page(place: Path) -> bytes:
    return (place / "models" / "last-report.html").read_bytes()


def published_page(place: Path) -> bytes:
    models = place / "models"
    return (models / pointer_of(models).version / "report.html").read_bytes()


@pytest.mark.parametrize("told", [True, False])
def test_the_next_run_puts_the_page_of_a_killed_one_in_its_place(cut_off: Path, told: bool) -> None:
    if not told:
        (cut_off / "models" / "history.jsonl").unlink()
    assert "nothing to do" in run(cut_off, "train").output
    assert page(cut_off) == published_page(cut_off)
    (cut_off / "models" / "last-report.html").unlink()
    run(cut_off, "train")
    assert page(cut_off) == published_page(cut_off)


def test_the_page_of_a_candidate_that_was_rejected_later_stays(cut_off: Path) -> None:
    with (cut_off / "models" / "history.jsonl").open("a") as file:
        file.write('{"event":"rejected","at":1.0,"n":400}\n')
    run(cut_off, "train")
    assert page(cut_off) == b"Not published."


def test_a_pipe_in_its_place_keeps_no_run_waiting(cut_off: Path) -> None:
    pipe = cut_off / "models" / "last-report.html"
    pipe.unlink()
    os.mkfifo(pipe)
    assert "nothing to do" in run(cut_off, "train").output
    assert pipe.is_fifo()


def test_a_publication_that_the_history_lacks_has_its_page_and_its_name_told(edge: Path) -> None:
    models = edge / "models"
    models.mkdir()
    (models / "last-report.html").write_text("Not published.")
    (models / "history.jsonl").symlink_to("/dev/full")
    result = run(edge, "train")
    assert result.exit_code == 73
    assert f"{pointer_of(models).version} is current; make room there" in result.stderr
    assert page(edge) == published_page(edge)
    (models / "history.jsonl").unlink()
    run(edge, "train")
    assert history(models)[0]["version"] == pointer_of(models).version
