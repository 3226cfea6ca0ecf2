"""Findings as people read them, and as programs do."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from textwrap import wrap

import click
import msgspec
from msgspec.structs import replace

from service.doctor.finding import Finding, Level, fail
from service.errors import ConfigError

_COLOURS: dict[Level, str] = {"ok": "green", "warn": "yellow", "fail": "red"}
INDENT = " " * 20
LEAST_WIDTH, MOST_WIDTH = 60, 120


def as_lines(finding: Finding) -> Iterator[str]:
    """One finding: level, check, about what; below it what to do."""
    head = f"{finding.level:<5} {finding.check:<14}"
    first, *more = _wrapped(f"{finding.about}: {finding.text}", head, INDENT)
    level = click.style(first[:5], fg=_COLOURS[finding.level], bold=True)
    yield level + first[5:]
    yield from more
    yield from _wrapped(finding.advice, f"{INDENT}-> ", f"{INDENT}   ")


def _wrapped(text: str, first: str, others: str) -> list[str]:
    columns = shutil.get_terminal_size((100, 24)).columns
    return wrap(
        text,
        min(max(columns, LEAST_WIDTH), MOST_WIDTH),
        initial_indent=first,
        subsequent_indent=others,
        break_long_words=False,
        break_on_hyphens=False,
    )


def as_object(findings: Sequence[Finding], code: int) -> str:
    """One JSON object: the exit code and all findings."""
    content = {"exit_code": code, "findings": findings}
    return msgspec.json.format(msgspec.json.encode(content), indent=2).decode()


def summary(findings: Sequence[Finding]) -> str:
    """How many of each level, the worst first."""
    counts = Counter[str](finding.level for finding in findings)
    words = {"fail": ("fault", "faults"), "warn": ("warning", "warnings"), "ok": ("fine", "fine")}
    named = [
        f"{counts[level]} {words[level][counts[level] != 1]}" for level in words if counts[level]
    ]
    return "\n" + ", ".join(named)


def unloadable(error: ConfigError, file: Path | None) -> Finding:
    """A configuration that cannot be read ends the examination before it begins."""
    text, _, advice = str(error).partition("; ")
    about = str(file or "defaults and environment")
    said = text.removeprefix("configuration: ")
    return replace(fail(about, said, advice or "correct it first"), check="configuration")
