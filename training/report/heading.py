"""The box at the top of the report: what became of the candidate, and whose numbers follow."""

from __future__ import annotations

import numpy as np

from protocol.manifest import REPORT_NAME, Verdict
from training.candidate import Candidate
from training.conditions import only_the_champion


def headline(verdict: Verdict, publishes: bool) -> str:
    """The gate's word; `publishes` says whether the run follows it."""
    if verdict.published:
        return "Published." if publishes else "Good enough to be published."
    if only_the_champion(verdict.metrics):
        return "Not published: the present model stays."
    return "Not published: not established."


def verdict_in_words(candidate: Candidate) -> str:
    """What the gate's word means, in one sentence."""
    test, days = candidate.walk.test, len(np.unique(candidate.walk.groups))
    seen = f"On {len(test):,} signals of {days} days that it had not seen, it was"
    better = f"{seen} better than a constant and than {_rules(candidate)}, with 95 % confidence"
    if candidate.verdict.published:
        return f"{better}."
    if only_the_champion(candidate.verdict.metrics):
        return (
            f"{better}, but not shown to be as good as the model that serves (the champion), which "
            "goes on."
        )
    return f"{seen} not shown to be good enough. What served before goes on serving."


def whose_numbers(serving: str | None) -> str:
    """Of a candidate that does not serve: that the numbers are its own. `serving` does serve."""
    if serving is None:
        return "All numbers on this page are those of this candidate, which does not serve."
    return (
        "All numbers on this page are those of this candidate. The page of the model that serves "
        f"is {serving}/{REPORT_NAME}, in the folder of models."
    )


def _rules(candidate: Candidate) -> str:
    several = sum(name.startswith("logit_") for name in candidate.verdict.metrics) > 1
    return "the simple rules" if several else "the simple rule"
