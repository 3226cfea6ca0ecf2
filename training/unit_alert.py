"""Tells the alert command of a systemd unit that failed, and of a job that is well again.

    python -m training.unit_alert UNIT[:WORD]

Started by the unit's OnFailure= and OnSuccess=; $MONITOR_SERVICE_RESULT says what happened.
The rule: a job, which runs every hour or week, is told of when it begins to fail and when that is
over, which a run that another one kept from its work does not show; the service itself each time
that systemd gives it up. What of a job is not delivered its next run tells, if it fails too. The
service has none: as at a boot before there is a network, that is tried again for nine minutes.
What stays untold is our own unit's failure. A configuration that the unit failed for is read as far
as it goes: its [alerts] may still be right.
"""

from __future__ import annotations

import os
import sys
import time
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from socket import gethostname

import msgspec

from service import alerting
from service.alerting import Alert, CheckResult
from service.config.load import load
from service.config.settings import AlertsSection, Config
from service.console import exit_codes
from service.errors import CommandError, ConfigError
from training.monitor import alerts

JOBS = frozenset({"signal-scorer-train", "signal-scorer-monitor"})
UNIT = "unit"
PAUSE_S = 30.0
TRIES_S = 570.0
"""Seconds in which the last try ends; systemd ends its unit after ten minutes."""


def tell(
    called: str,
    environ: Mapping[str, str],
    config: Config,
    *,
    now_s: float,
    sleep: Callable[[float], None],
    monotonic_s: Callable[[], float],
) -> str:
    """Tell of what became of a unit (UNIT[:WORD]); returns what was done, in words.

    Raises CommandError where it could not be delivered.
    """
    unit, _, word = called.partition(":")
    # Before systemd 251 the variable is not set: then the word alone tells.
    result = environ.get("MONITOR_SERVICE_RESULT", "success" if word == "well" else "unknown")
    if result == "success" and environ.get("MONITOR_EXIT_STATUS") == str(exit_codes.TRY_LATER):
        return f"{unit}: nothing ran, another one is at work"
    failed = CheckResult(UNIT, "alert", _what(unit, result, environ, now_s))
    wrong = [] if result == "success" else [failed]
    path = config.models_dir / f".{unit}.alert"
    state = alerts.read_state(path) if unit in JOBS else alerts.State()
    # What the interval holds back would be lost: nothing asks again before the next run.
    alert = alerts.news(state, wrong, config.alerts, now_s=now_s, model=None, urgent=True)
    if alert is None:
        return f"{unit}: {result}, nothing new"
    text = wrong[0].text if wrong else f"{unit} on {gethostname()} is well again"
    if not config.alerts.command:
        return f"{text}: nobody was told, [alerts] command is empty"
    tries_s = 0.0 if unit in JOBS else TRIES_S
    _deliver(msgspec.structs.replace(alert, text=text), config.alerts, tries_s, sleep, monotonic_s)
    if unit in JOBS:
        try:
            alerts.write_state(path, alerts.told(alert, state))
        except OSError as error:  # a full disk, as the unit may have failed for
            why = f"{path} cannot be written ({error.strerror})"
            return f"{text}: told, and again next time: {why}"
    return f"{text}: told"


def _what(unit: str, result: str, environ: Mapping[str, str], now_s: float) -> str:
    code = environ.get("MONITOR_EXIT_STATUS")
    status = f"{result}, {code}" if code else result
    at = time.strftime("%H:%M", time.gmtime(now_s))  # it may be told minutes later
    return f"{unit} failed on {gethostname()} at {at} UTC ({status}); see journalctl -u {unit}"


def _deliver(
    alert: Alert,
    settings: AlertsSection,
    tries_s: float,
    sleep: Callable[[float], None],
    monotonic_s: Callable[[], float],
) -> None:
    until_s = monotonic_s() + tries_s - settings.timeout_s
    while problem := alerting.tell(alert, settings):
        if monotonic_s() + PAUSE_S > until_s:
            raise CommandError(f"{alert.text}: {problem}", exit_codes.TRY_LATER)
        sleep(PAUSE_S)


def _config(environ: Mapping[str, str]) -> Config:
    """The configuration, or what of it is needed here. Raises ConfigError."""
    try:
        return load(environ=environ).config
    except ConfigError as error:
        try:
            text = Path(environ.get("SIGNAL_SCORER_CONFIG", "")).read_text(encoding="utf-8")
            table = tomllib.loads(text)
            known = {key: table[key] for key in ("state_dir", "alerts") if key in table}
            return msgspec.convert(known, Config)
        except (OSError, ValueError):
            raise error from None


def main(
    *,
    sleep: Callable[[float], None] = time.sleep,
    monotonic_s: Callable[[], float] = time.monotonic,
) -> None:
    """Tell of the unit that is named."""
    try:
        config, now_s = _config(os.environ), time.time()
        said = tell(
            sys.argv[1], os.environ, config, now_s=now_s, sleep=sleep, monotonic_s=monotonic_s
        )
    except (CommandError, ConfigError, IndexError) as error:
        print(f"unit_alert: {error}", file=sys.stderr)
        sys.exit(getattr(error, "exit_code", exit_codes.CONFIG))
    print(said)


if __name__ == "__main__":
    main()
