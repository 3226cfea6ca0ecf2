"""Each alert made to fire by a real fault, and each query of the dashboard asked.

    make test-watch                  (scripts/watch.py [ALERT...])

The real service, Debian's Prometheus and node exporter with the shipped rules: only `for:`, the
intervals and the minutes in which ticks are missed or a feed is silent are shortened. First a
healthy service is watched, of which nothing may fire. For each fault it says what was done, what
fired then, after how long, and what fired beside it. Needs root for a small tmpfs; exit code 1
where an alert or an answer is missing.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from builders import NOW_S, small_model  # noqa: E402
from harness import eventually  # noqa: E402
from monitored import answer_signals  # noqa: E402
from serving import published_model  # noqa: E402
from watch_faults import FAKETIME, FAULTS, LEVELS, Fault, signals, trainer  # noqa: E402
from watched import Prometheus, Watched  # noqa: E402

DASHBOARD = ROOT / "deploy" / "grafana" / "dashboard.json"
WITHIN_S = 60.0
QUIET_S = 10.0


def main() -> None:
    """Run all, or the faults behind the alerts that are named."""
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("alerts", nargs="*", help="only these (all)")
    asked = set(options.parse_args().alerts)
    if not FAKETIME.exists():
        raise SystemExit("libfaketime is needed: apt install faketime")
    if os.geteuid():
        raise SystemExit("run it as root: it mounts a small tmpfs")
    failed = []
    with tempfile.TemporaryDirectory(prefix="watch-") as name:
        folder = Path(name)
        with closing(Prometheus(folder)) as prometheus:
            unknown = asked - set(prometheus.alerts)
            if unknown:
                raise SystemExit(f"no such alert: {', '.join(sorted(unknown))}")
            print(f"{len(prometheus.alerts)} alerts; `for:` of {prometheus.shortened} is now 2 s")
            if not asked:
                failed += healthy(prometheus, folder / "healthy")
            for number, fault in enumerate(FAULTS):
                if not asked or asked & set(fault.alerts):
                    failed += provoke(prometheus, folder / f"fault{number}", fault)
            if not asked:
                never = set(prometheus.alerts) - {a for fault in FAULTS for a in fault.alerts}
                failed += [f"{alert} has no fault" for alert in sorted(never)]
    print("\n".join(f"NOT    {text}" for text in failed) or "all of them fired")
    sys.exit(1 if failed else 0)


def provoke(prometheus: Prometheus, folder: Path, fault: Fault) -> list[str]:
    """Do it, wait for its alerts, say what came."""
    folder.mkdir()
    print(f"\n{fault.text}", flush=True)
    failed = []
    with fault.done(prometheus, folder) as instance:
        done_s = time.monotonic()
        for alert in fault.alerts:
            try:
                eventually(lambda a=alert: a in prometheus.firing(instance), alert, WITHIN_S)
            except AssertionError:
                failed.append(f"{alert} within {WITHIN_S:g} s of: {fault.text}")
                print(f"  NOT    {alert}", flush=True)
                continue
            summary = prometheus.firing(instance).get(alert, "")
            print(f"  fires  {alert:26} {time.monotonic() - done_s:4.1f} s  {summary}", flush=True)
        beside = sorted(set(prometheus.firing(instance)) - set(fault.alerts))
        if beside:
            print(f"  beside it: {', '.join(beside)}", flush=True)
    return failed


def healthy(prometheus: Prometheus, folder: Path) -> list[str]:
    """A service as it should be: nothing fires, and every query of the dashboard is answered."""
    folder.mkdir()
    small_model(folder / "models", now_s=time.time())
    past = folder / "past"
    answer_signals(past / "journal.db", published_model(past / "models", NOW_S), 400)
    for command in ("train", "monitor"):
        arguments = ["--min-samples", "10000"] if command == "train" else []
        trainer(past, command, *arguments, "--textfile", str(prometheus.textfiles / command))
    for path in list(prometheus.textfiles.iterdir()):
        path.rename(path.with_name(f"{path.name}.prom"))
    with closing(Watched(prometheus, folder)) as one:
        one.start()
        failed = []
        with one.service.client() as client:
            end_s = time.monotonic() + QUIET_S
            while time.monotonic() < end_s:
                signals(client, 5, **LEVELS)
                time.sleep(0.5)
            fired = sorted(prometheus.firing())
            failed += [f"{alert} of a healthy service" for alert in fired]
            print(f"a healthy service for {QUIET_S:g} s: {', '.join(fired) or 'nothing fires'}")
            # So many that drift is judged, on which nothing more is asked of the alerts.
            signals(client, 120)
        return failed + dashboard(prometheus, one.instance)


def dashboard(prometheus: Prometheus, instance: str) -> list[str]:
    """Ask every query in the dashboard as Grafana would."""
    content = json.loads(DASHBOARD.read_text())
    queries = [
        (panel["title"], target["expr"])
        for panel in content["panels"]
        for target in panel.get("targets", ())
    ]
    failed = []
    for title, expression in queries:
        # Grafana escapes the value for the expression, and that for the string.
        escaped = re.escape(instance).replace("\\", "\\\\")
        asked = expression.replace("$instance", escaped).replace("$__rate_interval", "1m")
        assert "$" not in asked, asked
        try:
            eventually(lambda q=asked: prometheus.query(q), title, 15.0)
        except AssertionError:
            failed.append(f"dashboard, {title}: no answer to {asked}")
    print(f"dashboard: {len(queries) - len(failed)} of {len(queries)} queries answered")
    return failed


if __name__ == "__main__":
    main()
