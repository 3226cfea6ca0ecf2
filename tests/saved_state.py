"""State directories to be saved and put back, and what is in them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from builders import model_of, small_model
from command import Done, invoke
from journals import stored
from serving import rows

from service.backup.restore import restore
from service.config.load import Sourced, load
from service.journal.records import EventRow

SCHEMAS = Path(__file__).resolve().parent / "schemas"
NOW_S = 1_757_944_800.0


def sourced(state: Path, **values: str) -> Sourced:
    environ = {f"SIGNAL_SCORER_{key}": value for key, value in values.items()}
    return load(environ={"SIGNAL_SCORER_STATE_DIR": str(state)} | environ)


def write_event(state: Path, kind: str) -> None:
    stored(state / "journal.db", [EventRow(at=NOW_S, kind=kind, detail={})])


def kinds(journal: Path) -> list[str]:
    return [row["kind"] for row in rows(journal, "SELECT kind FROM events ORDER BY seq")]


def everywhere(state: Path) -> list[list[str]]:
    """What each journal holds that lies below a folder and is not on its way there."""
    return [kinds(path) for path in state.rglob("journal.db") if "incoming" not in str(path)]


def version_of(models: Path) -> str:
    """The current model, verified as the service does it."""
    return model_of(models).version


def a_state(state: Path, kind: str, seed: int) -> str:
    """A state directory with an event and a model; returns the model's version."""
    write_event(state, kind)
    return small_model(state / "models", seed, now_s=NOW_S + seed)


def put_back(state: Path, backup: Path, *, force: bool = False, now_s: float = NOW_S) -> Any:
    return restore(sourced(state).config, backup, force=force, now_s=now_s)


def turned(path: Path) -> None:
    """One bit of a file is another one."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def run(*arguments: str, state: Path) -> Done:
    return invoke(*arguments, STATE_DIR=str(state))
