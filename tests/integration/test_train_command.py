"""The trainer as it is run: exit codes, what it publishes, what it records, what it says."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from builders import NOW_S, model_of, pointer_of, small_model
from click.testing import Result
from journals import stored
from made_market import write_lines
from msgspec.structs import replace
from prometheus_client.parser import text_string_to_metric_families
from scored_journal import EVERY_S, START_S, outcome_row, score_row, vectors, write_journal
from trained import begin_anew, give, good_and_not_published, history, run

from protocol.manifest import FOREST_NAME
from service.files.durable import TrainerLock
from training.models.publish import published_versions, write_pointer
from training.settings import Settings
from training.train import train


def test_prometheus_is_told_when_it_ran_and_how_it_ended(edge: Path) -> None:
    textfile = edge / "metrics" / "train.prom"
    before_s = time.time()
    run(edge, "train", "--min-samples", "401", "--textfile", str(textfile))
    assert told(textfile)["signal_scorer_train_result", "not_enough"] == 1.0
    assert told(textfile)["signal_scorer_train_result", "published"] == 0.0
    ran_s = told(textfile)["signal_scorer_train_last_run_timestamp_seconds", None]
    assert before_s <= ran_s <= time.time()
    (edge / "file").write_text("")
    inside = str(edge / "file" / "train.prom")
    result = run(edge, "train", "--min-samples", "401", "--textfile", inside)
    assert result.exit_code == 4
    assert "metrics not written" in result.output


def told(textfile: Path) -> dict[tuple[str, str | None], float]:
    families = text_string_to_metric_families(textfile.read_text())
    return {(s.name, s.labels.get("result")): s.value for f in families for s in f.samples}


def test_an_edge_is_published_and_the_service_can_load_it(
    first_run: tuple[Path, Result],
) -> None:
    edge, result = first_run
    assert result.exit_code == 0, result.output
    assert "published" in result.output
    assert told(edge / "train.prom")["signal_scorer_train_result", "published"] == 1.0
    model = model_of(edge / "models")
    assert model.manifest.samples.n == 400
    assert model.manifest.directed
    assert model.manifest.verdict.published
    # The planted edge: momentum above 50 wins 80 %, below it 20 %.
    x = vectors(200, seed=9)
    high = [model.probability(row).p for row in x if row[8] > 60]
    low = [model.probability(row).p for row in x if row[8] < 40]
    assert min(high) > max(low)
    assert history(edge / "models")[-1]["event"] == "published"


def test_it_is_published_since_the_run_has_ended_and_reviewed_since_it_began(
    first_run: tuple[Path, Result],
) -> None:
    models = first_run[0] / "models"
    pointer, (event,) = pointer_of(models), history(models)
    assert pointer.reviewed_at == model_of(models).manifest.created_at == event["at"]
    assert pointer.published_at > pointer.reviewed_at


def test_nothing_new_is_nothing_to_do(trained: Path) -> None:
    result = run(trained, "train")
    assert result.exit_code == 0
    assert "nothing to do: 0 new samples" in result.output
    assert len(history(trained / "models")) == 1


def test_a_published_model_that_cannot_be_loaded_waits_for_no_new_samples(trained: Path) -> None:
    before = pointer_of(trained / "models").version
    with (trained / "models" / before / FOREST_NAME).open("ab") as file:
        file.write(b"12345678")
    listed = run(trained, "models", journal=False).output
    assert f"* {before}  20" in listed
    assert f"cannot be served: digest: {FOREST_NAME} has" in listed
    result = run(trained, "rollback", before, journal=False)
    assert result.exit_code == 1
    assert "already; if it is damaged: signal-scorer-train train --force" in result.stderr
    result = run(trained, "train")
    assert "nothing to do" not in result.output
    assert pointer_of(trained / "models").version != before


def test_fewer_samples_than_before_are_said_and_the_later_ones_counted(trained: Path) -> None:
    begin_anew(trained, 300)
    result = run(trained, "train")
    assert "0 new samples since the last run" in result.output
    assert "300 samples are fewer than the 400 of the last run" in result.output
    # A journal that was begun anew: as many as are wanted, none of which the last run had.
    (trained / "journal.db").unlink()
    x = vectors(620)
    rows = [score_row(i, x[i]) for i in range(420, 620)]
    ends = [outcome_row(i, bool(x[i, 8] > 50)) for i in range(420, 620)]
    stored(trained / "journal.db", [*rows, *ends])
    result = run(trained, "train")
    assert "nothing to do" not in result.output
    newest_s = [event["newest_s"] for event in history(trained / "models") if "n" in event]
    assert newest_s == [START_S + EVERY_S * 399, START_S + EVERY_S * 619]


def test_that_all_samples_are_gone_is_said_by_train_and_status(trained: Path) -> None:
    begin_anew(trained, 0)
    lost = "0 samples are fewer than the 400 of the last run"
    result = run(trained, "train")
    assert result.exit_code == 4
    assert "not enough samples: 0 of " in result.output
    assert lost in result.output
    assert lost in " ".join(run(trained, "status").output.split())


def test_a_champion_that_has_seen_everything_cannot_be_displaced(trained: Path) -> None:
    before = (trained / "models" / "CURRENT.json").read_bytes()
    result = run(trained, "train", "--min-new", "0")
    assert result.exit_code == 3
    assert "0 days of signals that the champion had not seen" in result.output
    assert "its age goes on" in result.output
    assert (trained / "models" / "CURRENT.json").read_bytes() == before


def test_a_champion_that_goes_on_winning_is_re_validated(trained: Path) -> None:
    before = pointer_of(trained / "models")
    # The same signals and 200 later ones: too few to show that a new model is no worse.
    begin_anew(trained, 600)
    assert run(trained, "train").exit_code == 3
    after = pointer_of(trained / "models")
    assert after.version == before.version
    assert after.reviewed_at > before.reviewed_at
    assert [event["event"] for event in history(trained / "models")][-2:] == [
        "rejected",
        "re-validated",
    ]
    assert "champion" in history(trained / "models")[-2]["verdict"]["metrics"]  # type: ignore[index]
    # It is good, and so is the one that serves: a trader is not to read that nothing was found.
    page = (trained / "models" / "last-report.html").read_text()
    assert "Not published: the present model stays." in page
    assert "not shown to be as good as the model that serves" in page
    assert "not shown to be good enough" not in page
    # Nor that these numbers are those of the one that serves.
    assert "All numbers on this page are those of this candidate." in page
    assert f"The page of the model that serves is {after.version}/report.html" in page
    assert (trained / "models" / after.version / "report.html").is_file()
    assert "It predicts better than a constant" in page
    assert "but is not shown to be as good as the champion: maybe worse" in page
    assert "Not established:" not in page.split("In pictures")[0]
    assert "Not established" not in history(trained / "models")[-2]["verdict"]["reason"]  # type: ignore[index]


def test_a_champion_that_has_expired_and_does_not_serve_bars_nobody(trained: Path) -> None:
    before = pointer_of(trained / "models")
    write_pointer(trained / "models", replace(before, reviewed_at=NOW_S))
    # As above, where it serves and they are too few against it.
    begin_anew(trained, 600)
    result = run(trained, "train")
    assert (result.exit_code, "published" in result.output) == (0, True), result.output
    assert "champion" not in history(trained / "models")[-1]["verdict"]["metrics"]  # type: ignore[index]
    assert pointer_of(trained / "models").previous == before.version


def test_a_review_that_is_due_waits_for_no_new_samples(trained: Path) -> None:
    begin_anew(trained, 499)
    assert "nothing to do: 99 new" in run(trained, "train").output
    assert len(history(trained / "models")) == 1
    place = Settings(journal=trained / "journal.db", models=trained / "models")
    later_s = time.time() + 28.1 * 86_400.0
    done = train(place, now_s=later_s)
    assert (done.code, done.result) == (0, "nothing_to_do")
    assert "nothing to do: 99 new" in done.text
    assert "Re-validated: still 0." in done.text
    assert [event["event"] for event in history(trained / "models")] == [
        "published",
        "re-validated",
    ]
    # Neither does it wait for as many as a first model needs.
    wanting = replace(place, min_samples=1000)
    done = train(wanting, now_s=later_s + 28.1 * 86_400.0)
    assert (done.code, "Re-validated: still 0." in done.text) == (4, True)


def test_too_few_samples_end_with_4_and_say_how_many(tmp_path: Path) -> None:
    write_journal(tmp_path / "journal.db", 99, edge=0.3)
    result = run(tmp_path, "train")
    assert result.exit_code == 4
    assert "99 of 100" in result.output
    forced = run(tmp_path, "train", "--force")
    assert forced.exit_code == 4
    assert "days, 5 are needed" in forced.output
    assert "what served before goes on serving" in forced.output  # the base score: no model is


def test_a_run_is_noted_whatever_came_of_it(tmp_path: Path) -> None:
    write_journal(tmp_path / "journal.db", 9, edge=0.3)
    run(tmp_path, "train")
    assert (tmp_path / "models" / "last-run").read_text() == "not_enough\n"
    write_journal(tmp_path / "journal.db", 300, edge=0.0)
    run(tmp_path, "train")
    assert (tmp_path / "models" / "last-run").read_text() == "rejected\n"


def test_outcomes_of_a_truth_log_train(tmp_path: Path) -> None:
    x = vectors(300)
    luck = np.random.default_rng(3).random(300)
    win = luck < np.where(x[:, 8] > 50, 0.85, 0.15)
    stored(tmp_path / "journal.db", [score_row(i, x[i]) for i in range(300)])
    log = tmp_path / "truth_log.jsonl"
    lines: list[dict[str, object]] = [
        {
            "signal_id": f"SIG_{i}",
            "symbol": ("EURUSD", "BTCUSD")[i % 2],
            "completed": True,
            "outcome": "WIN_TP" if win[i] else "LOSS_SL",
            "completed_at": START_S + EVERY_S * i + 300,
            "runtime_seconds": 300,
        }
        for i in range(300)
    ]
    # One of the future trains nothing, and is counted.
    lines[-1] |= {"completed_at": "2055-03-12T17:28:44"}
    write_lines(log, lines)
    told_of = give("truth", "check", log)
    assert "ended_in_the_future" in told_of.output
    result = run(tmp_path, "train", "--truth-log", str(log))
    assert result.exit_code == 0, result.output
    assert "published" in result.output
    samples = model_of(tmp_path / "models").manifest.samples
    assert samples.n == 299
    assert samples.ended_s is not None
    assert samples.ended_s < time.time()


def test_a_truth_log_that_cannot_be_read_is_named(edge: Path) -> None:
    result = run(edge, "train", "--min-samples", "401", "--truth-log", str(edge / "none.jsonl"))
    # What the journal knows is counted all the same.
    assert (result.exit_code, "400 of 401" in result.output) == (4, True)
    assert "none.jsonl: No such file" in result.output


def test_a_held_lock_ends_with_75(edge: Path) -> None:
    (edge / "models").mkdir()
    with TrainerLock(edge / "models"):
        done = subprocess.run(
            [sys.executable, "-m", "training", "train", "--models", edge / "models"],
            env={**os.environ, "SIGNAL_SCORER_JOURNAL_PATH": str(edge / "journal.db")},
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 75
    assert "try again" in done.stderr
    assert "Traceback" not in done.stderr


def test_no_journal_and_a_broken_one_end_with_78(tmp_path: Path) -> None:
    result = run(tmp_path, "train")
    assert result.exit_code == 78
    assert "has the service run with it? --journal names another" in result.stderr
    assert not (tmp_path / "models").exists()
    (tmp_path / "journal.db").write_bytes(b"no database" * 100)
    assert run(tmp_path, "train").exit_code == 78
    (tmp_path / "journal.db").unlink()
    sqlite3.connect(tmp_path / "journal.db").close()
    assert run(tmp_path, "train").exit_code == 78


@pytest.mark.parametrize("flag", ["max-holding-s", "max-watch-delay-s"])
def test_a_flag_has_the_bounds_of_its_setting(edge: Path, flag: str) -> None:
    result = run(edge, "status", f"--{flag}", "1e9")
    assert result.exit_code == 78
    assert flag.replace("-", "_") in result.stderr
    assert "set by flag" in result.stderr


def test_a_wrong_zone_ends_with_78(edge: Path) -> None:
    result = run(edge, "train", "--timezone", "Mars/Olympus")
    assert result.exit_code == 78
    assert "no zone named" in result.stderr


@pytest.mark.parametrize("command", ["train", "evaluate"])
def test_no_processes_at_all_are_wrong_usage(edge: Path, command: str) -> None:
    result = run(edge, command, "--jobs", "0")
    assert (result.exit_code, "--jobs" in result.stderr) == (2, True)


def test_as_many_models_are_kept_as_are_to_be(edge: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, *kept = (small_model(edge / "models", now_s=NOW_S + n) for n in range(3))
    monkeypatch.setenv("SIGNAL_SCORER_TRAINING_KEEP_MODELS", "1")
    assert "published" in run(edge, "train", "--force").output
    versions = published_versions(edge / "models")
    # The new one, and those that the pointer named: what was served, and what was before it.
    assert versions == [pointer_of(edge / "models").version, *reversed(kept)]


def test_a_pinned_model_is_not_displaced(edge: Path) -> None:
    version = small_model(edge / "models")
    assert run(edge, "pin", version, journal=False).exit_code == 0
    result = run(edge, "train", "--force")
    assert (result.exit_code, "is pinned" in result.output) == (0, True)
    good_and_not_published(edge / "models" / "last-report.html")
    # It was tried: it counts among the candidates, and is not made again of the same samples.
    assert [e["event"] for e in history(edge / "models")][-2:] == ["pinned", "withheld"]
    assert "withheld on 400 samples" in run(edge, "status").output
    assert "nothing to do: 0 new samples" in run(edge, "train").output
    # What it found waits for the unpinning, not for a hundred samples more.
    assert run(edge, "unpin", journal=False).exit_code == 0
    assert run(edge, "train", "--min-samples", "401").exit_code == 4
    result = run(edge, "train")
    assert (result.exit_code, "published" in result.output) == (0, True)
    assert "It is the 3rd candidate here" in (edge / "models" / "last-report.html").read_text()


@pytest.mark.parametrize("command", ["train", "evaluate"])
def test_of_signals_that_all_won_it_is_said_what_lacks(tmp_path: Path, command: str) -> None:
    x = vectors(120)
    rows = [row for i in range(120) for row in (score_row(i, x[i]), outcome_row(i, True))]
    stored(tmp_path / "journal.db", rows)
    result = run(tmp_path, command)
    assert result.exit_code == 4
    assert "not enough samples: 120, without both a win and a loss" in result.output
