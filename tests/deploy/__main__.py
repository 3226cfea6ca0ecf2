"""`make test-deploy`: the product on a real Debian under a real systemd, and in its image.

    python3 tests/deploy [--cache DIR] [--suite NAME] [--only PART]...

Makes a root file system (kept in the cache), boots it, follows docs/install.md in it, and looks
at everything that the operator counts on, printing what was seen. Root on a Debian is needed; what
is missing is installed by apt. Only the standard library is used: it runs before any setup.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import backup
import document
import host
import image
import replicas
import rootfs
import supervision
import trainer
import upgrade
from machine import Machine, booted
from product import SOURCE, Product
from report import Report

PROJECT = Path(__file__).resolve().parents[2]
PARTS = (
    "document",
    "supervision",
    "trainer",
    "backup",
    "replicas",
    "upgrade",
    "uninstall",
    "image",
)
NOT_TRIED = 77
"""As automake has it: neither held nor failed."""


def main() -> int:
    """Run the parts; 0 where all held, 1 where not, 77 where nothing could be tried."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--cache", type=Path, default=host.cache_folder())
    options.add_argument("--suite", help="boot this release of Debian; by default the host's own")
    options.add_argument("--only", action="append", choices=PARTS, help="repeatable")
    given = options.parse_args()
    try:
        host.prepare()
    except host.Unsuitable as why:
        print(f"NOTHING WAS TRIED: {why}")
        return NOT_TRIED
    # Ended from outside it powers off and unmounts what it has made.
    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit(143))
    report = Report()
    wanted = given.only or PARTS
    given.cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="run-", dir=given.cache) as scratch:
        if set(wanted) - {"image"}:
            with _machine(given.cache, Path(scratch), given.suite) as machine:
                _booted_parts(Product(machine), report, wanted)
        if "image" in wanted:
            with report.part("The image"):
                image.look(PROJECT, given.cache, Path(scratch), report)
    return report.verdict()


def _booted_parts(product: Product, report: Report, wanted: tuple[str, ...]) -> None:
    with report.part("As a new user: docs/install.md on a bare Debian"):
        _refusals(product, report)
        _follow_document(product, report)
        product.introduce_users()
    looks = {
        "supervision": ("Under systemd", supervision.look),
        "trainer": ("The trainer", trainer.look),
        "backup": ("Backup and restore", backup.look),
        "replicas": ("Two services and their proxy", replicas.look),
        "upgrade": ("Upgrades", upgrade.look),
        "uninstall": ("Uninstalled", upgrade.remove),
    }
    for name, (title, look) in looks.items():
        if name in wanted:
            with report.part(title):
                look(product, report)


def _refusals(product: Product, report: Report) -> None:
    """What cannot be done is said in a sentence, and nothing is changed."""
    install = f"sh {SOURCE}/deploy/install.sh"
    cases = {
        "as another user": ("setpriv --reuid 65534 " + install, "as root"),
        "without systemd": ("unshare --mount sh -c 'umount -l /run && " + install + "'", "systemd"),
        "without Python": (install, "apt-get install python3-venv"),
    }
    for what, (command, word) in cases.items():
        done = product.machine.run(command, check=False)
        report.seen(what, done.out, held=done.code == 1 and word in done.out)


def _follow_document(product: Product, report: Report) -> None:
    """The commands as they stand there, from the first to the score."""
    commands = document.commands(PROJECT / "docs" / "install.md", "Five commands")
    report.seen("commands", len(commands), held=len(commands) <= 5)
    for command in commands:
        done = product.machine.run(command, folder=SOURCE)
        last = done.out.splitlines()[-1] if done.out else ""
        report.seen(f"$ {command}", f"{last} ({done.took_s:.0f} s)")
    scored = "base 75 -> final" in done.out
    report.seen("a signal is scored", done.out.splitlines()[0], held=scored)


@contextmanager
def _machine(cache: Path, scratch: Path, suite: str | None) -> Iterator[Machine]:
    base = rootfs.base(cache, "machine", suite=suite)
    with rootfs.writable(base, scratch / "machine", sources=suite is None) as root:
        host.copy_project(PROJECT, root / SOURCE.lstrip("/"))
        with booted(root, f"scorer-{os.getpid()}", scratch / "console.log") as machine:
            yield machine


if __name__ == "__main__":
    sys.exit(main())
