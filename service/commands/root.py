"""The group that every command belongs to, and the options and errors that they share."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, NamedTuple

import click

import protocol
from protocol.client import DEFAULT_ENDPOINT, ScorerClient, ScorerRefused, ScorerUnavailable
from protocol.curve import CurveKeys, KeyFileError
from protocol.options import MAX_TIMEOUT_MS
from service.console import exit_codes
from service.console.printable import printable
from service.console.streams import print_no_more
from service.console.within import Within
from service.errors import CommandError, remedy

# Who opens it says what is wrong with it: click would call it wrong usage, and systemd try again.
_FILE = click.Path(readable=False)
config_option = click.option(
    "--config",
    "config_path",
    type=_FILE,
    metavar="FILE",
    help="TOML file; without it $SIGNAL_SCORER_CONFIG, the defaults and "
    "SIGNAL_SCORER_<SECTION>_<KEY> hold.",
)
endpoint_option = click.option(
    "--endpoint",
    envvar="SIGNAL_SCORER_ENDPOINT",
    help="Where the service listens.  [default: the configuration's first address]",
)
timeout_option = click.option(
    "--timeout-ms",
    type=Within(0, MAX_TIMEOUT_MS, min_open=True),
    default=1000.0,
    show_default=True,
    help="Budget of the whole call.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="As JSON, for programs.")


class _Command(click.Command):
    """Its help may be written onto a full disk, as what it prints."""

    def make_context(self, *args: Any, **extra: Any) -> click.Context:
        with printing():
            return super().make_context(*args, **extra)


class _Commands(_Command, click.Group):
    command_class = _Command


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=exit_codes.epilog(exit_codes.SCORER),
)
@click.version_option(protocol.__version__)
@click.option(
    "--server-key",
    envvar="SIGNAL_SCORER_SERVER_KEY",
    type=_FILE,
    metavar="FILE",
    help="Public key of an encrypted service; with --key.",
)
@click.option(
    "--key",
    envvar="SIGNAL_SCORER_KEY",
    type=_FILE,
    metavar="FILE",
    help="Own secret key, for an encrypted service.",
)
@click.pass_context
def cli(ctx: click.Context, server_key: str | None, key: str | None) -> None:
    """Scores trading signals beside a signal engine, over ZeroMQ.

    \b
    Example:
      signal-scorer COMMAND --help
    """
    if (server_key is None) != (key is None):
        raise click.UsageError("--server-key and --key belong together")
    if ctx.invoked_subcommand != "serve":  # which prints nothing
        ctx.with_resource(printing())


def own_keys() -> CurveKeys | None:
    """The keys that were named before the command. Raises CommandError for unusable files."""
    given = click.get_current_context().find_root().params
    if not given["key"]:
        return None
    try:
        return CurveKeys.read(given["server_key"], given["key"])
    except KeyFileError as error:
        raise CommandError(str(error), exit_codes.NO_INPUT) from None


class Asked(NamedTuple):
    """Which service a command asks, and how long it waits."""

    config_path: str | None
    endpoint: str | None
    timeout_ms: float

    def address(self) -> tuple[str, CurveKeys | None]:
        """The endpoint that was named, else the first configured one that can be asked from
        here, else the usual one; and the keys to show there: none to a configured address that
        wants none. Raises CommandError or, only where none was named, ConfigError."""
        if self.endpoint:
            return self.endpoint, own_keys()
        from service.config.load import load
        from service.sockets.addresses import askable, is_wildcard

        config, keys = load(self.config_path).config, own_keys()
        addresses = askable(config, keys)
        if not addresses and all(map(is_wildcard, config.score.bind)):
            raise CommandError(
                "the configuration leaves the port to the system; name it with --endpoint, as the "
                "line `ready` of the service's log does",
                exit_codes.USAGE,
            )
        if not addresses and keys is None and config.curve.server_secret_file:
            raise CommandError(
                "all addresses of the configuration want keys; give --server-key and --key before "
                "the command, as in signal-scorer --server-key server.pub --key own.key health",
                exit_codes.USAGE,
            )
        return next(iter(addresses), (DEFAULT_ENDPOINT, keys))

    def client(self, **options: Any) -> ScorerClient:
        """A client for one command."""
        address, keys = self.address()
        try:
            return ScorerClient(address, self.timeout_ms, curve=keys, **options)
        except ValueError as error:
            raise click.UsageError(str(error)) from None


def asks(command: Callable[..., None]) -> Callable[..., None]:
    """The options of a command that asks the service; they are its first argument."""

    @config_option
    @endpoint_option
    @timeout_option
    @wraps(command)
    def asking(
        config_path: str | None, endpoint: str | None, timeout_ms: float, **options: Any
    ) -> None:
        command(Asked(config_path, endpoint, timeout_ms), **options)

    return asking


def example(text: str) -> dict[str, str]:
    """The epilog of a command: one line that can be copied."""
    return {"epilog": f"\b\nExample:\n  {text}"}


def ask(call: Callable[[], Any]) -> Any:
    """The answer of the service; without one the command ends here."""
    try:
        return call()
    except ScorerUnavailable as error:
        click.echo(f"signal-scorer: {printable(str(error))}", err=True)
        sys.exit(exit_codes.UNAVAILABLE)
    except (ScorerRefused, ValueError) as error:
        raise click.UsageError(printable(str(error))) from None


@contextmanager
def printing() -> Iterator[None]:
    """For what writes to standard output, which may lie on a full disk.

    Raises CommandError; a reader that went away is click's to end without a word.
    """
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        if error.filename is not None:
            raise
        print_no_more()
        raise CommandError(
            f"cannot write to standard output: {error.strerror}; {remedy(error)}",
            exit_codes.CANT_CREATE,
        ) from None


def show(reply: dict[str, Any]) -> None:
    """A reply as JSON, without what belongs to the wire."""
    shown = {key: value for key, value in reply.items() if key not in ("v", "id", "ok")}
    click.echo(json.dumps(shown, indent=2))
