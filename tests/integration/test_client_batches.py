"""What the client makes of the answers to a batch: each for its own signal, or base scores."""

from __future__ import annotations

from typing import Any

import pytest
from wire import answering, base_score

from protocol.client import ScorerClient, ScorerUnavailable
from protocol.limits import MAX_BODY_BYTES

PATIENCE_MS = 20_000


def signals(count: int) -> list[dict[str, Any]]:
    return [{"symbol": "EURUSD", "base_score": float(n % 100)} for n in range(count)]


def scored(signal: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"ok": True} | base_score({"op": "score"} | signal) | more


def test_each_signal_gets_its_own_answer_or_its_base_score_with_the_refusal() -> None:
    refusal = {"ok": False, "error": {"code": "internal", "message": "KeyError while answering"}}

    def answer(request: dict[str, Any]) -> dict[str, Any]:
        first, _, _, last = request["signals"]
        return {"scores": [scored(first, final_score=99.0), refusal, {"ok": False}, scored(last)]}

    with answering(answer) as peer, ScorerClient(peer.address, PATIENCE_MS, strict=True) as client:
        replies = client.score_many(signals(4))
    assert [one.final_score for one in replies] == [99.0, 1.0, 2.0, 3.0]
    assert [one.status for one in replies] == ["no_model", "error", "error", "no_model"]
    assert replies[1].error == "internal: KeyError while answering"
    assert "neither an answer nor a refusal" in str(replies[2].error)


def test_a_reply_may_be_larger_than_any_request() -> None:
    def answer(request: dict[str, Any]) -> dict[str, Any]:
        return {"scores": [scored(one, more=["x" * 1000] * 3) for one in request["signals"]]}

    assert MAX_BODY_BYTES < 256 * 3000
    with answering(answer) as peer, ScorerClient(peer.address, PATIENCE_MS) as client:
        replies = client.score_many(signals(256))
    assert [one.final_score for one in replies] == [float(n % 100) for n in range(256)]
    assert {one.status for one in replies} == {"no_model"}


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"scores": {"a": 1, "b": 2}},
        {"scores": [scored(signals(1)[0])]},
        {"scores": [5, 6]},
        {"scores": [{"ok": True}, {"ok": True}]},
    ],
    ids=["nothing", "no list", "too few", "no maps", "no scores"],
)
def test_a_reply_that_does_not_fit_the_batch_costs_the_enhancement(answer: dict[str, Any]) -> None:
    with (
        answering(lambda request: answer) as peer,
        ScorerClient(peer.address, PATIENCE_MS) as client,
        ScorerClient(peer.address, PATIENCE_MS, strict=True) as strict,
    ):
        replies = client.score_many(signals(2))
        assert [(one.status, one.final_score) for one in replies] == [
            ("error", 0.0),
            ("error", 1.0),
        ]
        with pytest.raises(ScorerUnavailable):
            strict.score_many(signals(2))
