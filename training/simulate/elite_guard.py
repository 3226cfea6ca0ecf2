"""A stand-in for Elite Guard: has its signals scored, trades all of them, logs how they end.

A trade opens when its score came back, at the market's time then, and ends later by the
truth's word; `truth_log.jsonl` gets a pending line and the documented completion.

No stop and target travel with the score request: the service would follow them on a market
that knows nothing of the drawn end. Reward and cost are sent in R instead.
"""

from __future__ import annotations

import heapq
import json
import queue
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np

from protocol.client import ScorerClient, ScorerRefused, ScorerUnavailable
from protocol.ea_feed import Tick
from protocol.messages import ScoreReply
from protocol.schema import FEATURE_NAMES
from training.simulate import signals
from training.simulate.account import Account, Exchange, Scored
from training.simulate.feed import Feed
from training.simulate.market import INSTRUMENTS
from training.simulate.signals import Signal
from training.simulate.truth import Truth

TIMEOUT_MS = 5000.0
"""Long: what is late beside a market and a trainer that take the machine is not lost."""
WORKERS = 4
STEP_S = 0.002
BURST_EVERY_S = 0.05
"""Candidates come as many at once as there are workers, so that they meet in the service."""
LOST = ("unreachable", "error")


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Where Elite Guard asks and writes. `every_s`: market seconds between two signals.

    `report` sends each outcome to the service too, beside the truth log.
    """

    endpoint: str
    truth_log: Path
    every_s: float
    seed: int
    report: bool = False


class _Trade(NamedTuple):
    ends_s: float
    signal_id: str
    scored: Scored
    signal: Signal
    quote: Tick


class EliteGuard:
    """Runs beside a feed until stopped; the switches may be turned from any thread.

    `trading` False: no new signals, while open trades go on to their end. `candidates` True:
    setups that will not be traded are scored besides, in bursts, so that several requests
    are in flight at a time.
    """

    def __init__(self, settings: Settings, feed: Feed, truth: Truth, account: Account) -> None:
        self.trading = False
        self.candidates = False
        self.fault: BaseException | None = None
        self._settings = settings
        self._feed = feed
        self._truth = truth
        self._account = account
        self._client = ScorerClient(settings.endpoint, TIMEOUT_MS)
        self._asked: queue.SimpleQueue[tuple[Signal, bool] | None] = queue.SimpleQueue()
        self._opened: queue.SimpleQueue[_Trade] = queue.SimpleQueue()
        self._stop = threading.Event()
        runs: list[Callable[[], None]] = [self._watch, *[self._work] * WORKERS]
        self._threads = [
            threading.Thread(target=self._guarded, args=(run,), name="elite-guard", daemon=True)
            for run in runs
        ]

    def start(self) -> None:
        """Begin to watch the feed."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Let what is in flight come back, then end."""
        self._stop.set()
        for _ in range(WORKERS):
            self._asked.put(None)
        end_s = time.monotonic() + 2.0 * TIMEOUT_MS / 1000.0
        for thread in self._threads:
            if thread.is_alive():
                thread.join(max(0.0, end_s - time.monotonic()))

    @property
    def idle(self) -> bool:
        """Whether every request came back and every trade has ended."""
        account = self._account
        settled = self._asked.empty() and not account.in_flight
        return settled and len(account.closed) == len(account.scored)

    def _guarded(self, run: Callable[[], None]) -> None:
        try:
            run()
        except BaseException as fault:  # told by whoever waits for signals
            self.fault = fault
            raise
        finally:
            self._client.close()

    def _watch(self) -> None:
        """Ask when a signal is due, write when its end is known; the log's only writer."""
        trades: list[_Trade] = []
        stream = signals.signals(
            INSTRUMENTS, self._feed.event_s, self._settings.every_s, self._settings.seed
        )
        due = next(stream)
        burst_s = 0.0
        with self._settings.truth_log.open("a", encoding="utf-8") as log:
            while not self._stop.wait(STEP_S):
                now_s = self._feed.event_s
                while due.generated_s <= now_s:
                    if self.trading:
                        self._asked.put((due, True))
                    due = next(stream)
                # Not before the last ones were asked, or they would pile up on a busy machine.
                if self.candidates and self._asked.empty() and time.monotonic() >= burst_s:
                    burst_s = time.monotonic() + BURST_EVERY_S
                    for _ in range(WORKERS):
                        self._asked.put((due, False))
                while not self._opened.empty():
                    trade = self._opened.get()
                    heapq.heappush(trades, trade)
                    _write(log.write, signals.pending_line(trade.signal, trade.quote))
                while trades and trades[0].ends_s <= now_s:
                    self._close(heapq.heappop(trades), log.write)
                log.flush()

    def _close(self, trade: _Trade, write: Callable[[str], object]) -> None:
        win, ends_s = trade.scored.win, trade.ends_s
        line = signals.completed_line(trade.signal, trade.quote, win, ends_s)
        _write(write, line)
        if self._settings.report:
            self._report(trade, line)
        self._account.on_closed(trade.scored)

    def _report(self, trade: _Trade, line: dict[str, Any]) -> None:
        try:
            reply = self._client.outcome(
                line["outcome"],
                signal_id=trade.signal_id,
                realised_r=trade.scored.made_r,
                runtime_seconds=line["runtime_seconds"],
                closed_at=trade.ends_s,
            )
        except (ScorerRefused, ScorerUnavailable):
            self._account.reports["lost"] += 1
        else:
            # A repeated report finds that the first one arrived, though its reply came too late.
            kept = reply["recorded"] or reply["duplicate"]
            self._account.reports["recorded" if kept else "not recorded"] += 1

    def _work(self) -> None:
        while (asked := self._asked.get()) is not None:
            self._ask(*asked)

    def _ask(self, signal: Signal, traded: bool) -> None:
        quote = self._feed.quotes.get(signal.instrument.symbol)
        if quote is None:
            return
        request: dict[str, Any] = {"direction": signal.direction, "pattern": signal.pattern}
        request |= {
            "reward_risk": signals.REWARD_RISK,
            "cost_r": signals.cost_r(signal.instrument, quote),
        }
        if traded:
            request |= {"signal_id": signal.signal_id, "generated_at": signal.generated_s}
            request |= {"sentiment": signal.sentiment}
        self._account.on_sent()
        sent_s = time.monotonic()
        reply, status = self._score(signal, request)
        model = service_ms = None
        if reply is not None:
            service_ms = reply.prediction_time_ms
            model = None if reply.used_base_score else reply.model_version
        lost = reply is None or status in LOST
        exchange = Exchange(sent_s, time.monotonic(), model, lost, traded, service_ms)
        self._account.on_answer(exchange, status, time.time())
        if traded and reply is not None and not lost:
            self._trade(signal, reply, quote, request["cost_r"])

    def _score(self, signal: Signal, request: dict[str, Any]) -> tuple[ScoreReply | None, str]:
        try:
            reply = self._client.score(signal.instrument.symbol, signal.base_score, **request)
        except (ScorerRefused, ScorerUnavailable) as refusal:
            return None, str(refusal)
        return reply, reply.status

    def _trade(self, signal: Signal, reply: ScoreReply, quote: Tick, cost_r: float) -> None:
        vector = np.array([[float(reply.features[name]) for name in FEATURE_NAMES]])
        p_true = float(self._truth.probability(vector)[0])
        opened_s = max(self._feed.event_s, signal.generated_s)
        scored = Scored(
            signal_id=signal.signal_id,
            symbol=signal.instrument.symbol,
            direction=signal.direction,
            base_score=signal.base_score,
            final_score=reply.final_score,
            status=reply.status,
            win_probability=reply.win_probability,
            take=reply.take,
            model_version=None if reply.used_base_score else reply.model_version,
            reward_risk=signals.REWARD_RISK,
            cost_r=cost_r,
            p_true=p_true,
            win=signal.draw < p_true,
            opened_s=opened_s,
            ends_s=opened_s + signal.runtime_s,
        )
        self._account.on_trade(scored)
        self._opened.put(_Trade(scored.ends_s, signal.signal_id, scored, signal, quote))


def _write(write: Callable[[str], object], line: dict[str, Any]) -> None:
    write(json.dumps(line) + "\n")
