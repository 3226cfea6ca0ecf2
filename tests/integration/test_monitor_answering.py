"""The monitor where another model answers than the one that is published, or none is published."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from builders import NOW_S, model_of
from journals import stored
from monitored import EVERY_S, FIRST_S
from scored_journal import score_row, vectors
from test_monitor_command import current, monitor, program, rewrite, told, two_models

from training.models.registry import rollback

DEGRADED = {"calibration", "win_rate"}


@pytest.fixture
def degraded(tmp_path: Path) -> Path:
    """Of two models the newer, far too bold one answers, and the program has been told."""
    two_models(tmp_path)
    assert monitor(tmp_path, config=program(tmp_path)).exit_code == 5
    assert names(told(tmp_path)[-1]) == DEGRADED
    return tmp_path


def names(alert: dict[str, object]) -> set[str]:
    return {finding["name"] for finding in alert["findings"]}  # type: ignore[attr-defined]


def look_again(place: Path) -> str:
    """What a run says that finds it degraded, in one line."""
    result = monitor(place, config=program(place))
    assert result.exit_code == 5, result.output
    return " ".join(result.output.split())


def restarted_without_a_model(place: Path) -> None:
    at_s = FIRST_S + 400 * EVERY_S
    late = score_row(400, vectors(1)[0], scored_at=at_s, event_time=at_s)
    stored(place / "journal.db", [late])


def test_a_rollback_that_the_service_refuses_is_no_recovery(degraded: Path) -> None:
    newer = current(degraded)
    older = rollback(degraded / "models", now_s=NOW_S + 7200, why="by hand")
    said = look_again(degraded)
    assert f"model judged {newer}, 400 outcomes since" in said
    assert f"the service answers by {newer}, and not by {older}, which is published" in said
    assert "no rollback" not in said
    alert = told(degraded)[-1]
    assert (alert["event"], alert["model"], alert["recovered"]) == ("changed", newer, [])
    assert names(alert) == DEGRADED | {"model"}


def test_a_pointer_that_is_gone_is_no_recovery_before_a_restart_or_after(degraded: Path) -> None:
    newer = current(degraded)
    (degraded / "models" / "CURRENT.json").unlink()
    said = look_again(degraded)
    assert f"no model is published, though the service answers by {newer}" in said
    assert f"signal-scorer-train rollback {newer}" in said
    assert names(told(degraded)[-1]) == DEGRADED | {"model"}
    restarted_without_a_model(degraded)
    assert "no model is published, though 2 are there" in look_again(degraded)
    assert [alert["recovered"] for alert in told(degraded)] == [[], []]


def test_what_cannot_be_looked_at_has_not_recovered(degraded: Path) -> None:
    forest = degraded / "models" / current(degraded) / "forest.npz"
    forest.write_bytes(forest.read_bytes()[:-1])
    assert "the service would not load it" in look_again(degraded)
    alert = told(degraded)[-1]
    assert (alert["event"], names(alert), alert["recovered"]) == ("changed", {"model"}, [])
    assert "not to be judged now: calibration, win rate" in str(alert["text"])
    assert json.loads((degraded / "monitor.json").read_text())["told"].keys() == DEGRADED | {
        "model"
    }


def test_a_service_that_refused_the_model_at_its_start_is_told(tmp_path: Path) -> None:
    version = two_models(tmp_path)[1]
    rewrite(tmp_path)
    restarted_without_a_model(tmp_path)
    said = look_again(tmp_path)
    assert f"the service answers by no model, and not by {version}, which is published" in said


def test_a_service_that_has_not_answered_since_the_pointer_moved_is_no_finding(
    tmp_path: Path,
) -> None:
    older, _ = two_models(tmp_path)
    rollback(tmp_path / "models", now_s=FIRST_S + 500 * EVERY_S, why="by hand")
    result = monitor(tmp_path)
    assert (result.exit_code, result.output.count("ALERT")) == (0, 0)
    assert f"model judged  {older}, 0 outcomes since" in result.output
    assert "model         unknown  not yet known: no model has answered since" in result.output
    assert model_of(tmp_path / "models").version == older


def test_a_rollback_is_no_recovery_before_the_model_has_answered(degraded: Path) -> None:
    older = rollback(degraded / "models", now_s=FIRST_S + 500 * EVERY_S, why="by hand")
    assert monitor(degraded, config=program(degraded)).exit_code == 0
    assert len(told(degraded)) == 1
    rewrite(degraded)
    rollback(degraded / "models", now_s=NOW_S + 7200, why="back")
    rollback(degraded / "models", now_s=NOW_S + 7300, why="and again, before it answered")
    assert current(degraded) == older
    assert monitor(degraded, config=program(degraded)).exit_code == 0
    assert [alert["event"] for alert in told(degraded)] == ["degraded", "recovered"]
