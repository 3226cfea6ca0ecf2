"""Outcomes that wait to be reported: none is lost in silence."""

from __future__ import annotations

import os
import signal
from collections import Counter
from typing import Any

import pytest
from wire import answering

from protocol.client import ScorerClient
from protocol.messages import OutcomeRequest
from protocol.reports import Reports


def test_an_outcome_that_waited_and_is_then_refused_says_why() -> None:
    def answer(request: dict[str, Any]) -> dict[str, Any] | None:
        if request["signal_id"] == "EG_0":
            return {"ok": False, "error": {"code": "invalid_field", "message": "no such word"}}
        return {"journalled": True, "recorded": True}

    counts: Counter[str] = Counter()
    with answering(answer) as server, ScorerClient(server.address, 20_000) as client:
        reports = Reports(client, counts, 20.0)
        reports._waiting.append(OutcomeRequest(outcome=True, signal_id="EG_0"))
        assert reports.send(OutcomeRequest(outcome=True, signal_id="EG_1"))
    assert (reports.waiting, counts["outcomes_failed"]) == (0, 1)
    assert "no such word" in (reports.refused or "")


@pytest.mark.parametrize("waiting", [0, 1])
def test_an_interrupt_loses_no_outcome(waiting: int) -> None:
    """Interrupted by a signal while it is sent: the first, or one that waited."""
    calls = iter(range(100))

    def answer(request: dict[str, Any]) -> dict[str, Any] | None:
        if next(calls) < waiting:
            return {"journalled": True, "recorded": True}
        os.kill(os.getpid(), signal.SIGUSR1)
        return None

    def interrupt(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    previous = signal.signal(signal.SIGUSR1, interrupt)
    try:
        with answering(answer) as server, ScorerClient(server.address, 20_000) as client:
            reports = Reports(client, Counter(), 20.0)
            reports._waiting.append(OutcomeRequest(outcome=True, signal_id="EG_0"))
            with pytest.raises(KeyboardInterrupt):
                reports.send(OutcomeRequest(outcome=True, signal_id="EG_1"))
    finally:
        signal.signal(signal.SIGUSR1, previous)
    assert reports.waiting == 2 - waiting
