"""The monitor's numbers for Prometheus' node exporter, as a file that is whole or the old one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from prometheus_client import CollectorRegistry, Gauge, write_to_textfile

from service.alerting import Finding

PREFIX = "signal_scorer_monitor_"
LEVELS = ("fine", "unknown", "warning", "alert")


def write(
    path: Path,
    findings: Sequence[Finding],
    *,
    now_s: float,
    model: str | None,
    delivered: bool,
) -> None:
    """Write all findings and their numbers. `delivered`: the alert command did not fail.

    Raises OSError.
    """
    registry = CollectorRegistry()

    def gauge(name: str, text: str, *labels: str) -> Gauge:
        return Gauge(PREFIX + name, text, labels, registry=registry)

    gauge("last_run_timestamp_seconds", "When the monitor ran last.").set(now_s)
    degraded = any(finding.level == "alert" for finding in findings)
    gauge("degraded", "1 while there is an alert: exit code 5.").set(degraded)
    gauge("alert_command_ok", "0 where the alert command failed.").set(delivered)
    gauge("model_info", "The model that was looked at.", "version").labels(model or "").set(1)
    levels = gauge("finding", "1 for the level of each check.", "check", "level")
    facts = gauge("value", "The numbers behind each check.", "check", "name")
    for finding in findings:
        for level in LEVELS:
            levels.labels(finding.name, level).set(finding.level == level)
        for name, value in finding.facts.items():
            facts.labels(finding.name, name).set(value)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_to_textfile(str(path), registry)
