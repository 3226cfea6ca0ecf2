"""The box at the top of the report: what became of the candidate, and whose numbers follow."""

from __future__ import annotations

from dataclasses import replace

import pytest
from found_rows import Judged, unpriced
from msgspec.structs import replace as with_fields

from training.candidate import Candidate
from training.dataset.join import Dataset
from training.report.heading import verdict_in_words
from training.report.page import render
from training.truth_log import ReadingRules, read_truth_logs


@pytest.fixture(scope="module")
def judged() -> Judged:
    return unpriced()


def published(candidate: Candidate, *rivals: str) -> Candidate:
    """As if it had passed against just these."""
    metrics = dict.fromkeys(rivals, candidate.verdict.metrics["constant"])
    own = {"challenger": candidate.verdict.metrics["challenger"]}
    verdict = with_fields(candidate.verdict, published=True, failed=(), metrics=own | metrics)
    return replace(candidate, verdict=verdict)


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        (["logit_base_score"], "and than the simple rule,"),
        (["logit_base_score", "logit_stop_spreads"], "and than the simple rules,"),
    ],
)
def test_one_simple_rule_is_not_called_several(judged: Judged, rules: list[str], said: str) -> None:
    candidate, _ = judged
    assert said in verdict_in_words(published(candidate, "constant", *rules))


@pytest.mark.parametrize(
    ("passed", "publishes", "serving", "said"),
    [
        (True, True, "20260101T000000Z-000000", ""),
        (True, False, "20260101T000000Z-000000", "20260101T000000Z-000000/report.html"),
        (False, True, "20260101T000000Z-000000", "20260101T000000Z-000000/report.html"),
        (False, True, None, "which does not serve."),
    ],
)
def test_numbers_of_a_candidate_that_does_not_serve_are_called_its_own(
    judged: Judged, passed: bool, publishes: bool, serving: str | None, said: str
) -> None:
    candidate, found = judged
    verdict = with_fields(candidate.verdict, published=passed)
    data, log = Dataset(candidate.samples, 250, {}, 0, 0), read_truth_logs([], ReadingRules())
    page = render(
        replace(candidate, verdict=verdict), found, data, log, [], {},
        publishes=publishes, serving=serving,
    )  # fmt: skip
    box = page.split('<div class="verdict')[1].split("</div>")[0]
    assert said in box
    assert ("All numbers on this page are those of this candidate" in box) == bool(said)
    assert ('<th class="n">candidate, as it would be served</th>' in page) == bool(said)
    assert ('<th class="n">model, as served</th>' in page) == (not said)
