"""The command line of the service. Heavy modules are imported by the command that needs them."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

import protocol
from protocol.client import DEFAULT_ENDPOINT, ScorerClient, ScorerRefused, ScorerUnavailable
from protocol.curve import CurveKeys, KeyFileError
from service.errors import EXIT_CONFIG, ConfigError

EXIT_UNAVAILABLE = 69  # EX_UNAVAILABLE of sysexits.h

config_option = click.option(
    "--config",
    "config_path",
    type=click.Path(dir_okay=False),
    help="TOML file; without it the defaults and SIGNAL_SCORER_<SECTION>_<KEY> hold.",
)
endpoint_option = click.option(
    "--endpoint",
    default=DEFAULT_ENDPOINT,
    show_default=True,
    envvar="SIGNAL_SCORER_ENDPOINT",
    help="Where the service listens.",
)
timeout_option = click.option(
    "--timeout-ms", default=1000.0, show_default=True, help="Budget of the whole call."
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(protocol.__version__)
@click.option(
    "--server-key",
    envvar="SIGNAL_SCORER_SERVER_KEY",
    type=click.Path(dir_okay=False),
    help="Public key of an encrypted service; with --key.",
)
@click.option(
    "--key",
    envvar="SIGNAL_SCORER_KEY",
    type=click.Path(dir_okay=False),
    help="Own secret key, for an encrypted service.",
)
def cli(server_key: str | None, key: str | None) -> None:
    """Scores trading signals beside a signal engine, over ZeroMQ.

    \b
    Exit codes: 0 done, 2 wrong usage, 69 no service or address taken,
    70 too many faults, 73 a file that cannot be made, 78 wrong configuration.
    """
    if (server_key is None) != (key is None):
        raise click.UsageError("--server-key and --key belong together")


def client_of(endpoint: str, timeout_ms: float, *, strict: bool = False) -> ScorerClient:
    """A client for one command, with the keys that were named before it."""
    given = click.get_current_context().find_root().params
    curve = None
    if given["key"]:
        try:
            curve = CurveKeys.read(given["server_key"], given["key"])
        except KeyFileError as error:
            raise click.UsageError(str(error)) from None
    return ScorerClient(endpoint, timeout_ms, strict=strict, curve=curve)


def example(text: str) -> dict[str, str]:
    """The epilog of a command: one line that can be copied."""
    return {"epilog": f"Example: {text}"}


@cli.command(**example("SIGNAL_SCORER_FEED_ENDPOINTS=tcp://127.0.0.1:5560 signal-scorer serve"))
@config_option
def serve(config_path: str | None) -> None:
    """Run the service until SIGTERM or Ctrl-C."""
    from service.config import load
    from service.serve import serve as run

    sys.exit(run(load(config_path)))


@cli.command(**example("signal-scorer config --config /etc/signal-scorer/config.toml"))
@config_option
def config(config_path: str | None) -> None:
    """Print every key with its value and where it comes from."""
    import msgspec

    from service.config import load

    sourced = load(config_path)
    for section, values in msgspec.to_builtins(sourced.config).items():
        table = values if isinstance(values, dict) else {"": values}
        click.echo(f"[{section}]" if isinstance(values, dict) else "")
        for key, value in table.items():
            name = f"{section}.{key}" if key else section
            source = sourced.sources.get(name, "default")
            click.echo(f"{key or section} = {json.dumps(value)}  # {source}")
        click.echo()


@cli.command(**example("signal-scorer score --symbol EURUSD --base-score 75 --direction BUY"))
@endpoint_option
@timeout_option
@click.option("--symbol", required=True)
@click.option("--base-score", required=True, type=click.FloatRange(0, 100))
@click.option("--direction", type=click.Choice(["BUY", "SELL"]))
@click.option("--signal-id")
@click.option("--entry-price", type=float)
@click.option("--stop-loss", type=float)
@click.option("--take-profit", type=float)
@click.option("--explain", is_flag=True, help="Add each feature's contribution.")
@click.option("--json", "as_json", is_flag=True, help="The whole reply as JSON.")
def score(endpoint: str, timeout_ms: float, as_json: bool, **signal: Any) -> None:
    """Ask for one score and print it."""
    from service.show import show_score

    given = {key: value for key, value in signal.items() if value is not None}
    with client_of(endpoint, timeout_ms, strict=True) as client:
        show_score(_ask(lambda: client.score(**given)), as_json=as_json)


@cli.command(**example("signal-scorer outcome --signal-id ELITE_GUARD_EURUSD_1 --outcome WIN_TP"))
@endpoint_option
@timeout_option
@click.option("--signal-id")
@click.option("--score-id")
@click.option("--outcome", required=True, help="Any of the truth log's words.")
@click.option("--realised-r", type=float)
def outcome(endpoint: str, timeout_ms: float, **fields: Any) -> None:
    """Report how a signal ended."""
    given = {key: value for key, value in fields.items() if value is not None}
    with client_of(endpoint, timeout_ms) as client:
        _print(_ask(lambda: client.outcome(**given)))


@cli.command(**example("signal-scorer features EURUSD --direction SELL"))
@endpoint_option
@timeout_option
@click.argument("symbol")
@click.option("--direction", type=click.Choice(["BUY", "SELL"]))
def features(endpoint: str, timeout_ms: float, symbol: str, direction: Any) -> None:
    """Print the vector of a symbol as a score would see it now."""
    from service.show import show_features

    with client_of(endpoint, timeout_ms) as client:
        show_features(_ask(lambda: client.features(symbol, direction)))


@cli.command(**example("signal-scorer health && echo ready"))
@endpoint_option
@timeout_option
def health(endpoint: str, timeout_ms: float) -> None:
    """Print whether the service is ready; exit code 1 where it is not."""
    with client_of(endpoint, timeout_ms) as client:
        state = _ask(client.health)
    _print(state)
    sys.exit(0 if state["ready"] else 1)


@cli.command(**example("signal-scorer stats"))
@endpoint_option
@timeout_option
def stats(endpoint: str, timeout_ms: float) -> None:
    """Print counters, latencies, feed clocks and the model."""
    with client_of(endpoint, timeout_ms) as client:
        _print(_ask(client.stats))


@cli.command(**example("signal-scorer mode shadow"))
@config_option
@endpoint_option
@timeout_option
@click.argument(
    "wanted",
    metavar="[live|shadow|off|configured]",
    required=False,
    type=click.Choice(["live", "shadow", "off", "configured"]),
)
def mode(config_path: str | None, endpoint: str, timeout_ms: float, wanted: str | None) -> None:
    """Print the mode, or command another; it holds over restarts.

    In shadow and off the base score is served. The command is a file in the state directory:
    it takes the rights of the service's user or root. `configured` takes it back.
    """
    from service.mode_command import command

    with client_of(endpoint, timeout_ms) as client:
        if wanted is None:
            click.echo(_ask(client.health)["mode"])
        else:
            click.echo(command(wanted, config_path, client))


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


@cli.command(
    **example("signal-scorer replay ticks.jsonl --clock-offset 3h"),
)
@click.argument(
    "files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path)
)
@click.option("--bind", default="tcp://127.0.0.1:5560", show_default=True)
@click.option(
    "--speed",
    type=click.FloatRange(0, min_open=True),
    help="Recorded seconds per second; without it as fast as the subscriber follows.",
)
@click.option(
    "--clock-offset", default="0", show_default=True, help="What the sender's clock is ahead: 3h."
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
@click.option("--wait-s", type=click.FloatRange(0), help="Give up waiting for a subscriber.")
def replay(
    files: tuple[Path, ...],
    clock_offset: str,
    until: datetime | None,
    engine: bool,
    journal: Path | None,
    **options: Any,
) -> None:
    """Publish recorded FILES as the EA's bridge would, their stamps moved to the present."""
    if engine:
        sys.exit(_replay_engine(files, journal))
    from service.market_files import MarketFileError
    from service.replay import ReplayError, parse_offset
    from service.replay import replay as run
    from service.replay_progress import show_progress

    try:
        with show_progress(sys.stderr) as progress:
            options["clock_offset_s"] = parse_offset(clock_offset)
            if until is not None:
                options["until_s"] = until.replace(tzinfo=UTC).timestamp()
            account = run(files, progress=progress, **options)
    except (ReplayError, MarketFileError, ValueError) as error:
        click.echo(f"signal-scorer: {error}", err=True)
        sys.exit(getattr(error, "exit_code", 66))
    for line in account.lines():
        click.echo(line)
    sys.exit(0 if account.adds_up else 1)


def _replay_engine(segments: tuple[Path, ...], journal: Path | None) -> int:
    """Exit code 0 only where every row is the journal's to the bit."""
    import sqlite3

    from service.engine_replay import compare

    if journal is None:
        from service.config import load

        journal = load().config.journal_path
    try:
        account = compare(segments, journal)
    except (OSError, sqlite3.Error) as error:
        click.echo(f"signal-scorer: {error}", err=True)
        return 66
    for line in account.lines():
        click.echo(line)
    return 1 if account.different or account.absent else 0


def _ask(call: Callable[[], Any]) -> Any:
    try:
        return call()
    except ScorerUnavailable as error:
        click.echo(f"signal-scorer: {error}", err=True)
        sys.exit(EXIT_UNAVAILABLE)
    except (ScorerRefused, ValueError) as error:
        raise click.UsageError(str(error)) from None


def _print(reply: dict[str, Any]) -> None:
    shown = {key: value for key, value in reply.items() if key not in ("v", "id", "ok")}
    click.echo(json.dumps(shown, indent=2))


def main() -> None:
    """Run the command line; known errors end with one line and their exit code."""
    try:
        cli(standalone_mode=True)
    except ConfigError as error:
        click.echo(f"signal-scorer: {error}", err=True)
        sys.exit(EXIT_CONFIG)
    except Exception as error:
        code = getattr(error, "exit_code", None)
        if code is None:
            raise
        click.echo(f"signal-scorer: {error}", err=True)
        sys.exit(code)


if __name__ == "__main__":
    main()
