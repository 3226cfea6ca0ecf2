"""What points at a model while another trainer is at work: what to do meanwhile, and then."""

from __future__ import annotations

from pathlib import Path

import pytest
from builders import NOW_S, pointer_of, small_model
from trained import run

from service.files.durable import TrainerLock

MEANWHILE = "`signal-scorer mode shadow` keeps base scores in force meanwhile"


@pytest.fixture
def versions(tmp_path: Path) -> tuple[str, str]:
    """The model before and the one that serves."""
    return tuple(small_model(tmp_path / "models", now_s=NOW_S + n) for n in (0, 60))  # type: ignore[return-value]


def test_a_rollback_is_to_be_given_again_by_its_version(
    tmp_path: Path, versions: tuple[str, str]
) -> None:
    """By then the run may have published: the model before it is the one to be rid of."""
    older, _ = versions
    with TrainerLock(tmp_path / "models"):
        for given in ((), (older,)):
            result = run(tmp_path, "rollback", *given, journal=False)
            assert result.exit_code == 75
            assert MEANWHILE in result.stderr
            assert f"then: signal-scorer-train rollback {older}" in result.stderr
    small_model(tmp_path / "models", now_s=NOW_S + 120)
    assert run(tmp_path, "rollback", older, journal=False).exit_code == 0
    assert pointer_of(tmp_path / "models").version == older


def test_a_pin_is_to_be_given_again(tmp_path: Path, versions: tuple[str, str]) -> None:
    with TrainerLock(tmp_path / "models"):
        result = run(tmp_path, "pin", versions[0], journal=False)
    assert result.exit_code == 75
    assert MEANWHILE in result.stderr
    assert f"then: signal-scorer-train pin {versions[0]}" in result.stderr


def test_a_rollback_to_nothing_and_an_unpinning_have_no_such_advice(tmp_path: Path) -> None:
    small_model(tmp_path / "models")
    with TrainerLock(tmp_path / "models"):
        for command in ("rollback", "unpin"):
            result = run(tmp_path, command, journal=False)
            assert result.exit_code == 75
            assert "try again when it is done" in result.stderr
            assert MEANWHILE not in result.stderr
