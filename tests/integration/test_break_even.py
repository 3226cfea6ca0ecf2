"""Signals that ended with an R of 0: neither won nor lost, and counted apart from the silent."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from found_rows import unpriced
from journals import stored
from scored_journal import EVERY_S, START_S, outcome_row, score_row, vectors
from signal_weeks import MONDAY_S, WEEKS, advice_of, weeks_of_signals

from training.gain import WEEK_S
from training.report.answers import answers
from training.results import describe
from training.settings import Settings
from training.train import gather

X = vectors(4)


@pytest.mark.parametrize("by", ["journal", "truth log"])
def test_what_ended_at_break_even_is_not_among_those_without_an_outcome(
    tmp_path: Path, by: str
) -> None:
    rows = [*(score_row(i, X[i]) for i in range(4)), *(outcome_row(i, i > 1) for i in (1, 2))]
    log = tmp_path / "truth_log.jsonl"
    end_s = START_S + 600.0
    if by == "journal":
        rows.append(outcome_row(0, None, "CLOSED_STOP", realised_r=0.0, closed_at=end_s))
    else:
        line = {
            "signal_id": "SIG_0",
            "symbol": "EURUSD",
            "completed": True,
            "outcome": "CLOSED_STOP",
            "realised_r": 0.0,
            "completed_at": end_s,
            "runtime_seconds": 600,
        }
        log.write_text(json.dumps(line) + "\n")
    settings = Settings(
        journal=stored(tmp_path / "journal.db", rows),
        models=tmp_path / "models",
        truth_logs=(log,) if log.exists() else (),
    )
    read, data = gather(settings, now_s=START_S + 10 * EVERY_S)
    assert data.excluded == {"break_even": 1, "no_outcome": 1}
    assert data.even_s == (START_S,)
    assert data.silent_s == (START_S + 3 * EVERY_S,)
    assert read.refused == ({} if by == "journal" else {"break_even": 1})


@pytest.mark.parametrize("void_first", [False, True])
def test_a_break_even_stays_one_where_its_paper_position_was_void(
    tmp_path: Path, void_first: bool
) -> None:
    flat = outcome_row(0, None, "CLOSED_STOP", realised_r=0.0)
    ends = [flat, outcome_row(0, None, "VOID", source="paper")]
    rows = [*(score_row(i, X[i]) for i in range(2)), outcome_row(1, True)]
    journal = stored(tmp_path / "journal.db", [*rows, *(reversed(ends) if void_first else ends)])
    settings = Settings(journal=journal, models=tmp_path / "models")
    _, data = gather(settings, now_s=START_S + 10 * EVERY_S)
    assert data.excluded == {"break_even": 1}
    assert (data.even_s, data.silent_s) == ((START_S,), ())


def test_results_say_how_many_ended_at_break_even_and_that_no_r_holds_them() -> None:
    samples = weeks_of_signals(600, edge=0.2)
    now_s = MONDAY_S + WEEKS * WEEK_S - 1.0
    even_s = [MONDAY_S - 1.0, *(MONDAY_S + 3600.0 * np.arange(40))]
    shown = describe(samples, advice_of(samples), weeks=3, now_s=now_s, even_s=even_s)
    said = " ".join(" ".join(shown).split())
    assert "40 more signals of these weeks ended at break-even" in said
    assert "no outcome that is believed" not in said
    none = describe(samples, advice_of(samples), weeks=3, now_s=now_s)
    assert "break-even" not in " ".join(none)


def test_the_report_says_how_many_ended_at_break_even() -> None:
    candidate, found = unpriced()
    even_s = float(candidate.samples.time_s[0]) + 60.0 * np.arange(40)
    said = answers(candidate, found, [], even_s=even_s.tolist())[4].text
    assert any(text.startswith("40 more signals since the first it learned from") for text in said)
    assert "break-even" in " ".join(said)
    assert "break-even" not in " ".join(answers(candidate, found, [])[4].text)
