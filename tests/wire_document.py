"""docs/protocol.md as a stranger reads it, and its golden messages."""

from __future__ import annotations

import json
import re
from typing import Any, NamedTuple

from documents import document

DOCUMENT = document("docs/protocol.md")
_GOLDEN = re.compile(r"^### ([^\n]+)\n\n```json\n(.+?)```\n\n```hex\n(.+?)```", re.M | re.S)


class Golden(NamedTuple):
    """One message of the document, as JSON and as bytes."""

    title: str
    content: dict[str, Any]
    body: bytes


def golden() -> list[Golden]:
    """All pairs, in the order of the document."""
    found = _GOLDEN.findall(DOCUMENT.text)
    assert len(found) == DOCUMENT.text.count("```hex")
    return [Golden(title, json.loads(text), bytes.fromhex(hex_)) for title, text, hex_ in found]
