"""The signals to be backfilled: from a truth log, or JSON lines of signals. Nothing guessed.

A signal is what a live request would have been, and when it would have been made.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import tzinfo
from pathlib import Path
from typing import NamedTuple

import msgspec

from protocol.messages import Direction, ScoreRequest
from training.truth_log import Reason, Signal, Signals, born_s, words
from training.truth_log.files import lines_of


class Asked(NamedTuple):
    """A request and its time in UTC seconds."""

    time_s: float
    request: ScoreRequest


class SignalLine(msgspec.Struct, frozen=True):
    """One line of a signals file. `time` is an epoch or ISO 8601, prices in quote currency."""

    signal_id: str
    symbol: str
    time: float | str
    base_score: float
    direction: Direction | None = None
    entry: float | None = None
    stop: float | None = None
    target: float | None = None
    pattern: str | None = None


@dataclass(slots=True)
class Wanted:
    """Signals by id, and what became of the others: `lines` = signals + all of `refused`."""

    asked: dict[str, Asked] = field(default_factory=dict)
    lines: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)

    def in_order(self) -> list[Asked]:
        """By time, and by id where times are equal: the order of the files does not matter."""
        return sorted(self.asked.values(), key=lambda a: (a.time_s, a.request.signal_id or ""))

    def add(self, line: SignalLine, zone: tzinfo) -> None:
        """Take a signal, or count why not."""
        self.lines += 1
        try:
            time_s = words.time_of(line.time, zone)
        except ValueError:
            time_s = None
        if words.is_test(line.signal_id):
            self.refused["test"] += 1
        elif time_s is None:
            self.refused["no_time"] += 1
        elif line.signal_id in self.asked:
            self.refused["repeated"] += 1
        elif (request := _request(line)) is None:
            self.refused["impossible_request"] += 1
        else:
            self.asked[line.signal_id] = Asked(time_s, request)

    def leave_out(self, signal_ids: Iterable[str]) -> None:
        """Leave out signals that were scored live: what was seen then is what counts."""
        for signal_id in signal_ids:
            if self.asked.pop(signal_id, None) is not None:
                self.refused["scored_live"] += 1


def read_signals(paths: Iterable[Path], zone: tzinfo, wanted: Wanted) -> None:
    """Add the signals of JSON lines, plain or gzipped; a bad line is counted. Never raises."""
    decode = msgspec.json.Decoder(SignalLine).decode
    for path in paths:
        for raw in lines_of(path, wanted.problems.append):
            if raw is not None and not raw.strip():
                continue
            try:
                line = decode(raw or b"")
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
                wanted.lines += 1
                wanted.refused["malformed"] += 1
                continue
            wanted.add(line, zone)


def add_told(signals: Signals, zone: tzinfo, wanted: Wanted) -> None:
    """Add the signals that a truth log tells of, where it says enough to score them."""
    for signal in signals.values():
        lack = next(_lacking(signal), None)
        if signal.signal_id in signals.conflicting:
            lack = Reason.CONTRADICTING_SIGNALS
        if lack is not None:
            wanted.lines += 1
            wanted.refused[lack] += 1
            continue
        line = SignalLine(
            signal_id=signal.signal_id,
            symbol=signal.symbol or "",
            time=born_s(signal, None) or 0.0,
            base_score=signal.base_score or 0.0,
            direction="BUY" if signal.direction > 0 else "SELL" if signal.direction < 0 else None,
            entry=signal.entry,
            stop=signal.stop,
            target=signal.target,
        )
        wanted.add(line, zone)


def _lacking(signal: Signal) -> Iterator[str]:
    if signal.symbol is None:
        yield "no_symbol"
    if born_s(signal, None) is None:
        yield "no_time"
    if signal.base_score is None:
        yield "no_base_score"


def _request(line: SignalLine) -> ScoreRequest | None:
    """The request that would have been sent; None where the service would have refused it."""
    fields = {
        "signal_id": line.signal_id,
        "symbol": line.symbol,
        "base_score": line.base_score,
        "direction": line.direction,
        "entry_price": line.entry,
        "stop_loss": line.stop,
        "take_profit": line.target,
        "pattern": line.pattern,
    }
    try:
        return msgspec.convert({k: v for k, v in fields.items() if v is not None}, ScoreRequest)
    except msgspec.ValidationError:
        return None
