"""Every command and all Python of the documents, given to the real service in their order.

What cannot be given here stands in `elsewhere.py` with the reason and what gives it instead.
"""

from __future__ import annotations

import json
import re
import struct
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import documents
import original_setup
import pytest
from documents import IN_STATS, Block, Command, Document
from elsewhere import elsewhere, targets
from prometheus_client.parser import text_string_to_metric_families
from scene import Scene, scene
from serving import rows

from protocol.schema import FEATURE_COUNT, FEATURE_NAMES
from service.alerting import CheckResult
from training import textfile

ROUTINE = {"signal-scorer-train train": {0, 3, 4}, "signal-scorer-train monitor": {0, 5}}
"""Exit codes other than 0 that the trainer's help calls routine."""

SKIPPED_PYTHON = {
    "docs/protocol.md": "test_documented_client.py runs it, with nothing of ours imported"
}


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with scene(tmp_path_factory.mktemp("reader")) as one:
        yield one


@pytest.fixture(params=documents.names())
def one(request: pytest.FixtureRequest) -> Document:
    return documents.document(request.param)


@pytest.mark.parametrize("mode", ["live", "shadow"])
def test_its_commands_and_its_python_work_in_their_order(
    one: Document, shared: Scene, mode: str
) -> None:
    if mode == "shadow" and one.name not in IN_SHADOW_TOO:
        return
    shared.reset()
    assert shared.run(f"signal-scorer mode {mode}").code == 0
    told: dict[str, Any] = {}
    outputs: dict[str, str] = {}
    with shared.reader():
        for step in one.steps():
            if isinstance(step, Block):
                if one.name not in SKIPPED_PYTHON:
                    # Another id in each mode: the same question gets the same answer.
                    text = step.text.replace("_1757944800", f"_1757944800_{mode}")
                    shared.python(text, f"{one.name}:{step.line}", told)
            elif elsewhere(step.text) is None and not is_make(step):
                outputs[step.text] = given(step, shared)
        if one.name in FACTS:
            FACTS[one.name](told, outputs, mode, shared)


def given(command: Command, shared: Scene) -> str:
    """What it prints; fails where it does not end as the documents say that it may."""
    done = shared.run(command.text)
    routine = next((ROUTINE[text] for text in ROUTINE if text in command.text), {0})
    told = f"{command.document}:{command.line}: {command.text}\n{done.output}"
    assert done.code in routine, f"exit code {done.code}: {told}"
    return done.output


def is_make(command: Command) -> bool:
    """Whether it is one of the targets, each of which is a program of its own."""
    words = command.text.split()
    if words[0] != "make":
        return False
    asked = {word for word in words[1:] if "=" not in word}
    assert asked <= targets(), f"{command.document}:{command.line}: {asked - targets()}"
    return True


def integration(told: dict[str, Any], outputs: dict[str, str], mode: str, shared: Scene) -> None:
    """What the steps of docs/integration.md promise."""
    metadata = told["metadata"]
    assert told["recorded"] is True
    assert told["healthy"] is True
    assert [reply.final_score for reply in told["replies"]] == [72.5, 72.5]
    assert json.loads(json.dumps(metadata)) == metadata
    assert told["status"]["latest_performance"]["available"]
    in_elite_guard(told, mode)
    if mode == "live":
        assert (metadata["status"], metadata["score_scale"]) == ("success", "enhanced")
        assert told["accepted"] is metadata["take"]
        assert told["reply"].status == "success"
    else:
        assert (metadata["status"], told["score"]) == ("shadow", 72.5)
        assert isinstance(metadata["shadow"]["take"], bool)
        assert told["accepted"] is True
    found = rows(shared.service.journal_path, "SELECT * FROM outcomes ORDER BY seq")
    (win,) = [row for row in found if row["score_id"] == metadata["score_id"]]
    assert win["win"] == 1
    assert [row["win"] for row in found if row["signal_id"] == "EG_7"][-1] == 0
    told["ml_scorer"].close()


def in_elite_guard(told: dict[str, Any], mode: str) -> None:
    """The class of "Where to call it", with a signal as Elite Guard has it."""
    signal = SimpleNamespace(
        pair="EURUSD",
        confidence=72.5,
        signal_id=f"EG_9_{mode}",
        direction="BUY",
        entry_price=1.1,
        stop_loss=1.098,
        take_profit=1.103,
        pattern="OB_BOUNCE",
    )
    kept = told["EliteGuard"]().generate_pattern_signal(signal)
    assert signal.confidence == 72.5
    assert signal.ml_enhanced is (mode == "live")
    assert signal.ml_metadata["signal_id"] == signal.signal_id
    assert signal.ml_metadata["reward_risk"] == pytest.approx(1.5)
    assert (kept is signal) is told["accepts"](
        signal.ml_metadata["final_score"], signal.ml_metadata
    )


def migration(told: dict[str, Any], outputs: dict[str, str], mode: str, shared: Scene) -> None:
    """What the steps of docs/migration.md promise of an existing setup."""
    said = {text.partition(" --")[0]: output for text, output in outputs.items()}
    original = said["signal-scorer-train original"]
    assert "usable outcomes   108 (" in original
    assert "features    not believed" in original
    assert "crypto_ml_model.pkl" in original
    assert "refused, and not opened" in original
    assert not (shared.folder / "HydraX-v2" / "a_model_was_loaded").exists()
    translated = re.search(r"; (\S+) on the base score passes (\d+)", original)
    assert translated
    assert float(translated[1]) == told["BASE_THRESHOLD"]
    imported(shared)
    assert re.search(r"^samples +120 of", said["signal-scorer-train status"], re.M)
    assert told["metadata"]["status"] == "shadow"
    four_calls(told, shared)
    thresholds = said["signal-scorer-train thresholds"]
    assert re.search(r"^all +\d+ +76\.9 +\d+ +\d", thresholds, re.M), thresholds


def imported(shared: Scene) -> None:
    """Outcomes and base scores are the original's, features are those of the recording."""
    lines = (shared.folder / "HydraX-v2" / "ml_training_data.jsonl").read_text().splitlines()
    before = {line["signal_id"]: line for line in map(json.loads, lines)}
    found = rows(
        shared.folder / "var" / "models" / "backfill.db", "SELECT * FROM scored ORDER BY seq"
    )
    assert len(found) == 120
    known = [row for row in found if row["signal_id"] in before]
    assert len(known) == len(before)
    for row in known:
        features = before[row["signal_id"]]["features"]
        vector = struct.unpack(f"<{FEATURE_COUNT}d", row["features"])
        assert row["base_score"] == vector[-1] == features["base_score"]
        theirs = [features[name] for name in FEATURE_NAMES]
        assert sum(ours == old for ours, old in zip(vector, theirs, strict=True)) < 5


def four_calls(told: dict[str, Any], shared: Scene) -> None:
    """The original's calls, made as it makes them, served through what the document imports."""
    scorer, metadata = told["ml_scorer"], told["metadata"]
    assert set(metadata) >= original_setup.METADATA
    assert (metadata["status"], told["score"], told["accepted"]) == ("shadow", 72.5, False)
    tick = {"bid": 1.1, "ask": 1.1001, "spread": 0.0001, "volume": 0, "timestamp": time.time()}
    scorer.update_market_data("EURUSD", tick)
    counts = scorer.counts  # the first may leave before there is a connection
    assert counts["ticks_pushed"] + counts["ticks_dropped"] == 1
    features = told["MarketFeatures"](**metadata["features"])
    outcome = {"outcome": "WIN_TP", "runtime_seconds": 2700, "ml_metadata": metadata}
    assert scorer.record_signal_outcome("ELITE_GUARD_EURUSD_8", features, True, outcome)
    stats = scorer.get_model_stats()
    assert stats["model_available"] is True
    assert set(stats) >= original_setup.STATS
    training = told["MLTrainingManager"](None, scorer).get_training_status()
    assert set(training) >= {"ml_scorer_stats", "latest_performance"}
    assert training["latest_performance"]["available"]
    (ended,) = rows(
        shared.service.journal_path,
        f"SELECT * FROM outcomes WHERE score_id = '{metadata['score_id']}'",
    )
    assert (ended["outcome"], ended["win"], ended["source"]) == ("WIN_TP", 1, "request")
    scorer.close()


FACTS = {"docs/integration.md": integration, "docs/migration.md": migration}
IN_SHADOW_TOO = {"docs/integration.md"}


def test_the_metrics_are_those_of_the_tables(shared: Scene, tmp_path: Path) -> None:
    (scraped,) = [v for k, v in shared._places.items() if k == "http://127.0.0.1:9461"]
    with urllib.request.urlopen(f"{scraped}/metrics", timeout=10) as reply:
        shown = exposed(reply.read().decode())
    documented = {
        name
        for row in documents.document("docs/metrics.md").tables("# Metrics")[0]
        for name in row[0].split(", ")
    }
    assert {f"signal_scorer_{name}" for name in documented} == shown
    page = tmp_path / "monitor.prom"
    finding = CheckResult("age", "fine", "", {"days": 1.0})
    textfile.write_monitor(page, [finding], now_s=0, model="m", delivered=True)
    ours = exposed(page.read_text()) | shown
    textfile.write_train(page, "published", now_s=0)
    ours |= exposed(page.read_text())
    for name, text in everything():
        for metric in re.findall(r"\bsignal_scorer_[a-z_]+[a-z]\b", text):
            bare = re.sub(r"_(bucket|sum|count)$", "", metric)
            family = any(one.startswith(f"{metric}_") for one in ours)
            assert {metric, bare} & ours or family, f"{name}: {metric}"


def test_the_entries_of_stats_that_documents_name_are_there(shared: Scene) -> None:
    with shared.service.client() as client:
        stats = client.stats()
    for section, names in IN_STATS.items():
        assert names <= set(stats[section])


def exposed(text: str) -> set[str]:
    """The names of an exposition, as its samples have them, histograms by their family's."""
    return {
        family.name + ("_total" if family.type == "counter" else "")
        for family in text_string_to_metric_families(text)
        if family.name.startswith("signal_scorer_")
    }


def everything() -> list[tuple[str, str]]:
    return [(one.name, one.text) for one in documents.documents()]
