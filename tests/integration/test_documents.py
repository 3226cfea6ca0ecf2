"""Every command and all Python of the documents, given to the real service in their order.

What cannot be given here stands in `elsewhere.py` with the reason and what gives it instead.
"""

from __future__ import annotations

import json
import re
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import documents
import pytest
from documents import IN_STATS, Command, Document
from elsewhere import elsewhere, targets
from prometheus_client.parser import text_string_to_metric_families
from scene import Scene, scene
from serving import rows

from service.alerting import Finding
from training import textfile

ROUTINE = {"signal-scorer-train train": {0, 3, 4}, "signal-scorer-train monitor": {0, 5}}
"""Exit codes other than 0 that the trainer's help calls routine."""

SKIPPED_PYTHON = {"docs/protocol.md": "test_stranger.py runs it, with nothing of ours imported"}


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with scene(tmp_path_factory.mktemp("reader")) as one:
        yield one


@pytest.fixture(params=documents.names())
def one(request: pytest.FixtureRequest) -> Document:
    return documents.document(request.param)


def test_its_commands_work(one: Document, shared: Scene) -> None:
    shared.reset()
    for command in one.commands():
        if elsewhere(command.text) is None and not is_make(command):
            done = shared.run(command.text)
            routine = next((ROUTINE[text] for text in ROUTINE if text in command.text), {0})
            told = f"{command.document}:{command.line}: {command.text}\n{done.output}"
            assert done.code in routine, f"exit code {done.code}: {told}"


def is_make(command: Command) -> bool:
    """Whether it is one of the targets, each of which is a program of its own."""
    words = command.text.split()
    if words[0] != "make":
        return False
    asked = {word for word in words[1:] if "=" not in word}
    assert asked <= targets(), f"{command.document}:{command.line}: {asked - targets()}"
    return True


@pytest.mark.parametrize("mode", ["live", "shadow"])
def test_its_python_runs_in_its_order(one: Document, shared: Scene, mode: str) -> None:
    if one.name in SKIPPED_PYTHON or not one.python():
        return
    if mode != "live" and one.name not in FACTS:
        return
    shared.reset()
    assert shared.run(f"signal-scorer mode {mode}").code == 0
    # Another id in each mode: the same question within a minute gets the same answer.
    blocks = [block.replace("_1757944800", f"_1757944800_{mode}") for block in one.python()]
    told = shared.python(blocks, one.name)
    if one.name in FACTS:
        FACTS[one.name](told, mode, shared)


def integration(told: dict[str, Any], mode: str, shared: Scene) -> None:
    """What the steps of docs/integration.md promise."""
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
    found = rows(shared.service.journal_path, "SELECT * FROM outcomes ORDER BY seq")
    (win,) = [row for row in found if row["score_id"] == metadata["score_id"]]
    assert win["win"] == 1
    assert [row["win"] for row in found if row["signal_id"] == "EG_7"][-1] == 0
    told["ml_scorer"].close()


FACTS = {"docs/integration.md": integration}


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
    finding = Finding("age", "fine", "", {"days": 1.0})
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
