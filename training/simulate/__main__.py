"""`python -m training.simulate`: the demo, as a process of its own. `signal-scorer demo` starts it.

Exit codes: 0 played to its end, 1 something failed, 73 what it prints cannot be written, 130
interrupted (with a summary of what there was).
"""

from __future__ import annotations

import signal
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any

import click

from service.commands.root import printing
from service.console import exit_codes
from service.errors import CommandError

WIDTH = 120
"""Of what is written where no terminal says how wide it is."""


@click.command(
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Example: signal-scorer demo --seconds 60 --strength 0",
)
@click.option(
    "--seconds",
    type=click.FloatRange(min=8, max=480),  # a day of the market each, which is to stay past
    default=45.0,
    show_default=True,
    help="How long it takes at least; it needs about half a minute.",
)
@click.option(
    "--strength",
    type=click.FloatRange(min=0, max=10),
    default=1.5,
    show_default=True,
    help="How much the features say about the outcome; with 0 there is nothing to learn.",
)
@click.option(
    "--signals-a-day",
    "a_day",
    type=click.FloatRange(min=10, max=1000),
    default=60.0,
    show_default=True,
    help="Of the market's days, which last one or two seconds.",
)
@click.option("--seed", type=click.IntRange(min=0), default=7, show_default=True)
@click.option(
    "--keep",
    "directory",
    type=click.Path(file_okay=False, path_type=Path),
    help="Directory for all files, empty or new.  [default: var/demo-<time>]",
)
@click.option(
    "--json",
    "json_path",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the facts here.",
)
@click.option(
    "--outcome-requests", "report", is_flag=True, help="Send outcomes to the service as well."
)
@click.option(
    "--plain", is_flag=True, help="Lines instead of a live picture, as without a terminal."
)
@click.option("--no-color", is_flag=True, help="No colours.")
def main(
    directory: Path | None, json_path: Path | None, plain: bool, no_color: bool, **given: Any
) -> None:
    """Play the whole loop on a simulated market: ticks, scores, outcomes, training, hot swap.

    Service, client and trainer are the real ones; the market, the signals and how they end
    are simulated by a stated function, so the best possible result is known.
    """
    stop = _stop_on_signals()  # before the imports, which take a while
    import msgspec
    from rich.console import Console

    from training.simulate.play import DemoFailed, Options, run
    from training.simulate.screen import screen
    from training.simulate.summary import show

    options = Options(directory=_directory(directory), **given)
    if json_path is not None and not json_path.parent.is_dir():  # before it is played, not after
        raise click.UsageError(f"cannot write {json_path}: there is no folder {json_path.parent}")
    console = Console(no_color=no_color, highlight=False)
    if not console.is_terminal:
        console.width = WIDTH
    try:
        with screen(console, lines=plain or not console.is_terminal) as shown:
            facts = run(options, shown, stop)
    except DemoFailed as failure:
        click.echo(f"signal-scorer demo: {failure}", err=True)
        sys.exit(exit_codes.NOT_SO)
    show(facts, console)
    if json_path is not None:
        try:
            json_path.write_bytes(msgspec.json.format(msgspec.json.encode(facts), indent=2))
        except OSError as error:
            raise CommandError(
                f"cannot write {json_path}: {error.strerror}", exit_codes.CANT_CREATE
            ) from error
    sys.exit(exit_codes.INTERRUPTED if facts.interrupted else exit_codes.OK)


def _stop_on_signals() -> threading.Event:
    """Set by Ctrl-C, SIGTERM or a terminal that is closed; a second Ctrl-C ends at once.

    Not by the last where it is ignored, as below nohup.
    """
    stop = threading.Event()

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        stop.set()
        signal.signal(signal.SIGINT, signal.default_int_handler)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, on_signal)
    return stop


def _directory(wanted: Path | None) -> Path:
    name = f"demo-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    directory = (wanted or Path("var") / name).absolute()
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise click.UsageError(f"cannot make {directory}: {error.strerror}") from None
    if any(directory.iterdir()):
        raise click.UsageError(f"{directory} is not empty; name another with --keep")
    return directory


def begin() -> None:
    """Run the command; what cannot be written ends it with one line."""
    try:
        with printing():
            main(prog_name="signal-scorer demo")
    except CommandError as error:
        click.echo(f"signal-scorer: {error}", err=True)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    begin()
