"""The monitor as it is run: exit codes, whom it tells, what it writes, what it takes back."""

from __future__ import annotations

import json
import os
import stat
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from builders import NOW_S, model_of, pointer_of, small_draft
from click.testing import Result
from monitored import answer_signals
from msgspec.structs import replace as with_fields
from scored_journal import write_journal
from serving import published_model
from trained import history, run

from service.files.durable import TrainerLock
from training.models.publish import publish
from training.models.registry import pin, unpin
from training.models.registry import rollback as point_back

EXPIRES = "\n[model]\nexpire_after_days = 0\n"


def monitor(place: Path, *arguments: str, config: str = "", expires: str = EXPIRES) -> Result:
    """One run on the journal and models of this test; models do not age."""
    (place / "config.toml").write_text(config + expires)
    return run(place, "monitor", "--config", str(place / "config.toml"), *arguments)


def program(place: Path, body: str = 'cat >> "$0.told"') -> str:
    """A program that keeps what it is told, and the configuration that names it."""
    path = place / "alert program.sh"
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return f"[alerts]\ncommand = [{json.dumps(str(path))}]\nmin_interval_s = 0\n"


def told(place: Path) -> list[dict[str, object]]:
    path = place / "alert program.sh.told"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def rewrite(place: Path, *, n: int = 400, **changes: object) -> None:
    """The journal anew, with other outcomes of the current model."""
    (place / "journal.db").unlink(missing_ok=True)
    answer_signals(place / "journal.db", model_of(place / "models"), n, **changes)  # type: ignore[arg-type]


@pytest.fixture
def served(tmp_path: Path) -> Path:
    published_model(tmp_path / "models", NOW_S)
    rewrite(tmp_path)
    return tmp_path


def test_a_promise_that_holds_ends_with_0(served: Path) -> None:
    result = monitor(served)
    assert result.exit_code == 0, result.output
    assert "400 outcomes" in result.output
    assert "verdict       fine" in result.output
    assert all(len(line) <= 80 for line in result.output.splitlines())


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"holds": False}, "no longer tells winners from losers"),
        ({"shift": 40.0}, "no longer like those it was trained on"),
    ],
)
def test_what_is_broken_ends_with_5_and_is_named(
    served: Path, changes: dict[str, object], words: str
) -> None:
    rewrite(served, **changes)
    result = monitor(served)
    assert result.exit_code == 5
    assert words in " ".join(result.output.split())


def test_without_a_model_nothing_was_promised(tmp_path: Path) -> None:
    write_journal(tmp_path / "journal.db", 20, edge=0.3)
    result = monitor(tmp_path)
    assert result.exit_code == 0
    assert "no model is published" in result.output


def test_a_pointer_to_a_damaged_model_is_an_alert(served: Path) -> None:
    forest = served / "models" / current(served) / "forest.npz"
    forest.chmod(0o644)
    forest.write_bytes(forest.read_bytes()[:-1])
    result = monitor(served)
    assert result.exit_code == 5
    assert "would not load it" in result.output


def test_a_truth_log_that_cannot_be_read_is_a_finding(served: Path) -> None:
    def seen() -> tuple[int, str]:
        result = monitor(served, "--truth-log", str(served / "none.jsonl"))
        return result.exit_code, " ".join(result.output.split())

    code, said = seen()
    assert code == 0  # a warning: the journal's own outcomes are judged all the same
    assert "truth log warning not read to the end:" in said
    assert "No such file" in said
    assert "verdict no alert; watch truth log" in said
    (served / "models" / "CURRENT.json").unlink()
    assert "truth log warning" in seen()[1]


def test_without_a_journal_it_ends_with_78(tmp_path: Path) -> None:
    assert monitor(tmp_path).exit_code == 78


def test_the_program_is_told_once_and_of_the_recovery(served: Path) -> None:
    config = program(served)
    assert monitor(served, config=config).exit_code == 0
    assert told(served) == []
    rewrite(served, worse_by=0.25)
    for _ in range(3):
        assert monitor(served, config=config).exit_code == 5
    (alert,) = told(served)
    assert (alert["v"], alert["event"]) == (1, "degraded")
    assert "fewer win than it says" in str(alert["text"])
    names = {finding["name"] for finding in alert["findings"]}  # type: ignore[attr-defined]
    assert names == {"calibration", "win_rate"}
    rewrite(served)
    assert monitor(served, config=config).exit_code == 0
    assert [alert["event"] for alert in told(served)] == ["degraded", "recovered"]
    assert told(served)[-1]["recovered"] == ["calibration", "win_rate"]
    assert (served / "monitor.json").exists()


def test_what_was_told_may_be_kept_behind_a_link(served: Path) -> None:
    (served / "kept.json").write_text("{}")
    (served / "monitor.json").symlink_to("kept.json")
    rewrite(served, worse_by=0.25)
    for _ in range(2):
        assert monitor(served, config=program(served)).exit_code == 5
    assert len(told(served)) == 1
    assert (served / "monitor.json").is_symlink()
    assert "calibration" in (served / "kept.json").read_text()


def test_what_cannot_be_kept_is_told_each_time_and_says_why(served: Path) -> None:
    (served / "monitor.json").symlink_to("nothing")
    rewrite(served, worse_by=0.25)
    said = "monitor.json cannot be written (is no regular file and is not replaced)"
    for _ in range(2):
        assert said in monitor(served, config=program(served)).output
    assert len(told(served)) == 2
    assert (served / "monitor.json").is_symlink()


def test_no_shell_reads_the_command(served: Path) -> None:
    rewrite(served, worse_by=0.25)
    target = served / "made"
    config = f'[alerts]\ncommand = ["true; touch {target}"]\n'
    result = monitor(served, config=config)
    assert "cannot be run: No such file" in result.output
    assert not target.exists()


@pytest.mark.parametrize(
    ("body", "timeout_s", "words"),
    [
        ("echo why >&2; exit 3", 30.0, "ended with 3: why"),
        ("exec sleep 60", 0.2, "did not end within 0.2 s"),
        ("exit 0 # reads nothing", 30.0, ""),
    ],
)
def test_a_program_that_fails_is_said_and_tried_again(
    served: Path, body: str, timeout_s: float, words: str
) -> None:
    rewrite(served, worse_by=0.25)
    config = program(served, body) + f"timeout_s = {timeout_s}\n"
    result = monitor(served, "--textfile", str(served / "m.prom"), config=config)
    assert result.exit_code == 5
    assert words in result.output
    assert ("alert not delivered" in result.output) == bool(words)
    ok = "0.0" if words else "1.0"
    assert f"alert_command_ok {ok}" in (served / "m.prom").read_text()
    assert monitor(served, config=program(served)).exit_code == 5
    assert len(told(served)) == (1 if words else 0)


def test_the_metrics_are_written_whole_and_for_others_to_read(served: Path) -> None:
    path = served / "metrics" / "scorer.prom"
    before = os.umask(0o027)
    try:
        assert monitor(served, "--textfile", str(path)).exit_code == 0
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    text = path.read_text()
    assert "signal_scorer_monitor_degraded 0.0" in text
    assert 'signal_scorer_monitor_finding{check="win_rate",level="fine"} 1.0' in text
    assert 'signal_scorer_monitor_value{check="input_drift",name="psi_whale_activity"}' in text
    assert [p.name for p in path.parent.iterdir()] == ["scorer.prom"]


def test_metrics_that_cannot_be_written_change_nothing_else(served: Path) -> None:
    (served / "file").write_text("")
    result = monitor(served, "--textfile", str(served / "file" / "m.prom"))
    assert result.exit_code == 0
    assert "metrics not written" in result.output


ALLOWED = "[monitor]\nrollback = true\n"


def two_models(place: Path) -> tuple[str, str]:
    """An older model whose promise holds, and a newer one that says far too high odds."""
    older = published_model(place / "models", NOW_S)
    forest, draft = small_draft()
    bold = with_fields(draft.calibration, intercept=draft.calibration.intercept + 1.5)
    with TrainerLock(place / "models"):
        newer = publish(
            place / "models",
            forest,
            replace(draft, calibration=bold),
            b"",
            now_s=NOW_S + 3600,
            why="test",
        )
    (place / "journal.db").unlink(missing_ok=True)
    # Signals win as the older model says; the newer one answers them.
    answer_signals(place / "journal.db", model_of(place / "models"), 400, truth=older)
    return older.version, newer


def current(place: Path) -> str:
    return pointer_of(place / "models").version


def test_a_worse_model_is_taken_back_told_and_recorded(tmp_path: Path) -> None:
    older, newer = two_models(tmp_path)
    result = monitor(tmp_path, config=ALLOWED + program(tmp_path))
    assert result.exit_code == 5
    assert f"rolled back to {older}" in result.output
    assert current(tmp_path) == older
    event = history(tmp_path / "models")[-1]
    assert (event["event"], event["version"]) == ("rolled back", older)
    assert str(event["why"]).startswith("monitor: on 400 signals")
    (alert,) = told(tmp_path)
    assert alert["model"] == newer
    assert "rolled back" in str(alert["text"])


def test_a_rollback_whose_alert_could_not_be_delivered_is_told_by_the_next_run(
    tmp_path: Path,
) -> None:
    older, _ = two_models(tmp_path)
    failing = program(tmp_path, "exit 3")
    assert "alert not delivered" in monitor(tmp_path, config=ALLOWED + failing).output
    assert current(tmp_path) == older
    for _ in range(3):
        monitor(tmp_path, config=ALLOWED + program(tmp_path))
    (alert, *later) = told(tmp_path)
    assert f"rolled back to {older}" in str(alert["text"])
    assert not any("rolled back" in str(one["text"]) for one in later)


def pinned(models: Path) -> None:
    pin(models, pointer_of(models).version, now_s=NOW_S + 7200)


def back_and_forth(models: Path) -> None:
    for later_s in (7200, 7300):
        point_back(models, now_s=NOW_S + later_s, why="by hand")


def pinned_there_and_here(models: Path) -> None:
    newer = pointer_of(models)
    assert newer.previous is not None
    for later_s, version in ((7200, newer.previous), (7300, newer.version)):
        pin(models, version, now_s=NOW_S + later_s)
    unpin(models, now_s=NOW_S + 7400)


# Long enough for the newer model, which was made an hour later.
OLDER_EXPIRED = f"[model]\nexpire_after_days = {(time.time() - NOW_S) / 86_400.0 - 0.02}\n"


@pytest.mark.parametrize(
    ("arrange", "config", "expires", "words"),
    [
        (None, "", EXPIRES, "is advised and not allowed"),
        (None, f"{ALLOWED}[training]\nmax_holding_s = {30 * 86_400}\n", EXPIRES, "not significant"),
        (None, ALLOWED, OLDER_EXPIRED, "no rollback: the previous model would not be used"),
        (pinned, ALLOWED, EXPIRES, "no rollback: it is pinned"),
        (back_and_forth, ALLOWED, EXPIRES, "a rollback or a pin brought it here"),
        (pinned_there_and_here, ALLOWED, EXPIRES, "a rollback or a pin brought it here"),
    ],
    ids=[
        "not allowed",
        "signals run for a month",
        "the older expired",
        "pinned",
        "brought back",
        "by pins",
    ],
)
def test_a_worse_model_stays(
    tmp_path: Path, arrange: Callable[[Path], None] | None, config: str, expires: str, words: str
) -> None:
    _, newer = two_models(tmp_path)
    if arrange:
        arrange(tmp_path / "models")
    result = monitor(tmp_path, config=config, expires=expires)
    assert result.exit_code == 5
    assert words in " ".join(result.output.split())
    assert current(tmp_path) == newer


def test_a_history_that_cannot_be_written_does_not_hide_the_rollback(tmp_path: Path) -> None:
    older, _ = two_models(tmp_path)
    (tmp_path / "models" / "history.jsonl").unlink()
    (tmp_path / "models" / "history.jsonl").mkdir()
    result = monitor(tmp_path, config=ALLOWED)
    assert result.exit_code == 5
    assert f"rolled back to {older} (CURRENT.json is changed, but history.jsonl" in result.output
    assert current(tmp_path) == older


def test_a_previous_model_that_is_no_better_is_not_returned_to(served: Path) -> None:
    published_model(served / "models", NOW_S + 3600)
    rewrite(served, holds=False)
    before = current(served)
    result = monitor(served, config=ALLOWED)
    assert result.exit_code == 5
    assert "the previous model is no better" in result.output
    assert current(served) == before


def test_a_trainer_at_work_puts_the_rollback_off(tmp_path: Path) -> None:
    _, newer = two_models(tmp_path)
    with TrainerLock(tmp_path / "models"):
        result = monitor(tmp_path, config=ALLOWED)
    assert result.exit_code == 5
    assert "rollback put off" in result.output
    assert "`signal-scorer mode shadow` keeps base scores in force meanwhile" in result.output
    assert current(tmp_path) == newer


def test_a_rollback_that_cannot_be_locked_hides_no_alert(tmp_path: Path) -> None:
    _, newer = two_models(tmp_path)
    (tmp_path / "models" / ".lock").unlink()
    (tmp_path / "models" / ".lock").mkdir()
    result = monitor(tmp_path, config=ALLOWED + program(tmp_path))
    assert result.exit_code == 5
    assert "rollback failed: " in result.output
    assert [alert["model"] for alert in told(tmp_path)] == [newer]
    assert current(tmp_path) == newer


def test_without_an_alert_nothing_is_even_considered(served: Path) -> None:
    published_model(served / "models", NOW_S + 3600)
    rewrite(served)
    result = monitor(served, config=ALLOWED)
    assert result.exit_code == 0
    assert "rollback" not in result.output


def test_results_and_thresholds_are_read_off_the_same_files(served: Path) -> None:
    shown = run(served, "results", "--weeks", "520")
    assert shown.exit_code == 0
    assert "Established: the" in shown.output
    odd = run(served, "thresholds", "--today", "nan")
    assert odd.exit_code == 2
    shown = run(served, "thresholds", "--today", "70")
    assert shown.exit_code == 0
    assert "ORDER_BLOCK_BOUNCE" in shown.output
    for wrong in ("x", "x=nan", "x=101"):
        shown = run(served, "thresholds", "--pattern", wrong)
        assert shown.exit_code == 2
    shown = run(served, "thresholds", "--pattern", "ORDER_BLOC=75")
    assert shown.exit_code == 2
    assert "no signal has the pattern 'ORDER_BLOC'; there are ORDER_BLOCK_BOUNCE" in shown.stderr
    (served / "models" / "CURRENT.json").unlink()
    shown = run(served, "thresholds")
    assert shown.exit_code == 1
    assert "no model is served" in shown.stderr
