"""The tables of docs/integration.md name what the drop-in gives."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

from documents import document

from protocol import compat, messages
from protocol.messages import ScoreReply
from training.truth_log import ReadingRules, read_truth_logs

TEXT = document("docs/integration.md").text


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


def test_a_reply_has_the_keys_of_the_metadata_but_those_that_are_named() -> None:
    (but,) = re.findall(r"are the keys of the metadata above but\s`(\w+)`, and None", TEXT)
    scorer = compat.CryptoMLScorer("tcp://127.0.0.1:1", timeout_ms=1)
    _, metadata = scorer.enhance_signal_score("EURUSD", 1.0)
    scorer.close()
    assert set(metadata) - {but} <= set(ScoreReply.__struct_fields__)
    without = ScoreReply(
        status="unreachable",
        used_base_score=True,
        original_base_score=1.0,
        final_score=1.0,
        score_scale="base",
    )
    # The original's code wants a number of each, whether or not anybody knows one.
    assert (without.ml_enhanced_score, without.session_bonus, without.features) == (None, None, {})
    assert isinstance(metadata["ml_enhanced_score"], float)
    assert isinstance(metadata["session_bonus"], float)
    assert metadata["features"]


def test_the_lines_of_a_truth_log_are_read_as_one_signal_with_its_end(tmp_path: Path) -> None:
    log = tmp_path / "truth_log.jsonl"
    (lines,) = (b.text for b in document("docs/integration.md").blocks if b.language == "json")
    log.write_text(lines, "utf-8")
    read = read_truth_logs([log], ReadingRules())
    (signal,), (outcome,) = read.signals.values(), read.outcomes.values()
    assert (read.lines, read.refused, signal.base_score) == (2, {}, 72.5)
    assert (signal.symbol, signal.direction) == ("EURUSD", 1)
    assert (signal.entry, signal.stop, signal.target) == (1.1, 1.098, 1.103)
    assert (outcome.win, outcome.realised_r, outcome.runtime_s) == (True, 1.45, 2700)
