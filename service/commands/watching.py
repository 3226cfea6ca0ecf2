"""Commands that look at the service from outside, and the mode that it serves in."""

from __future__ import annotations

import json
import os
import sys
import time
from typing import TYPE_CHECKING

import click

from service.commands.root import (
    Asked,
    ask,
    asks,
    cli,
    config_option,
    example,
    json_option,
    own_keys,
    timeout_option,
)
from service.console import exit_codes
from service.console.printable import printable
from service.console.within import Within

if TYPE_CHECKING:
    from service.config.settings import Config
    from service.top.look import Source


@cli.command(**example("signal-scorer mode shadow"))
@asks
@click.argument(
    "wanted",
    metavar="[live|shadow|off|configured]",
    required=False,
    type=click.Choice(["live", "shadow", "off", "configured"]),
)
def mode(asked: Asked, wanted: str | None) -> None:
    """Print the mode, or command another; it holds over restarts.

    In shadow and off the base score is served. The command is a file in the state directory:
    it takes the rights of the service's user or root. `configured` takes it back.
    """
    from service.commands.mode import command
    from service.top.answers import health_of

    with asked.client() as client:
        if wanted is None:
            click.echo(printable(ask(lambda: health_of(client))["mode"]))
        else:
            click.echo(command(wanted, asked.config_path, client))


@cli.command(**example("signal-scorer doctor --config /etc/signal-scorer/config.toml"))
@config_option
@timeout_option
@json_option
@click.option("--strict", is_flag=True, help="Exit code 1 for a warning too.")
@click.option("--full", is_flag=True, help="Look at a large journal to its end.")
@click.option(
    "--listen-s",
    type=Within(0, 600),
    default=3.0,
    show_default=True,
    help="How long to listen to each feed.",
)
@click.option("--test-alert", is_flag=True, help="Only run the alert command, with a test message.")
def doctor(
    config_path: str | None,
    timeout_ms: float,
    as_json: bool,
    strict: bool,
    full: bool,
    listen_s: float,
    test_alert: bool,
) -> None:
    """Check all that the service stands on, and say what to do; changes nothing.

    Exit code 0: no fault (warnings may be shown), 1: at least one. Works while the service
    runs and while it does not, best as root or as the service's user.
    """
    from service.config.load import config_file, load
    from service.doctor.examine import examine
    from service.doctor.finding import Finding, exit_code
    from service.doctor.report import as_lines, as_object, summary, unloadable
    from service.doctor.scene import look_around
    from service.errors import ConfigError

    if test_alert:
        sys.exit(_test_alert(config_path))
    findings: list[Finding] = []
    try:
        scene = look_around(
            load(config_path),
            now_s=time.time(),
            listen_s=listen_s,
            full=full,
            config_file=config_file(config_path),
            keys=own_keys(),
            ask_ms=timeout_ms,
        )
    except ConfigError as error:
        found = iter([unloadable(error, config_file(config_path))])
    else:
        found = examine(scene)
    for finding in found:
        findings.append(finding)
        if not as_json:
            for line in as_lines(finding):
                click.echo(line)
    code = exit_code(findings, strict=strict)
    click.echo(as_object(findings, code) if as_json else summary(findings))
    sys.exit(code)


def _test_alert(config_path: str | None) -> int:
    from service.alerting import tell, trial
    from service.config.load import load
    from service.doctor.trainer import monitors_user
    from service.errors import ConfigError

    config = load(config_path).config
    alerts = config.alerts
    if not alerts.command:
        raise ConfigError("alerts.command is not set; name the program that is to be told")
    # What root may read, a token for one, the monitor's user perhaps may not.
    trainer = monitors_user(config) if os.geteuid() == 0 else None
    said = f" (as user {trainer.pw_name})" if trainer else ""
    problem = tell(trial(time.time()), alerts, trainer)
    if problem:
        click.echo(f"signal-scorer: not delivered{said}: {problem}", err=True)
        return 1
    click.echo(f"{alerts.command[0]} took the test message{said}; has it arrived where it should?")
    return 0


@cli.command(**example("signal-scorer status"))
@asks
@json_option
def status(asked: Asked, as_json: bool) -> None:
    """Print how things stand on one screen: service, feed, model, journal, last training.

    Exit code 0 where the service is ready, 1 where it is not, 69 where none answers.
    """
    from rich.console import Console

    from service.top.status import lines

    config, source = _source(asked)
    look = source.look()
    if as_json:
        shown = {"health": look.health, "stats": look.stats, "trouble": look.trouble}
        journal = {"open_positions": look.open_positions, "journal_trouble": look.journal_trouble}
        click.echo(json.dumps(shown | journal, indent=2))
    else:
        console = Console(highlight=False)
        for line in lines(look, config, source.endpoint, console.width):
            line.plain = printable(line.plain)
            console.print(line, soft_wrap=True)
    if look.health is None:
        sys.exit(exit_codes.UNAVAILABLE)
    sys.exit(exit_codes.OK if look.health["ready"] else exit_codes.NOT_SO)


@cli.command(**example("signal-scorer top --interval-s 2"))
@asks
@click.option(
    "--interval-s",
    type=Within(0.1, 3600),
    default=1.0,
    show_default=True,
    help="Refresh.",
)
@click.option("--once", is_flag=True, help="Print one frame and end.")
def top(asked: Asked, interval_s: float, once: bool) -> None:
    """Watch the service: feed, latency, model, drift, the last scores, paper positions.

    Asks it like any client and reads the journal beside it, where that may be read.
    """
    from service.top import screen

    config, source = _source(asked)
    if once:
        screen.once(source, config, interval_s=interval_s)
        return
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise click.UsageError("top draws on a terminal; --once prints one frame without")
    screen.show(source, config, interval_s=interval_s)


def _source(asked: Asked) -> tuple[Config, Source]:
    """The configuration, and where looks at the service come from."""
    from service.config.load import load
    from service.top.look import Source

    config = load(asked.config_path).config
    client = asked.client(retries=0, open_after=0)
    return config, Source(client, asked.address()[0], config)
