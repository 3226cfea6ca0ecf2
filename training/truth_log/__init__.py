"""Readers for what the field calls outcomes: many shapes, one meaning, nothing guessed.

    log = read_truth_logs([path], ReadingRules())
    log.outcomes["ELITE_GUARD_EURUSD_1754876761"].win

Every line ends in exactly one place: a signal, a usable outcome, a counted reason for
refusing it, or waiting for the rest of its bytes. No line raises.
"""

from training.truth_log.columns import Signals
from training.truth_log.ledger import TruthLog, read_truth_logs
from training.truth_log.lines import (
    SAME_TRADE_S,
    Outcome,
    Reason,
    Signal,
    other_market,
    other_r,
    undecided,
)
from training.truth_log.plausible import (
    STAMP_AHEAD_S,
    ReadingRules,
    born_s,
    in_future,
    sign_differs,
)

__all__ = [
    "SAME_TRADE_S",
    "STAMP_AHEAD_S",
    "Outcome",
    "ReadingRules",
    "Reason",
    "Signal",
    "Signals",
    "TruthLog",
    "born_s",
    "in_future",
    "other_market",
    "other_r",
    "read_truth_logs",
    "sign_differs",
    "undecided",
]
