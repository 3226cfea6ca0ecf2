"""Python's collector of cycles: off while the service starts, at work while it serves."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from harness import running

WITNESS = """
import atexit, gc, json, os

@atexit.register
def tell():
    with open(os.environ["WITNESS"], "w") as file:
        json.dump({"enabled": gc.isenabled(), "kept_off": gc.get_freeze_count()}, file)
"""


def test_what_a_start_makes_is_left_alone_and_what_comes_later_is_collected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sitecustomize.py").write_text(WITNESS)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("WITNESS", str(tmp_path / "testimony.json"))
    with running(tmp_path / "state") as service:
        assert service.terminate()[0] == 0
    testimony = json.loads((tmp_path / "testimony.json").read_bytes())
    assert testimony["enabled"]
    assert testimony["kept_off"] > 10_000
