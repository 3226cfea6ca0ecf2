"""The box at the top of the report: what became of the candidate, and whose numbers follow."""

from __future__ import annotations

from dataclasses import replace

import pytest
from found_rows import Judged, unpriced
from msgspec.structs import replace as with_fields

from training.candidate import Candidate
from training.told import verdict_in_words


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
