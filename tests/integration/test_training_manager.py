"""The original's training manager on the trainer's command: what it starts, ends and says."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import original_setup
import pytest
from harness import eventually, running
from scarce import no_thread
from scored_journal import write_journal
from wire import nobodys_address

from protocol.compat import CryptoMLScorer, MLTrainingManager
from training.models.publish import append_history


def trainer_environment(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGNAL_SCORER_STATE_DIR", str(folder))
    monkeypatch.setenv("SIGNAL_SCORER_TRAINER", f"{sys.executable} -m training")


def test_training_runs_the_trainer_and_says_what_came_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer_environment(tmp_path, monkeypatch)
    with running(tmp_path) as service:
        scorer = CryptoMLScorer(service.address, timeout_ms=10_000)
        scorer.enhance_signal_score("EURUSD", 61.5, signal_id="EG_1")
        truth_log = tmp_path / "truth_log.jsonl"
        truth_log.touch()
        manager = MLTrainingManager(truth_log, scorer)
        assert manager.force_training() is False
        status = manager.get_training_status()
        assert status["training"]["verdict"] == "not enough samples"
        assert status["training"]["running"] is False
        assert status["latest_performance"]["available"], status
        assert status["latest_performance"]["last_run"] == "none yet"
        why = "no better than the constant for sure (bound -0.0021 nats); " * 3 + "so it goes on."
        append_history(tmp_path / "models", {"event": "rejected", "at": 0.0, "n": 300, "why": why})
        told = manager.get_training_status()["latest_performance"]["last_run"]
        assert told == f"1970-01-01: rejected on 300 samples. {why}"
        assert set(status["ml_scorer_stats"]) >= original_setup.STATS
        assert scorer.retrain_model() is False
        scorer.close()


def script(folder: Path, text: str) -> list[str]:
    path = folder / "trainer.py"
    path.write_text(text)
    return [sys.executable, str(path)]


def test_true_means_a_model_was_published(tmp_path: Path) -> None:
    says = "import sys; print('reading'); print(sys.argv[2]); print('{}'); sys.exit({})"
    for line, code, published in (
        ("published 20261122T020000Z-3f9c2a. It is better.", 0, True),
        ("nothing published: a model is pinned", 0, False),
        ("published nothing", 3, False),
    ):
        manager = MLTrainingManager(command=script(tmp_path, says.format(line, code)))
        assert manager.force_training() is published


def test_a_truth_log_that_is_not_there_is_said_with_the_verdict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer_environment(tmp_path, monkeypatch)
    write_journal(tmp_path / "journal.db", 1, edge=0.0)
    manager = MLTrainingManager(tmp_path / "none.jsonl", CryptoMLScorer(nobodys_address()))
    assert manager.force_training() is False
    text = manager.get_training_status()["training"]["text"]
    assert text.startswith("not enough samples: ")
    assert f"not read to the end: {tmp_path / 'none.jsonl'}: No such file" in text


def test_of_much_that_was_not_read_a_little_is_said(tmp_path: Path) -> None:
    says = "print('2026-11-28T18:00:00Z not read to the end: ' + 900 * 'x')\n" * 9
    manager = MLTrainingManager(command=script(tmp_path, says + "print('published x. Good.')"))
    assert manager.force_training() is True
    text = manager.get_training_status()["training"]["text"]
    assert text.startswith("published x. Good. (not read to the end: x")
    assert len(text) < 1000


def test_a_trainer_that_hangs_is_ended_with_its_children(tmp_path: Path) -> None:
    hang = (
        "import subprocess, sys, pathlib, signal\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN) if sys.argv[-1] == 'deaf' else None\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        f"pathlib.Path({str(tmp_path / 'pid')!r}).write_text(str(child.pid))\n"
        "print('working', flush=True)\n"
        "child.wait()\n"
    )
    manager = MLTrainingManager(command=script(tmp_path, hang))
    assert manager.start_training(timeout_s=3.0)
    eventually(lambda: (tmp_path / "pid").exists(), "the trainer to start", 10)
    assert manager.start_training() is False
    assert manager.force_training() is False
    eventually(lambda: not manager._running.locked(), "the trainer to be ended")
    child = int((tmp_path / "pid").read_text())
    eventually(lambda: not Path(f"/proc/{child}/cmdline").exists() or ended(child), "no orphan")


def ended(pid: int) -> bool:
    return "State:\tZ" in Path(f"/proc/{pid}/status").read_text()


WAITS = """
import pathlib, sys, time
here = pathlib.Path(sys.argv[0])
here.with_name("started").touch()
while not here.with_name("go").exists():
    time.sleep(0.01)
print("published x")
"""
FAILS = "import sys; print('boom'); sys.exit(3)"
FORKS = """
import os, pathlib, sys, time
from protocol.training_manager import MLTrainingManager

trainer = pathlib.Path(sys.argv[-1])
manager = MLTrainingManager(command=sys.argv[1:])
assert manager.start_training()
while not trainer.with_name("started").exists():
    time.sleep(0.01)
child = os.fork()
if child == 0:
    trainer.with_name("go").touch()
    os._exit(0 if manager.force_training() else 1)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_a_process_forked_while_training_runs_can_train(tmp_path: Path) -> None:
    command = script(tmp_path, WAITS)
    # A process of its own forks: pytest's has threads that a fork would lose.
    done = subprocess.run([sys.executable, "-c", FORKS, *command], timeout=60)
    assert done.returncode == 0


def test_where_the_system_keeps_no_exit_codes_none_is_made_up(tmp_path: Path) -> None:
    scorer = CryptoMLScorer(nobodys_address(), timeout_ms=10)
    failing = MLTrainingManager(ml_scorer=scorer, command=script(tmp_path, FAILS))
    previous = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        assert failing.force_training() is False
        told = failing.get_training_status()["training"]
        publishing = MLTrainingManager(command=[sys.executable, "-c", "print('published x')"])
        assert publishing.force_training() is True
    finally:
        signal.signal(signal.SIGCHLD, previous)
    assert told == {"running": False, "verdict": "unknown", "text": "boom", "exit_code": None}
    scorer.close()


@pytest.mark.filterwarnings("ignore:subprocess .* is still running:ResourceWarning")
def test_a_trainer_that_is_not_ours_to_end_is_said_to_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = os.killpg

    def not_ours(group: int, number: int) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")  # as behind sudo

    monkeypatch.setattr(os, "killpg", not_ours)
    hang = "import os, pathlib, sys, time\n"
    hang += f"pathlib.Path({str(tmp_path / 'pid')!r}).write_text(str(os.getpid()))\n"
    scorer = CryptoMLScorer(nobodys_address(), timeout_ms=10)
    manager = MLTrainingManager(
        ml_scorer=scorer, command=script(tmp_path, hang + "time.sleep(600)\n")
    )
    assert manager.force_training(timeout_s=3.0) is False
    own(int((tmp_path / "pid").read_text()), signal.SIGKILL)
    assert manager._last is not None
    assert manager._last.output.strip() == "not ours to end, so not waited for after 3 s"
    scorer.close()


def test_where_no_thread_is_to_be_had_training_can_be_tried_again(tmp_path: Path) -> None:
    manager = MLTrainingManager(command=script(tmp_path, "print('published x')"))
    with no_thread(), pytest.raises(RuntimeError):
        manager.start_training()
    assert not manager._running.locked()


@pytest.mark.parametrize("command", [["a\0b"], [sys.executable, "-c", ""]])
def test_nothing_that_keeps_the_trainer_from_starting_raises(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    scorer = CryptoMLScorer(nobodys_address(), timeout_ms=10)
    manager = MLTrainingManager(ml_scorer=scorer, command=command)
    assert manager.force_training() is False
    assert "cannot start" in manager.get_training_status()["training"]["text"]
    scorer.close()


def test_a_trainer_that_is_not_there_is_said() -> None:
    scorer = CryptoMLScorer(nobodys_address(), timeout_ms=10)
    manager = MLTrainingManager(ml_scorer=scorer, command=["no-such-trainer"])
    assert manager.force_training() is False
    status = manager.get_training_status()
    assert "SIGNAL_SCORER_TRAINER" in status["training"]["text"]
    assert status["latest_performance"]["available"] is False
    assert status["ml_scorer_stats"]["model_available"] is False
    scorer.close()
