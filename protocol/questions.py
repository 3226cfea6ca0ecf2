"""What both clients ask and what an answer means, without a socket.

A question knows its request, how its reply is read and what stands in where no usable
reply comes, so that the clients differ only in how they wait.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, Union

import msgspec

from protocol import codec, messages
from protocol.errors import DecodeError
from protocol.limits import MAX_MESSAGE_BYTES

T = TypeVar("T")


class ScorerUnavailable(Exception):  # noqa: N818  the field's word for it
    """No answer within the budget, after all tries."""


class ReplyNotUnderstood(ScorerUnavailable):
    """Something answered, but not in this protocol's words."""


class ScorerRefused(ValueError):  # noqa: N818
    """The service refused the request; `code` says why and `field` names the key at fault."""

    def __init__(self, code: str, message: str, field: str | None = None) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.field = field

    def __reduce__(self) -> tuple[type[ScorerRefused], tuple[str, str, str | None]]:
        """As it was made, for who sends it to another process."""
        return type(self), (self.code, self.message, self.field)


Failure = Union[ScorerUnavailable, ScorerRefused]  # noqa: UP007  (3.10 at run time)

_CALLERS_FAULT = ("invalid_field", "too_large", "malformed")


@dataclass(frozen=True)
class Question(Generic[T]):
    """A checked request, the reading of its reply, and the answer where none comes."""

    request: messages.Request
    read: Callable[[dict[str, Any]], T]
    stand_in: Callable[[Failure], T]

    def without_reply(self, failure: Failure, *, strict: bool) -> T:
        """The stand-in; raises `failure` where `strict`, or the arguments are at fault."""
        at_fault = isinstance(failure, ScorerRefused) and failure.code in _CALLERS_FAULT
        if strict or at_fault:
            raise failure
        return self.stand_in(failure)


def score(
    symbol: str, base_score: float, signal: messages.Keywords
) -> Question[messages.ScoreReply]:
    """One signal; without a usable answer the base score."""
    request = codec.request_of(
        messages.ScoreRequest, symbol=symbol, base_score=base_score, **signal
    )
    return Question(request, _score_of, lambda failure: base_score_reply(request, failure))


def score_many(signals: Sequence[Mapping[str, Any]]) -> Question[list[messages.ScoreReply]]:
    """A batch, each signal the fields of `messages.Signal`; a refused one keeps its base score."""
    each = []
    for at, signal in enumerate(signals):
        try:
            each.append(codec.request_of(messages.ScoreRequest, **signal))
        except (TypeError, ValueError) as error:
            raise ValueError(f"score_many, signal {at}: {error}") from None
    request = codec.request_of(
        messages.ScoreManyRequest, signals=[msgspec.to_builtins(one) for one in each]
    )

    def read(reply: dict[str, Any]) -> list[messages.ScoreReply]:
        answers = reply.get("scores")
        if not isinstance(answers, list) or len(answers) != len(each):
            raise ReplyNotUnderstood("the reply does not hold one score for each signal")
        return [_one_of_many(one, answer) for one, answer in zip(each, answers)]  # noqa: B905

    return Question(request, read, lambda failure: [base_score_reply(one, failure) for one in each])


def reply_to(body: bytes, request_id: int) -> dict[str, Any] | None:
    """The map in a reply; None where it is no answer to this request (late, or not ours).

    A refusal of what could not be read names no request.
    """
    try:
        reply = codec.unpack(body, max_bytes=MAX_MESSAGE_BYTES)
    except DecodeError:
        return None
    answered = reply.get("id")
    nameless = answered is None and reply.get("ok") is False
    return reply if answered == request_id or nameless else None


def checked(reply: dict[str, Any]) -> dict[str, Any]:
    """A reply that is an answer. Raises ScorerRefused or ReplyNotUnderstood."""
    if reply.get("ok") is True:
        return reply
    raise _refusal(reply)


def base_score_reply(request: messages.ScoreRequest, failure: Failure) -> messages.ScoreReply:
    """The base score with the reason: `unreachable`, or `error` where something did answer."""
    away = isinstance(failure, ScorerUnavailable) and not isinstance(failure, ReplyNotUnderstood)
    return messages.ScoreReply(
        status="unreachable" if away else "error",
        used_base_score=True,
        original_base_score=request.base_score,
        final_score=request.base_score,
        score_scale="base",
        symbol=request.symbol,
        direction=request.direction,
        signal_id=request.signal_id,
        journalled=False,
        error=str(failure),
    )


def _score_of(reply: dict[str, Any]) -> messages.ScoreReply:
    try:
        return msgspec.convert(reply, messages.ScoreReply)
    except msgspec.ValidationError as error:
        raise ReplyNotUnderstood(f"the reply is not understood: {error}") from None


def _one_of_many(request: messages.ScoreRequest, answer: Any) -> messages.ScoreReply:
    if not isinstance(answer, dict):
        raise ReplyNotUnderstood("a score of the batch is no map")
    if answer.get("ok") is True:
        return _score_of(answer)
    return base_score_reply(request, _refusal(answer))


def _refusal(reply: dict[str, Any]) -> Failure:
    error = reply.get("error")
    if not isinstance(error, dict):
        return ReplyNotUnderstood("the reply is neither an answer nor a refusal")
    field = error.get("field")
    return ScorerRefused(
        str(error.get("code", "malformed")),
        str(error.get("message", "")),
        field if isinstance(field, str) else None,
    )
