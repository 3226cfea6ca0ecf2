"""Bodies in, bodies out: decode, ask the engine, journal, encode. One reply for each.

Requests that wait together share one journal transaction, and no reply leaves before it.
No sockets here, so that every refusal can be tested with bytes alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import structlog

from protocol import codec, messages
from protocol.errors import DecodeError
from protocol.limits import PROTOCOL_VERSION
from service.clock import Clock
from service.engine import Answer, Engine
from service.journal import Journal, Written
from service.records import OutcomeRow, ScoreRow
from service.vitals import Vitals, health, stats

log = structlog.get_logger("scorer")


class Waiting(NamedTuple):
    """A request body and when (monotonic s) it was taken off the socket."""

    body: bytes
    drained_s: float


@dataclass(slots=True)
class _Draft:
    """A reply on its way: the answers it is made of and what belongs around them."""

    op: str
    decoded_s: float
    request_id: str | int | None = None
    ignored: tuple[str, ...] = ()
    answers: Sequence[Answer | dict[str, Any]] = ()
    refusal: dict[str, Any] | None = None


class Responder:
    """Answers batches of bodies against one engine and one journal."""

    def __init__(self, engine: Engine, journal: Journal, vitals: Vitals, clock: Clock) -> None:
        self._engine = engine
        self._journal = journal
        self._vitals = vitals
        self._clock = clock

    def answer(self, waiting: Sequence[Waiting]) -> list[bytes]:
        """One reply body for each request body, in order. Never raises for what was sent."""
        drafts = [self._draft(item) for item in waiting]
        rows = [a.row for d in drafts for a in d.answers if isinstance(a, Answer) and a.row]
        written = self._journal.write(rows)
        for row, result in zip(rows, written, strict=True):
            if not result.journalled and isinstance(row, ScoreRow):
                self._engine.forget(row.signal_id)
        results = iter(written)
        return [self._encode(draft, results) for draft in drafts]

    def refuse(self, body: bytes, code: str, message: str) -> bytes:
        """A refusal without scoring, with the base score to fall back on where there is one."""
        self._vitals.requests[f"refused_{code}"] += 1
        fallback, request_id = None, None
        try:
            decoded = codec.decode_request(body)
        except DecodeError as error:
            fallback, request_id = error.fallback, error.request_id
        else:
            request_id = decoded.request_id
            fallback = getattr(decoded.request, "base_score", None)
        return codec.pack(
            messages.error_reply(code, message, fallback=fallback, request_id=request_id)
        )

    def _draft(self, waiting: Waiting) -> _Draft:
        started_s = self._clock.monotonic_s()
        try:
            decoded = codec.decode_request(waiting.body)
        except DecodeError as error:
            self._vitals.requests[f"refused_{error.code}"] += 1
            return _Draft("refused", started_s, refusal=_refusal(error, error.request_id))
        draft = _Draft(decoded.request.op, started_s, decoded.request_id, decoded.ignored)
        self._vitals.requests[draft.op] += 1
        try:
            draft.answers = self._answers(decoded, waiting)
        except Exception as fault:  # whatever went wrong costs this request only
            log.exception("request failed", op=draft.op)
            self._vitals.requests["refused_internal"] += 1
            draft.refusal = messages.error_reply(
                "internal",
                f"{type(fault).__name__} while answering; the log has the details",
                fallback=getattr(decoded.request, "base_score", None),
                request_id=decoded.request_id,
            )
        return draft

    def _answers(
        self, decoded: codec.Decoded, waiting: Waiting
    ) -> Sequence[Answer | dict[str, Any]]:
        now = self._clock.utc_s()
        request = decoded.request
        match request:
            case messages.HealthRequest():
                return [Answer(health(self._vitals, self._engine, self._journal, now))]
            case messages.StatsRequest():
                return [Answer(stats(self._vitals, self._engine, self._journal, now))]
            case messages.ScoreManyRequest():
                return [self._one_of_many(signal, waiting, now) for signal in request.signals]
        return [
            self._engine.on_request(
                request, decoded.content, waiting.body, now, self._waited_s(waiting)
            )
        ]

    def _one_of_many(
        self, content: dict[str, Any], waiting: Waiting, now: float
    ) -> Answer | dict[str, Any]:
        try:
            signal = codec.decode_signal(content)
        except DecodeError as error:
            return _refusal(error, None)
        body = codec.pack(content)
        return self._engine.on_request(signal, content, body, now, self._waited_s(waiting))

    def _waited_s(self, waiting: Waiting) -> float:
        return self._clock.monotonic_s() - waiting.drained_s

    def _encode(self, draft: _Draft, results: Any) -> bytes:
        # The rows of a refused draft were never made, so its answers are empty.
        answers = [
            _finish(answer, results) if isinstance(answer, Answer) else answer
            for answer in draft.answers
        ]
        if draft.refusal is not None:
            return codec.pack(draft.refusal)
        content = {"scores": answers} if draft.op == "score_many" else answers[0]
        reply = {"v": PROTOCOL_VERSION, "id": draft.request_id, "ok": True, **content}
        if draft.ignored:
            reply["ignored"] = draft.ignored
        if draft.op in ("score", "score_many"):
            elapsed_ms = (self._clock.monotonic_s() - draft.decoded_s) * 1000.0
            reply["prediction_time_ms"] = elapsed_ms
            self._vitals.latencies_ms.append(elapsed_ms)
        return codec.pack(reply)


def _finish(answer: Answer, results: Any) -> dict[str, Any]:
    """Add what only the journal knows."""
    if answer.row is None:
        return answer.reply
    written: Written = next(results)
    if isinstance(answer.row, OutcomeRow):
        return {
            "recorded": written.journalled and not written.duplicate,
            "duplicate": written.duplicate,
            "matched": written.matched,
            "journalled": written.journalled,
        }
    return {**answer.reply, "journalled": written.journalled}


def _refusal(error: DecodeError, request_id: str | int | None) -> dict[str, Any]:
    return messages.error_reply(
        error.code,
        error.message,
        field=error.field,
        fallback=error.fallback,
        request_id=request_id,
    )
