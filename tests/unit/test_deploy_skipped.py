"""`make test-deploy` where it can try nothing: that is told apart from all having held."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from another_user import NOBODY
from documents import ROOT


def test_without_root_nothing_is_tried_and_that_is_no_success(open_folder: Path) -> None:
    shutil.copytree(ROOT / "tests" / "deploy", open_folder / "deploy")
    found = subprocess.run(
        [Path(sys.base_prefix) / "bin" / "python3", open_folder / "deploy"],
        user=NOBODY if os.geteuid() == 0 else None,
        cwd=open_folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.stdout.startswith("NOTHING WAS TRIED: root is needed"), found.stderr
    assert found.returncode == 77
