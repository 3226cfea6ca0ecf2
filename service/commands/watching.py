"""Commands that look at the service from outside, and the mode that it serves in."""

from __future__ import annotations

import click

from service.commands.root import (
    ask,
    cli,
    client_of,
    config_option,
    endpoint_option,
    example,
    timeout_option,
)


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
            click.echo(ask(client.health)["mode"])
        else:
            click.echo(command(wanted, config_path, client))
