"""docs/protocol.md as a stranger reads it, and the golden messages in it and beside it."""

from __future__ import annotations

import json
import re
from typing import Any, NamedTuple

from documents import ROOT, document

DOCUMENT = document("docs/protocol.md")
_FILE = ROOT / "docs" / "golden.json"
_GOLDEN = re.compile(r"^### ([^\n]+)\n\n```json\n(.+?)```\n\n```hex\n(.+?)```", re.M | re.S)


class Golden(NamedTuple):
    """One message, as JSON and as bytes."""

    title: str
    content: dict[str, Any]
    body: bytes


def golden() -> list[Golden]:
    """All pairs, those of the document first."""
    found = _GOLDEN.findall(DOCUMENT.text)
    assert len(found) == DOCUMENT.text.count("```hex")
    pairs = [(title, json.loads(text), hex_) for title, text, hex_ in found]
    for one in json.loads(_FILE.read_text("utf-8")):
        pairs.append((one["title"], one["message"], one["hex"]))
    return [Golden(title, content, bytes.fromhex(hex_)) for title, content, hex_ in pairs]
