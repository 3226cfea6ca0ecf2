"""What was looked at and what was seen, line by line; the rule: a line is printed for each look."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from subprocess import SubprocessError


class Report:
    """Prints `ok`, `FAIL` or `skip` with what was seen; knows in the end whether all held."""

    def __init__(self) -> None:
        self.failed: list[str] = []
        self.skipped: list[str] = []

    def chapter(self, title: str) -> None:
        """Begin a part."""
        print(f"\n{title}", flush=True)

    def seen(self, what: str, seen: object, *, held: bool = True) -> None:
        """One look: what was asked, what was seen, whether that is as it should be."""
        mark = "ok  " if held else "FAIL"
        print(f"  {mark} {what}: {' '.join(str(seen).split())}", flush=True)
        if not held:
            self.failed.append(what)

    def skip(self, what: str, why: str) -> None:
        """What could not be looked at here."""
        print(f"  skip {what}: {why}", flush=True)
        self.skipped.append(what)

    @contextmanager
    def part(self, title: str) -> Iterator[None]:
        """A chapter in which an error is a line of its own and does not end the others."""
        self.chapter(title)
        started_s = time.monotonic()
        try:
            yield
        except (
            AssertionError,
            OSError,
            RuntimeError,
            ValueError,
            KeyError,
            SubprocessError,
        ) as error:
            self.seen(title, f"{type(error).__name__}: {error}", held=False)
        print(f"       ({time.monotonic() - started_s:.0f} s)", flush=True)

    def verdict(self) -> int:
        """The exit code, after a last line."""
        if self.failed:
            print(f"\nfailed: {'; '.join(self.failed)}")
            return 1
        left = f" (skipped: {'; '.join(self.skipped)})" if self.skipped else ""
        print(f"\nall held{left}")
        return 0
