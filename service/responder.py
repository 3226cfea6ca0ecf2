"""Bodies in, bodies out: decode, ask the engine, journal, encode. One reply for each.

Requests that are answered together share one append to the spool, or one transaction where there
are outcomes among them, and no reply leaves before it.
No sockets here, so that every refusal can be tested with bytes alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import structlog

from protocol import codec, messages
from protocol.errors import DecodeError
from protocol.limits import PROTOCOL_VERSION
from service.clock import Clock
from service.engine import Answer, Engine
from service.journal.outcome_table import Written
from service.journal.records import OutcomeRow, ScoreRow
from service.journal.writer import Journal
from service.vitals import Vitals, health, stats

log = structlog.get_logger("scorer")

NOT_WRITTEN = Written(False)


class Waiting(msgspec.Struct, frozen=True):
    """A request body and when (monotonic s) it was taken off the socket."""

    body: bytes
    drained_s: float


class _Part(msgspec.Struct):
    """An answer on its way: what the journal did with its row, and keys that were ignored."""

    answer: Answer
    ignored: tuple[str, ...] = ()
    written: Written = NOT_WRITTEN


class _Draft(msgspec.Struct):
    """A reply on its way: the parts it is made of and what belongs around them."""

    op: str
    decoded: codec.Decoded | None = None
    parts: Sequence[_Part | dict[str, Any]] = ()
    refusal: dict[str, Any] | None = None

    @property
    def request_id(self) -> str | int | None:
        """Echoed; None where the request had none or was not understood."""
        return self.decoded.request_id if self.decoded is not None else None


class Responder:
    """Answers batches of bodies against one engine and one journal."""

    def __init__(self, engine: Engine, journal: Journal, vitals: Vitals, clock: Clock) -> None:
        self._engine = engine
        self._journal = journal
        self._vitals = vitals
        self._clock = clock

    def answer(self, waiting: Sequence[Waiting]) -> list[bytes]:
        """One reply body for each request body, in order. Never raises for what was sent."""
        now, begun_s = self._clock.utc_s(), self._clock.monotonic_s()
        drafts = [self._decoded(item.body) for item in waiting]
        if len(drafts) > 1:
            self._prefetch([draft.decoded.request for draft in drafts if draft.decoded], now)
        for draft, item in zip(drafts, waiting, strict=True):
            if draft.decoded is not None:
                self._answer(draft, draft.decoded, item, now)
        self._write([part for d in drafts for part in d.parts if type(part) is _Part])
        elapsed_ms = (self._clock.monotonic_s() - begun_s) * 1000.0
        return [self._encoded(draft, elapsed_ms) for draft in drafts]

    def refuse(self, body: bytes, code: str, message: str) -> bytes:
        """A refusal without scoring, with the base score to fall back on where there is one."""
        self._vitals.requests[f"refused_{code}"] += 1
        self._vitals.answered["unknown", code] += 1
        fallback, request_id = None, None
        try:
            decoded = codec.decode_request(body)
        except DecodeError as error:
            fallback, request_id = error.fallback, error.request_id
        else:
            fallback, request_id = _fallback(decoded.request), decoded.request_id
        return codec.pack(
            messages.error_reply(code, message, fallback=fallback, request_id=request_id)
        )

    def _decoded(self, body: bytes) -> _Draft:
        try:
            decoded = codec.decode_request(body)
        except DecodeError as error:
            self._vitals.requests[f"refused_{error.code}"] += 1
            return _Draft("unknown", refusal=_refusal(error))
        except Exception as fault:  # of ours: it costs this request only
            return _Draft("unknown", refusal=self._internal(fault, "unknown", None, None))
        op = decoded.request.op
        self._vitals.requests[op] += 1
        return _Draft(op, decoded)

    def _prefetch(self, requests: Sequence[object], now: float) -> None:
        signals = [r for r in requests if type(r) is messages.ScoreRequest]
        try:
            self._engine.prefetch(signals, now)
        except Exception:  # the signal at fault meets it again, alone, and is told
            self._vitals.requests["apart"] += 1

    def _answer(self, draft: _Draft, decoded: codec.Decoded, waiting: Waiting, now: float) -> None:
        request = decoded.request
        try:
            if type(request) is messages.ScoreRequest:
                waited_s = self._waited_s(waiting)
                draft.parts = (
                    _Part(self._engine.on_request(request, waiting.body, now, waited_s)),
                )
            elif isinstance(request, messages.ScoreManyRequest):
                draft.parts = self._many(request.signals, waiting, now)
            elif isinstance(request, messages.HealthRequest):
                found = health(self._vitals, self._engine, self._journal, now)
                draft.parts = (_Part(Answer(found)),)
            elif isinstance(request, messages.StatsRequest):
                found = stats(self._vitals, self._engine, self._journal, now)
                draft.parts = (_Part(Answer(found)),)
            else:
                draft.parts = (_Part(self._engine.on_request(request, waiting.body, now)),)
        except Exception as fault:  # whatever went wrong costs this request only
            base = _fallback(request)
            draft.refusal = self._internal(fault, draft.op, base, decoded.request_id)

    def _many(
        self, contents: Sequence[dict[str, Any]], waiting: Waiting, now: float
    ) -> list[_Part | dict[str, Any]]:
        """A batch: what is wrong with one signal costs the others nothing."""
        signals = [self._signal(content) for content in contents]
        self._prefetch(signals, now)
        return [
            self._one_of_many(signal, content, waiting, now)
            if isinstance(signal, messages.ScoreRequest)
            else signal
            for signal, content in zip(signals, contents, strict=True)
        ]

    def _signal(self, content: dict[str, Any]) -> messages.ScoreRequest | dict[str, Any]:
        try:
            return codec.decode_signal(content)
        except DecodeError as error:
            self._vitals.requests[f"refused_{error.code}"] += 1
            self._vitals.answered["unknown", error.code] += 1
            return _bare(_refusal(error))

    def _one_of_many(
        self,
        signal: messages.ScoreRequest,
        content: dict[str, Any],
        waiting: Waiting,
        now: float,
    ) -> _Part | dict[str, Any]:
        waited_s = self._waited_s(waiting)
        try:
            answer = self._engine.on_request(signal, codec.pack(content), now, waited_s)
        except Exception as fault:  # as for a single one
            self._vitals.answered[signal.op, "internal"] += 1
            return _bare(self._internal(fault, signal.op, signal.base_score, None))
        return _Part(answer, codec.unknown_keys(content))

    def _write(self, parts: list[_Part]) -> None:
        """Journal the rows of all parts at once."""
        kept = [(part, part.answer.row) for part in parts if part.answer.row is not None]
        for (part, row), written in zip(
            kept, self._journal.write([row for _, row in kept]), strict=True
        ):
            part.written = written
            if written.journalled and isinstance(row, ScoreRow):
                self._engine.written(row)

    def _encoded(self, draft: _Draft, elapsed_ms: float) -> bytes:
        try:
            reply = self._encode(draft, elapsed_ms)
        except Exception as fault:  # the others' replies must still leave
            draft.refusal = self._internal(fault, draft.op, None, draft.request_id)
            reply = codec.pack(draft.refusal)
        refusal = draft.refusal
        self._vitals.answered[draft.op, refusal["error"]["code"] if refusal else "ok"] += 1
        return reply

    def _encode(self, draft: _Draft, elapsed_ms: float) -> bytes:
        if draft.refusal is not None:
            return codec.pack(draft.refusal)
        more: dict[str, Any] = {"v": PROTOCOL_VERSION, "id": draft.request_id, "ok": True}
        if draft.decoded is not None and draft.decoded.ignored:
            more["ignored"] = draft.decoded.ignored
        if draft.op in ("score", "score_many"):
            more["prediction_time_ms"] = elapsed_ms
            self._vitals.took(draft.op, elapsed_ms)
        if draft.op == "score_many":
            scores = codec.packed_scores([_packed(part) for part in draft.parts])
            return codec.extended(scores, more)
        (part,) = draft.parts
        assert isinstance(part, _Part)
        return _finished(part, more)

    def _internal(
        self, fault: Exception, op: str, base_score: float | None, request_id: str | int | None
    ) -> dict[str, Any]:
        log.exception("request failed", op=op)
        self._vitals.requests["refused_internal"] += 1
        return messages.error_reply(
            "internal",
            f"{type(fault).__name__} while answering; the log has the details",
            fallback=base_score,
            request_id=request_id,
        )

    def _waited_s(self, waiting: Waiting) -> float:
        return self._clock.monotonic_s() - waiting.drained_s


def _packed(part: _Part | dict[str, Any]) -> bytes:
    """One reply of a batch."""
    if not isinstance(part, _Part):
        return codec.pack(part)
    return _finished(part, {"ok": True} | ({"ignored": part.ignored} if part.ignored else {}))


def _finished(part: _Part, more: dict[str, Any]) -> bytes:
    """The packed reply with what only the journal knows, and with `more`."""
    answer, written = part.answer, part.written
    if isinstance(answer.row, OutcomeRow):
        return codec.pack(_recorded(written) | more)
    if isinstance(answer.reply, dict):
        return codec.pack(answer.reply | more)
    # A retry without a row repeats a score that is in the journal.
    more["journalled"] = answer.row is None or written.journalled
    return codec.extended(answer.reply, more)


def _recorded(written: Written) -> dict[str, Any]:
    """What became of a reported outcome."""
    joined = {} if written.score_id is None else {"score_id": written.score_id}
    return {
        "recorded": written.journalled and not written.duplicate,
        "duplicate": written.duplicate,
        "matched": written.matched,
        "journalled": written.journalled,
    } | joined


def _fallback(request: messages.Request) -> float | None:
    return request.base_score if isinstance(request, messages.ScoreRequest) else None


def _refusal(error: DecodeError) -> dict[str, Any]:
    return messages.error_reply(
        error.code,
        error.message,
        field=error.field,
        fallback=error.fallback,
        request_id=error.request_id,
    )


def _bare(refusal: dict[str, Any]) -> dict[str, Any]:
    """A refusal inside a batch, whose envelope is the batch's."""
    return {key: value for key, value in refusal.items() if key not in ("v", "id")}
