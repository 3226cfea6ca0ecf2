"""Findings as people read them, and as programs do."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from textwrap import wrap

import click
import msgspec

from service.doctor.finding import Finding, Level
from service.errors import ConfigError

_COLOURS: dict[Level, str] = {"ok": "green", "warn": "yellow", "fail": "red"}
INDENT = " " * 20
LEAST_WIDTH, MOST_WIDTH = 60, 120


def as_lines(finding: Finding) -> Iterator[str]:
    """One finding: level, check, about what; below it what to do."""
    width = min(max(shutil.get_terminal_size((100, 24)).columns, LEAST_WIDTH), MOST_WIDTH)
    head = f"{finding.level:<5} {finding.check:<14}"
    text = wrap(
        f"{finding.about}: {finding.text}",
        width - len(INDENT),
        break_long_words=False,
        break_on_hyphens=False,
    )
    level = click.style(finding.level.ljust(5), fg=_COLOURS[finding.level], bold=True)
    yield f"{level}{head[5:]}{text[0]}"
    for line in text[1:]:
        yield INDENT + line
    if finding.advice:
        for number, line in enumerate(
            wrap(
                finding.advice,
                width - len(INDENT) - 3,
                break_long_words=False,
                break_on_hyphens=False,
            )
        ):
            yield f"{INDENT}{'-> ' if number == 0 else '   '}{line}"


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
    return Finding("configuration", "fail", about, said, advice or "correct it first")
