"""What `features` prints of a vector that no signal was scored with."""

from __future__ import annotations

from typing import Any

import pytest

from protocol.schema import FEATURE_NAMES
from service.commands.shown import show_features


def shown(capsys: pytest.CaptureFixture[str], *missing: str, warm: bool) -> list[str]:
    """The lines that are printed of a vector that lacks these."""
    reply: dict[str, Any] = {
        "symbol": "EURUSD",
        "warm": warm,
        "feed_age_s": 0.2,
        "volume_source": "ticks",
        "features": dict.fromkeys(FEATURE_NAMES, 50.0),
        "missing": list(missing),
    }
    show_features(reply)
    return capsys.readouterr().out.splitlines()


def test_a_base_score_that_nobody_gave_is_not_shown_as_one(
    capsys: pytest.CaptureFixture[str],
) -> None:
    lines = [line.split() for line in shown(capsys, "whale_activity", warm=True)]
    assert ["base_score", "50.00", "none", "given"] in lines
    assert ["whale_activity", "50.00", "missing:", "neutral", "value"] in lines
    assert ["session_bonus", "50.00"] in lines


def test_a_symbol_that_lacks_nothing_is_said_to_wait_for_the_clock(
    capsys: pytest.CaptureFixture[str],
) -> None:
    few = "correlation_check", "volume_delta"
    assert shown(capsys, *few[:1], warm=True)[0].startswith("EURUSD  warm, feed")
    assert shown(capsys, *few, warm=False)[0].startswith("EURUSD  not warm yet, feed")
    head = " ".join(shown(capsys, *few[:1], warm=False)[:2])
    assert "EURUSD  not warm yet (history enough, but the feed's time is ahead)" in head
