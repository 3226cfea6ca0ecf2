"""What a screen may show of a running demo: the live parts and the stage."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Protocol

from training.simulate.account import Account
from training.simulate.feed import Feed

STAGES = (
    "start the service",
    "warm up",
    "collect outcomes",
    "train",
    "after the first training",
    "train again, on more",
    "after the second training",
    "let trades end",
)


@dataclass(slots=True)
class Scene:
    """Read by the screen, written by the play alone. `seconds` is how long it takes at least."""

    seconds: float
    feed: Feed
    account: Account
    stage: int = 0
    model: str | None = None
    begun_s: float = field(default_factory=time.monotonic)

    @property
    def elapsed_s(self) -> float:
        """Wall seconds since the beginning."""
        return time.monotonic() - self.begun_s


class Screen(Protocol):
    """Where a play is shown."""

    def refresh(self, scene: Scene) -> None:
        """Show how things are; called several times a second."""

    def say(self, scene: Scene, text: str) -> None:
        """Tell that something happened."""
