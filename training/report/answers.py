"""What the report says first, in words: five questions of a trader, answered by the numbers.

The rule: a gain is called a gain only where its interval leaves 0 out and enough signals stand
behind it, and what was not established is called that before any number is given.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from protocol.manifest import Verdict
from service.model.history import Event
from training.candidate import Candidate
from training.conditions import only_the_champion
from training.dataset.samples import Samples
from training.gain import (
    FEWEST,
    FEWEST_A_SIDE,
    FEWEST_DAYS,
    FEWEST_EXPECTED,
    Gain,
    made_good,
)
from training.report.coverage import Promise, Taken
from training.report.findings import Findings
from training.report.stability import Part
from training.walk_forward import WalkForward
from training.wording import BREAK_EVEN, day, end_of, name_of, percent, signed

FEWEST_TO_JUDGE = 100
FEW_DAYS = 60
NAMED = 4
TOO_FEW_DAYS = "on too few days to say how surely"


class Answer(NamedTuple):
    """A question and the paragraphs that answer it."""

    question: str
    text: tuple[str, ...]


def answers(
    candidate: Candidate,
    found: Findings,
    history: Sequence[Event],
    silent_s: Sequence[float] = (),
    even_s: Sequence[float] = (),
) -> list[Answer]:
    """In the order in which a trader asks. `history` holds what was tried before.

    `silent_s` are the times (UTC s) of signals that have no outcome to believe, `even_s` of those
    that ended at break-even.
    """
    return [
        Answer("What does it add?", tuple(_adds(found))),
        Answer("At which coverage?", tuple(_coverage(found))),
        Answer("How sure is that?", tuple(_sure(candidate, history))),
        Answer("Since when?", tuple(_since(candidate))),
        Answer("What does it not show?", tuple(_not_shown(candidate, found, silent_s, even_s))),
    ]


def _adds(found: Findings) -> Iterator[str]:
    half, everything, more = found.half, found.all, found.half.more_wins
    rated = "by expected R" if found.by_r else "by win probability"
    if found.alike:
        yield "Nothing: it gives every signal the same win probability."
        return
    if more is None:
        yield "In each week it rates all or none among the best half: nothing to hold it against."
    else:
        wins = (
            f"the half that it rates best ({rated}) won {percent(more.taken)}, all {more.n:,} "
            f"signals, weighted to the same weeks, won {percent(more.all)}: {_points(more)}"
        )
        yield _beside_reward(half, more, wins) if found.by_r else _judged(more, wins)
    if found.above_terms is not None:
        made = found.above_terms
        half_of = "that half"
        if made.n < everything.group.n:
            half_of = (
                f"the better half of those whose R is known ({made.n:,} are in weeks that have "
                "some of both halves)"
            )
        yield _judged(
            made,
            f"after costs {half_of} made {signed(made.taken)} R a signal; the half with the best "
            f"reward and cost, which takes no model, made {signed(made.all)}: {_r(made)}",
        )


def _beside_reward(half: Taken, wins: Gain, text: str) -> str:
    """As `_judged`, but fewer wins that higher rewards make good in R are no harm."""
    made = half.more_r
    if made is None or not made_good(wins, made, half.more_reward):
        return _judged(wins, text)
    known = f", of the {made.n:,} whose R is known" if made.n < wins.n else ""
    return (
        f"Fewer wins, but not less R, as higher rewards bring with them: {text}; after costs it "
        f"made {signed(made.taken)} R a signal, all {signed(made.all)}{known}."
    )


def _judged(made: Gain, text: str) -> str:
    if made.better:
        return f"{text[0].upper()}{text[1:]}."
    if made.worse:
        return f"It harms: {text}."
    if not made.enough:
        return f"Nothing established: {text}, {_too_few(made)} are the least."
    if not np.isfinite(made.low):
        return f"Nothing established: {text}, and all of it is of one day."
    return f"Nothing established: {text}, and that interval holds 0."


def _too_few(made: Gain) -> str:
    """Which limit of `Gain.enough` is missed, up to the number that is asked for."""
    if made.n < FEWEST:
        return f"from {made.n} signals, and {FEWEST}"
    if made.days < FEWEST_DAYS:
        apart = f"{made.days} separate stretch{'es' * (made.days > 1)}"  # longer where lives are
        return f"from signals of {apart} of time, and {FEWEST_DAYS}"
    count = int(made.fewer)
    apart = f"but what sets the two apart counts for {count:,} signal{'s' * (count != 1)}"
    if made.fewer < FEWEST_A_SIDE:
        return f"{apart}, and {FEWEST_A_SIDE}"
    rarer = int(made.fewer * made.rarer)
    return f"{apart}, {rarer} of them of the rarer end, and {FEWEST_EXPECTED}"


def _points(made: Gain) -> str:
    value = f"{100.0 * (made.taken - made.all):+.1f} points"
    if not np.isfinite(made.low):
        return f"{value} ({TOO_FEW_DAYS})"
    low, high = (end_of(100.0 * end, "+.1f") for end in (made.low, made.high))
    return f"{value} (90 % interval {low} to {high})"


def _r(made: Gain) -> str:
    value = f"{signed(made.taken - made.all)} R"
    if not np.isfinite(made.low):
        return f"{value} ({TOO_FEW_DAYS})"
    return f"{value} ({end_of(made.low, '+.2f')} to {end_of(made.high, '+.2f')})"


def _coverage(found: Findings) -> Iterator[str]:
    if found.promise is not None and found.promise.broken:
        yield _broken(found.promise)
    paying = found.paying
    if found.known.selected:
        yield f"{found.known.said}. What other shares won is in the table."
        return
    if found.by_r and paying is None:
        yield (
            "It expected no signal to pay its costs, so break-even rules all out. What other "
            "shares made is in the table."
        )
        return
    if paying is None or not np.isfinite(paying.group.r):
        yield (
            "Reward and risk are not known, so which signals pay their costs cannot be said. What "
            "other shares would have won is in the table."
        )
        return
    if paying.share > 0.995:
        paid = "It expected every signal to pay its costs, so break-even rules none out."
    else:
        sure = f"({end_of(paying.low, '+.2f')} to {end_of(paying.high, '+.2f')})"
        if not np.isfinite(paying.low):
            sure = TOO_FEW_DAYS
        whose = "those of them whose R is known" if found.known.said else "these"
        paid = (
            f"It expected {percent(paying.share)} of the signals to pay their costs; {whose} made "
            f"{signed(paying.group.r)} R each {sure}."
        )
    yield f"{paid} Other shares are in the table."


def _broken(promise: Promise) -> str:
    made, whose = promise.made, "all signals"
    if promise.n < promise.tested:
        whose = f"the {promise.n:,} of {promise.tested:,} signals whose reward and R are known"
    return (
        f"Expected R promised too much of {whose}: {signed(promise.promised)} R each, but "
        f"{signed(made.value)} was made ({signed(made.low)} to {signed(made.high)}). "
        f"{_why(promise)} `take` goes by the low end of expected R: a higher score.take_margin_r "
        "takes fewer signals."
    )


def _why(promise: Promise) -> str:
    """Where the larger part of what is missing went."""
    missing = promise.missing
    if missing.wins + missing.rewards > missing.between + missing.levels:
        if missing.wins > missing.rewards:
            shares = f"{percent(promise.said)} promised, {percent(promise.won)} won"
            return f"Fewer won than it said: {shares}."
        if missing.wins > 0.0:
            return "Fewer won than it said, above all of signals with a high reward."
        return "Of signals with a high reward fewer won than it said, of those with a low one more."
    if missing.between > missing.levels:
        return "It counts a win as the whole target, and what ends at neither level pays less."
    return (
        "At the levels less was made than the levels say: slippage, costs that were not sent, or "
        "trades closed before the level."
    )


def _sure(candidate: Candidate, history: Sequence[Event]) -> Iterator[str]:
    verdict = candidate.verdict
    if verdict.published:
        sure = (
            f"Every condition of the gate holds: it predicts better than {_rivals(verdict)}, with "
            "95 % confidence, counted by days or, where signals run for days, by longer stretches."
        )
    elif only_the_champion(verdict.metrics):
        sure = (
            f"It predicts better than {_rivals(verdict)}, with 95 % confidence, but is not shown "
            f"to be as good as the champion: {'; '.join(verdict.failed)}."
        )
    else:
        count = len(verdict.failed)
        sure = (
            f"Not established: {count} condition{'s' * (count > 1)} of the gate did not hold: "
            f"{'; '.join(verdict.failed)}."
        )
    tried = [event for event in history if event.n is not None]
    rejected = sum(event.event == "rejected" for event in tried)
    if not tried:
        yield f"{sure} It is the first candidate here."
        return
    yield (
        f"{sure} It is the {_th(len(tried) + 1)} candidate here, {rejected} before it "
        f"{'was' if rejected == 1 else 'were'} rejected; of many that are tried, one may pass by "
        "luck."
    )


def _rivals(verdict: Verdict) -> str:
    names = {
        "constant": "a constant",
        "logit_base_score": "a rule on the base score",
        "logit_stop_spreads": "a rule on the stop distance",
    }
    there = [text for name, text in names.items() if name in verdict.metrics]
    return " and ".join([", ".join(there[:-1]), there[-1]]) if len(there) > 1 else there[0]


def _th(number: int) -> str:
    ending = {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{'th' if 10 <= number % 100 <= 20 else ending}"


def _since(candidate: Candidate) -> Iterator[str]:
    test, samples = candidate.walk.test, candidate.samples
    days = len(np.unique(candidate.walk.groups))
    yield (
        f"Tested on {len(test):,} signals of {days} days, {day(test.time_s[0])} to "
        f"{day(test.time_s[-1])} (overlapping ones counted once, {test.n_effective:,.0f}), each "
        "rated by a model that knew only what had ended before it. The candidate itself "
        f"learned from all {len(samples):,} since {day(samples.time_s[0])}{scored_live(samples)}."
    )


def scored_live(samples: Samples) -> str:
    """What follows a number of samples: what is promised is the share of wins of the live ones."""
    if not samples.backfilled.any():
        return ""
    live = samples.live
    return f"; {len(live):,} of them scored live, of which {percent(live.base_rate)} won"


def _not_shown(
    candidate: Candidate, found: Findings, silent_s: Sequence[float], even_s: Sequence[float]
) -> Iterator[str]:
    walk, samples = candidate.walk, candidate.samples
    days = len(np.unique(walk.groups))
    short = f"; {days} days are one kind of market" if days < FEW_DAYS else ""
    yield f"That tomorrow is like these days{short}."
    yield from _labels(walk)
    silent, even = since(samples, silent_s), since(samples, even_s)
    if silent:
        yield (
            f"{silent:,} more signals since the first it learned from, which have no outcome that "
            "is believed: if which have one depends on how they went, nothing above holds."
        )
    if even:
        yield (f"{even:,} more signals since the first it learned from, which {BREAK_EVEN}.")
    if found.known.said and not found.known.selected:
        yield f"What all made: {found.known.said}."
    if longer := samples.outlasting(walk.holding_s):
        yield f"Outcomes that come late: {longer}."
    if small := _named(found, lambda part: part.n < FEWEST_TO_JUDGE):
        yield f"Anything {small} alone: fewer than {FEWEST_TO_JUDGE} signals each."
    if worse := _named(found, lambda part: part.n >= FEWEST_TO_JUDGE and _harms(part)):
        yield f"That it helps everywhere: its better half won less than all did {worse}."


def since(samples: Samples, times_s: Sequence[float]) -> int:
    """How many times (UTC s) do not lie before the first sample."""
    return sum(at_s >= samples.time_s[0] for at_s in times_s)


def _labels(walk: WalkForward) -> Iterator[str]:
    source = walk.test.label_source
    paper = float(np.mean(source == "paper"))
    if paper > 0.0:
        which = "all outcomes" if paper == 1.0 else f"{percent(paper)} of the outcomes"
        yield (
            f"Slippage and refused orders: {which} were followed on paper, on the feed's own "
            "quotes."
        )
    if paper < 1.0:
        yield (
            "Signals whose end nobody reported: where only traded signals are, it is "
            "established for those that were traded."
        )


def _harms(part: Part) -> bool:
    return part.bounded is not None and part.bounded.high < 0.0


def _named(found: Findings, which: Callable[[Part], bool]) -> str:
    """Symbols and patterns, each kind by itself; nothing where there are none."""
    kinds = []
    for kind in ("symbol", "pattern"):
        if names := [name_of(part.name, kind) for part in found.parts[kind] if which(part)]:
            more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
            kinds.append(f"of {', '.join(names[:NAMED])}{more}")
    return ", or ".join(kinds)
