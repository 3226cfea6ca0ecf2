"""The feature schema: names, order and neutral values, with a fingerprint that travels everywhere.

A vector is meaningless without the formulas that made it, so their version and constants
are part of the fingerprint. A model, a journal row or a reply of another fingerprint is
never mixed with ours.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

import msgspec


class Feature(msgspec.Struct, frozen=True):
    """One column of the vector.

    `low..high` is the closed range of its values; `neutral` stands in when the value
    cannot be computed (None: it must be there); `needs_history` marks those that count
    towards a symbol being warm; `constants` are the formula's numbers.
    """

    name: str
    low: float
    high: float
    neutral: float | None
    needs_history: bool
    constants: dict[str, Any]


class Schema(msgspec.Struct, frozen=True):
    """An ordered set of features. Its `fingerprint` is 16 hex digits of SHA-256.

    `constants` are the numbers that several features share.
    """

    version: int
    features: tuple[Feature, ...]
    constants: dict[str, int]

    @property
    def names(self) -> tuple[str, ...]:
        """The feature names in vector order."""
        return tuple(feature.name for feature in self.features)

    @property
    def fingerprint(self) -> str:
        """Digest of names, order, ranges, neutral values, constants and version."""
        text = json.dumps(msgspec.to_builtins(self), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:16]


SCHEMA = Schema(
    version=1,
    features=(
        Feature("atr_volatility", 0, 100, 50, True, {"short_bars": 5, "long_bars": 20, "gain": 25}),
        Feature(
            "volume_delta", 0, 100, 50, True, {"window_s": 60, "reference_s": 1200, "gain": 20}
        ),
        Feature(
            "tf_alignment",
            0,
            100,
            50,
            True,
            {"timeframes_min": [1, 5, 15], "lag_bars": 3, "dead_band_atr": 0.1},
        ),
        Feature("sentiment_score", 0, 100, 50, False, {"expires_half_lives": 8}),
        Feature(
            "whale_activity",
            0,
            100,
            0,
            True,
            {"window_s": 60, "reference_deals": 100, "reference_s": 1200, "min_deals": 20}
            | {"quiet_ratio": 3, "gain": 10},
        ),
        Feature(
            "spread_quality",
            0,
            100,
            50,
            True,
            {"ticks": 5, "bps": [1, 5, 10, 20, 50, 200], "value": [100, 80, 60, 40, 20, 0]},
        ),
        Feature(
            "correlation_check",
            0,
            100,
            50,
            True,
            {"window_min": 60, "min_common": 20, "max_others": 32}
            | {"activity_s": 1200, "least_deviation": 1e-13},
        ),
        Feature(
            "session_bonus",
            10,
            25,
            None,
            False,
            {"utc_hours": [[18, 22, 25], [13, 17, 20], [8, 12, 15]], "else": 10},
        ),
        Feature(
            "momentum_strength",
            0,
            100,
            50,
            True,
            {"short_bars": 3, "long_bars": 10, "atr_bars": 14, "gain": 25},
        ),
        Feature(
            "support_resistance",
            0,
            100,
            50,
            True,
            {"near_bars": 20, "far_bars": 240, "atr_bars": 14},
        ),
        Feature("base_score", 0, 100, None, False, {}),
    ),
    constants={
        "kept_bars": 240,
        "max_missing_bars": 3,
        "observation_gap_s": 180,
        "volume_silence_s": 3600,
    },
)

FEATURE_NAMES = SCHEMA.names
FEATURE_COUNT = len(FEATURE_NAMES)
FINGERPRINT = SCHEMA.fingerprint
