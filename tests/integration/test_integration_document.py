"""Every piece of code in docs/integration.md runs against the real service, in its order."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, get_args

import builders
import pytest
from harness import eventually, running
from serving import rows

from protocol import compat, messages
from protocol.client import ScorerClient

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "integration.md").read_text("utf-8")
PYTHON = re.findall(r"```python\n(.+?)```", TEXT, re.S)
SHELL = [
    line for block in re.findall(r"```sh\n(.+?)```", TEXT, re.S) for line in block.splitlines()
]


def test_every_block_is_one_that_is_run() -> None:
    assert TEXT.count("```") == 2 * len(re.findall(r"```(?:python|sh)\n", TEXT))
    assert len(PYTHON) >= 9
    assert SHELL


@pytest.mark.parametrize("mode", ["live", "shadow"])
def test_the_code_runs_in_its_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    ingest = f"ipc://{tmp_path}/ingest.sock"
    with running(tmp_path, with_feed=True, FEED_INGEST=ingest, SCORE_MODE=mode) as service:
        service.warm()
        builders.small_model(service.models_dir, directed=True, now_s=time.time())
        with service.client() as client:
            eventually(lambda: client.health()["model"], "the model")
        for name, value in {
            "ENDPOINT": service.address,
            "INGEST": ingest,
            "TRAINER": f"{sys.executable} -m training",
            "STATE_DIR": str(tmp_path),
        }.items():
            monkeypatch.setenv(f"SIGNAL_SCORER_{name}", value)
        monkeypatch.chdir(tmp_path)
        Path("truth_log.jsonl").touch()
        monkeypatch.setattr(compat, "_process_wide", None)
        patient(monkeypatch, service.address)
        told: dict[str, Any] = {}
        for block in PYTHON:
            exec(compile(block, "integration.md", "exec"), told)
        facts(told, mode)
        journal = service.journal_path
        (win, loss) = rows(journal, "SELECT * FROM outcomes ORDER BY seq")
        assert win["score_id"] == told["metadata"]["score_id"]
        assert (win["win"], loss["win"], loss["signal_id"]) == (1, 0, "EG_7")
        for line in SHELL:
            run(line)
        told["ml_scorer"].close()


def patient(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    """Budgets and the endpoint of the examples, made fit for a busy machine and this service."""
    for kind in (ScorerClient, __import__("protocol.aio", fromlist=["aio"]).AsyncScorerClient):
        made = kind.__init__

        def make(
            self: Any,
            endpoint: str = address,
            timeout_ms: float = 0,
            *args: Any,
            made: Any = made,
            **more: Any,
        ) -> None:
            made(self, endpoint, 10_000, *args, **more)

        monkeypatch.setattr(kind, "__init__", make)


def facts(told: dict[str, Any], mode: str) -> None:
    metadata = told["metadata"]
    assert told["recorded"] is True
    assert told["healthy"] is True
    assert [reply.final_score for reply in told["replies"]] == [72.5, 72.5]
    assert json.loads(json.dumps(metadata)) == metadata
    assert told["status"]["latest_performance"]["available"]
    if mode == "live":
        assert (metadata["status"], metadata["score_scale"]) == ("success", "enhanced")
        assert told["accepted"] is metadata["take"]
        assert told["reply"].status == "success"
    else:
        assert (metadata["status"], told["score"]) == ("shadow", 72.5)
        assert isinstance(metadata["shadow"]["take"], bool)
        assert told["accepted"] is True


def run(line: str) -> None:
    program, *arguments = shlex.split(line)
    assert program == "signal-scorer"
    done = subprocess.run(
        [sys.executable, "-m", "service", *arguments],
        env={k: v for k, v in os.environ.items() if k != "SIGNAL_SCORER_STATE_DIR"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr


def test_the_tables_name_every_status_and_every_original_key() -> None:
    _, _, advice = TEXT.partition("## What a status asks of you")
    named = {
        word
        for row in re.findall(r"^\| (`.+?) \|", advice, re.M)
        for word in re.findall(r"`(\w+)`", row)
    }
    assert named == set(get_args(messages.Status)) - {"success"}
    scorer = compat.CryptoMLScorer("tcp://127.0.0.1:1", timeout_ms=1)
    _, metadata = scorer.enhance_signal_score("EURUSD", 1.0)
    scorer.close()
    _, _, table = TEXT.partition("What is in the metadata:")
    keys = set(re.findall(r"`(\w+)`", table.partition("## When")[0])) & set(metadata)
    original = "ml_confidence prediction feature_importance session_bonus model_stats features"
    assert keys >= set(original.split())
