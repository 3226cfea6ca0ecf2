"""Texts that came from outside, for a terminal.

The rule: nothing that a client chose moves the cursor, sets a title or begins a line of its own.
"""

from __future__ import annotations


def printable(text: str) -> str:
    """The text, with a question mark for each character that has no picture."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)
