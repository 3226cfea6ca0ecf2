"""The original's names over the wire: a signal engine changes one import line to begin with.

Nothing here raises into the caller's loop or holds it up beyond the client's budget; what
goes wrong is counted and shown by `get_model_stats()['client']`.

    from protocol.compat import MarketFeatures, MLTrainingManager, get_crypto_ml_scorer
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Mapping
from datetime import datetime, timezone
from enum import Enum
from typing import Any

from protocol.client import ScorerClient
from protocol.curve import CurveKeys
from protocol.market_features import (
    MarketFeatures,
    candles_of,
    identifier,
    lacking,
    metadata_of,
    named,
    number,
    outcome_request,
    unread_of,
)
from protocol.messages import ScoreReply
from protocol.options import DEFAULT_ENDPOINT
from protocol.reports import Reports
from protocol.schema import FEATURE_COUNT
from protocol.tick_push import TickPush, tick_frame
from protocol.training_manager import MLTrainingManager

__all__ = ["CryptoMLScorer", "MLTrainingManager", "MarketFeatures", "get_crypto_ml_scorer"]

DEFAULT_INGEST = "tcp://127.0.0.1:5562"
_process_wide: list[CryptoMLScorer] = []
"""The first is everybody's; of threads that made one at once the others' are not used."""


def get_crypto_ml_scorer() -> CryptoMLScorer:
    """The process-wide scorer, made by the first call; see `CryptoMLScorer` for its settings."""
    if not _process_wide:
        _process_wide.append(CryptoMLScorer())
    return _process_wide[0]


class CryptoMLScorer:
    """The original's calls; see each for what it does where the service is away.

    What is not given comes from $SIGNAL_SCORER_ENDPOINT, $SIGNAL_SCORER_INGEST and, for an
    encrypted service, $SIGNAL_SCORER_SERVER_KEY with $SIGNAL_SCORER_KEY. `timeout_ms` bounds
    every call; an outcome that takes others along may last twice as long. Usable from many
    threads and after a fork.
    """

    def __init__(
        self,
        endpoint: str | None = None,
        ingest: str | None = None,
        timeout_ms: float = 50,
        *,
        curve: CurveKeys | None = None,
    ) -> None:
        """Raises ValueError for endpoints or key files that are none."""
        environ = os.environ.get
        server, own = environ("SIGNAL_SCORER_SERVER_KEY"), environ("SIGNAL_SCORER_KEY")
        if curve is None and server and own:
            curve = CurveKeys.read(server, own)
        elif curve is None and (server or own):
            raise ValueError(
                "$SIGNAL_SCORER_SERVER_KEY and $SIGNAL_SCORER_KEY belong together: set both"
            )
        self.counts: Counter[str] = Counter()
        self._client = ScorerClient(
            endpoint or environ("SIGNAL_SCORER_ENDPOINT") or DEFAULT_ENDPOINT,
            timeout_ms,
            curve=curve,
        )
        self._push = TickPush(ingest or environ("SIGNAL_SCORER_INGEST") or DEFAULT_INGEST, curve)
        self._reports = Reports(self._client, self.counts, float(timeout_ms) / 1000.0)
        self._total_ms, self._timed = 0.0, 0
        self._model: dict[str, Any] = {}
        self._symbols = 0
        self._importance: tuple[str | None, dict[str, float]] = (None, {})

    def update_market_data(self, symbol: str, tick: Mapping[str, Any]) -> None:
        """Push a tick (`bid, ask, spread, volume, timestamp`) to the ingest socket.

        Never waits: where nobody listens or the receiver is slow the tick is dropped and
        counted. Not needed where the service listens to the bridge itself.
        """
        try:
            frame = tick_frame(symbol, tick, time.time())
        except (ValueError, TypeError, AttributeError):
            self.counts["ticks_invalid"] += 1
            return
        self.counts["ticks_pushed" if self._push.push(frame) else "ticks_dropped"] += 1

    def enhance_signal_score(
        self,
        symbol: str,
        base_score: float,
        timeframe_data: Mapping[str, Any] | None = None,
        *,
        signal_id: object = None,
        direction: str | Enum | None = None,
        entry_price: float | None = None,
        stop_loss: float | None = None,
        take_profit: float | None = None,
        pattern: str | Enum | None = None,
    ) -> tuple[float, dict[str, Any]]:
        """(final score, metadata with every original key). Never raises.

        Where the service is away, refuses or does not know: the base score, and in the
        metadata `used_base_score` True with `status` (and `error`) saying why. Candles that
        are none are left out; of each timeframe the newest 60 are sent. A price of 0 is none, and
        NaN is nothing in any place but the base score's.
        """
        try:
            side: Any = None if lacking(direction) else named(direction)
            side = side.upper() if isinstance(side, str) else side
            reply = self._client.score(
                symbol,
                base_score,
                timeframe_data=candles_of(timeframe_data),
                signal_id=identifier(signal_id),
                direction=side,
                entry_price=_level(entry_price),
                stop_loss=_level(stop_loss),
                take_profit=_level(take_profit),
                pattern=None if lacking(pattern) else str(named(pattern))[:64],
            )
            self._note(reply)
            stats = self._model_stats(reply.model_version, reply.model_age_s)
            return reply.final_score, metadata_of(reply, stats, time.time())
        except Exception as error:  # the original's promise: whatever it is, the caller goes on
            self.counts["scores_failed"] += 1
            return base_score, self._failed(symbol, base_score, error)

    def record_signal_outcome(
        self,
        signal_id: object,
        features: MarketFeatures | Mapping[str, Any] | None,
        outcome: bool | str | Enum,
        outcome_data: Mapping[str, Any] | None = None,
    ) -> bool:
        """Report how a signal ended; True once it is in the service's journal. Never raises.

        It joins by the score id in `features`, else by the signal id, else by symbol and
        base score where exactly one score can be meant. What the service could not be told
        is kept, and sent after the next outcome that it takes. Numbers may be text; what of
        `outcome_data` cannot be read is left out, and counted as `outcome_closed_at_unread`.
        """
        try:
            request = outcome_request(signal_id, features, outcome, outcome_data)
            for name in unread_of(outcome_data, request):
                self.counts[f"outcome_{name}_unread"] += 1
            return self._reports.send(request)
        except Exception as error:  # as above
            self._reports.failed(error)
            return False

    def get_model_stats(self) -> dict[str, Any]:
        """The original's keys and `client`, what went wrong here. Never raises.

        `outcome_refused` says why the last outcome was lost that no service would take.
        `trained_at` is ISO 8601 in UTC, `cache_size` the symbols whose features are kept
        current, `avg_prediction_time_ms` the mean over this process's scores. Without a model
        or without the service `model_available` is False.
        """
        try:
            stats = self._client.stats()
            self._model, self._symbols = stats.get("model") or {}, int(stats["symbols"])
            version, age_s = self._model.get("version"), self._model.get("age_s")
            self._importance = version, self._model.get("feature_importance") or {}
            known = self._model_stats(version, age_s)
        except Exception:  # as above
            self.counts["stats_failed"] += 1
            known = self._model_stats(None, None)
        return known | {
            "client": dict(self.counts),
            "outcomes_waiting": self._reports.waiting,
            "outcome_refused": self._reports.refused,
        }

    def retrain_model(self) -> bool:
        """Train now and wait for it, which takes minutes; see `MLTrainingManager`."""
        return MLTrainingManager(ml_scorer=self).force_training()

    def close(self) -> None:
        """Close the sockets of this thread; the next call opens them again."""
        self._client.close()
        self._push.close()

    def _note(self, reply: ScoreReply) -> None:
        if reply.prediction_time_ms is not None:
            self._total_ms += reply.prediction_time_ms
            self._timed += 1
        if reply.feature_importance:
            self._importance = reply.model_version, reply.feature_importance

    def _model_stats(self, version: str | None, age_s: float | None) -> dict[str, Any]:
        same = version is not None and version == self._model.get("version")
        trained_s = None if age_s is None else time.time() - age_s
        return {
            "model_version": version,
            "trained_at": None if trained_s is None else _iso(trained_s),
            "sample_count": self._model.get("samples") if same else None,
            "feature_count": FEATURE_COUNT,
            "avg_prediction_time_ms": self._total_ms / self._timed if self._timed else 0.0,
            "cache_size": self._symbols,
            "feature_importance": self._importance[1] if version == self._importance[0] else {},
            "model_available": version is not None,
        }

    def _failed(self, symbol: object, base_score: object, error: Exception) -> dict[str, Any]:
        base = number(base_score) or 0.0
        reply = ScoreReply(
            status="error",
            used_base_score=True,
            original_base_score=base,
            final_score=base,
            score_scale="base",
            symbol=str.__str__(symbol) if isinstance(symbol, str) else "",
            journalled=False,
            error=f"{type(error).__name__}: {error}",
        )
        return metadata_of(reply, self._model_stats(None, None), time.time())


def _level(price: float | None) -> float | None:
    """A price; None for NaN and 0 as well, MetaTrader's word for no stop or target."""
    return None if price is False or lacking(price) or number(price) == 0 else price


def _iso(time_s: float) -> str:
    return datetime.fromtimestamp(round(time_s), timezone.utc).isoformat()
