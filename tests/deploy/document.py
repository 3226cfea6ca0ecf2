"""The commands and files of the documents, taken from there so that they cannot drift."""

from __future__ import annotations

import re
from pathlib import Path

DOCS = Path(__file__).resolve().parents[2] / "docs"


def blocks(document: Path, heading: str, language: str) -> list[str]:
    """The blocks of a language under a heading. Raises ValueError where there is none."""
    text = document.read_text(encoding="utf-8")
    _, found, rest = text.partition(f"# {heading}\n")
    section = re.split(r"^##+ ", rest, maxsplit=1, flags=re.MULTILINE)[0] if found else ""
    texts = re.findall(rf"^```{language}$\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    if not texts:
        raise ValueError(f"{document} has no block of {language} under {heading!r}")
    return texts


def commands(document: Path, heading: str, number: int = 0) -> list[str]:
    """The commands of a section's first `sh` block, or of a later one, continuations joined."""
    text = blocks(document, heading, "sh")[number].replace("\\\n", " ")
    return [line for line in text.splitlines() if line and not line.startswith("#")]
