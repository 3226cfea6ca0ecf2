"""Commands that ask the running service one thing and print the answer."""

from __future__ import annotations

import sys
from typing import Any

import click

from service.commands.root import Asked, ask, asks, cli, example, json_option, show
from service.console import exit_codes
from service.console.within import Within
from service.errors import CommandError


@cli.command(**example("signal-scorer score --symbol EURUSD --base-score 75 --direction BUY"))
@asks
@click.option("--symbol", required=True)
@click.option("--base-score", required=True, type=Within(0, 100))
@click.option("--direction", type=click.Choice(["BUY", "SELL"]))
@click.option("--signal-id")
@click.option("--entry-price", type=Within(0, min_open=True))
@click.option("--stop-loss", type=Within(0, min_open=True))
@click.option("--take-profit", type=Within(0, min_open=True))
@click.option("--explain", is_flag=True, help="Add each feature's contribution.")
@json_option
def score(asked: Asked, as_json: bool, **signal: Any) -> None:
    """Ask for one score and print it."""
    from service.commands.shown import show_score

    given = {key: value for key, value in signal.items() if value is not None}
    with asked.client(strict=True) as client:
        show_score(ask(lambda: client.score(**given)), as_json=as_json)


@cli.command(**example("signal-scorer outcome --signal-id ELITE_GUARD_EURUSD_1 --outcome WIN_TP"))
@asks
@click.option("--signal-id")
@click.option("--score-id")
@click.option(
    "--outcome",
    required=True,
    metavar="WORD",
    help="WIN, WIN_TP, LOSS, LOSS_SL or, with --realised-r, TIMEOUT, EXPIRED, CLOSED, CLOSED_...; "
    "any other is recorded, but nothing learns from it, nor from one with PARTIAL in it.",
)
@click.option("--realised-r", type=float)
def outcome(asked: Asked, **fields: Any) -> None:
    """Report how a signal ended."""
    from service.top.answers import Recorded, known

    given = {key: value for key, value in fields.items() if value is not None}
    with asked.client() as client:
        reply = ask(lambda: known(client.outcome(**given), Recorded))
    show(reply)
    if not reply["journalled"]:
        raise CommandError(
            "not kept: send it again later; `signal-scorer health` says why", exit_codes.TRY_LATER
        )


@cli.command(**example("signal-scorer features EURUSD --direction SELL"))
@asks
@click.argument("symbol")
@click.option("--direction", type=click.Choice(["BUY", "SELL"]))
def features(asked: Asked, symbol: str, direction: Any) -> None:
    """Print the vector of a symbol as a score would see it now."""
    from service.commands.shown import show_features
    from service.top.answers import Features, known

    with asked.client() as client:
        show_features(ask(lambda: known(client.features(symbol, direction), Features)))


@cli.command(**example("signal-scorer health && echo ready"))
@asks
def health(asked: Asked) -> None:
    """Print whether the service is ready; exit code 1 where it is not."""
    from service.top.answers import health_of

    with asked.client() as client:
        state = ask(lambda: health_of(client))
    show(state)
    sys.exit(0 if state["ready"] else 1)


@cli.command(**example("signal-scorer stats"))
@asks
def stats(asked: Asked) -> None:
    """Print counters, latencies, feed clocks and the model."""
    with asked.client() as client:
        show(ask(client.stats))
