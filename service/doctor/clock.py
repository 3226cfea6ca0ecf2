"""The machine's clock: kept right by something, and not stepping."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from service.console.words import counted
from service.doctor.finding import Finding, fail, ok, warn
from service.doctor.scene import Scene
from service.doctor.system import clock_is_synchronised

FIRST_S = 1_735_689_600.0  # 2025-01-01: this program was not there before


def check(
    scene: Scene, synchronised: Callable[[], bool | None] = clock_is_synchronised
) -> Iterator[Finding]:
    """Ticks are aged and sessions are told by it."""
    if scene.now_s < FIRST_S:
        yield fail(
            "the machine's clock",
            "is set to a year that has long passed",
            "set it: timedatectl set-ntp true",
        )
    kept = synchronised()
    if kept is False:
        yield warn(
            "the machine's clock",
            "is kept right by nothing (the kernel says: not synchronised)",
            "timedatectl set-ntp true, or install chrony",
        )
    steps = 0 if scene.running is None else int(scene.running.stats.get("clock_steps", 0))
    if steps:
        yield warn(
            "the machine's clock",
            f"was set {counted(steps, 'time')} since the service started, by more than a second",
            "let NTP slew it rather than step it; journal events clock_stepped say when",
        )
    if kept is not False and not steps:
        said = "synchronised" if kept else "whether it is synchronised is not known here"
        yield ok("the machine's clock", said)
