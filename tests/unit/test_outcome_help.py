"""The words that `signal-scorer outcome --help` names are those that the trainer reads."""

from __future__ import annotations

import re

import click

from protocol.messages import LOSSES, WINS
from service.commands.asking import outcome
from training.truth_log import words


def named() -> set[str]:
    (option,) = [part for part in outcome.params if part.name == "outcome"]
    assert isinstance(option, click.Option)
    listed, _, other = (option.help or "").partition(";")
    assert "nothing learns from it" in other
    return set(re.findall(r"[A-Z_]+", listed))


def test_every_word_is_read_and_none_is_left_out() -> None:
    found = named()
    assert all(word in WINS | LOSSES or words.is_open_ended(word) for word in found)
    # The same in another writing: a boolean.
    assert (WINS | LOSSES) - {"TRUE", "FALSE"} <= found
    assert {"TIMEOUT", "EXPIRED", "CLOSED"} <= found


def test_a_part_is_none_of_them() -> None:
    assert not words.is_open_ended("CLOSED_PARTIAL")
