"""`original` says what an existing setup leaves of use, and opens none of its models."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from made_market import write_lines
from original_setup import original_setup
from trained import give

NOW_S = 1_760_000_000.0


def original(folder: Path, *options: str) -> str:
    done = give("original", *options, folder)
    assert done.exit_code == 0, done.output
    return done.output


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_no_model_is_opened_and_each_is_named(tmp_path: Path) -> None:
    loaded = original_setup(tmp_path / "old", now_s=NOW_S)
    told = original(tmp_path / "old")
    for name in ("crypto_ml_model.pkl", "crypto_ml_scaler.pkl", "backup_1.pkl"):
        assert f"ml_models/{name}" in told
    assert "refused, and not opened: a pickle runs whatever it holds" in told
    assert not loaded.exists()


@pytest.mark.parametrize("threshold", [60.0, 75.0, 79.5])
def test_the_translated_threshold_passes_as_many_signals(tmp_path: Path, threshold: float) -> None:
    original_setup(tmp_path, now_s=NOW_S)
    told = original(tmp_path, "--threshold", str(threshold))
    shown = {
        line["signal_id"]: line["confidence"]
        for line in lines_of(tmp_path / "truth_log.jsonl")
        if "confidence" in line
    }
    base = {
        line["signal_id"]: line["features"]["base_score"]
        for line in lines_of(tmp_path / "ml_training_data.jsonl")
    }
    wanted = sum(shown[name] >= threshold for name in base)
    score = float(told.partition(f"of {len(base)} signals; ")[2].split()[0])
    assert f"passed {wanted} of" in told
    passed = sum(value >= score for value in base.values())
    assert f"on the base score passes {passed}\n" in told
    assert abs(passed - wanted) <= 1


def test_the_wins_by_quarter_are_those_of_the_training_data(tmp_path: Path) -> None:
    original_setup(tmp_path, now_s=NOW_S, signals=400)
    data = sorted(
        (line["features"]["base_score"], line["outcome"])
        for line in lines_of(tmp_path / "ml_training_data.jsonl")
    )
    best = data[-(len(data) // 4) :]
    share = 100 * sum(win for _, win in best) / len(best)
    assert f"{share:.0f} % to {best[-1][0]:.1f} ({len(data)} outcomes)" in original(tmp_path)


def test_what_is_too_little_is_said(tmp_path: Path) -> None:
    original_setup(tmp_path, now_s=NOW_S, signals=20)
    told = original(tmp_path, "--threshold", "80")
    assert "18 outcomes with one: too few" in told
    assert "18 signals have both" in told


def test_a_threshold_on_the_base_score_stays(tmp_path: Path) -> None:
    original_setup(tmp_path, now_s=NOW_S)
    data = lines_of(tmp_path / "ml_training_data.jsonl")
    born = {"direction": "BUY", "generated_at": "2025-10-01T00:00:00"}
    write_lines(
        tmp_path / "truth_log.jsonl",
        [
            born | {"signal_id": one["signal_id"], "confidence": one["features"]["base_score"]}
            for one in data
        ],
    )
    assert "70 is on the base score already" in original(tmp_path, "--threshold", "70")


def test_a_folder_without_anything_of_the_original_says_so(tmp_path: Path) -> None:
    assert "nothing of the original lies in" in original(tmp_path)


def test_parts_that_are_packed_in_a_way_nobody_reads_are_named(tmp_path: Path) -> None:
    original_setup(tmp_path, now_s=NOW_S)
    assert "left out" not in original(tmp_path)
    (tmp_path / "truth_log.jsonl.2.xz").write_bytes(b"\xfd7zXZ")
    (line,) = [line for line in original(tmp_path).splitlines() if line.startswith("left out")]
    assert line.endswith("truth_log.jsonl: beside it, not read: truth_log.jsonl.2.xz")


def test_where_such_parts_are_all_that_there_is_no_next_command_is_made_of_them(
    tmp_path: Path,
) -> None:
    (tmp_path / "truth_log.jsonl.2.xz").write_bytes(b"\xfd7zXZ")
    told = original(tmp_path)
    assert "left out" in told
    assert "signal-scorer-train train" not in told


def test_a_log_of_which_rotated_parts_alone_are_left_is_named_by_its_own_name(
    tmp_path: Path,
) -> None:
    original_setup(tmp_path, now_s=NOW_S)
    log = tmp_path / "truth_log.jsonl"
    log.rename(tmp_path / "truth_log.jsonl.1")
    command = original(tmp_path).splitlines()[-1]
    assert command.endswith(
        f"train --truth-log {tmp_path}/ml_training_data.jsonl --truth-log {log}"
    )


def test_the_next_command_names_the_training_data_first(tmp_path: Path) -> None:
    original_setup(tmp_path, now_s=NOW_S)
    (tmp_path / "truth_log.jsonl.1").write_text("")
    logs = [word for word in original(tmp_path).split() if word.endswith(".jsonl")]
    assert [Path(word).name for word in logs[-2:]] == ["ml_training_data.jsonl", "truth_log.jsonl"]
