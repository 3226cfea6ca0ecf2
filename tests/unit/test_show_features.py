"""What `features` prints of a vector that no signal was scored with."""

from __future__ import annotations

import pytest

from protocol.schema import FEATURE_NAMES
from service.show import show_features


def test_a_base_score_that_nobody_gave_is_not_shown_as_one(
    capsys: pytest.CaptureFixture[str],
) -> None:
    show_features(
        {
            "symbol": "EURUSD",
            "warm": True,
            "feed_age_s": 0.2,
            "volume_source": "ticks",
            "features": dict.fromkeys(FEATURE_NAMES, 50.0),
            "missing": ["whale_activity"],
        }
    )
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["base_score", "50.00", "none", "given"] in lines
    assert ["whale_activity", "50.00", "missing:", "neutral", "value"] in lines
    assert ["session_bonus", "50.00"] in lines
