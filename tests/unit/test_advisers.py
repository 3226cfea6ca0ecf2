"""Several models gave the advice: it is said, and how to see the last one alone."""

from __future__ import annotations

import numpy as np
import pytest
from signal_weeks import MONDAY_S, WEEKS, advice_of, lines, weeks_of_signals

from training.bound import DAY_S
from training.dataset.answered import Advice
from training.dataset.samples import Samples
from training.gain import WEEK_S
from training.results import describe

TOGETHER = "The advice is that of"


def shown(rows: Samples, versions: list[str], published: str | None = None, weeks: int = 12) -> str:
    """What is said where the i-th signal was answered by `versions[i]`."""
    takes = advice_of(rows)
    advice = {
        name: Advice(version, takes[name].take)
        for name, version in zip(rows.score_id.tolist(), versions, strict=True)
    }
    now_s = MONDAY_S + WEEKS * WEEK_S - 1.0
    said = describe(rows, advice, weeks=weeks, now_s=now_s, published=published)
    return " ".join(" ".join(said).split())


def until(day: float, before: str, after: str) -> tuple[Samples, list[str]]:
    rows = weeks_of_signals(600, edge=0.2)
    return rows, np.where(rows.time_s < MONDAY_S + day * DAY_S, before, after).tolist()


def test_several_models_are_counted_and_the_last_can_be_shown_alone() -> None:
    rows, versions = until(9.0, "A", "B")
    said = shown(rows, versions, "B")
    assert f"{TOGETHER} 2 models together" in said
    assert "since 2025-09-24 it is that of B alone: `--weeks 1` shows that" in said
    assert TOGETHER not in shown(rows, versions, "B", weeks=1)


def test_a_model_that_answered_again_counts_since_it_did() -> None:
    rows, versions = until(9.0, "A", "B")
    again = np.where(rows.time_s > MONDAY_S + 16.0 * DAY_S, "A", versions).tolist()
    said = shown(rows, again, "A")
    assert "that of 2 models together" in said
    assert "since 2025-10-01 it is that of A alone, for less than a whole week so far" in said


@pytest.mark.parametrize("every", [2, 3, 10])
def test_models_that_answer_by_turns_are_not_said_to_answer_alone(every: int) -> None:
    rows = weeks_of_signals(600, edge=0.2)
    for last in (598, 599, 600):
        versions = np.where(np.arange(600) % every == 0, "A", "B")[:last].tolist()
        said = shown(rows.take(slice(last)), versions, "B")
        assert f"{TOGETHER} 2 models that answer by turns, and what is said above is of all" in said
        assert "alone" not in said


def test_a_model_that_answers_alone_since_a_day_is_said_to_do_so_whatever_was_before() -> None:
    rows = weeks_of_signals(600, edge=0.2)
    versions = np.where(np.arange(600) % 2 == 0, "A", "B")
    for days, alone in ((0.9, False), (1.1, True)):
        now = np.where(rows.time_s >= rows.time_s[-1] - days * DAY_S, "B", versions)
        assert ("it is that of B alone" in shown(rows, now.tolist(), "B")) == alone


@pytest.mark.parametrize("published", [None, "m"])
def test_the_advice_of_one_model_needs_no_word(published: str | None) -> None:
    rows = weeks_of_signals(600, edge=0.2)
    said = shown(rows, ["m"] * 600, published)
    assert said == " ".join(" ".join(lines(rows, advice_of(rows))).split())
    assert TOGETHER not in said


def test_a_model_that_was_published_since_is_told_from_those_that_advised() -> None:
    rows, versions = until(9.0, "A", "B")
    assert "C is published now; none of this advice is its own" in shown(rows, versions, "C")
    assert "A is published now; the last of this advice is not its own" in shown(
        rows, versions, "A"
    )
    assert "B is published now" not in shown(rows, versions, "B")
