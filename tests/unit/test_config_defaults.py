"""The defaults that are promised, as numbers: who writes no key gets these.

Those that a document gives beside their key are held against it in test_document_names.py.
"""

from __future__ import annotations

import pytest

from service.config.settings import Config

PROMISED = {
    "score.base_weight": 0.4,
    "score.model_weight": 0.6,
    "score.session_bonus_weight": 1.0,
    "score.take_margin_r": 0.0,
    "score.retry_window_s": 60.0,
    "score.spin_us": 200.0,
    "feed.stale_after_s": 120.0,
    "model.poll_s": 1.0,
    "model.expire_after_days": 35.0,
    "record.segment_bytes": 256 * 1024**2,
    "paper.max_holding_s": 7500.0,
    "paper.max_gap_s": 300.0,
    "limits.requests_per_cycle": 64,
    "limits.ticks_per_cycle": 256,
    "limits.faults_per_minute": 10,
    "training.max_missing": 3,
    "training.max_holding_s": 7500.0,
    "truth_log.max_watch_delay_s": 60.0,
    "monitor.win_rate_days": 30.0,
    "alerts.min_interval_s": 3600.0,
    "alerts.timeout_s": 30.0,
}


@pytest.mark.parametrize(("key", "promised"), PROMISED.items())
def test_a_default_is_the_one_that_is_promised(key: str, promised: float) -> None:
    section, _, name = key.partition(".")
    assert getattr(getattr(Config(), section), name) == promised
