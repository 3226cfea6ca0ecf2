"""Commands that run the service or the demo, and what a start wants first."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from service.commands.root import cli, config_option, example
from service.console import words

if TYPE_CHECKING:
    from service.config.load import Sourced


@cli.command(**example("SIGNAL_SCORER_FEED_ENDPOINTS=tcp://127.0.0.1:5560 signal-scorer serve"))
@config_option
def serve(config_path: str | None) -> None:
    """Run the service until SIGTERM or Ctrl-C; SIGHUP has the configuration read again."""
    from service.allocator import one_arena

    one_arena()  # before numpy starts threads
    from service.config.load import load

    sourced = load(config_path)
    # What it takes seconds of a slow machine to import is no use to a configuration that is wrong.
    from service.serve import serve as run

    sys.exit(run(sourced, lambda: load(config_path)))


@cli.command(**example("signal-scorer config --config /etc/signal-scorer/config.toml"))
@config_option
@click.option("--check", is_flag=True, help="Only say whether serve would take it.")
def config(config_path: str | None, check: bool) -> None:
    """Print every key with its value and where it comes from.

    Exit code 78 for a configuration that cannot be used.
    """
    from service.config.load import config_file, load
    from service.config_check import refuse_unusable
    from service.shown_logs import shown_logs

    sourced = load(config_path)
    if check:
        refuse_unusable(sourced.config)
        number = words.counted(len(sourced.sources), "key")
        click.echo(
            f"fine for serve: {number} set; signal-scorer doctor checks what the trainer reads"
        )
        return
    logs = [log for log, _ in shown_logs(config_file(config_path))]
    for line in listing(sourced, logs):
        click.echo(line)


def listing(sourced: Sourced, logs: list[Path]) -> Iterator[str]:
    """Each key by section; `logs` are those that the trainer's units read instead."""
    import msgspec

    for section, values in msgspec.to_builtins(sourced.config).items():
        table = values if isinstance(values, dict) else {"": values}
        yield f"[{section}]" if isinstance(values, dict) else ""
        for key, value in table.items():
            name = f"{section}.{key}" if key else section
            source = sourced.sources.get(name, "default")
            yield f"{key or section} = {json.dumps(value)}  # {source}"
            if name == "truth_log.paths" and logs:
                instead = json.dumps([str(log) for log in logs])
                yield f"# the trainer's units read {instead} instead: install.sh --truth-log"
        yield ""


@cli.command(**example("signal-scorer keygen --name elite_guard /etc/signal-scorer/keys"))
@click.option("--name", help="Make a pair for this client too.")
@click.argument("folder", metavar="DIR", type=click.Path(file_okay=False, path_type=Path))
def keygen(name: str | None, folder: Path) -> None:
    """Make the CURVE keys of the service, and of a client, in DIR."""
    from service.keygen import keygen as make
    from service.keygen import next_steps

    for line in next_steps(make(folder, name)):
        click.echo(line)


@cli.command(
    add_help_option=False,
    context_settings={"ignore_unknown_options": True},
    **example("signal-scorer demo --seconds 60"),
)
@click.argument("options", nargs=-1, type=click.UNPROCESSED)
def demo(options: tuple[str, ...]) -> None:
    """Play the whole loop on a simulated market, in under a minute."""
    from service.demo import demo as run

    run(list(options))
