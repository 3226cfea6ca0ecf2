"""`journal`: what was scored, how it ended and what happened, for people and for programs."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import get_args

import click

from service.commands.root import cli, config_option, example
from service.journal.reading import KINDS, Kind, Row, reading

LOOK_S = 1.0

journal_option = click.option(
    "--journal",
    "journal_path",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The file, where it is not the configuration's.",
)
kind_option = click.option(
    "--kind",
    "kinds",
    multiple=True,
    type=click.Choice(get_args(Kind)),
    help="Only these rows; repeatable.  [default: all]",
)


@cli.group()
def journal() -> None:
    """Read the journal, beside the running service or without it.

    \b
    Example:
      signal-scorer journal tail --follow
    """


@journal.command(**example("signal-scorer journal tail --lines 50 --kind scores"))
@config_option
@journal_option
@kind_option
@click.option("--lines", "-n", type=click.IntRange(0, 10_000), default=20, show_default=True)
@click.option("--follow", "-f", is_flag=True, help="Go on until Ctrl-C.")
def tail(
    config_path: str | None,
    journal_path: Path | None,
    kinds: tuple[Kind, ...],
    lines: int,
    follow: bool,
) -> None:
    """Print the last scores, outcomes and events, oldest first. Times are UTC."""
    from service.journal.export import text_line
    from service.journal.reading import lacking, newest, spooled

    wanted = kinds or KINDS
    path = _path(config_path, journal_path)
    seen: dict[Kind, int] = dict.fromkeys(wanted, 0)
    waiting = spooled(path) if "scores" in wanted else []
    with reading(path) as connection:
        found = [row for kind in wanted for row in newest(connection, kind, max(lines, 1))]
        # What waits comes again from its table, where it is followed.
        for row in found:
            seen[row.kind] = max(seen[row.kind], row.seq)
        found += [] if follow else lacking(connection, waiting)
    rows = sorted(found, key=lambda row: row.at)
    for row in rows[len(rows) - min(lines, len(rows)) :]:
        click.echo(text_line(row))
    if follow:
        with suppress(KeyboardInterrupt):
            _follow(path, seen)


@journal.command(**example("signal-scorer journal export --jsonl --since 2026-11-01 > week.jsonl"))
@config_option
@journal_option
@kind_option
@click.option("--jsonl", is_flag=True, help="JSON lines, the one format there is.")
@click.option("--since", type=click.DateTime(), help="From this time (UTC) on.")
@click.option("--until", type=click.DateTime(), help="Up to this time (UTC), exclusive.")
def export(
    config_path: str | None,
    journal_path: Path | None,
    kinds: tuple[Kind, ...],
    jsonl: bool,
    since: datetime | None,
    until: datetime | None,
) -> None:
    """Write rows as JSON lines: each with all that the journal has of it, by table."""
    from service.journal.export import json_line

    del jsonl  # said for readers of scripts
    for row in _rows(_path(config_path, journal_path), kinds or KINDS, since, until):
        sys.stdout.buffer.write(json_line(row) + b"\n")


@journal.command(**example("signal-scorer journal stats"))
@config_option
@journal_option
def stats(config_path: str | None, journal_path: Path | None) -> None:
    """Print how much there is, of what, since when, and how fast it grows."""
    from service.journal.reading import spooled, summary
    from service.journal.summary import lines

    path = _path(config_path, journal_path)
    waiting = spooled(path)
    with reading(path) as connection:
        found = summary(connection, waiting)
    for line in lines(path, found):
        click.echo(line)


def _follow(path: Path, seen: dict[Kind, int]) -> None:
    """Print what is behind `seen` of each table, once a second, without an end."""
    from service.journal.export import text_line
    from service.journal.reading import after

    while True:
        time.sleep(LOOK_S)
        with reading(path) as connection:
            fresh = [row for kind, seq in seen.items() for row in after(connection, kind, seq)]
        for row in sorted(fresh, key=lambda row: row.at):
            seen[row.kind] = max(seen[row.kind], row.seq)
            click.echo(text_line(row))


def _rows(
    path: Path, kinds: tuple[Kind, ...], since: datetime | None, until: datetime | None
) -> Iterator[Row]:
    from service.journal.reading import after, lacking, spooled

    bounds = {
        "since_s": float("-inf") if since is None else since.replace(tzinfo=UTC).timestamp(),
        "until_s": float("inf") if until is None else until.replace(tzinfo=UTC).timestamp(),
    }
    waiting = spooled(path) if "scores" in kinds else []
    with reading(path) as connection:
        for kind in kinds:
            yield from after(connection, kind, -1, **bounds)
            if kind == "scores":
                for row in lacking(connection, waiting):
                    if bounds["since_s"] <= row.at < bounds["until_s"]:
                        yield row


def _path(config_path: str | None, journal_path: Path | None) -> Path:
    from service.config.load import load

    return journal_path or load(config_path).config.journal_path
