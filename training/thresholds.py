"""`thresholds`: what today's threshold on the base score becomes on the final score, by pattern.

The two scores are on different scales. The threshold that passes as many signals keeps the number
of trades as it is, so that what changes is which signals are taken. The rule: every signal is
scored by the current model and the configured weights, and only such as it had not been trained on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from textwrap import wrap
from typing import NamedTuple

import numpy as np

from protocol.schema import FEATURE_COUNT, FEATURE_NAMES, FINGERPRINT
from service.arrays import Floats
from service.console.printable import printable
from service.features.flow_facts import DEALS
from service.features.vector import Vector, is_warm
from service.model.model import Model
from service.scoring import Weights, blend
from training.dataset.journals import Journals, read
from training.dataset.scored import Score, scores_of, vector_of
from training.models.champion import seen_until_s
from training.truth_log import words
from training.wording import WIDTH

FEWEST = 50
NAME = 25
"""Characters of a pattern's column; a longer name has a line of its own, to be copied."""
COUNT = 7
MOST_NAMED = 10
NO_PATTERN = "(no pattern)"
USUAL = (65.0, 70.0, 75.0, 80.0)
_BONUS = FEATURE_NAMES.index("session_bonus")


class PatternError(ValueError):
    """None of the signals has a pattern that a threshold was given for."""


class Translated(NamedTuple):
    """A threshold on the final score; it passes `passed` of `n` signals, the base one `wanted`.

    `score` is None where no signal is passed, or there are fewer than 50.
    """

    score: float | None
    passed: int
    wanted: int
    n: int


def asked_signals(journals: Journals) -> list[Score]:
    """Every signal once, as it was scored first, whether or not its outcome is known.

    Without tests, and without those that would get the base score for want of history. Raises
    sqlite3.Error or FileNotFoundError where the journal cannot be read.
    """
    with read(journals) as connection:
        scores = scores_of(connection).sound
    first: dict[str, Score] = {}
    for score in scores:
        first.setdefault(score.signal_id or score.score_id, score)
    return [
        score
        for key, score in first.items()
        if score.fingerprint == FINGERPRINT
        and not words.is_test(key)
        and _had_history(score)
        and len(score.features) == 8 * FEATURE_COUNT
        and bool(np.isfinite(vector_of(score)).all())
    ]


def _had_history(score: Score) -> bool:
    """By the service's own rule, whatever counted as volume.

    Without deals whale activity does not count, and is always one of the two that may be missing.
    """
    return is_warm(Vector((), tuple(score.missing.split(",")), DEALS))


def final_scores(model: Model, scores: Sequence[Score], weights: Weights) -> Floats:
    """What `model` would serve (n,) for signals as they were scored."""
    x = np.array([vector_of(score) for score in scores])
    answers = model.probabilities(x)
    return np.array(
        [
            blend(weights, float(row[-1]), answer.p, float(row[_BONUS]))[1]
            for row, answer in zip(x, answers, strict=True)
        ]
    )


def translate(base: Floats, final: Floats, threshold: float) -> Translated:
    """The threshold on `final` (n,) that passes as many as `threshold` does on `base` (n,).

    Scores at the threshold pass. Rounded to 0.1; of equal fits the higher. One that nothing reaches
    is none: final scores are cut at 100, where many may lie.
    """
    n, wanted = len(base), int(np.count_nonzero(base >= threshold))
    if n < FEWEST or not wanted:
        return Translated(None, 0, wanted, n)
    ordered = np.sort(final)[::-1]
    middle = float(ordered[wanted - 1])
    tried = np.floor(10.0 * middle) / 10.0 + np.array([0.1, 0.0])
    passed = np.array([int(np.count_nonzero(final >= at)) for at in tried])
    best = int(np.argmin(np.where(passed > 0, np.abs(passed - wanted), n)))
    return Translated(float(tried[best]), int(passed[best]), wanted, n)


def _are(count: int) -> str:
    if count > 1:
        return f"only {count} signals are"
    return "only 1 signal is" if count else "no signal is"


def describe(
    model: Model,
    scores: Sequence[Score],
    weights: Weights,
    *,
    today: float | None,
    by_pattern: Mapping[str, float],
) -> Iterator[str]:
    """Lines for the terminal: a row for each pattern, a column for each threshold of today's.

    Raises PatternError where `by_pattern` names one that none of the signals has.
    """
    seen_s = seen_until_s(model)
    unseen = [s for s in scores if s.time_s > seen_s and (s.direction or not model.directed)]
    fresh = len(unseen) >= FEWEST
    rows = unseen if fresh else [s for s in scores if s.direction or not model.directed]
    yield f"model {model.version}, {len(rows):,} signals"
    if not fresh:
        yield from wrap(
            f"{_are(len(unseen))} newer than the model's training, so those it was trained on are "
            "used: its scores spread wider there than they will",
            WIDTH,
        )
    if len(rows) < FEWEST:
        yield f"too few: {FEWEST} scored signals are needed"
        return
    patterns = np.array([score.pattern or NO_PATTERN for score in rows])
    base = np.array([float(vector_of(score)[-1]) for score in rows])
    final = final_scores(model, rows, weights)
    names = sorted(set(patterns.tolist()), key=lambda name: -np.count_nonzero(patterns == name))
    if unknown := by_pattern.keys() - {"all", *(score.pattern or NO_PATTERN for score in scores)}:
        more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
        there = ", ".join(map(printable, names[:MOST_NAMED])) + more
        raise PatternError(f"no signal has the pattern {min(unknown)!r}; there are {there}")
    names += sorted(by_pattern.keys() - {"all", *names})  # of none that counts here
    everything = np.ones(len(rows), dtype=np.bool_)
    parts = [(name, patterns == name) for name in names] + [("all", everything)]
    if today is None and not by_pattern:
        yield from _table(parts, base, final)
        return
    yield f"{'pattern':<{NAME}}{'signals':>{COUNT}}{'base':>8}{'passes':>8}   final"
    for name, at in parts:
        threshold = by_pattern.get(name, today)
        if threshold is not None:
            yield _row(name, translate(base[at], final[at], threshold), threshold)


Part = tuple[str, np.ndarray[tuple[int], np.dtype[np.bool_]]]


def _table(parts: Sequence[Part], base: Floats, final: Floats) -> Iterator[str]:
    yield f"{'base threshold':<{NAME}}{'signals':>{COUNT}}{''.join(f'{at:>12.0f}' for at in USUAL)}"
    for name, at in parts:
        found = [translate(base[at], final[at], threshold) for threshold in USUAL]
        cells = "".join(f"{_score(t):>6}{_share(t):>6}" for t in found)
        yield f"{_name(name)}{found[0].n:>{COUNT}}{cells}"
    yield ""
    yield "The final score that passes as many, or nearest to it, and what share it passes."
    yield "--today 72 shows your own, and how many either passes."


def _name(pattern: str) -> str:
    name = printable(pattern)
    return f"{name:<{NAME}}" if len(name) < NAME else f"{name}\n{'':<{NAME}}"


def _row(name: str, found: Translated, threshold: float) -> str:
    head = f"{_name(name)}{found.n:>{COUNT}}{threshold:>8.1f}{found.wanted:>8}   "
    if found.score is None:
        why = "too few signals" if found.n < FEWEST else "none reaches it"
        return f"{head}-  ({why})"
    return f"{head}{found.score:.1f}  (passes {found.passed})"


def _score(found: Translated) -> str:
    return "-" if found.score is None else f"{found.score:.1f}"


def _share(found: Translated) -> str:
    return "" if found.score is None else f"({100 * found.passed / found.n:.0f}%)"
