"""A second service beside the first and the proxy before both, as docs/scaling.md says."""

from __future__ import annotations

import json
from pathlib import Path

import document
from machine import Machine
from product import CLIENT, SOURCE, Product
from report import Report

DOCUMENT = document.DOCS / "scaling.md"
REPLICA, PROXY = "signal-scorer-b", "signal-scorer-proxy"
FRONT = "tcp://127.0.0.1:5561"
OWN = "tcp://127.0.0.1:5571"
CONFIG = "/etc/signal-scorer/config.toml"
MAIN_PID = "systemctl show --property MainPID --value"
AGAIN_S = 10.0


def look(product: Product, report: Report) -> None:
    """All of it; leaves the first service alone at its own address."""
    machine = product.machine
    machine.run(f"sed -i 's#{FRONT}#{OWN}#' {CONFIG}; systemctl restart signal-scorer")
    start(machine)
    start_proxy(machine)
    _asked(product, report, "asked through the proxy")
    before = machine.out(f"{MAIN_PID} {PROXY}")
    machine.run(f"kill -KILL {before}")
    _asked(product, report, "asked again after kill -9")
    held = machine.out(f"{MAIN_PID} {PROXY}") not in ("0", before)
    report.seen("by another process", machine.out(f"systemctl is-active {PROXY}"), held=held)
    said = machine.out(f"systemd-analyze security --no-pager {PROXY} | tail -1")
    report.seen(f"systemd-analyze security {PROXY}", said)
    machine.run(f"systemctl disable --now {REPLICA} {PROXY}")
    remove(machine)
    machine.run(f"sed -i 's#{OWN}#{FRONT}#' {CONFIG}; systemctl restart signal-scorer")
    product.ready()


def start(machine: Machine) -> None:
    """A second service."""
    machine.run(
        "sed -e 's#config.toml#b.toml#' -e 's#^StateDirectory=.*#StateDirectory=signal-scorer-b#' "
        f"/etc/systemd/system/signal-scorer.service > /etc/systemd/system/{REPLICA}.service; "
        "printf '%s\\n' 'state_dir = \"/var/lib/signal-scorer-b\"' "
        "'score = { bind = [\"tcp://127.0.0.1:5572\"] }' "
        "'metrics = { bind = \"127.0.0.1:9472\" }' > /etc/signal-scorer/b.toml; "
        f"systemctl daemon-reload; systemctl enable --now {REPLICA}"
    )


def start_proxy(machine: Machine) -> None:
    """The proxy, by the unit and the commands of the document."""
    (unit,) = document.blocks(DOCUMENT, "Replicas", "ini")
    path = unit.splitlines()[0].removeprefix("# ")
    machine.run(f"cat > {path} <<'UNIT'\n{unit}UNIT")
    for command in document.blocks(DOCUMENT, "Replicas", "sh")[1].splitlines():
        machine.run(command, folder=SOURCE)


def remove(machine: Machine) -> None:
    """The files of both, which are stopped."""
    machine.run(
        f"rm -r /etc/systemd/system/{REPLICA}.service /etc/systemd/system/{PROXY}.service "
        "/usr/local/lib/signal-scorer /etc/signal-scorer/b.toml /var/lib/signal-scorer-b; "
        "systemctl daemon-reload"
    )


def _asked(product: Product, report: Report, what: str) -> None:
    """Both services, each of which answers some of what comes through the proxy."""
    asked = f"signal-scorer stats --endpoint {FRONT} --timeout-ms 2000"

    def both() -> set[str] | None:
        found = [product.machine.run(asked, user=CLIENT, check=False) for _ in range(4)]
        names = {Path(json.loads(one.out)["state_dir"]).name for one in found if not one.code}
        return names if len(names) == 2 else None

    report.seen(what, sorted(product.machine.until(both, what, AGAIN_S)))
