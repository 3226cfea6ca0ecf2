"""The report's page on the disk: a copy, so it is whole or the old one, and need not be durable.

The rule: `last-report.html` is that of the last candidate, published or not.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from protocol.manifest import REPORT_NAME
from service.history import Event
from training.publish import published_versions
from training.replacing import may_replace, replace

LAST_REPORT = "last-report.html"


def complete(models_dir: Path, last: Event | None) -> None:
    """Copy the page of the `last` candidate where it was published and a crash came before that."""
    if last is None or last.event != "published" or last.version is None:
        return
    if last.version not in published_versions(models_dir):
        return
    report = models_dir / LAST_REPORT
    with suppress(OSError):
        may_replace(report)
        page = (models_dir / last.version / REPORT_NAME).read_bytes()
        if not report.exists() or report.read_bytes() != page:
            replace(report, page)
