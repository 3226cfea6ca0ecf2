"""Replies as people read them on a terminal."""

from __future__ import annotations

import json
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from protocol.messages import ScoreReply
from protocol.schema import FEATURE_NAMES
from service.console.printable import printable


def show_score(reply: ScoreReply, *, as_json: bool) -> None:
    """One score: the decision first, then the features, the missing ones named."""
    if as_json:
        print(json.dumps(msgspec.to_builtins(reply), indent=2))
        return
    console = _console()
    served = "base score" if reply.used_base_score else f"model {reply.model_version}"
    symbol = printable(reply.symbol)
    console.print(
        f"{symbol} {reply.direction or ''}  base {reply.original_base_score:g} -> final",
        Text(f"{reply.final_score:.1f}", "bold"),
        f" ({reply.status}, {printable(served)})",
    )
    said = reply.shadow or reply
    if reply.shadow is not None:
        console.print("in shadow the model says", Text(f"{reply.shadow.final_score:.1f}:", "bold"))
    if said.win_probability is not None:
        console.print(
            f"win probability {said.win_probability:.3f} "
            f"({said.win_probability_low:.3f} to {said.win_probability_high:.3f}), "
            f"raw {said.raw_probability:.3f}, session bonus {reply.session_bonus:g}"
        )
    if said.expected_r is not None:
        console.print(
            f"expected {said.expected_r:+.3f} R, break-even {reply.breakeven_probability:.3f}, "
            f"take: {'yes' if said.take else 'no'}"
        )
    if reply.error:
        console.print(f"error: {printable(reply.error)}")
    console.print(_features_table(reply.features, reply.missing, reply))
    console.print(f"score_id {printable(reply.score_id)}, {reply.prediction_time_ms or 0:.3f} ms")
    if not reply.journalled:
        console.print("not kept: signal-scorer health says why")


def show_features(reply: dict[str, Any]) -> None:
    """A vector and how old it is."""
    console = _console()
    age = reply["feed_age_s"]
    console.print(
        f"{printable(reply['symbol'])}  {_warmth(reply)}, "
        f"feed {'never heard of' if age is None else f'{age:.1f} s old'}, "
        f"volume from {reply['volume_source']}"
    )
    console.print(_features_table(reply["features"], reply["missing"], None))


def _console() -> Console:
    # Brackets in what a service says are no markup.
    return Console(highlight=False, markup=False, emoji=False)


def _warmth(reply: dict[str, Any]) -> str:
    # numpy comes with it, which a score is shown without.
    from service.features.vector import Vector, is_warm

    if reply["warm"]:
        return "warm"
    if is_warm(Vector((), tuple(reply["missing"]), reply["volume_source"])):
        return "not warm yet (history enough, but the feed's time is ahead)"
    return "not warm yet"


def _features_table(values: dict[str, Any], missing: Any, reply: ScoreReply | None) -> Table:
    explained = reply.explanation if reply else None
    table = Table("feature", "value", "note", box=None, pad_edge=False)
    if explained:
        table.add_column("contribution", justify="right")
    for name in FEATURE_NAMES:
        if name not in values:
            continue
        note = "missing: neutral value" if name in missing else ""
        if name == "base_score" and reply is None:
            note = "none given"
        row = [name, f"{values[name]:8.2f}", note]
        if explained:
            row.append(f"{explained.contributions[name]:+.4f}")
        table.add_row(*row)
    return table
