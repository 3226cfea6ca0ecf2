"""Another release while Elite Guard asks on, a release that does not start, and the way out."""

from __future__ import annotations

import json
from subprocess import Popen, TimeoutExpired

import replicas
from machine import Machine
from product import CLIENT, INSIDE, PYTHON, SOURCE, STATE, Product
from replicas import MAIN_PID, PROXY, REPLICA
from report import Report

BUDGET_MS = 5000
ENDED_S = 60.0
WHEELS = "/var/tmp/wheels"
NEWER = "/srv/newer"
BROKEN = "/srv/broken"
TEXTFILES = "/var/lib/prometheus/node-exporter-scorer"


def look(product: Product, report: Report) -> None:
    """All of it; leaves the product removed."""
    _wheels(product, report)
    _under_load(product, report)
    _broken(product, report)
    _not_started(product, report)
    _changed_unit(product, report)


def _wheels(product: Product, report: Report) -> None:
    done = product.machine.run(
        f"{PYTHON} -m pip download --quiet --require-hashes --only-binary :all: -d {WHEELS} "
        f"-r {SOURCE}/requirements/training.txt -r {SOURCE}/requirements/build.txt"
    )
    count = product.machine.out(f"ls {WHEELS} | wc -l")
    report.seen("wheels for a machine without network", f"{count} files in {done.took_s:.0f} s")


def _under_load(product: Product, report: Report) -> None:
    machine = product.machine
    machine.run(
        f"cp -a {SOURCE} {NEWER};"
        f"sed -i 's/^version = .*/version = \"0.1.99\"/' {NEWER}/pyproject.toml"
    )
    before = product.pid()
    with product.feed():
        product.warm()
        with machine.running(_load("upgrade"), user=CLIENT) as asking:
            installed = machine.run(f"unshare --net sh {NEWER}/deploy/install.sh --wheels {WHEELS}")
            said = _said(machine, asking)
    release = machine.out("readlink /opt/signal-scorer/current")
    held = "0.1.99" in release and product.pid() != before
    report.seen("upgrade without network", f"{installed.took_s:.0f} s, {release}", held=held)
    _judge(product, report, "upgrade", said)


def _broken(product: Product, report: Report) -> None:
    """A release that does not come up: the one before serves on."""
    machine = product.machine
    # It can be loaded: what cannot is no release.
    fault = "def serve(*_): raise SystemExit(3)"
    machine.run(f"cp -a {NEWER} {BROKEN}; echo '{fault}' >> {BROKEN}/service/serve.py")
    before = machine.out("readlink /opt/signal-scorer/current")
    with machine.running(_load("broken"), user=CLIENT) as asking:
        failed = machine.run(f"sh {BROKEN}/deploy/install.sh --wheels {WHEELS}", check=False)
        product.ready()
        said = _said(machine, asking)
    last = failed.out.splitlines()[-1]
    held = failed.code == 1 and machine.out("readlink /opt/signal-scorer/current") == before
    report.seen("a release that does not start", last, held=held)
    report.seen("requests meanwhile", said, held=said["asked"] > 0)
    # With `current` on the broken one what runs is the only one known to start.
    install = f"sh {BROKEN}/deploy/install.sh --wheels {WHEELS}"
    machine.run(f"{install} --no-start")
    failed = machine.run(install, check=False)
    product.ready()
    held = failed.code == 1 and machine.out("readlink /opt/signal-scorer/current") == before
    report.seen("the same after --no-start", failed.out.splitlines()[-1], held=held)


def _not_started(product: Product, report: Report) -> None:
    """A release that was installed without a start is not taken for the one that runs."""
    machine, before = product.machine, product.pid()
    replicas.start(machine)
    replica = machine.out(f"{MAIN_PID} {REPLICA}")
    first = machine.out("signal-scorer mode")
    said = machine.out("signal-scorer mode --config /etc/signal-scorer/b.toml shadow")
    held = "served from now on" in said and machine.out("signal-scorer mode") == first
    report.seen("a copy's mode is its own", said, held=held)
    install = f"sh {SOURCE}/deploy/install.sh --wheels {WHEELS}"
    machine.run(f"{install} --no-start")
    left = product.pid() == before
    said = machine.run(install).out.splitlines()[0]
    product.ready()
    report.seen("installed without a start, then with", said, held=left and product.pid() != before)
    runs = machine.out(f"tr '\\0' ' ' < /proc/$({MAIN_PID} {REPLICA})/cmdline")
    current = machine.out("readlink /opt/signal-scorer/current")
    held = machine.out(f"{MAIN_PID} {REPLICA}") != replica and runs.startswith(current)
    report.seen("a copy of the unit was restarted too", runs, held=held)
    machine.run(f"systemctl disable --now {REPLICA}; rm -rf /etc/systemd/system/{REPLICA}.service")
    machine.run("rm -rf /etc/signal-scorer/b.toml /var/lib/signal-scorer-b")


def _changed_unit(product: Product, report: Report) -> None:
    """A release may run on while its unit has changed: a start is then owed, and only one."""
    machine, before = product.machine, product.pid()
    install = f"sh {SOURCE}/deploy/install.sh --wheels {WHEELS}"
    machine.run("echo '# of an earlier checkout' >> /etc/systemd/system/signal-scorer.service")
    machine.run(f"{install} --no-start")
    left = product.pid() == before
    machine.run(install)
    product.ready()
    owed = product.pid()
    said = machine.run(install).out.splitlines()[0]
    held = left and owed != before and product.pid() == owed
    report.seen("its unit alone changed, without a start, then with", said, held=held)


def _load(tag: str) -> str:
    return f"{PYTHON} {INSIDE}/load.py {tag} {BUDGET_MS}"


def _said(machine: Machine, asking: Popen[str]) -> dict[str, object]:
    """End the load; what it counted."""
    pattern = f"'^{PYTHON} {INSIDE}/load.py'"
    machine.run(f"pkill -TERM -f {pattern}")
    try:
        out, _ = asking.communicate(timeout=ENDED_S)
    except TimeoutExpired:
        # It shows where it stands, before it is ended.
        machine.run(f"pkill -USR1 -f {pattern}; sleep 1; pkill -KILL -f {pattern}", check=False)
        out, _ = asking.communicate(timeout=ENDED_S)
        raise AssertionError(f"the client did not end on SIGTERM: {out}") from None
    return dict(json.loads(out.strip().splitlines()[-1]))


def _judge(product: Product, report: Report, tag: str, said: dict[str, object]) -> None:
    query = (
        "SELECT count(*), count(DISTINCT signal_id) FROM scores "
        f"WHERE signal_id LIKE '{tag}!_%' ESCAPE '!'"
    )
    kept = product.rows(query)
    asked = said["asked"]
    lost = dict(said["statuses"]).get("unreachable", 0)  # type: ignore[call-overload]
    held = lost == 0 and kept == f"[({asked}, {asked})]"
    seen = f"{said}, budget {BUDGET_MS} ms; rows and signals in the journal {kept}"
    report.seen("no request was lost, none scored twice", seen, held=held)


def remove(product: Product, report: Report) -> None:
    """Uninstall, look what is left, install again."""
    machine = product.machine
    product.answered()
    served = _version(product)
    machine.run("systemctl stop signal-scorer")
    replicas.start(machine)
    replicas.start_proxy(machine)
    machine.run(f"mkdir -p {TEXTFILES} && touch {TEXTFILES}/signal_scorer_train.prom")
    sums = f"cd / && find {STATE} /etc/signal-scorer -type f | LC_ALL=C sort | xargs sha256sum"
    before = machine.out(sums)
    said = machine.run(f"sh {SOURCE}/deploy/install.sh --uninstall")
    same = machine.out(sums) == before
    report.seen(
        "uninstall",
        f"{len(before.splitlines())} files of data left as they were: {same}",
        held=same,
    )
    copies = f"{REPLICA} {PROXY}"
    ran = machine.run(f"systemctl is-active {copies}; systemctl is-enabled {copies}", check=False)
    words = ran.out.split()
    held = words == ["inactive", "inactive", "disabled", "disabled"]
    report.seen("the copy of the unit and the proxy", words, held=held)
    replicas.remove(machine)
    left = machine.out(
        "find / -xdev \\( -path /srv -o -path /proc -o -path /var/log -o -path /var/backups \\) "
        "-prune -o "
        "\\( -name '*signal-scorer*' -o -name 'signal_scorer*.prom' \\) -print | "
        "grep -v -e ^/var/lib/signal -e ^/etc/signal || true"
    )
    report.seen("else left", left or "nothing", held=not left)
    report.seen("says", said.out.splitlines()[0])
    machine.run(f"sh {SOURCE}/deploy/install.sh")
    report.seen("installed again, serves", _version(product), held=_version(product) == served)


def _version(product: Product) -> str:
    model = product.ready()["model"]
    return model["version"] if model else "base scores"
