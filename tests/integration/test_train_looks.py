"""The trainer's commands that only look or point: what they say, and what they leave alone."""

from __future__ import annotations

import re
import shutil
import time
from pathlib import Path

import pytest
from builders import NOW_S, pointer_of, small_model
from made_market import write_lines
from msgspec.structs import replace
from trained import history, run

from training.models.publish import write_pointer


def test_status_says_that_a_truth_log_is_not_believed_and_who_knows_why(edge: Path) -> None:
    log = edge / "truth_log.jsonl"
    line = {"signal_id": "SIG_1", "completed": True, "outcome": "WIN", "runtime_seconds": 0}
    write_lines(log, [line])
    result = run(edge, "status", "--truth-log", str(log))
    assert "0 usable outcomes in 1 lines; `truth check` says why none can be" in result.stdout
    assert "truth logs" not in run(edge, "status").stdout


def test_status_shows_a_truth_log_without_a_line(edge: Path) -> None:
    log = edge / "truth_log.jsonl"
    log.touch()
    shown = run(edge, "status", "--truth-log", str(log)).stdout
    assert "truth logs       0 usable outcomes in 0 lines\n" in shown


@pytest.mark.parametrize("command", ["status", "results"])
def test_who_only_looks_is_told_of_it_too(edge: Path, command: str) -> None:
    result = run(edge, command, "--truth-log", str(edge / "none.jsonl"), "--truth-log", str(edge))
    assert result.exit_code == 0
    assert f"truth log not read to the end: {edge / 'none.jsonl'}: No such file" in result.stdout
    assert f"{edge}: is no regular file" in result.stdout


@pytest.mark.parametrize("command", ["status", "results", "monitor", "train --min-samples 9999"])
def test_who_looks_or_trains_is_told_of_a_part_that_is_not_read(edge: Path, command: str) -> None:
    log = edge / "truth_log.jsonl"
    log.touch()
    (edge / "truth_log.jsonl.1.xz").touch()
    said = run(edge, *command.split(), "--truth-log", str(log)).output
    assert f" {log}: beside it, not read: truth_log.jsonl.1.xz\n" in said
    assert "to the end" not in said


def test_models_are_listed_and_rolled_back(edge: Path) -> None:
    assert "no model" in run(edge, "models", journal=False).output
    for later_s in (0.0, 60.0):
        small_model(edge / "models", now_s=NOW_S + later_s)
    listed = run(edge, "models", journal=False).output
    newest, older = re.findall(r"\d{8}T\d{6}Z-[0-9a-f]{6}", listed)
    assert f"* {newest}" in listed
    assert f"- {older}" in listed
    assert older in run(edge, "rollback", journal=False).output
    assert f"* {older}" in run(edge, "models", journal=False).output
    assert newest in run(edge, "rollback", newest, journal=False).output
    assert run(edge, "rollback", "20200101T000000Z-000000", journal=False).exit_code == 1


@pytest.mark.parametrize("age_days", [0, 60])
def test_what_pin_and_unpin_did_is_told_of_the_version(edge: Path, age_days: int) -> None:
    """And what is so already is not told to the history again."""
    models = edge / "models"
    version = small_model(models, now_s=time.time() - age_days * 86_400)
    for command, how in ((("pin", version), "pinned"), (("unpin",), "not pinned")) * 2:
        said = run(edge, *command, journal=False).output
        old = "; it was last reviewed 60 days ago and expired after "
        assert said.startswith(f"{version} is current, {how}{old if age_days else chr(10)}")
        told = len(history(models))
        assert run(edge, *command, journal=False).output == said
        assert len(history(models)) == told
    shutil.rmtree(models / version)
    assert "serving" not in run(edge, "unpin", journal=False).output.split(":")[0]


@pytest.mark.parametrize("command", [("rollback",), ("pin", "x"), ("unpin",)])
def test_where_no_model_is_pointing_leaves_nothing_behind(
    tmp_path: Path, command: tuple[str, ...]
) -> None:
    result = run(tmp_path, *command, journal=False)
    assert (result.exit_code, "no model has been published" in result.stderr) == (1, True)
    assert not (tmp_path / "models").exists()


@pytest.mark.parametrize("command", ["rollback", "pin"])
def test_pointing_at_an_expired_model_says_that_it_is_not_used(edge: Path, command: str) -> None:
    old = small_model(edge / "models", now_s=NOW_S)
    newer = small_model(edge / "models", now_s=time.time())
    result = run(edge, command, old, journal=False)
    assert result.exit_code == 0
    assert "serving" not in result.output.split(":")[0]
    assert "base scores are served" in result.output
    assert "train` reviews it" in result.output
    assert pointer_of(edge / "models").version == old
    assert run(edge, "rollback", newer, journal=False).output == f"{newer} is current\n"


def test_status_counts_and_remembers_the_last_run(edge: Path, trained: Path) -> None:
    text = run(edge, "status").output
    assert "none yet" in text
    assert "none is published here" in text
    assert "base scores are served" in text
    text = run(trained, "status").output
    assert "400 of 400 scored signals" in text
    assert all(len(line) <= 80 for line in text.splitlines())
    # Nothing that reads as if two points had been or would be reached.
    assert re.search(
        r"\nfirst 20,000     about .* at this pace\n +the earliest that only two points", text
    )
    # It is far off: an edge that shows at once is not to be taken for useless until then.
    assert "a larger gain shows sooner" in " ".join(text.split())
    assert "published on 400 samples" in text
    # Of a later candidate that was rejected the last run says no word of this.
    assert f"{pointer_of(trained / 'models').version} serves" in text


def test_status_says_why_a_model_that_is_there_does_not_serve(trained: Path) -> None:
    pointer = pointer_of(trained / "models")
    version = pointer.version
    write_pointer(trained / "models", replace(pointer, reviewed_at=NOW_S))
    text = " ".join(run(trained, "status").output.split())
    assert re.search(rf"model {version}: it was last reviewed \d+ days ago and expired", text)
    assert f"{version} serves" not in text
    (trained / "models" / "CURRENT.json").write_text('{"version"')
    text = " ".join(run(trained, "status").output.split())
    assert "model the service would not load it: pointer: CURRENT.json" in text
    assert "none is published" not in text


def test_models_are_listed_within_a_terminals_width(trained: Path) -> None:
    shown = run(trained, "models", journal=False).output.splitlines()
    assert shown[0].startswith(f"* {pointer_of(trained / 'models').version}  ")
    assert shown[1].startswith("    On ")
    assert all(len(line) <= 80 for line in shown)


def test_thresholds_say_that_the_model_they_are_for_does_not_serve(trained: Path) -> None:
    before = pointer_of(trained / "models")
    said = f"{before.version}: it was last reviewed"
    assert said not in run(trained, "thresholds").output
    write_pointer(trained / "models", replace(before, reviewed_at=NOW_S))
    result = run(trained, "thresholds")
    assert result.output.startswith(said)
    assert "base scores are served" in result.output
