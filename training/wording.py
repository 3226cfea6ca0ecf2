"""What the counted reasons mean, in the sentences that terminal and report show a person."""

from __future__ import annotations

from datetime import UTC, datetime
from textwrap import wrap

from service.console.printable import printable
from training.truth_log import Reason

WIDTH = 80
"""Of what is printed: a terminal's own, where nobody made it wider."""
MEANWHILE = "`signal-scorer mode shadow` keeps base scores in force meanwhile"
"""Behind a rollback that has to wait."""
BREAK_EVEN = (
    "ended at break-even, with an R of 0: they have neither won nor lost, and are in no share and "
    "no mean R here, which lies nearer to 0 with them"
)
MEANING: dict[str, str] = {
    Reason.NOT_JSON: "not JSON",
    Reason.NOT_AN_OBJECT: "JSON, but no object",
    Reason.WRONG_TYPE: "a field has a type that no writer gives it",
    Reason.TOO_LONG: "longer than any line of a log may be",
    Reason.NO_SIGNAL_ID: "no signal id: not about a signal",
    Reason.TEST: "a test: TEST is a part of its id",
    Reason.NOTE: "a note on a signal that says no outcome",
    Reason.UNKNOWN_OUTCOME: "an outcome word that is none of the known ones",
    Reason.NO_RESULT: "a timeout without R or pips, or with pips of zero: neither won nor lost",
    Reason.BREAK_EVEN: "ended with an R of 0: neither won nor lost",
    Reason.SOURCE: "its outcome_source says that nobody saw the end",
    Reason.NO_TIME: "a time stamp that cannot be read, so that nobody can tell when it ended",
    Reason.NO_RUNTIME: "its only stamp is that of its writing, and nothing says how long it ran: "
    "it may have been written with its signal",
    Reason.AT_SIGNAL_TIME: "the label was written within 5 s of its signal, or after no time: "
    "a guess, not an outcome",
    Reason.BEFORE_SIGNAL: "ended before its signal: is truth_log.timezone right?",
    Reason.IN_FUTURE: "an end that is yet to come: a wrong stamp, truth_log.timezone, or a clock "
    "that is behind",
    Reason.CONTRADICTS_RUNTIME: "its runtime and its stamps differ by more than 15 minutes",
    Reason.FIRST_TICK: "closed on the first tick its tracker saw",
    Reason.WATCHED_LATE: "its tracker began to watch long after the signal: target or stop "
    "may have been touched before",
    Reason.IMPOSSIBLE_LEVELS: "stop or target on the wrong side of the entry, or upon it, or a "
    "result beyond 1,000 R",
    Reason.CONTRADICTS_LEVELS: "result, pips and exit price contradict each other or the levels",
    Reason.GAINED_AT_STOP: "a loss that is said to have gained, at a stop moved into profit: write "
    "CLOSED_STOP. Only losses are refused for it",
    Reason.CONTRADICTING: "won and lost are both reported for one signal",
    Reason.CONTRADICTING_SIGNALS: "lines of one id, or report and score, speak of different trades",
    Reason.REPEATED: "said before by another line",
    Reason.OTHER_R: "said before by another line, without this R: the first one counts",
    "no_outcome": "no outcome known yet",
    "void": "its paper position was lost sight of: a gap in the feed, or another source",
    "neighbour_void": "its paper outcome came before its symbol was lost sight of, within its "
    "holding time: slower ones of then are void, and quick ends alone are mostly losses",
    "cohort_still_open": "younger than the holding time: its slower neighbours are still running",
    "later_revision": "the same signal scored again; its first score counts",
    "scored_in_the_future": "a stamp that is yet to come: the clock or the feed's was ahead then",
    "other_features": "scored with other feature definitions",
    "damaged_row": "its row in the journal is not readable",
    "damaged_features": "its recorded vector is not readable",
    "features_missing": "too many market features were neutral fill",
    "scored_live": "scored live too: what was seen then is what counts",
    "malformed": "not a line of the shape that is read",
    "no_symbol": "no symbol known",
    "no_time": "no time known",
    "no_base_score": "no base score known",
    "impossible_request": "a score, symbol or level that the service would have refused",
    "before_the_market": "before the recording of its symbol begins",
    "not_in_the_market": "no recording read shows a symbol of that name: see feed.symbol_suffixes "
    "and feed.symbol_map, which tell a broker's names",
    "after_the_market": "after the recording ends",
    "crossed": "ticks with an ask below the bid, or no price",
    "late": "ticks older than the one before of their symbol",
    "spike": "ticks far from the one before of their symbol, until another agreed",
    "other_source": "ticks of a second terminal for a symbol",
    "twice_or_never": "stamps that the broker's clock shows twice when summer time ends, or never",
    "other_timeframe": "candles of another timeframe than M1",
    "trade_before_quote": "trades before the first quote of their symbol",
    "no_quote": "rows without a quote",
    "undirected": "no direction, while most signals have one",
    "directed": "a direction, while most signals have none",
}


def meaning(reason: str) -> str:
    """The sentence for a reason; the reason itself where there is none."""
    return MEANING.get(reason, reason)


def percent(value: float) -> str:
    """0.6234 -> 62.3 %."""
    return f"{100 * value:.1f} %"


def day(time_s: float) -> str:
    """The UTC day of a moment, 2026-11-25."""
    return f"{datetime.fromtimestamp(time_s, UTC):%Y-%m-%d}"


def plain(name: str) -> str:
    """ORDER_BLOCK_BOUNCE -> Order block bounce: easier to read, and shorter in a picture.

    What no page can show stands as a question mark: names come from outside.
    """
    shown = printable(name)
    return shown.replace("_", " ").capitalize() if "_" in shown else shown


def fitting(name: str, longest: int) -> str:
    """Its ends, where it has more characters: variants of a name often differ in the last."""
    if len(name) <= longest:
        return name
    end = longest // 3
    return f"{name[: longest - end - 2]}..{name[-end:]}"


def behind(head: str, text: str) -> list[str]:
    """Lines of `text` behind `head`; the further ones stand below its beginning."""
    return wrap(
        head + text,
        WIDTH,
        subsequent_indent=" " * len(head),
        break_on_hyphens=False,
        break_long_words=False,  # a path is to be copied
    )


def name_of(part: str, kind: str) -> str:
    """A part's name as it is shown; a symbol, unlike a pattern, is written as it is traded."""
    return plain(part) if kind == "pattern" else printable(part)


NOISE = 1e-9
"""Beside 0, and no side of it: what sums of equal numbers come to."""


def end_of(value: float, form: str) -> str:
    """An end of an interval; one beside 0 is not shown as 0: its side is the verdict."""
    text = f"{value:{form}}"
    if float(text):
        return text
    if abs(value) < NOISE:
        return text.lstrip("+-")
    return "just above 0" if value > 0.0 else "just below 0"


def signed(value: float) -> str:
    """0.234 -> +0.23; what rounds to 0 has no sign."""
    text = f"{value:+.2f}"
    return text[1:] if float(text) == 0.0 else text
