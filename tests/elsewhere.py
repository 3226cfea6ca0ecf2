"""The commands of the documents that the test suite does not give, why, and what gives them.

One entry a command or a family of them. `runs_in` is the make target whose programs give it, or
the test of this suite that does; `as_` is how it stands there, or nothing where each has to stand
there as the document writes it, unless NOWHERE names it. `make` targets are only looked up.
"""

from __future__ import annotations

import re
import subprocess
from functools import cache
from typing import NamedTuple

from documents import ROOT


class Elsewhere(NamedTuple):
    """Commands that match `command` (from their beginning) are given by `runs_in`."""

    command: str
    why: str
    runs_in: str
    as_: str


ELSEWHERE = (
    Elsewhere(
        r"signal-scorer config --check && systemctl reload",
        "needs a booted systemd; a SIGHUP is sent by the test",
        "tests/integration/test_reload.py",
        "SIGHUP",
    ),
    Elsewhere(
        r"signal-scorer mode --config /etc/signal-scorer/b\.toml ",
        "needs a second service",
        "test-deploy",
        "signal-scorer mode --config",
    ),
    Elsewhere(
        r"signal-scorer restore --force ",
        "wants a service that is stopped",
        "tests/integration/test_backup.py",
        '"restore", "--force"',
    ),
    Elsewhere(
        r"signal-scorer-train backfill .* --backend dask",
        "needs a Dask cluster",
        "tests/integration/test_dask.py",
        "scheduler",
    ),
    Elsewhere(
        r"systemctl (daemon-reload|enable --now signal-scorer-(b|proxy))$",
        "needs a booted systemd; the document's blocks are run there as they stand",
        "test-deploy",
        'document.blocks(DOCUMENT, "Replicas", "sh")',
    ),
    Elsewhere(
        r"(systemctl|journalctl|systemd-analyze) ", "needs a booted systemd", "test-deploy", ""
    ),
    Elsewhere(
        r"curl -s http://127\.0\.0\.1:9100/",
        "needs a node exporter; what it shows of our files is used",
        "test-watch",
        "prometheus.textfiles",
    ),
    Elsewhere(
        r"(apt-get|sh deploy/install\.sh)( |$)",
        "needs root and a booted systemd",
        "test-deploy",
        "docs/install.md",
    ),
    Elsewhere(
        r"docker (compose|tag|image) ",
        "needs a container engine; the file is read and the image is run without one",
        "test-deploy",
        "compose.yaml",
    ),
    Elsewhere(
        r"docker run --rm --user 0 .* restore --force ",
        "needs a container engine; taken from the document it is run by buildah",
        "test-deploy",
        "docker run",
    ),
    Elsewhere(
        r"apt install prometheus", "needs root; what comes of it is used", "test-alerts", "promtool"
    ),
    Elsewhere(
        r"install -D -m 0644 deploy/proxy\.py ",
        "needs root and a booted systemd",
        "test-deploy",
        'document.blocks(DOCUMENT, "Replicas", "sh")',
    ),
    Elsewhere(
        r"cd /var/lib/signal-scorer && d=damaged-\$\(date \+%s\) && mkdir \$d && mv ",
        "wants a journal that is damaged",
        "tests/integration/test_runbook.py",
        "d=damaged-",
    ),
    Elsewhere(
        r"cd /var/lib/signal-scorer && mkdir -p -m 0750 models && ",
        "wants root, and models that are gone",
        "tests/integration/test_runbook.py",
        "mkdir",
    ),
    Elsewhere(
        r"sqlite3 journal\.db \.recover ",
        "wants a journal that is damaged",
        "tests/integration/test_journals.py",
        "sqlite3 journal.db .recover",
    ),
    Elsewhere(r"pip install ", "needs a package index, half a minute", "check-client", '"install"'),
    Elsewhere(
        r"python scripts/evidence.py edge --heavier-base-score",
        "minutes",
        "evidence-edge",
        "heavier-base-score",
    ),
    Elsewhere(r"pytest ", "is this suite", "tests/integration/test_no_future.py", "def test_"),
)

NOWHERE = {
    "journalctl -k | grep -i oom": "a booted container has no kernel log",
    "systemctl disable --now signal-scorer": "what --uninstall does, which is tried, goes further",
    "systemctl edit signal-scorer": "opens an editor",
    "systemctl edit signal-scorer-train": "opens an editor",
    "systemctl enable systemd-time-wait-sync": "a booted container has its host's clock",
    "systemctl list-timers | grep signal-scorer": "tried with options that keep it short",
    "systemctl reload prometheus": "no Prometheus is there; test-watch starts one of its own",
    "systemctl restart prometheus-node-exporter": "none is there; test-watch starts one of its own",
    "systemctl start signal-scorer-train signal-scorer-monitor": "each is started by itself",
}
"""Commands of systemd that no program gives as they stand, and why."""


def elsewhere(command: str) -> Elsewhere | None:
    """The entry of a command; None where the suite is to give it."""
    return next((one for one in ELSEWHERE if re.match(one.command, command)), None)


@cache
def targets() -> frozenset[str]:
    """The make targets."""
    text = (ROOT / "Makefile").read_text("utf-8")
    return frozenset(
        name for line in re.findall(r"^([a-z][\w \-]*):", text, re.M) for name in line.split()
    )


@cache
def programs_of(runs_in: str) -> str:
    """The text of a test, or of all files of this project that a make target starts."""
    if runs_in not in targets():
        return (ROOT / runs_in).read_text("utf-8")
    told = subprocess.run(
        # With an interpreter given, make does not try all there are.
        ["make", "--dry-run", "--always-make", "PYTHON=python3", runs_in],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    started = {ROOT / name for name in re.findall(r"(?:scripts|tests|deploy)/[\w/.\-]+", told)}
    within = {file for path in started if path.is_dir() for file in path.glob("*.py")}
    files = sorted(path for path in started | within if path.is_file())
    return told + "".join(path.read_text("utf-8") for path in files)
