"""Reads docs/protocol.md as a stranger would: its tables, its client, its golden messages."""

from __future__ import annotations

import json
import re
from typing import Any, NamedTuple

from documents import document

DOCUMENT = document("docs/protocol.md")
TEXT = DOCUMENT.text
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
    return DOCUMENT.section(heading)


def tables(heading: str) -> list[list[list[str]]]:
    """The tables of a section: rows of cells, without their headings; code marks removed."""
    return DOCUMENT.tables(heading)


def snippets() -> list[str]:
    """The Python of the document."""
    return DOCUMENT.python()
