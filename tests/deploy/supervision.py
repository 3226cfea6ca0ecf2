"""The service under systemd: started, asked by those who may, stopped, stuck, killed."""

from __future__ import annotations

import re
import time

from product import CLIENT, OF_BARS, PYTHON, SOURCE, STATE, STRANGER, Product, cold
from report import Report

MAX_EXPOSURE = 1.2
MAX_DRAIN_S = 2.0
HEARD = f"{STATE}/models/heard"
SHOWING = (
    "systemctl status signal-scorer",
    "systemctl --failed",
    "systemctl show signal-scorer -p CPUQuotaPerSecUSec",
    "systemctl show signal-scorer -p CPUWeight",
    "systemd-analyze security signal-scorer",
    "journalctl -u signal-scorer --since -1h",
    "journalctl -u signal-scorer -p warning --since -2h",
    "journalctl -u signal-scorer-monitor",
    "journalctl -u 'signal-scorer-alert@*'",
    "journalctl -u systemd-timesyncd -u chrony --since -2h",
)
"""What the documents have the operator look at, as it stands there."""


def look(product: Product, report: Report) -> None:
    """All of it, in an order in which each leaves the service running."""
    _active(product, report)
    _users(product, report)
    _doctor(product, report)
    _exposure(product, report)
    _drain(product, report)
    _watchdog(product, report)
    _killed(product, report)
    _given_up(product, report)
    for command in SHOWING:
        shown = product.machine.run(command, check=False)
        report.seen(f"$ {command}", shown.out[-100:], held=shown.code == 0 and bool(shown.out))


def _active(product: Product, report: Report) -> None:
    product.ready()
    unit = product.unit("ActiveState", "SubState", "Type", "StatusText", "NotifyAccess", "User")
    held = (unit["ActiveState"], unit["SubState"], unit["Type"]) == ("active", "running", "notify")
    report.seen("unit active, READY told", unit, held=held and bool(unit["StatusText"]))
    owners = product.machine.out(
        "stat -c '%n %U:%G %a' /run/signal-scorer /run/signal-scorer/score.sock "
        "/var/lib/signal-scorer /var/lib/signal-scorer/journal.db /var/lib/signal-scorer/models"
    )
    report.seen("owners", owners, held="models scorer-trainer:scorer 750" in owners)


def _users(product: Product, report: Report) -> None:
    machine = product.machine
    before = product.pid()
    refused = machine.run(
        f"sh {SOURCE}/deploy/install.sh --client-user nobody-of-that-name", check=False
    )
    report.seen("unknown client user refused", refused.out, held=refused.code == 1)
    said = machine.run(f"sh {SOURCE}/deploy/install.sh --client-user {CLIENT}")
    held = product.pid() == before
    report.seen("installed again in", f"{said.took_s:.1f} s, service left alone: {held}", held=held)
    reply = product.score(user=CLIENT)
    held = isinstance(reply, dict)
    report.seen(f"score by ipc as {CLIENT}", reply["status"] if held else reply, held=held)
    reply = product.score(user=STRANGER)
    report.seen(f"score by ipc as {STRANGER}", reply, held=isinstance(reply, str))


def _doctor(product: Product, report: Report) -> None:
    with product.feed():
        product.warm()
        done = product.machine.run("signal-scorer doctor", check=False)
    last = done.out.splitlines()[-1]
    report.seen("doctor, with the feed running", last, held=done.code == 0)


def _exposure(product: Product, report: Report) -> None:
    for unit in ("signal-scorer", "signal-scorer-train", "signal-scorer-monitor"):
        text = product.machine.out(f"systemd-analyze security --no-pager {unit}")
        found = re.search(r"exposure level for \S+: ([0-9.]+)", text)
        exposure = float(found[1]) if found else 10.0
        held = exposure <= MAX_EXPOSURE or unit != "signal-scorer"
        report.seen(f"systemd-analyze security {unit}", exposure, held=held)


def _drain(product: Product, report: Report) -> None:
    with product.feed():
        product.warm()
        with product.machine.running(
            f"{PYTHON} {SOURCE}/tests/deploy/inside/load.py drain 5000", user=CLIENT
        ):
            time.sleep(1.0)
            took_s = product.machine.run("systemctl stop signal-scorer").took_s
            unit = product.unit("ExecMainCode", "ExecMainStatus", "Result")
            product.machine.run("systemctl start signal-scorer")
    held = took_s < MAX_DRAIN_S and unit == {
        "ExecMainCode": "1",
        "ExecMainStatus": "0",
        "Result": "success",
    }
    report.seen("SIGTERM under load", f"ended after {took_s:.2f} s, {unit}", held=held)
    reload = product.machine.run("systemctl reload signal-scorer", check=False)
    report.seen(
        "reload",
        f"exit code {reload.code}, ready: {product.ready()['ready']}",
        held=reload.code == 0,
    )


def _watchdog(product: Product, report: Report) -> None:
    before = product.pid()
    started_s = time.monotonic()
    product.machine.run(f"kill -STOP {before}")
    product.machine.until(
        lambda: product.pid() not in (before, "0"), "another process after SIGSTOP", 30.0
    )
    product.ready()
    took_s = time.monotonic() - started_s
    said = product.machine.out(
        "journalctl -u signal-scorer -n 60 --no-pager -o cat | grep -i watchdog | tail -1"
    )
    report.seen("SIGSTOP", f"serving again after {took_s:.1f} s; {said}", held="atchdog" in said)


def _killed(product: Product, report: Report) -> None:
    with product.feed():
        product.warm()
        # Closed bars are kept in housekeeping, once a second.
        time.sleep(2.0)
    with product.feed("--no-history"):
        before, started_s = product.pid(), time.monotonic()
        product.machine.run(f"kill -KILL {before}")
        product.machine.until(
            lambda: product.pid() not in (before, "0"), "another process after SIGKILL", 10.0
        )
        product.ready()
        took_s = time.monotonic() - started_s
        reply = product.machine.until(
            lambda: (r := product.answered()) and r["status"] != "stale_feed" and r, "a tick", 5.0
        )
    warm = len(OF_BARS) - len(cold(reply))
    seen = f"ready after {took_s:.1f} s; {warm} of {len(OF_BARS)} features of bars warm at once"
    report.seen("kill -9, and no history sent again", seen, held=not cold(reply))


def _given_up(product: Product, report: Report) -> None:
    """What systemd gives up is told, also where the configuration itself is at fault."""
    machine = product.machine
    machine.run(
        "cp /etc/signal-scorer/config.toml /root/config.toml;"
        f"printf '#!/bin/sh\\ncat >> {HEARD}\\n' > /opt/tell.sh; chmod +x /opt/tell.sh;"
        "sed -i 's|^command = .*|command = [\"/opt/tell.sh\"]|' /etc/signal-scorer/config.toml;"
        "sed -i 's|^mode = .*|mode = \"lively\"|' /etc/signal-scorer/config.toml"
    )
    failed = machine.run("systemctl restart signal-scorer", check=False)
    unit = product.unit("ActiveState", "NRestarts", "ExecMainStatus")
    held = failed.code != 0 and unit["ActiveState"] == "failed" and unit["ExecMainStatus"] == "78"
    report.seen("wrong configuration", unit, held=held)
    said = machine.out("journalctl -u signal-scorer -p err -o cat _COMM=signal-scorer | tail -1")
    report.seen("journalctl -p err", said, held="score.mode" in said)
    heard = machine.until(
        lambda: machine.run(f"cat {HEARD} 2>/dev/null", check=False).out, "the alert command", 15.0
    )
    report.seen("alert command got", heard, held="signal-scorer failed" in heard)
    machine.run(
        f"rm {HEARD} /opt/tell.sh; cp /root/config.toml /etc/signal-scorer/config.toml;"
        "systemctl reset-failed signal-scorer; systemctl start signal-scorer"
    )
    product.ready()
