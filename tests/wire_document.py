"""Reads docs/protocol.md as a stranger would: its tables, its client, its golden messages."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, NamedTuple

PATH = Path(__file__).resolve().parents[1] / "docs" / "protocol.md"
TEXT = PATH.read_text(encoding="utf-8")
_GOLDEN = re.compile(r"^### ([^\n]+)\n\n```json\n(.+?)```\n\n```hex\n(.+?)```", re.M | re.S)


class Golden(NamedTuple):
    """One message of the document, as JSON and as bytes."""

    title: str
    content: dict[str, Any]
    body: bytes


def golden() -> list[Golden]:
    """All pairs, in the order of the document."""
    found = _GOLDEN.findall(TEXT)
    assert len(found) == TEXT.count("```hex")
    return [Golden(title, json.loads(text), bytes.fromhex(hex_)) for title, text, hex_ in found]


def section(heading: str) -> str:
    """The text under a heading, up to the next one of its level or above."""
    level = len(heading) - len(heading.lstrip("#"))
    _, _, rest = TEXT.partition(f"\n{heading}\n")
    assert rest, heading
    return re.split(rf"\n#{{1,{level}}} ", rest)[0]


def tables(heading: str) -> list[list[list[str]]]:
    """The tables of a section: rows of cells, without their headings; code marks removed."""
    found: list[list[list[str]]] = []
    rows: list[list[str]] = []
    for line in [*section(heading).splitlines(), ""]:
        if line.startswith("|"):
            rows.append([cell.strip().replace("`", "") for cell in line.strip("|").split("|")])
        elif rows:
            found.append(rows[2:])
            rows = []
    return found


def snippets() -> list[str]:
    """The Python of the document."""
    return re.findall(r"```python\n(.+?)```", TEXT, re.S)
