"""`signal-scorer-train backfill`: signals that were never scored live, scored from recordings."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import Any

import click

from service.console.printable import printable
from training.options import EXAMPLE, store_options, worker_options

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command(
    epilog=EXAMPLE + "signal-scorer-train backfill ticks_*.csv.gz --truth-log truth_log.jsonl"
)
@store_options
@click.argument("files", nargs=-1, required=True, type=_FILE)
@click.option(
    "--signals",
    multiple=True,
    type=_FILE,
    help="JSON lines with signal_id, symbol, time, base_score, direction, entry, stop, target.",
)
@click.option(
    "--truth-log",
    "truth_logs",
    multiple=True,
    type=click.Path(path_type=Path),
    help="The signals that a truth log tells of. Repeatable.",
)
@click.option("--timezone", help="Zone of stamps without one (UTC).")
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where the result goes (backfill.db beside the journal, or among the models where only "
    "there one may write).",
)
@click.option(
    "--clock-offset",
    default="0",
    show_default=True,
    help="What the clock of feed messages is ahead of UTC (3h), or the zone that it goes by "
    "(Europe/Athens, America/New_York+7h). Tables are in UTC.",
)
@click.option(
    "--format",
    "fmt",
    type=click.Choice(["ea", "binance", "coinbase", "fx"]),
    help="How to read the files; found out from their first line where not given.",
)
@click.option("--symbol", help="For fx files whose name does not say it.")
@worker_options
def backfill(**options: Any) -> None:
    """Score signals from recorded FILES as if they had been asked live, and follow their ends.

    FILES are markets (feed messages as JSON lines, Binance events, Coinbase minutes, FX ticks) or
    a run's recorded segments (RUN-NNNNNN.rec.gz). The result is for `train --backfill`: such
    signals may train, and never evaluate.
    """
    from training.backfill.work import Plan, run

    signal.signal(signal.SIGTERM, _stop)
    for line in run(Plan.of(options), sys.stderr):
        click.echo(printable(line))


def _stop(*_signal: object) -> None:
    raise KeyboardInterrupt
