"""The reply to a score and the rows for the journal, built from values already worked out.

Pure assembly: whatever is decided here is decided by `scoring`, and what the model said
arrives as a `Probability`.
"""

from __future__ import annotations

import struct
from datetime import UTC, datetime
from typing import cast

import msgspec
import numpy as np

from protocol import messages
from protocol.messages import LOSSES, WINS
from protocol.schema import FEATURE_COUNT, FEATURE_NAMES, FINGERPRINT
from service import scoring
from service.features.vector import Vector
from service.feed.symbol_feed import SymbolFeed
from service.journal.records import Meant, OutcomeRow, ScoreRow
from service.model.model import Model, Probability

DIRECTIONS = {None: 0, "BUY": 1, "SELL": -1}
_BONUS = FEATURE_NAMES.index("session_bonus")
# Packed like the map of numbers and score_id by name that it stands for, and quicker made.
Features = msgspec.defstruct(
    "Features",
    [*((name, float) for name in FEATURE_NAMES), ("score_id", str)],
    frozen=True,
    gc=False,
)
_pack_features = struct.Struct(f"<{FEATURE_COUNT}d").pack
_WORDS = dict.fromkeys(WINS, True) | dict.fromkeys(LOSSES, False)


class Context(msgspec.Struct, frozen=True):
    """The moment of a score: what the engine knew and how it is set."""

    seq: int
    score_id: str
    mode: messages.Mode
    vector: Vector
    feed: SymbolFeed | None
    model: Model | None
    weights: scoring.Weights
    take_margin_r: float
    receive_time_s: float
    event_time_s: float
    drifting: tuple[str, ...] = ()

    @property
    def spread(self) -> float | None:
        """The live spread as a price difference; None before the first tick."""
        return self.feed.ask - self.feed.bid if self.feed and self.feed.ticks else None


def score_reply(
    request: messages.ScoreRequest,
    context: Context,
    probability: Probability | None,
    reason: str,
    error: str | None,
) -> messages.ScoreReply:
    """The reply. Without a probability the base score is served, and `reason` says why."""
    vector, model, now = context.vector, context.model, context.receive_time_s
    base_score, features = request.base_score, Features(*vector.values, context.score_id)
    terms = scoring.trade_terms(request, context.spread)
    threshold = scoring.breakeven_probability(terms)
    view = None if probability is None else _view(base_score, context, probability, terms)
    shadow = None
    if view is not None and context.mode == "shadow":
        view, shadow, reason, error = None, view, "shadow", None
    enhanced = view is not None
    # In the struct's own order, in which it takes its fields fastest.
    return messages.ScoreReply(
        status="success" if enhanced else cast(messages.Status, reason),
        used_base_score=not enhanced,
        original_base_score=base_score,
        final_score=view.final_score if view else base_score,
        score_scale="enhanced" if enhanced else "base",
        mode=context.mode,
        symbol=request.symbol,
        direction=request.direction,
        score_id=context.score_id,
        signal_id=request.signal_id,
        ml_enhanced_score=view.ml_enhanced_score if view else None,
        session_bonus=vector.values[_BONUS],
        win_probability=view.win_probability if view else None,
        win_probability_low=view.win_probability_low if view else None,
        win_probability_high=view.win_probability_high if view else None,
        raw_probability=view.raw_probability if view else None,
        ml_confidence=100.0 * view.win_probability if view else None,
        breakeven_probability=threshold,
        reward_risk=terms.reward_risk,
        cost_r=terms.cost_r,
        expected_r=view.expected_r if view else None,
        take=view.take if view else None,
        prediction=view.win_probability >= (0.5 if threshold is None else threshold)
        if view
        else None,
        features=cast(dict[str, float | str], features),
        missing=vector.missing,
        volume_source=vector.volume_source,
        feature_importance=model.manifest.importances if enhanced and model else {},
        explanation=model.explain(np.array(vector.values))
        if enhanced and model and request.explain
        else None,
        shadow=shadow,
        model_version=model.version if model else None,
        feature_schema=FINGERPRINT,
        model_age_s=now - model.manifest.created_at if model else None,
        feed_age_s=feed_age_s(context.feed, now),
        drifting=context.drifting,
        error=None if enhanced else error,
    )


def _view(
    base_score: float, context: Context, probability: Probability, terms: scoring.Terms
) -> messages.ModelView:
    bonus = context.vector.values[_BONUS]
    enhanced, final = scoring.blend(context.weights, base_score, probability.p, bonus)
    return messages.ModelView(
        ml_enhanced_score=enhanced,
        final_score=final,
        win_probability=probability.p,
        win_probability_low=probability.low,
        win_probability_high=probability.high,
        raw_probability=probability.raw,
        expected_r=scoring.expected_r(probability.p, terms),
        take=scoring.take(probability.low, terms, context.take_margin_r),
    )


def score_row(
    request: messages.ScoreRequest,
    context: Context,
    reply: messages.ScoreReply,
    probability: Probability | None,
    digest: bytes,
    body: bytes,
    packed: bytes,
) -> ScoreRow:
    """The score as the journal keeps it."""
    feed, view = context.feed, reply.shadow or reply
    quoted = feed if feed and feed.ticks else None
    return ScoreRow(
        seq=context.seq,
        score_id=reply.score_id,
        signal_id=request.signal_id,
        digest=digest,
        symbol=request.symbol,
        direction=DIRECTIONS[request.direction],
        pattern=request.pattern,
        signal_class=request.signal_class,
        scored_at=context.receive_time_s,
        event_time=context.event_time_s,
        base_score=request.base_score,
        final_score=reply.final_score,
        raw_probability=probability.raw if probability else None,
        win_probability=probability.p if probability else None,
        status=reply.status,
        mode=reply.mode,
        model_version=reply.model_version if probability else None,
        fingerprint=FINGERPRINT,
        features=_pack_features(*context.vector.values),
        missing=",".join(context.vector.missing),
        volume_source=context.vector.volume_source,
        bid=quoted.bid if quoted else None,
        ask=quoted.ask if quoted else None,
        entry_price=request.entry_price,
        stop_loss=request.stop_loss,
        take_profit=request.take_profit,
        reward_risk=reply.reward_risk,
        cost_r=reply.cost_r,
        expected_r=view.expected_r,
        take=view.take,
        request=body,
        reply=packed,
    )


def outcome_row(request: messages.OutcomeRequest, received_at: float) -> OutcomeRow:
    """A reported outcome as the journal keeps it; the trainer decides whether to believe it."""
    meant = None
    if request.symbol is not None and request.base_score is not None:
        at = received_at if request.scored_at is None else request.scored_at
        meant = Meant(request.symbol, request.base_score, at)
    word = request.outcome if isinstance(request.outcome, str) else str(request.outcome).lower()
    return OutcomeRow(
        score_id=request.score_id,
        signal_id=request.signal_id,
        source="request",
        outcome=word,
        win=_WORDS.get(word.upper()),
        realised_r=request.realised_r,
        final_pips=request.final_pips,
        max_favorable_pips=request.max_favorable_pips,
        max_adverse_pips=request.max_adverse_pips,
        runtime_s=request.runtime_seconds,
        closed_at=_epoch_s(request.closed_at),
        received_at=received_at,
        meant=meant,
    )


def feed_age_s(feed: SymbolFeed | None, receive_time_s: float) -> float | None:
    """Seconds since the symbol's source last sent a tick of it; None before its first tick."""
    return max(0.0, receive_time_s - feed.seen_s) if feed and feed.ticks else None


def _epoch_s(stamp: float | str | None) -> float | None:
    """Epoch seconds of a number or an ISO 8601 text, UTC where it names no zone.

    None where there is none: as in their logs, callers send 0 or "" where they have none.
    """
    if not stamp:
        return None
    if not isinstance(stamp, str):
        # Milliseconds are told from seconds by their size: 1e11 s is in the year 5138.
        return stamp / 1000 if stamp > 1e11 else stamp
    try:
        moment = datetime.fromisoformat(stamp)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except ValueError:
        return None
