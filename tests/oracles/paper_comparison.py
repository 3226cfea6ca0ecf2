"""Real quotes and random signals through the engine, and each outcome against the oracle's.

The files are read here by hand, so that reader, intake and book are all under test.
"""

from __future__ import annotations

import gzip
import heapq
import random
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from protocol.ea_feed import Tick
from protocol.messages import ScoreRequest
from service.config.settings import Config, FeedSection, PaperSection
from service.engine import Engine
from service.paper.result import Ended, outcome_row

from .paper_oracle import Answer, Asked, Quote, follow

GAP_S = 300.0


class Row(NamedTuple):
    """A row of a file, whatever it is worth: `volume` is 0 but for a trade."""

    t: float
    symbol: str
    bid: float
    ask: float
    volume: float


@dataclass(slots=True)
class Outcome:
    """What was compared; `words` counts the oracle's."""

    rows: int = 0
    signals: int = 0
    words: Counter[str] = field(default_factory=Counter)
    differ: list[str] = field(default_factory=list)


def rows_of(path: Path) -> Iterator[Row]:
    """A recorded FX or Binance file, row by row."""
    with gzip.open(path, "rt") as lines:
        header = next(lines).strip()
        if header == "ts_ms,bid,ask":
            symbol = path.name.split("_")[3].partition(".")[0]
            for line in lines:
                ms, bid, ask = line.split(",")
                yield Row(int(ms) / 1000, symbol, float(bid), float(ask), 0.0)
            return
        assert header.startswith("recv_ms,exch_ms,symbol,kind,bid,ask")
        standing: dict[str, tuple[float, float]] = {}
        for line in lines:
            cells = line.split(",")
            symbol, is_trade = cells[2], cells[3] == "T"
            if not is_trade:
                standing[symbol] = float(cells[4]), float(cells[5])
            elif symbol not in standing:
                continue
            volume = float(cells[9]) if is_trade else 0.0
            yield Row(int(cells[0]) / 1000, symbol, *standing[symbol], volume)


def compare(
    paths: Sequence[Path],
    *,
    signals: int,
    holding_s: float,
    seed: int = 1,
    limit: int | None = None,
) -> Outcome:
    """Score `signals` random signals along the files' first `limit` rows."""
    merged = heapq.merge(*map(rows_of, paths), key=lambda row: row.t)
    rows = list(islice(merged, limit))
    rng = random.Random(seed)
    moments = Counter(rng.randrange(len(rows)) for _ in range(signals))
    config = Config(
        feed=FeedSection(volume="deal", clock_offset=0.0),
        paper=PaperSection(max_holding_s=holding_s, max_gap_s=GAP_S, max_positions=signals),
    )
    run = _Run(Engine(config, "run"), rng)
    for number, row in enumerate(rows):
        run.take(row)
        for _ in range(moments[number]):
            run.ask(row)
    return run.compared(holding_s)


class _Run:
    def __init__(self, engine: Engine, rng: random.Random) -> None:
        self._engine = engine
        self._rng = rng
        self._endpoint = engine.endpoint("feed", volume_is_deal=True)
        self._quotes: defaultdict[str, list[Quote]] = defaultdict(list)
        self._asked: dict[str, tuple[Asked, str, int]] = {}
        self._now = 0.0
        self._minute = 0
        self._rows = 0

    def take(self, row: Row) -> None:
        """Feed a row, and keep it for the oracle where a feed may believe it."""
        self._rows += 1
        self._now = max(self._now, row.t)  # what nobody believes was received all the same
        if row.t // 60 != self._minute:
            self._minute = int(row.t // 60)
            self._engine.advance(self._now)
        tick = Tick(row.symbol, row.bid, row.ask, row.volume, row.t)
        self._engine.intake.on_tick(self._endpoint, tick, self._now)
        quotes, quote = self._quotes[row.symbol], Quote(row.t, row.bid, row.ask)
        if not 0.0 < row.bid <= row.ask or (quotes and row.t < quotes[-1].t):
            return
        if row.volume or not quotes or quote != quotes[-1]:  # else it was sent again
            quotes.append(quote)

    def ask(self, row: Row) -> None:
        """A signal about where the market is: stops from within the spread to far away."""
        rng, buy = self._rng, self._rng.random() < 0.5
        entry = 0.5 * (row.bid + row.ask) * (1 + rng.gauss(0, 3e-5))
        stop_bps = 10 ** rng.uniform(-0.5, 1.8)
        stop = entry * 1e-4 * stop_bps
        target = stop * rng.uniform(0.3, 3.0)
        if not buy:
            stop, target = -stop, -target
        asked = Asked(self._now, buy, entry, entry - stop, entry + target)
        request = ScoreRequest(
            symbol=row.symbol,
            base_score=50.0,
            direction="BUY" if buy else "SELL",
            entry_price=asked.entry,
            stop_loss=asked.stop,
            take_profit=asked.target,
        )
        score = self._engine.on_request(request, b"", self._now).row
        assert score is not None
        assert score.score_id is not None
        self._asked[score.score_id] = asked, row.symbol, len(self._quotes[row.symbol])

    def compared(self, holding_s: float) -> Outcome:
        """Hold every outcome, and every position still open, against the oracle's."""
        self._engine.advance(self._now)
        self._engine.advance(self._now)
        ends = {e.position.score_id: answer_to(e) for e in self._engine.paper.ended.values()}
        result = Outcome(self._rows, len(self._asked))
        for score_id, (asked, symbol, first) in self._asked.items():
            quotes = self._quotes[symbol]
            later = map(quotes.__getitem__, range(first, len(quotes)))
            expected = follow(asked, later, holding_s, GAP_S, self._now)
            result.words[expected.word if expected else "open"] += 1
            if ends.get(score_id) != expected:
                result.differ.append(f"{symbol} {asked}: {ends.get(score_id)}, not {expected}")
        assert len(self._asked) == len(ends) + len(self._engine.paper)
        return result


def answer_to(end: Ended) -> Answer:
    """A position's end in the oracle's terms."""
    row = outcome_row(end, 0.0)
    assert row.closed_at is not None
    if row.outcome == "VOID":
        return Answer("VOID", row.closed_at)
    return Answer(
        row.outcome,
        row.closed_at,
        row.win,
        row.realised_r,
        row.closed_price,
        row.opened_at,
        row.opened_price,
        row.max_favorable_r,
        row.max_adverse_r,
    )
