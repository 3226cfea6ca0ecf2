"""Where the time of one score goes, step by step, in one process.

    python scripts/bench_steps.py [--requests 4000] [--cold]

The service's own parts with a file journal, each step called as the serving path calls it,
on states that change before every request, so that nothing is answered from what is kept.
Another process that works on the same cores adds to every number. `--cold` fills the caches with
something else before each step: so a service finds them that waits for its next request.
"""

from __future__ import annotations

import argparse
import gc
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from bench_load import SYMBOLS, history, request_body
from usual_model import publish_model

from protocol import codec
from protocol.ea_feed import Tick, encode_tick
from service import replies, scoring
from service.clock import SystemClock
from service.config.load import load as load_config
from service.engine import Engine
from service.features.vector import compute_vector
from service.feed.symbol_feed import Endpoint
from service.journal.writer import Journal
from service.responder import Responder, Waiting
from service.retries import content_digest
from service.vitals import Vitals
from training.models.champion import current_model

BATCHES = (1, 2, 4, 8, 64)
CACHES_BYTES = 8 << 20


def main() -> None:
    """Run and print."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--requests", type=int, default=4000)
    options.add_argument("--cold", action="store_true", help="the steps alone, caches emptied")
    given = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        bench = Bench(Path(name), cold=given.cold)
        gc.collect()
        gc.freeze()
        gc.set_threshold(50_000, 20, 50)
        for number in range(given.requests):
            bench.steps(number)
        show("one score, steps apart", bench.times)
        if given.cold:
            return
        whole: dict[str, list[float]] = {}
        table: dict[str, list[float]] = {}
        for size in BATCHES:
            label = f"{size} together"
            for start in range(0, given.requests // 2, size):
                whole.setdefault(label, []).append(bench.whole(start, size))
                table.setdefault(label, []).append(bench.settle(size))
        show("from body to reply, per score", whole)
        show("afterwards to their table, per score", table)


def show(head: str, times: dict[str, list[float]]) -> None:
    """A table of microseconds."""
    print(f"{head:34}{'p10':>8}{'p50':>8}{'p99':>8}   us")
    for name, found in times.items():
        p10, p50, p99 = np.percentile(found, (10, 50, 99))
        print(f"  {name:32}{p10:8.1f}{p50:8.1f}{p99:8.1f}")


class Bench:
    """Engine, journal and responder as `serve` wires them, warm, with a model."""

    def __init__(self, folder: Path, *, cold: bool = False) -> None:
        self._filler = np.zeros(CACHES_BYTES if cold else 0, np.uint8)
        publish_model(folder / "models")
        environ = {
            "SIGNAL_SCORER_STATE_DIR": str(folder),
            "SIGNAL_SCORER_FEED_CLOCK_OFFSET": "0",
        }
        self.clock = SystemClock()
        self.engine = Engine(load_config(environ=environ).config, "bench")
        self.engine.install(current_model(folder / "models"))
        self.journal = Journal(folder / "journal.db")
        vitals = Vitals(self.clock.utc_s())
        self.responder = Responder(self.engine, self.journal, vitals, self.clock)
        self.endpoint: Endpoint = self.engine.endpoint("feed", volume_is_deal=True)
        self.times: dict[str, list[float]] = {}
        self._tick = 0
        for frame in history(SYMBOLS, time.time()):
            self._frame(frame)
        for _ in range(5):
            self.ticks()

    def median_ms(self, step: str) -> float:
        """The median of a step so far."""
        return float(np.median(self.times[step])) / 1000.0

    def ticks(self) -> None:
        """One tick of every symbol."""
        for symbol in SYMBOLS:
            self._tick += 1
            p = 1.1 + self._tick * 7919 % 89 * 1e-5
            tick = Tick(symbol, p, p + 1e-4, float(self._tick % 4), time.time())
            self._frame(encode_tick(tick))

    def whole(self, start: int, size: int) -> float:
        """Microseconds a score of so many that wait together."""
        self.ticks()
        bodies = [request_body(start + at) for at in range(size)]
        waiting = [Waiting(body, self.clock.monotonic_s()) for body in bodies]
        began = time.perf_counter()
        self.responder.answer(waiting)
        return (time.perf_counter() - began) * 1e6 / size

    def settle(self, size: int) -> float:
        """Microseconds a score that so many take to their table."""
        began = time.perf_counter()
        self.journal.settle()
        return (time.perf_counter() - began) * 1e6 / size

    def steps(self, number: int) -> None:
        """One score by its steps; what is not a step of its own is in `whole` only."""
        self.ticks()
        body, timed, engine = request_body(number), self._timed, self.engine
        decoded = timed("decode and validate", codec.decode_request, body)
        request: Any = decoded.request
        digest = timed("digest, for retries", content_digest, request)
        feed = engine.intake.feeds[request.symbol]
        direction = replies.DIRECTIONS[request.direction]
        now = engine.intake.time.now(self.clock.utc_s())
        vector = timed(
            "features", compute_vector, feed.state, int(now), direction, request.base_score, 50.0
        )
        model = engine.model
        assert model is not None
        probability = timed("forest and calibration", model.probability, vector.values)
        context = replies.Context(
            seq=number,
            score_id=f"bench-{number:x}",
            mode="live",
            vector=vector,
            feed=feed,
            model=model,
            weights=scoring.Weights(0.4, 0.6, 1.0),
            take_margin_r=0.0,
            receive_time_s=self.clock.utc_s(),
            event_time_s=now,
        )
        reply = timed(
            "blend, terms, reply", replies.score_reply, request, context, probability, "", None
        )
        packed = timed("encode", msgspec.msgpack.encode, reply)
        row = timed(
            "row", replies.score_row, request, context, reply, probability, digest, body, packed
        )
        timed("journal: appended to the spool", self.journal.write, [row])
        more = {"v": 1, "id": number, "ok": True, "prediction_time_ms": 0.1, "journalled": True}
        timed("envelope", codec.extended, packed, more)

    def _frame(self, frame: bytes) -> None:
        self.engine.on_frame(self.endpoint, frame, self.clock.utc_s())

    def _timed(self, name: str, call: Callable[..., Any], *given: Any) -> Any:
        if len(self._filler):
            self._filler.sum()
        began = time.perf_counter()
        found = call(*given)
        self.times.setdefault(name, []).append((time.perf_counter() - began) * 1e6)
        return found


if __name__ == "__main__":
    main()
