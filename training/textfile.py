"""The trainer's and the monitor's numbers for Prometheus' node exporter.

Each in a file of its own, which is whole or the old one, and which node exporter's user may read.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from prometheus_client import CollectorRegistry, Gauge, generate_latest

from service.alerting import CheckResult
from service.files.durable import READABLE
from training.replacing import replace

MONITOR, TRAIN = "signal_scorer_monitor_", "signal_scorer_train_"
LEVELS = ("fine", "unknown", "warning", "alert")
RESULTS = ("published", "nothing_to_do", "rejected", "not_enough")

Maker = Callable[..., Gauge]


def write_monitor(
    path: Path,
    findings: Sequence[CheckResult],
    *,
    now_s: float,
    model: str | None,
    delivered: bool,
) -> None:
    """Write all findings and their numbers. `delivered`: the alert command did not fail.

    Raises OSError.
    """
    gauge, done = _file(path, MONITOR)
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
    done()


def write_train(path: Path, result: str, *, now_s: float) -> None:
    """Write when `train` came to its end, and how: one of RESULTS. Raises OSError."""
    gauge, done = _file(path, TRAIN)
    gauge("last_run_timestamp_seconds", "When train came to its end last.").set(now_s)
    ends = gauge("result", "1 for how it ended.", "result")
    for name in RESULTS:
        ends.labels(name).set(name == result)
    done()


def _file(path: Path, prefix: str) -> tuple[Maker, Callable[[], None]]:
    """What makes gauges under a prefix, and what writes them."""
    registry = CollectorRegistry()

    def gauge(name: str, text: str, *labels: str) -> Gauge:
        return Gauge(prefix + name, text, labels, registry=registry)

    def done() -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        # There is no secret in it.
        replace(path, generate_latest(registry), READABLE)

    return gauge, done
