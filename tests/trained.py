"""`signal-scorer-train` on the journal and models of a folder, and the history that it keeps."""

from __future__ import annotations

import json
from pathlib import Path

from click.testing import CliRunner, Result
from scored_journal import write_journal

from training.__main__ import main


def give(*arguments: object) -> Result:
    """One command as it is typed; what is not turned into a sentence is raised."""
    return CliRunner().invoke(main, [str(each) for each in arguments], catch_exceptions=False)


def run(place: Path, command: str, *arguments: str, journal: bool = True) -> Result:
    """One command on what lies in the folder."""
    places = ["--models", place / "models"]
    if journal:
        places += ["--journal", place / "journal.db"]
    return give(command, *places, *arguments)


def history(models: Path) -> list[dict[str, object]]:
    """Its events, the oldest first."""
    return [json.loads(line) for line in (models / "history.jsonl").read_text().splitlines()]


def good_and_not_published(report: Path) -> None:
    page = report.read_text()
    assert "Good enough to be published." in page
    assert "Published." not in page


def begin_anew(place: Path, n: int) -> None:
    """The journal with more of the same signals, or fewer."""
    (place / "journal.db").unlink()
    write_journal(place / "journal.db", n, edge=0.3)
