"""Commands that look at the service from outside, and the mode that it serves in."""

from __future__ import annotations

import sys
import time

import click

from service.commands.root import (
    ask,
    cli,
    client_of,
    config_option,
    endpoint_option,
    example,
    json_option,
    own_keys,
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


@cli.command(**example("signal-scorer doctor --config /etc/signal-scorer/config.toml"))
@config_option
@timeout_option
@json_option
@click.option("--strict", is_flag=True, help="Exit code 1 for a warning too.")
@click.option("--full", is_flag=True, help="Look at a large journal to its end.")
@click.option(
    "--listen-s",
    type=click.FloatRange(0, 600),
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
    from service.config import config_file, load
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
        found = iter([unloadable(error)])
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
    from service.config import load
    from service.errors import ConfigError

    alerts = load(config_path).config.alerts
    if not alerts.command:
        raise ConfigError("alerts.command is not set; name the program that is to be told")
    problem = tell(trial(time.time()), alerts)
    if problem:
        click.echo(f"signal-scorer: not delivered: {problem}", err=True)
        return 1
    click.echo(f"{alerts.command[0]} took the test message; has it arrived where it should?")
    return 0
