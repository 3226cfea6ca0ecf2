"""The join: scored signals of the journal with their outcomes, every exclusion counted.

Features are the recorded ones, or those of files that `backfill` made, which are marked and
yield to what was scored live. Each row of `scores` ends in exactly one place: a sample,
or a named exclusion; so the counts add up and can be checked by anyone.
"""

from __future__ import annotations

import math
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np

from protocol.schema import FEATURE_COUNT, FINGERPRINT
from training.dataset.join_rules import JoinRules
from training.dataset.journals import Journals, named, open_backfill, open_journals
from training.dataset.labels import (
    LONGEST_TRADE_S,
    Choice,
    Label,
    choose,
    dated,
    of_truth_log,
    over_s,
)
from training.dataset.overlap import uniqueness
from training.dataset.pips import in_r
from training.dataset.samples import Samples
from training.dataset.scored import Reach, Score, labels_by_id, scores_of, vector_of
from training.dataset.sight import Sight, sight_of
from training.truth_log import SAME_TRADE_S, STAMP_AHEAD_S, Outcome, Reason, other_market, words


class Dataset(msgspec.Struct, frozen=True):
    """Samples by time, and the account: `scored` = samples + sum of `excluded`.

    `scored` counts the rows of all files, backfilled ones too; `differ` the signals whose paper
    and reported outcome contradict each other, `said_other_r` those whose label is a report that
    came again with another R than the first, which counts, `unmatched` the outcomes of unknown
    signals, `silent_s` when those were scored live (UTC s) for which no outcome of all that came in
    time is believed, `even_s` those that ended at break-even.
    """

    samples: Samples
    scored: int
    excluded: dict[str, int]
    differ: int
    unmatched: int
    silent_s: tuple[float, ...] = ()
    said_other_r: int = 0
    even_s: tuple[float, ...] = ()


class Source(NamedTuple):
    """The scores of one file with what is known of their ends; `damaged` ones cannot be read."""

    scores: list[Score]
    damaged: int
    labels: Mapping[str, list[Label]]


def read_dataset(
    journals: Journals,
    reported: Mapping[str, Outcome],
    rules: JoinRules,
    *,
    now_s: float,
    backfills: Sequence[Path] = (),
    reach: Reach | None = None,
    even: frozenset[str] = frozenset(),
) -> Dataset:
    """Join the scores of one journal or several with their outcomes and `reported` ones, by id.

    `reported` comes from the truth logs, by signal id, as `even`, the ids of what they say ended
    at break-even; `backfills` are files that `backfill` made. Beyond `reach` it is as if nothing
    had been scored or told. Raises sqlite3.Error where a file cannot be read, FileNotFoundError
    where there is none, ConfigError where one is given as the other: what was not scored live
    never evaluates.
    """
    paths = [journals] if isinstance(journals, Path) else journals
    live = _source(open_journals(journals), paths, reported, even, {}, reach)
    made = [
        _source(open_backfill(path), [path], reported, even, live.labels, reach)
        for path in backfills
    ]
    return _join([live, *made], reported, rules, now_s)


def _source(
    opened: sqlite3.Connection,
    paths: Sequence[Path],
    reported: Mapping[str, Outcome],
    even: frozenset[str],
    requested: Mapping[str, Sequence[Label]],
    reach: Reach | None,
) -> Source:
    """`requested` are the labels of the live journals: the service keeps reports of signals that
    it never scored.
    """
    with closing(opened) as connection, named(*paths):
        connection.execute("begin")  # both tables as of one moment
        scores, damaged = scores_of(connection, reach)
        labels = labels_by_id(connection, reach)
    for key in _ids(scores):  # a log may tell of millions that were never scored
        told = [label for label in requested.get(key, ()) if label.source == "request"]
        if (outcome := reported.get(key)) is not None:
            told.append(of_truth_log(outcome))
        if key in even:
            told.append(Label("truth_log", None, doubt=Reason.BREAK_EVEN))
        if told:
            labels[key] += told
    return Source(scores, damaged, labels)


def _ids(scores: Iterable[Score]) -> set[str]:
    return {key for s in scores for key in (s.signal_id, s.score_id) if key is not None}


def _join(
    sources: Sequence[Source], reported: Mapping[str, Outcome], rules: JoinRules, now_s: float
) -> Dataset:
    excluded: Counter[str] = Counter()
    differ = said_other_r = 0
    kept: list[tuple[Score, Label]] = []
    seen: dict[str, bool] = {}
    silent_s: list[float] = []
    even_s: list[float] = []
    for scores, damaged, labels in sources:
        excluded["damaged_row"] += damaged
        ripe_s, again = _ripe(scores, rules, now_s), _used_again(scores, rules)
        sight = sight_of(scores, labels)
        for score in scores:
            reason = _unfit(score, seen, rules, now_s)
            if not reason:
                again_s = again.get(score.signal_id, math.inf)
                said = tuple(_labels_of(score, labels, again_s, rules))
                choice = _choice(score, said, sight, rules, now_s)
                differ += choice.differ
                said_other_r += choice.said_other_r
                reason = choice.reason
                if choice.label is None:
                    # One that is left out however it ended hides nothing.
                    harmless = score.backfilled or reason == "neighbour_void"
                    if score.time_s <= ripe_s and not harmless:
                        (even_s if reason == Reason.BREAK_EVEN else silent_s).append(score.time_s)
                elif score.time_s > ripe_s:
                    reason = "cohort_still_open"
                else:
                    kept.append((score, choice.label))
            if reason:
                excluded[str(reason)] += 1
    kept = _one_kind(kept, excluded)
    known = _ids(score for source in sources for score in source.scores)
    told = chain(reported, *(source.labels for source in sources))
    return Dataset(
        _columns(sorted(kept, key=lambda pair: pair[0].time_s), rules),
        sum(len(source.scores) + source.damaged for source in sources),
        dict((+excluded).most_common()),
        differ,
        len({key for key in told if key not in known}),
        tuple(silent_s),
        said_other_r,
        tuple(even_s),
    )


def _used_again(scores: list[Score], rules: JoinRules) -> dict[str | None, float]:
    """When a signal's id was first scored again too late to be the same signal."""
    first: dict[str, float] = {}
    again: dict[str | None, float] = {}
    for score in scores:
        if score.signal_id is not None:
            began_s = first.setdefault(score.signal_id, score.time_s)
            if score.time_s - began_s > _same_trade_s(rules):
                again.setdefault(score.signal_id, score.time_s)
    return again


def _same_trade_s(rules: JoinRules) -> float:
    return max(SAME_TRADE_S, rules.max_holding_s)


def _choice(
    score: Score, said: Sequence[Label], sight: Sight, rules: JoinRules, now_s: float
) -> Choice:
    longest_s = max(LONGEST_TRADE_S, rules.max_holding_s)

    def chosen(labels: Sequence[Label]) -> Choice:
        return choose(
            labels, scored_s=score.time_s, prefer=rules.prefer, longest_s=longest_s, now_s=now_s
        )

    choice = chosen(said)
    if choice.label is None or choice.label.source != "paper":
        return choice
    if not sight.lost(score.symbol, score.time_s, score.time_s + rules.max_holding_s):
        return choice
    # Whoever reported its end saw it whenever it came.
    told = chosen([label for label in said if label.source != "paper"])
    reason = "" if told.label else "neighbour_void"
    return msgspec.structs.replace(told, reason=reason, differ=choice.differ)


def _labels_of(
    score: Score, labels: Mapping[str, list[Label]], again_s: float, rules: JoinRules
) -> Iterator[Label]:
    """`again_s` is when its id was used again: a report since then that says no beginning may be
    of the later trade."""
    within_s = _same_trade_s(rules)
    for key in (score.signal_id, score.score_id):
        if key is not None:
            for label in labels.get(key, ()):
                end_s = over_s(label, time_s=score.time_s, scored_at=score.scored_at)
                later = label.began_s is None and end_s is not None and end_s >= again_s
                if later or _of_another_trade(label, score, within_s):
                    yield _doubted(label)
                else:
                    yield dated(label, end_s)


def _of_another_trade(label: Label, score: Score, within_s: float) -> bool:
    """Whether a report that bears the signal's id speaks of another: ids are used again."""
    if label.direction * score.direction < 0:
        return True
    if label.began_s is not None:
        later_s = label.began_s - score.time_s
        if not -SAME_TRADE_S <= later_s <= within_s:
            return True
    if label.symbol is None:
        return False
    return other_market(label.symbol, label.entry, score.symbol, score.entry_price)


def _doubted(label: Label) -> Label:
    return msgspec.structs.replace(label, win=None, doubt=Reason.CONTRADICTING_SIGNALS)


def _unfit(score: Score, seen: dict[str, bool], rules: JoinRules, now_s: float) -> str:
    """Why a score cannot be a sample, whatever its outcome; empty where it can.

    `seen` are the signals that had a score before it, and whether that was backfilled.
    """
    if score.signal_id is not None:
        if score.signal_id in seen:
            again = score.backfilled and not seen[score.signal_id]
            return "scored_live" if again else "later_revision"
        seen[score.signal_id] = score.backfilled
        if words.is_test(score.signal_id):
            return "test"
    if score.time_s > now_s + STAMP_AHEAD_S:
        return "scored_in_the_future"
    if score.fingerprint != FINGERPRINT:
        return "other_features"
    if len(score.features) != 8 * FEATURE_COUNT or not np.isfinite(vector_of(score)).all():
        return "damaged_features"
    return "features_missing" if rules.lacks(score.missing) else ""


def _ripe(scores: list[Score], rules: JoinRules, now_s: float) -> float:
    """The event time up to which every signal has had its holding time.

    The feed's own clock decides, and the wall clock where the feed has stopped: what was
    scored a holding time ago is over however little came after it. A stamp that is yet to come
    tells neither.
    """
    come = [score for score in scores if score.time_s <= now_s + STAMP_AHEAD_S]
    newest_s = min(now_s, max((score.time_s for score in come), default=0.0))
    rested_s = max(
        (s.time_s for s in come if now_s - s.scored_at >= rules.max_holding_s), default=0.0
    )
    return max(newest_s - rules.max_holding_s, rested_s)


def _one_kind(kept: list[tuple[Score, Label]], excluded: Counter[str]) -> list[tuple[Score, Label]]:
    """Directed or undirected signals, whichever are more: their features differ in meaning.

    Those scored live decide, where there are any: they are what a model will be asked.
    """
    voters = [pair for pair in kept if not pair[0].backfilled] or kept
    directed_wins = 2 * sum(score.direction != 0 for score, _ in voters) >= len(voters)
    one = [pair for pair in kept if (pair[0].direction != 0) == directed_wins]
    if len(one) < len(kept):
        excluded["undirected" if directed_wins else "directed"] += len(kept) - len(one)
    return one


def _end_s(score: Score, label: Label, rules: JoinRules) -> float:
    if label.ended_s is not None:
        return label.ended_s
    # What waited for its fill ended that much later.
    began_s = max(score.time_s, label.began_s or 0.0)
    return began_s + (label.runtime_s or rules.max_holding_s)


def _realised_r(score: Score, label: Label) -> float | None:
    """Net of costs: what was reported holds them, a level that was reached does not."""
    if label.pips is not None:
        return in_r(label.pips, score.symbol, score.entry_price, score.stop_loss)
    if label.realised_r is None or not label.nominal:
        return label.realised_r
    return label.realised_r - (score.cost_r or 0.0)


def _columns(kept: list[tuple[Score, Label]], rules: JoinRules) -> Samples:
    scores = [score for score, _ in kept]
    labels = [label for _, label in kept]
    x = np.frombuffer(b"".join(s.features for s in scores), dtype="<f8").astype(np.float64)
    time_s = np.array([s.time_s for s in scores], dtype=np.float64)
    end_s = np.array([_end_s(s, o, rules) for s, o in kept], dtype=np.float64)
    symbol = np.array([s.symbol for s in scores], dtype=np.str_)
    nan = float("nan")

    def known(values: list[float | None]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        return np.array([nan if v is None else v for v in values], dtype=np.float64)

    return Samples(
        x=x.reshape(-1, FEATURE_COUNT),
        win=np.array([bool(label.win) for label in labels], dtype=np.bool_),
        time_s=time_s,
        end_s=end_s,
        weight=uniqueness(symbol, time_s, end_s, rules.max_holding_s),
        realised_r=known([_realised_r(s, o) for s, o in kept]),
        reward_risk=known([s.reward_risk for s in scores]),
        cost_r=known([s.cost_r for s in scores]),
        at_level=np.array([label.at_level for label in labels], dtype=np.bool_),
        win_probability=known([s.win_probability for s in scores]),
        stop_spreads=known([s.stop_spreads for s in scores]),
        direction=np.array([s.direction for s in scores], dtype=np.int8),
        backfilled=np.array([s.backfilled for s in scores], dtype=np.bool_),
        symbol=symbol,
        pattern=np.array([s.pattern or "" for s in scores], dtype=np.str_),
        score_id=np.array([s.score_id for s in scores], dtype=np.str_),
        label_source=np.array([label.source for label in labels], dtype=np.str_),
    )
