"""A command's option that is a number."""

from __future__ import annotations

import math
from typing import Any

import click


class Within(click.FloatRange):
    """A finite number within bounds: click's own range lets nan and inf through."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """The number, or click's error, which ends a command with the code of wrong usage."""
        number: float = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value!r} is no number that can be meant.", param, ctx)
        return number
