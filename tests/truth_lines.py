"""Lines of truth logs in the shapes that their writers use, and what a reader makes of them."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from training.truth_log import ReadingRules, TruthLog, read_truth_logs

BORN_S = 1_755_261_958
RULES = ReadingRules()


def stamp(after_s: float) -> str:
    return datetime.fromtimestamp(BORN_S + after_s, UTC).replace(tzinfo=None).isoformat()


def born(**changes: Any) -> dict[str, Any]:
    line = {
        "signal_id": f"ELITE_GUARD_EURUSD_{BORN_S}",
        "symbol": "EURUSD",
        "direction": "BUY",
        "entry_price": 1.1000,
        "sl": 1.0990,
        "tp": 1.1015,
        "confidence": 78.0,
        "generated_at": stamp(0),
        "status": "pending",
        "completed": False,
    }
    return {k: v for k, v in (line | changes).items() if v is not None}


def ended(**changes: Any) -> dict[str, Any]:
    """The documented shape."""
    line = {
        "signal_id": f"ELITE_GUARD_EURUSD_{BORN_S}",
        "symbol": "EURUSD",
        "completed": True,
        "outcome": "WIN_TP",
        "completed_at": stamp(900),
        "max_favorable_pips": 15.2,
        "max_adverse_pips": -3.0,
        "runtime_seconds": 900,
    }
    return {k: v for k, v in (line | changes).items() if v is not None}


def tracked(**changes: Any) -> dict[str, Any]:
    line = {
        "signal_id": f"ELITE_GUARD_EURUSD_{BORN_S}",
        "symbol": "EURUSD",
        "direction": "BUY",
        "pattern": "VCB_BREAKOUT",
        "entry_price": 1.1000,
        "sl": 1.0990,
        "tp": 1.1015,
        "outcome": "WIN",
        "hit_level": "TP",
        "exit_price": 1.1016,
        "pips_result": 16.0,
        "ticks_processed": 300,
        "monitoring_started": stamp(2),
        "completed_at": stamp(900),
    }
    return {k: v for k, v in (line | changes).items() if v is not None}


def told(*lines: dict[str, Any] | str, path: Path, rules: ReadingRules = RULES) -> TruthLog:
    text = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    path.unlink(missing_ok=True)  # some file systems take long to empty a file
    path.write_text("".join(f"{line}\n" for line in text))
    log = read_truth_logs([path], rules)
    assert_adds_up(log)
    return log


def assert_adds_up(log: TruthLog) -> None:
    parts = log.blank + log.waiting + log.signal_lines + len(log.outcomes)
    assert log.lines == parts + sum(log.refused.values())
