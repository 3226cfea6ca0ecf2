"""Backup while Elite Guard asks, a disk that lost everything, and the way back."""

from __future__ import annotations

import ast

from product import CLIENT, INSIDE, PYTHON, STATE, Product
from report import Report

FOLDER = "/var/backups/signal-scorer"
RESTORE_S = 30


def look(product: Product, report: Report) -> None:
    """All of it; leaves what was backed up in place and served."""
    machine = product.machine
    model = product.ready()["model"]
    first = _scores(product)
    machine.run(f"mkdir -m 700 -p {FOLDER}")
    with machine.running(f"{PYTHON} {INSIDE}/load.py backup 1000", user=CLIENT):
        made = machine.run(f"signal-scorer backup {FOLDER}/one")
    checked = machine.run(f"signal-scorer restore --check {FOLDER}/one").out
    report.seen("backup under load", f"{made.took_s:.1f} s; {checked.splitlines()[-1]}")
    refused = machine.run(f"signal-scorer restore --force {FOLDER}/one", check=False)
    report.seen("restore while it runs: refused", refused.out, held=refused.code == 75)
    before = _scores(product)
    machine.run(
        f"systemctl stop signal-scorer; dd if=/dev/zero of={STATE}/journal.db bs=4096 count=20 "
        f"conv=notrunc status=none; rm -r {STATE}/models/2*"
    )
    broken = machine.run("systemctl start signal-scorer; signal-scorer health", check=False).out
    report.seen("journal overwritten, models gone", broken, held='"model": null' in broken)
    machine.run("systemctl stop signal-scorer")
    machine.run(f"signal-scorer restore --force {FOLDER}/one")
    machine.run("systemctl start signal-scorer")
    held = product.ready()["model"]["version"] == model["version"]
    report.seen("restored, the same model serves", product.ready()["model"], held=held)
    after = _scores(product)
    seen = f"{first} before the backup, {before} when it broke, {after} as restored"
    report.seen("scores in the journal", seen, held=0 < first <= after <= before)
    owners = machine.out(
        f"find {STATE} -path '*/before-restore*' -prune -o -type f -printf '%u %f\\n' | sort"
    )
    held = "root" not in owners.replace("root mode.json", "")
    report.seen("files belong to", " ".join(sorted(set(owners.split()[::2]))), held=held)
    _started_meanwhile(product, report)
    trainer = machine.run("systemctl start signal-scorer-train", check=False)
    report.seen("the trainer runs on it", f"exit code {trainer.code}", held=trainer.code == 0)


def _scores(product: Product) -> int:
    [(count,)] = ast.literal_eval(product.rows("SELECT count(*) FROM scores"))
    return int(count)


def _started_meanwhile(product: Product, report: Report) -> None:
    """A service that is started while a restore is at work, here a lock that is held as long."""
    machine = product.machine
    machine.run("systemctl stop signal-scorer")
    machine.run(
        f"flock {STATE}/journal.db.lock "
        f"sh -c 'systemctl start --no-block signal-scorer; sleep {RESTORE_S}'"
    )
    product.ready()
    restarts = product.unit("NRestarts")["NRestarts"]
    report.seen(f"started during a restore of {RESTORE_S} s", f"serves after {restarts} restarts")
