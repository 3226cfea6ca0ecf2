"""What was worked out of a symbol last: it goes with the symbol."""

from __future__ import annotations

import msgspec

from service.features.vector import Vector
from service.model.model import Probability


class Kept(msgspec.Struct):
    """The last vector of a symbol and direction, and what the model said of it by base score.

    It does not name the model, which it would keep in memory for as long as nobody asks again.
    `prefetched` was worked out ahead and is not asked for yet, `answers` was.
    """

    key: tuple[int, int, int]
    vector: Vector
    is_new: bool = True
    answers: dict[float, Probability] = {}
    prefetched: dict[float, Probability] = {}
