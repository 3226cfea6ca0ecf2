"""The formulas' numbers, read from the schema.

The rule: a number that stands in the schema stands nowhere else, so that no formula can change
without the fingerprint that travels with every vector.
"""

from typing import Any

from protocol.schema import SCHEMA


def constants(feature: str) -> dict[str, Any]:
    """The constants of the feature of this name. KeyError where the schema has no such."""
    return {spec.name: spec.constants for spec in SCHEMA.features}[feature]


def clip_100(value: float) -> float | None:
    """Limit to 0..100; None for what is not a number."""
    if 0.0 <= value <= 100.0:
        return value
    if value < 0.0:
        return 0.0
    return 100.0 if value > 100.0 else None
