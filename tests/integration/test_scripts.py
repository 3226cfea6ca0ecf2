"""The programs that `make test` does not run: they find what they import, and tell what missed."""

from __future__ import annotations

import subprocess
import sys

from documents import ROOT

NOT_INSTALLED = {"fuzz_coverage"}
"""Wants atheris, which is no dependency."""

IMPORT_ALL = """
import importlib, sys
sys.path.insert(0, "scripts")
for name in sys.argv[1:]:
    importlib.import_module(name)
"""


def test_every_script_can_be_imported() -> None:
    names = {path.stem for path in (ROOT / "scripts").glob("*.py")} - NOT_INSTALLED
    command = [sys.executable, "-c", IMPORT_ALL, *sorted(names)]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr


def test_evidence_whose_targets_are_missed_marks_them_and_ends_with_1() -> None:
    # Three lines are allowed 45 microseconds, in which no command even starts.
    command = [sys.executable, "scripts/evidence_truth.py", "--lines", "3"]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    marked = [line.split()[0] for line in found.stdout.splitlines() if line.endswith("   MISSED")]
    assert marked == ["wall", "rate"] * 2, found.stdout + found.stderr
    assert found.returncode == 1


def test_a_target_that_is_just_reached_is_not_missed() -> None:
    told = """
import sys
sys.path.insert(0, "scripts")
from targets import at_least, at_most, leave, missed
print(at_most(5.0, 5, " %"), at_least(100_000, 100_000), at_most(0.03, 0.03), sep=";", end="")
print(missed(False))
leave()
"""
    found = subprocess.run([sys.executable, "-c", told], cwd=ROOT, capture_output=True, check=True)
    assert found.stdout == b"target <= 5 %;target >= 100,000;target <= 0.03\n"
