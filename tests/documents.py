"""What the documents say that can be held against the software: links, blocks, spans, commands.

The rule: a block says what it is. `sh` holds commands and nothing else, `console` commands
after `$` with what they print; nothing that looks like a command stands anywhere else.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).resolve().parents[1]
FRONT = ("README.md", "ARCHITECTURE.md", "CHANGELOG.md")
LANGUAGES = {"sh", "console", "python", "toml", "yaml", "ini", "json", "hex", "text"}
IN_STATS = {"feed": {"counts", "skipped", "changes", "endpoints"}, "journal": {"errors"}}
"""Documents name entries of `stats` in the same way; test_documents.py looks for them."""
PROGRAM = re.compile(
    r"(?:\S*/)?(?:signal-scorer(?:-train)?|make|pip3?|python3?(?:\.\d+)?|pytest|git|sudo|su|bash"
    r"|systemctl|systemd-\w+|journalctl|docker|podman|buildah|promtool|prometheus|curl|wget|apt"
    r"|apt-get|install\.sh|tar|cp|mv|rm|mkdir|chmod|chown|chgrp|usermod|adduser|export|cd|crontab"
    r"|sqlite3|tail|jq|uv)(?=\s\S|$)"  # two blanks: a column that it prints
)


class Block(NamedTuple):
    """A fenced block and the line that its text begins on."""

    document: str
    line: int
    language: str
    text: str


class Span(NamedTuple):
    """Code within a sentence."""

    document: str
    line: int
    text: str


class Command(NamedTuple):
    """A command that a reader is told to give."""

    document: str
    line: int
    text: str

    @property
    def words(self) -> list[str]:
        """Split at blanks, without a comment."""
        return self.text.split()


class Document(NamedTuple):
    """One document, taken apart; `name` is its path from the root."""

    name: str
    text: str
    blocks: list[Block]
    spans: list[Span]
    links: list[tuple[int, str]]
    anchors: set[str]

    def python(self) -> list[str]:
        """Its Python, in order."""
        return [block.text for block in self.blocks if block.language == "python"]

    def commands(self) -> list[Command]:
        """The lines of its `sh` and `console` blocks, continuations joined, comments left out."""
        return [
            Command(self.name, line, text)
            for block in self.blocks
            for line, text in _command_lines(block)
        ]

    def steps(self) -> Iterator[Command | Block]:
        """What a reader does, in order: commands, and blocks of Python."""
        for block in self.blocks:
            if block.language == "python":
                yield block
            for line, text in _command_lines(block):
                yield Command(self.name, line, text)

    def section(self, heading: str) -> str:
        """The text under a heading, up to the next one of its level or above."""
        level = len(heading) - len(heading.lstrip("#"))
        _, _, rest = f"\n{self.text}".partition(f"\n{heading}\n")
        assert rest, heading
        return re.split(rf"\n#{{1,{level}}} ", rest)[0]

    def tables(self, heading: str) -> list[list[list[str]]]:
        """A section's tables: rows of cells, without their headings; code marks removed."""
        found: list[list[list[str]]] = []
        rows: list[list[str]] = []
        for line in [*self.section(heading).splitlines(), ""]:
            if line.startswith("|"):
                rows.append([cell.strip().replace("`", "") for cell in line.strip("|").split("|")])
            elif rows:
                found.append(rows[2:])
                rows = []
        return found


@cache
def document(name: str) -> Document:
    """Read one; `name` is its path from the root."""
    text = (ROOT / name).read_text("utf-8")
    return parse(name, text)


def names() -> list[str]:
    """All documents that are held against the software."""
    return [*FRONT, *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))]


def documents() -> list[Document]:
    """All of them."""
    return [document(name) for name in names()]


def parse(name: str, text: str) -> Document:
    """Take a document's text apart."""
    found = Document(name, text, [], [], [], set())
    tokens = MarkdownIt().enable("table").parse(text)
    line = 1
    for at, token in enumerate(tokens):
        line = token.map[0] + 1 if token.map else line
        if token.type in ("fence", "code_block"):
            # Indented code has no language: the rule above refuses it.
            language = token.info.strip()
            found.blocks.append(Block(name, line + bool(language), language, token.content))
        elif token.type == "heading_open":
            found.anchors.add(_anchor(tokens[at + 1], found.anchors))
        elif token.type == "inline":
            _inline(found, token, line)
    return found


def _inline(found: Document, token: Token, line: int) -> None:
    for child in token.children or ():
        if child.type == "softbreak":
            line += 1
        elif child.type == "code_inline":
            found.spans.append(Span(found.name, line, child.content))
        elif child.type in ("link_open", "image"):
            where = child.attrGet("href" if child.type == "link_open" else "src")
            found.links.append((line, str(where)))


def _anchor(heading: Token, taken: set[str]) -> str:
    """The fragment that GitHub gives a heading."""
    text = "".join(c.content for c in heading.children or () if c.type in ("text", "code_inline"))
    slug = re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")
    unique, number = slug, 0
    while unique in taken:
        number += 1
        unique = f"{slug}-{number}"
    return unique


def _command_lines(block: Block) -> Iterator[tuple[int, str]]:
    if block.language not in ("sh", "console"):
        return
    joined, began = "", 0
    for number, line in enumerate(block.text.splitlines(), block.line):
        if not joined:
            began = number
            if block.language == "console":
                if not line.startswith("$ "):
                    continue
                line = line[2:]
        if line.endswith("\\"):
            joined += line[:-1] + " "
            continue
        text = re.sub(r"(^|\s)#.*$", "", joined + line).strip()
        joined = ""
        if text:
            yield began, text


def stray_commands(one: Document) -> list[str]:
    """Lines of blocks that look like commands but are in none that is executed."""
    return [
        f"{one.name}:{number}: {line}"
        for block in one.blocks
        if block.language not in ("sh", "python")
        for number, line in enumerate(block.text.splitlines(), block.line)
        if PROGRAM.match(line.strip().removeprefix("$ "))
        and not (block.language == "console" and line.startswith("$ "))
        # What systemd is to start is no command of the reader's.
        and not (block.language == "ini" and line.startswith("ExecStart="))
    ]
