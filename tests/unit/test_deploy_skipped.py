"""`make test-deploy` where it can try nothing: that is told apart from all having held."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from another_user import NOBODY, as_no_root
from documents import ROOT


def test_without_root_nothing_is_tried_and_that_is_no_success(open_folder: Path) -> None:
    # One in root's home, as pyenv's, is closed to others.
    found = [f"{place}/bin/python3" for place in (sys.base_prefix, "/usr", "/usr/local")]
    with as_no_root():
        open_to_all = [python for python in found if os.access(python, os.X_OK, effective_ids=True)]
    if not open_to_all:
        pytest.skip("no Python here that another user may run")
    shutil.copytree(ROOT / "tests" / "deploy", open_folder / "deploy")
    done = subprocess.run(
        [open_to_all[0], open_folder / "deploy"],
        user=NOBODY if os.geteuid() == 0 else None,
        cwd=open_folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.startswith("NOTHING WAS TRIED: root is needed"), done.stderr
    assert done.returncode == 77
