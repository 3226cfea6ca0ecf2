"""The published models: what there is, pointing back, and pinning.

The rule: a version is pointed at only after the service's own reader has accepted it.
Every function that writes is called with the TrainerLock held.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


class RegistryError(Exception):
    """What was asked for cannot be done; the text says why."""


@dataclass(frozen=True, slots=True)
class Listed:
    """One version; `problem` says why it cannot be read, and then the rest is unknown."""

    version: str
    created_at: float
    current: bool
    previous: bool
    pinned: bool
    n: int
    n_effective: float
    base_rate: float
    reason: str
    problem: str = ""


def list_models(models_dir: Path) -> list[Listed]:
    """List the versions, newest first."""
    raise NotImplementedError


def rollback(models_dir: Path, version: str | None = None, *, now_s: float, why: str) -> str:
    """Point at `version`, or at the previous one; returns it. Raises RegistryError."""
    raise NotImplementedError


def revalidate(models_dir: Path, *, now_s: float, why: str) -> str:
    """Renew `reviewed_at` of the current model; returns its version. Raises RegistryError."""
    raise NotImplementedError


def pin(models_dir: Path, version: str, *, now_s: float) -> None:
    """Point at `version` and keep publications from displacing it. Raises RegistryError."""
    raise NotImplementedError


def unpin(models_dir: Path, *, now_s: float) -> None:
    """Let publications displace the current model again. Raises RegistryError."""
    raise NotImplementedError
