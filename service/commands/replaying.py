"""`replay`: recordings published as a feed, or run through the engine again."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from service.commands.root import cli, example
from service.console import exit_codes
from service.console.within import Within
from service.errors import CommandError


def _offset_s(_context: click.Context, _option: click.Parameter, text: str) -> float:
    from service.recording.restamp import parse_offset

    try:
        return parse_offset(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


@cli.command(
    **example("signal-scorer replay ticks.jsonl"),
)
@click.argument(
    "files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path)
)
@click.option("--bind", default="tcp://127.0.0.1:5560", show_default=True)
@click.option(
    "--speed",
    type=Within(0, min_open=True),
    help="Recorded seconds per second; without it as fast as the subscriber follows.",
)
@click.option(
    "--clock-offset",
    "clock_offset_s",
    default="0",
    show_default=True,
    callback=_offset_s,
    help="What the sender's clock is ahead: 3h.",
)
@click.option(
    "--format",
    "fmt",
    type=click.Choice(["ea", "binance", "coinbase", "fx"]),
    help="How to read the files; found out from their first line where not given.",
)
@click.option("--symbol", help="For fx files whose name does not say it.")
@click.option("--limit", type=click.IntRange(1), help="Only the first messages.")
@click.option("--until", type=click.DateTime(), help="Only up to this time (UTC) of the recording.")
@click.option(
    "--engine",
    is_flag=True,
    help="FILES are recorded segments: run them through the engine and compare with --journal.",
)
@click.option("--journal", type=click.Path(path_type=Path), help="For --engine.")
@click.option("--wait-s", type=Within(0), help="Give up waiting for a subscriber.")
def replay(
    files: tuple[Path, ...],
    until: datetime | None,
    engine: bool,
    journal: Path | None,
    **options: Any,
) -> None:
    """Publish recorded FILES as the EA's bridge would, their stamps moved to the present."""
    if engine:
        sys.exit(_replay_engine(files, journal))
    from service.console.progress import show_progress
    from service.recording.replay import replay as run

    if until is not None:
        options["until_s"] = until.replace(tzinfo=UTC).timestamp()
    try:
        with show_progress(sys.stderr) as progress:
            account = run(files, progress=progress, **options)
    except ValueError as error:
        raise CommandError(str(error), exit_codes.NO_INPUT) from None
    for line in account.lines():
        click.echo(line)
    sys.exit(0 if account.adds_up else 1)


def _replay_engine(segments: tuple[Path, ...], journal: Path | None) -> int:
    """Exit code 0 only where every row is the journal's to the bit."""
    from service.recording.rerun import compare

    if journal is None:
        from service.config.load import load

        journal = load().config.journal_path
    account = compare(segments, journal)
    for line in account.lines():
        click.echo(line)
    return 1 if account.different or account.absent else 0
