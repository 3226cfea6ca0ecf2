"""How the C library hands out memory: from one arena, for all threads.

glibc gives a thread that finds the arena taken another one. The loop then builds what it keeps
anew there, while the room that it had is never used again: the process grows by as much, once
for each arena, whenever a helper thread happened to be in its way.
"""

from __future__ import annotations

from contextlib import suppress

_M_ARENA_MAX = -8
"""Of glibc's malloc.h."""


def one_arena() -> None:
    """Ask for a single arena, before there are threads; elsewhere than in glibc do nothing."""
    with suppress(ImportError, OSError, AttributeError, TypeError):
        import ctypes

        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)
