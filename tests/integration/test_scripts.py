"""The programs that `make test` does not run find at least what they import."""

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
