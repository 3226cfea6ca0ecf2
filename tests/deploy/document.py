"""The commands of docs/install.md, taken from the document so that it cannot drift."""

from __future__ import annotations

import re
from pathlib import Path


def commands(document: Path, heading: str) -> list[str]:
    """The lines of the first `sh` block under a heading. Raises ValueError where there is none."""
    text = document.read_text(encoding="utf-8")
    found = re.search(
        rf"^## {re.escape(heading)}$.*?^```sh$(.*?)^```$", text, re.MULTILINE | re.DOTALL
    )
    if found is None:
        raise ValueError(f"{document} has no block of commands under {heading!r}")
    return [line for line in found[1].strip().splitlines() if line and not line.startswith("#")]
