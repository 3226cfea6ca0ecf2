"""Files of truth logs: cut, rotated, packed, linked, damaged, or no log at all."""

from __future__ import annotations

import gzip
import json
import os
import pickle
import shutil
from collections.abc import Callable
from datetime import datetime, timedelta, tzinfo
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from another_user import as_no_root
from truth_lines import RULES, assert_adds_up, born, ended, told

from service.files.rotated import with_rotated
from training.monitor import checks
from training.settings import Settings
from training.truth_check import check
from training.truth_log import ReadingRules, Reason, read_truth_logs
from training.truth_log import files as log_files
from training.truth_log.files import MOVED, unread_beside


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "truth_log.jsonl"


def test_truncated_last_line_waits_and_is_read_when_it_is_whole(path: Path) -> None:
    text = "".join(json.dumps(line) + "\n" for line in (born(), ended()))
    for cut in range(len(json.dumps(born())) + 2, len(text) - 2):
        path.write_text(text[:cut])
        log = read_truth_logs([path], RULES)
        assert (log.waiting, len(log.outcomes)) == (1, 0)
        assert_adds_up(log)
    path.write_text(text)
    assert len(read_truth_logs([path], RULES).outcomes) == 1


def test_a_list_of_outcomes_is_no_log_and_nothing_to_wait_for(path: Path) -> None:
    path.write_text(json.dumps([born(), ended()]))
    log = read_truth_logs([path], RULES)
    assert (log.waiting, log.refused) == (0, {Reason.NOT_AN_OBJECT: 1})


def test_gzipped_rotated_and_plain_logs_are_one_log(path: Path) -> None:
    with gzip.open(path.with_name(path.name + ".1.gz"), "wt") as packed:
        packed.write(json.dumps(born()) + "\n")
    path.write_text(json.dumps(ended()) + "\n")
    path.with_name("truth_log.jsonl.bak").write_text("not ours\n")
    files = with_rotated(path)
    assert [file.name for file in files] == ["truth_log.jsonl.1.gz", "truth_log.jsonl"]
    assert len(read_truth_logs(files, RULES).outcomes) == 1


def test_rotated_logs_are_read_in_the_order_in_which_they_were_written(path: Path) -> None:
    oldest_first = [
        *("-20251101.gz", "-20251102", ".1-2", ".2025", ".2025-11-03"),
        *(".10", ".9.gz", ".2.gz", ".1", ""),
    ]
    for end in (*oldest_first, ".²", ".-"):
        path.with_name(path.name + end).touch()
    assert [file.name.removeprefix(path.name) for file in with_rotated(path)] == oldest_first


def test_a_rotator_may_keep_the_ending_of_the_name(path: Path) -> None:
    oldest_first = [
        *("-2025-03-31.jsonl", "-20250401.jsonl.gz", "-20250402.jsonl"),
        *(".102.jsonl", ".2.jsonl.gz", ".1.jsonl", ".jsonl"),
    ]
    others = ["-2.jsonl", "-old.jsonl", "-20250403.json", ".20261101.jsonl"]  # the dot's: a copy
    accounts = ["-51234567.jsonl", ".1001.jsonl", "-50121224.jsonl", "-20251301.jsonl"]
    for end in (*oldest_first, *others, *accounts, "-2025-0401.jsonl"):
        path.with_name(path.stem + end).touch()
    assert [file.name.removeprefix(path.stem) for file in with_rotated(path)] == oldest_first


@pytest.mark.parametrize("name", ["truth_log.jsonl.gz", "truth_log.jsonl.1"])
def test_what_is_a_part_itself_has_no_parts_before_its_ending(path: Path, name: str) -> None:
    for end in (".gz", ".1", ".2.gz", ".3.1", "-20250401.gz"):
        path.with_name(path.name + end).touch()
    assert with_rotated(path.with_name(name)) == [path.with_name(name)]


def test_a_part_that_is_configured_too_is_read_once(path: Path) -> None:
    older = two_logs(path)
    settings = Settings(journal=path, models=path, truth_logs=(path, older))
    assert settings.truth_log_files() == [older, path]


def test_what_looks_like_a_part_packed_or_renamed_and_is_not_read_is_named(path: Path) -> None:
    packed = ["-20250401.jsonl.xz", ".1.jsonl.xz", ".jsonl-20250401.bz2", ".jsonl.2.zst"]
    renamed = ["_old.jsonl", ".old.jsonl", ".jsonl.old", ".jsonl.bak", ".jsonl.orig", ".bak.jsonl"]
    others = [".jsonl.offset", ".jsonl.lock", ".jsonl.sha256", "_signals.jsonl", "s.jsonl", ".py"]
    parts = [".jsonl", ".jsonl.1", ".1.jsonl", "-51234567.jsonl", "-51234567.jsonl.xz"]
    for end in (*packed, *renamed, *others, *parts):
        path.with_name(path.stem + end).write_text("x")
    read = [*with_rotated(path), path.with_name("truth_log.bak.jsonl")]
    said = sorted(path.stem + end for end in (*packed, *renamed[:-1]))
    assert unread_beside(path, read) == (
        f"{path}: beside it, not read: {said[0]}, {said[1]}, {said[2]} and {len(said) - 3} more"
    )
    read += map(path.with_name, said[1:])
    assert unread_beside(path, read) == f"{path}: beside it, not read: {said[0]}"
    assert unread_beside(path, [*read, path.with_name(said[0])]) == ""
    assert unread_beside(path.parent / "none" / path.name, [path]) == ""


def test_what_looks_like_a_part_and_may_not_be_looked_at_is_named(open_folder: Path) -> None:
    log, closed = open_folder / "log.jsonl", open_folder / "closed"
    closed.mkdir(mode=0o000)
    log.with_name("log.jsonl.old").symlink_to(closed / "old.jsonl")
    log.with_name("log.jsonl.bak").symlink_to(open_folder / "none")
    with as_no_root():
        said = unread_beside(log, [log])
    closed.chmod(0o700)
    assert said == f"{log}: beside it, not read: log.jsonl.old"


def test_parts_in_a_folder_that_may_be_entered_and_not_listed_are_said_to_be_unread(
    open_folder: Path,
) -> None:
    """The log itself reads well there, and tells nothing of them."""
    folder = open_folder / "logs"
    folder.mkdir()
    log = folder / "log.jsonl"
    for name in ("log.jsonl", "log.jsonl.1"):
        (folder / name).write_text(json.dumps(born()) + "\n")
    folder.chmod(0o311)
    with as_no_root():
        assert not read_truth_logs(with_rotated(log), RULES).problems
        said = unread_beside(log, [log])
    folder.chmod(0o700)
    assert (
        said
        == f"{log}: its folder cannot be listed (Permission denied): rotated parts are not found"
    )


class Rotating(tzinfo):
    """UTC, and whoever reads the first stamp rotates the logs by it."""

    def __init__(self, rotate: Callable[[], object]) -> None:
        self._rotate: Callable[[], object] | None = rotate

    def utcoffset(self, _moment: datetime | None) -> timedelta:
        rotate, self._rotate = self._rotate, None
        if rotate:
            rotate()
        return timedelta(0)

    def dst(self, _moment: datetime | None) -> timedelta:
        return timedelta(0)


def two_logs(path: Path) -> Path:
    """A log and its older part, which is returned; an end in each."""
    older = path.with_name(path.name + ".1")
    older.write_text(json.dumps(ended(signal_id="OLDER")) + "\n")
    path.write_text(json.dumps(ended(signal_id="OLD")) + "\n")
    return older


def test_a_log_that_is_rotated_while_it_is_read_is_a_problem(path: Path) -> None:
    older = two_logs(path)

    def rotate() -> None:
        older.rename(older.with_suffix(".2"))
        path.rename(older)
        path.write_text(json.dumps(ended(signal_id="NEW")) + "\n")

    log = read_truth_logs(with_rotated(path), ReadingRules(zone=Rotating(rotate)))
    assert "OLD" not in log.outcomes
    (problem,) = log.problems
    assert problem.startswith(f"{path}: ")
    assert "after a rotation" in problem
    again = read_truth_logs(with_rotated(path), RULES)
    assert (set(again.outcomes), again.problems) == ({"OLDER", "OLD", "NEW"}, ())


def test_a_log_that_is_copied_and_emptied_while_an_older_part_is_read_is_a_problem(
    path: Path,
) -> None:
    older = two_logs(path)

    def rotate() -> None:
        older.rename(older.with_suffix(".2"))
        shutil.copy(path, older)
        os.truncate(path, 0)

    log = read_truth_logs(with_rotated(path), ReadingRules(zone=Rotating(rotate)))
    assert set(log.outcomes) == {"OLDER"}
    assert log.problems == (f"{path}: {MOVED}",)
    again = read_truth_logs(with_rotated(path), RULES)
    assert (set(again.outcomes), again.problems) == ({"OLDER", "OLD"}, ())


def test_a_log_that_is_emptied_while_it_is_read_is_a_problem(path: Path) -> None:
    with path.open("w") as log:
        log.writelines(json.dumps(ended(signal_id=f"A_{i}")) + "\n" for i in range(9000))
    emptied = ReadingRules(zone=Rotating(lambda: os.truncate(path, 0)))
    assert read_truth_logs([path], emptied).problems == (f"{path}: {MOVED}",)


def test_a_log_that_is_packed_before_it_is_read_is_one_problem_and_nothing_to_mend(
    path: Path,
) -> None:
    older = two_logs(path)

    def rotate() -> None:
        path.with_name(path.name + ".gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()

    log = read_truth_logs([older, path], ReadingRules(zone=Rotating(rotate)))
    assert log.problems == (f"{path}: {MOVED}",)
    (finding,) = checks.truth_logs(log.problems)
    assert "mend" not in finding.text


def test_a_log_that_grows_while_it_is_read_is_no_problem(path: Path) -> None:
    older = two_logs(path)

    def write_on() -> None:
        with path.open("a") as log:
            log.write(json.dumps(ended(signal_id="NEW")) + "\n")

    log = read_truth_logs([older, path], ReadingRules(zone=Rotating(write_on)))
    assert (set(log.outcomes), log.problems) == ({"OLDER", "OLD", "NEW"}, ())


def test_a_byte_order_mark_costs_no_line(path: Path) -> None:
    for line in (born(), ended()):
        with path.open("a", encoding="utf-8-sig", newline="") as log:
            log.write(json.dumps(line) + "\r\n")
    assert path.read_bytes().count(b"\xef\xbb\xbf") >= 1
    log = read_truth_logs([path], RULES)
    assert (log.refused, len(log.outcomes)) == ({}, 1)


@pytest.mark.parametrize("damage", ["cut", "flip"])
def test_damaged_archive_gives_what_came_before_and_says_so(path: Path, damage: str) -> None:
    packed = gzip.compress("".join(json.dumps(born(signal_id=f"A_{i}")) + "\n" for i in range(9000))
        .encode())  # fmt: skip
    half = len(packed) // 2
    if damage == "cut":
        path.write_bytes(packed[:half])
    else:
        path.write_bytes(packed[:half] + bytes(b ^ 0xFF for b in packed[half:]))
    log = read_truth_logs([path], RULES)
    assert len(log.problems) == 1
    assert log.signals
    assert_adds_up(log)


def test_log_in_a_closed_folder_is_a_problem_not_an_error(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o000)
    with as_no_root():
        log = read_truth_logs(with_rotated(closed / "truth_log.jsonl"), RULES)
    closed.chmod(0o700)
    assert "Permission denied" in log.problems[0]


def test_what_is_no_regular_file_is_a_problem_and_keeps_nobody_waiting(tmp_path: Path) -> None:
    pipe, folder = tmp_path / "pipe", tmp_path / "folder"
    os.mkfifo(pipe)
    folder.mkdir()
    log = read_truth_logs([pipe, folder], RULES)
    assert [problem.split(": ")[1] for problem in log.problems] == ["is no regular file"] * 2


def test_a_link_to_a_log_is_followed(path: Path) -> None:
    told(ended(), path=path)
    link = path.with_name("link.jsonl")
    link.symlink_to(path)
    assert len(read_truth_logs([link], RULES).outcomes) == 1


@pytest.mark.parametrize("name", ["crypto_ml_model.pkl", "renamed.jsonl"])
def test_a_pickled_model_is_refused_unread_and_says_why(tmp_path: Path, name: str) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "it_ran",))

    (tmp_path / name).write_bytes(pickle.dumps(Trap()))
    log = read_truth_logs([tmp_path / name], RULES)
    (problem,) = log.problems
    assert log.lines == 0
    assert "refused unread" in problem
    assert "ml_training_data.jsonl" in problem
    assert not (tmp_path / "it_ran").exists()
    text = "\n".join(check([tmp_path / name], RULES))
    assert "refused unread" in text


def test_a_log_that_powershell_wrote_anew_is_told_for_what_it_is(path: Path) -> None:
    path.write_text(json.dumps(ended()) + "\n", encoding="utf-16")
    log = read_truth_logs([path], RULES)
    assert log.lines == 0
    assert "UTF-16" in log.problems[0]


def test_line_without_end_is_refused_and_the_next_one_read(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_files, "MAX_LINE_BYTES", 1000)
    log = told("x" * 5000, "y" * 999, born(), path=path)
    assert log.refused == {Reason.TOO_LONG: 1, Reason.NOT_JSON: 1}
    assert log.signal_lines == 1


def test_a_packed_log_made_to_be_large_is_read_so_far_and_told(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_files, "MAX_UNPACKED_BYTES", 1 << 20)
    line = json.dumps(born()).encode() + b"\n"
    for bomb, most_lines in ((b"\n" * (1 << 20), 1 << 13), (b" " * (1 << 21), 1)):
        path.write_bytes(gzip.compress(line + bomb))
        log = read_truth_logs([path], RULES)
        (problem,) = log.problems
        assert problem.startswith(f"{path}: unpacks to more than 4 GiB")
        assert log.signal_lines == 1
        assert log.lines <= 1 + most_lines
        assert_adds_up(log)
        path.write_bytes(line + bomb)  # which takes as much of the disk
        assert read_truth_logs([path], RULES).problems == ()


def test_a_packed_log_of_many_members_is_bounded_as_one(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_files, "MAX_UNPACKED_BYTES", 1 << 20)
    path.write_bytes(gzip.compress(b" " * (1 << 18)) * 8)
    assert len(read_truth_logs([path], RULES).problems) == 1


def test_a_blank_line_is_not_decoded(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: list[bytes] = []

    def counting(kind: type) -> SimpleNamespace:
        decode = decoder(kind).decode
        return SimpleNamespace(decode=lambda raw: decoded.append(raw) or decode(raw))

    decoder = msgspec.json.Decoder
    monkeypatch.setattr(msgspec.json, "Decoder", counting)
    path.write_bytes(b"\n \t\r\n\x0b\n\xef\xbb\xbf\r\n{}\n ")
    assert (read_truth_logs([path], RULES).blank, decoded) == (5, [b"{}\n"])
