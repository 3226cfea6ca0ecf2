"""System calls that fail for real, one at a time, by strace: what no disk does on request.

Elsewhere than on Linux with strace they skip, saying so.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from builders import NOW_S, small_model, write_draft
from command import invoke
from saved_state import version_of
from scored_journal import write_journal

from service import mode_file
from service.backup import listing
from service.files.durable import TrainerLock
from service.keygen import keygen
from service.model.history import read_history
from training.models.publish import current_pointer, published_versions
from training.models.registry import pin

LOOK = """
import pathlib, sys
from service.sockets.zap import AllowList
allowed = AllowList(pathlib.Path(sys.argv[1]))
for _ in range(4):
    print(allowed.look(), len(allowed.names), sep=":")
"""
WATCH = """
import pathlib, sys
from service.model.watch import ModelWatch
watch = ModelWatch(pathlib.Path(sys.argv[1]))
for _ in range(int(sys.argv[2])):
    event = watch.poll_once()
    print(type(event).__name__.replace("NoneType", "None"), getattr(event, "reason", ""), sep=":")
"""
PUBLISH = """
import pathlib, pickle, sys
from service.files.durable import TrainerLock
from training.models.publish import publish
from training.options import advice
models, draft = map(pathlib.Path, sys.argv[1:3])
with advice(), TrainerLock(models):
    publish(models, *pickle.loads(draft.read_bytes()), b"", now_s=float(sys.argv[3]), why="test")
"""

BESIDE = """
import pathlib, sys
from training.truth_log.files import unread_beside
print(unread_beside(pathlib.Path(sys.argv[1]), []))
"""
BACKFILL = """
import pathlib, sys
from training.backfill.result import Result
from training.dataset.join_rules import JoinRules
from training.options import advice
with advice(), Result(pathlib.Path(sys.argv[1]), "a market", JoinRules()):
    pass
"""


def fault(
    call: str, error: str, path: Path, *command: str, when: str = "1+"
) -> subprocess.CompletedProcess[str]:
    """Run Python with this; `call` on the file at `path` fails with `error`, the `when`th time."""
    injected = ("-o", os.devnull, "-e", f"inject={call}:error={error}:when={when}")
    return traced(call, path, *injected, sys.executable, *command)


def count(call: str, path: Path, log: Path, *command: str) -> int:
    """How often Python with this makes the call on the file: it depends on Python and its libc."""
    traced(call, path, "-o", str(log), sys.executable, *command).check_returncode()
    return len(log.read_text().splitlines())


def traced(call: str, path: Path, *given: str) -> subprocess.CompletedProcess[str]:
    options = ("-f", "--seccomp-bpf", "-qq", "-P", str(path), "-e", f"trace={call}")
    environ = {k: v for k, v in os.environ.items() if not k.startswith("SIGNAL_SCORER_")}
    environ["PYTHONPATH"] = os.pathsep.join(sys.path)
    return subprocess.run(["strace", *options, *given], capture_output=True, text=True, env=environ)


@pytest.fixture(scope="module", autouse=True)
def _strace() -> None:
    try:
        done = fault("fsync", "EIO", Path("/"), "-c", "print('works')")
    except FileNotFoundError:
        pytest.skip("strace is not there to make system calls fail")
    if done.stdout != "works\n":
        pytest.skip(f"strace may not trace here: {done.stderr}")


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A state directory with a journal and two models."""
    place = tmp_path / "state"
    write_journal(place / "journal.db", 20, edge=0.3)
    for at_s in (0.0, 60.0):
        small_model(place / "models", now_s=NOW_S + at_s)
    return place


def backup(state: Path, target: Path, *call: str, when: str = "1+") -> str:
    """Make a backup that fails; what it says, one line."""
    config = target.with_name("config.toml")
    config.write_text(f'state_dir = "{state}"\n')
    named = ("-m", "service", "backup", "--config", str(config), str(target))
    done = fault(call[0], call[1], Path(call[2]), *named, when=when)
    assert done.returncode in (66, 73), done.stderr
    (line,) = done.stderr.splitlines()
    return line


def test_a_backup_is_none_without_the_pointer_that_it_could_not_read(
    state: Path, tmp_path: Path
) -> None:
    pointer = state / "models" / "CURRENT.json"
    for when in ("1", "3"):  # the end of the file is the second
        if when == "3":  # read once more, as its model is not there
            (pointer.parent / version_of(pointer.parent)).rename(tmp_path / "moved")
        said = backup(state, tmp_path / "saved", "read", "EIO", str(pointer), when=when)
        assert f"cannot read {pointer}: Input/output error" in said
        assert not (tmp_path / "saved").exists()


def test_a_backup_whose_name_may_not_be_on_the_disk_is_taken_back(
    state: Path, tmp_path: Path
) -> None:
    place = tmp_path / "backups"
    place.mkdir()
    said = backup(state, place / "saved", "fsync", "EIO", str(place))
    assert f"cannot write {place / 'saved'}: Input/output error" in said
    assert [path.name for path in place.iterdir()] == ["config.toml"]


def test_a_backup_onto_a_disk_without_locks_is_made(state: Path, tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text(f'state_dir = "{state}"\n')
    # With -D the traced program has the number that the shell had, which is in the copy's name.
    traced = 'exec strace -D -f -qq -o /dev/null -P "$1/.saved.incoming-$$/journal.db"'
    traced += ' -e trace=fcntl -e inject=fcntl:error=ENOLCK "$2" -m service backup'
    command = f'{traced} --config "$1/config.toml" "$1/saved"'
    done = subprocess.run(
        ["sh", "-c", command, "sh", str(tmp_path), sys.executable],
        capture_output=True,
        text=True,
        timeout=60.0,
    )
    assert done.returncode == 0, done.stderr
    listing.verify(tmp_path / "saved", listing.read(tmp_path / "saved"))


def to_be_restored(state: Path, tmp_path: Path) -> tuple[str, ...]:
    """What restores the mode `off` over `shadow`, as arguments of the interpreter: `-m service`
    and the command."""
    config = tmp_path / "config.toml"
    config.write_text(f'state_dir = "{state}"\n')
    saved, option = str(tmp_path / "saved"), ("--config", str(config))
    mode_file.write(state, mode_file.Command("off"))
    assert invoke("backup", *option, saved).returncode == 0
    mode_file.write(state, mode_file.Command("shadow"))
    return ("-m", "service", "restore", *option, "--force", saved)


def test_a_restore_keeps_what_the_disk_does_not_tell_of(state: Path, tmp_path: Path) -> None:
    again = to_be_restored(state, tmp_path)
    # By its name in the open folder.
    done = fault("newfstatat", "EIO", Path(mode_file.FILE_NAME), *again, when="1")
    assert done.returncode == 73, done.stderr
    assert "nothing is lost" in done.stderr
    assert str(state / mode_file.FILE_NAME) in done.stderr
    standing = mode_file.read(state)
    assert standing
    assert standing.mode == "shadow"


def test_a_restore_whose_names_may_not_be_on_the_disk_can_be_completed(
    state: Path, tmp_path: Path
) -> None:
    again = to_be_restored(state, tmp_path)
    done = fault("fsync", "EIO", state, *again)
    assert done.returncode == 73, done.stderr
    (line,) = done.stderr.splitlines()
    assert "nothing is lost, and --force completes it" in line
    assert str(state) in line
    assert invoke(*again[2:]).returncode == 0
    standing = mode_file.read(state)
    assert standing
    assert standing.mode == "off"
    kept = [mode_file.read(folder) for folder in state.glob("before-restore-*")]
    assert "shadow" in [command.mode for command in kept if command]


def test_a_pin_that_cannot_be_read_still_keeps_the_model(state: Path) -> None:
    models = state / "models"
    first, _ = published_versions(models)[::-1]
    with TrainerLock(models):
        pin(models, first, now_s=NOW_S)
    given = (str(models), str(write_draft(state / "draft", 1)), str(NOW_S + 900.0))
    done = fault("read", "EIO", models / "CURRENT.json", "-c", PUBLISH, *given)
    assert done.returncode == 73, done.stderr
    assert f"{models / 'CURRENT.json'}: Input/output error" in done.stderr
    pointer = current_pointer(models)
    assert pointer
    assert (pointer.version, pointer.pinned) == (first, True)


def test_a_model_that_the_disk_does_not_give_is_not_taken_for_none(state: Path) -> None:
    models = state / "models"
    newest = models / published_versions(models)[0]
    given = ("--models", str(models), "--journal", str(state / "journal.db"))
    done = fault("read", "EIO", newest / "forest.npz", "-m", "training", "thresholds", *given)
    assert done.returncode == 73, done.stderr
    assert f"{newest}: Input/output error" in done.stderr


@pytest.mark.parametrize(
    ("call", "error", "name"),
    [
        ("fsync", "EIO", "."),
        ("fsync", "EIO", "CURRENT.json.tmp"),
        ("write", "ENOSPC", "CURRENT.json.tmp"),
        ("flock", "ENOLCK", ".lock"),
    ],
)
def test_what_keeps_a_trainer_from_writing_is_one_line(
    state: Path, call: str, error: str, name: str
) -> None:
    path = state / "models" / name
    given = ("-m", "training", "rollback", "--models", str(state / "models"))
    done = fault(call, error, path, *given)
    assert done.returncode == 73
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"signal-scorer-train: {path}: ")
    assert ("make room there" in line) == (error == "ENOSPC")


@pytest.mark.parametrize("wanted", ["off", "configured"])
def test_a_mode_that_may_not_outlive_a_power_cut_is_not_called_unwritten(
    state: Path, wanted: str
) -> None:
    config = state / "config.toml"
    config.write_text(f'state_dir = "{state}"\n')
    mode_file.write(state, mode_file.Command("shadow"))
    given = ("mode", wanted, "--config", str(config), "--timeout-ms", "50")
    done = fault("fsync", "EIO", state, "-m", "service", *given)
    assert done.returncode == 73
    (line,) = done.stderr.splitlines()
    assert "mode.json is changed, but a power cut may undo it: Input/output error" in line
    assert "cannot write" not in line
    standing = mode_file.read(state)
    assert (standing and standing.mode) == (None if wanted == "configured" else wanted)


def test_a_rollback_that_stands_is_not_to_be_run_again(state: Path) -> None:
    models = state / "models"
    first, _ = published_versions(models)[::-1]
    done = fault("fsync", "EIO", models, "-m", "training", "rollback", "--models", str(models))
    assert done.returncode == 73
    assert "CURRENT.json is changed, but a power cut may undo it" in done.stderr
    assert "run it again" not in done.stderr
    pointer = current_pointer(models)
    assert pointer
    assert pointer.version == first
    newest = read_history(models)[-1]
    assert (newest.event, newest.version) == ("rolled back", first)


def test_a_backfill_that_stands_is_not_called_unwritten(tmp_path: Path) -> None:
    done = fault("fsync", "EIO", tmp_path, "-c", BACKFILL, str(tmp_path / "out.db"))
    assert done.returncode == 73
    (line,) = done.stderr.splitlines()
    assert "out.db is changed, but a power cut may undo it: Input/output error" in line
    assert "cannot write" not in line
    assert [path.name for path in tmp_path.iterdir()] == ["out.db"]


@pytest.mark.parametrize(("call", "error"), [("fsync", "EIO"), ("write", "ENOSPC")])
def test_a_rollback_that_only_the_history_lacks_is_not_to_be_run_again(
    state: Path, call: str, error: str
) -> None:
    models = state / "models"
    first, _ = published_versions(models)[::-1]
    given = ("-m", "training", "rollback", "--models", str(models))
    done = fault(call, error, models / "history.jsonl", *given)
    assert done.returncode == 73
    (line,) = done.stderr.splitlines()
    assert "CURRENT.json is changed, but history.jsonl may not say so" in line
    assert ("make room there" in line) == (error == "ENOSPC")
    assert "run it again" not in line
    pointer = current_pointer(models)
    assert pointer
    assert pointer.version == first


def test_a_rollback_that_neither_disk_nor_history_keeps_says_both(state: Path) -> None:
    models = state / "models"
    (models / "history.jsonl").unlink()
    (models / "history.jsonl").symlink_to("/dev/full")
    done = fault("fsync", "EIO", models, "-m", "training", "rollback", "--models", str(models))
    assert done.returncode == 73
    (line,) = done.stderr.splitlines()
    assert "CURRENT.json is changed, but a power cut may undo it: Input/output error" in line
    assert "history.jsonl may not say so: No space left on device" in line
    assert "run it again" not in line


def test_a_published_model_is_not_to_blame_for_a_disk(tmp_path: Path) -> None:
    models = tmp_path / "models"
    small_model(models)
    # Two looks find the file as it was; in the third it cannot be looked at.
    calls, pointer, watch = "lstat,newfstatat", models / "CURRENT.json", ("-c", WATCH, str(models))
    before = count(calls, pointer, tmp_path / "log", *watch, "2")
    done = fault(calls, "EIO", pointer, *watch, "5", when=str(before + 1))
    assert done.stdout.split() == ["Loaded:", "None:", "Rejected:unreadable", "Loaded:", "None:"]


def test_a_client_is_let_in_once_its_key_can_be_read(tmp_path: Path) -> None:
    made = keygen(tmp_path, "client")
    assert made.client_public
    look = ("-c", LOOK, str(made.clients_dir))
    done = fault("openat", "EMFILE", made.client_public, *look, when="1..2")
    assert done.stdout.split() == ["True:0", "False:0", "True:1", "False:1"]


@pytest.mark.parametrize("name", ["config.toml", "server.key"])
def test_a_configuration_that_the_machine_does_not_let_be_read_is_tried_again(
    tmp_path: Path, name: str
) -> None:
    keygen(tmp_path, None)
    config = tmp_path / "config.toml"
    config.write_text(
        f'state_dir = "{tmp_path}"\n[curve]\nloopback = true\nserver_secret_file = "server.key"\n'
    )
    serve = ("-m", "service", "serve", "--config", str(config))
    for error, code in (("EMFILE", 66), ("EACCES", 78)):
        done = fault("openat", error, tmp_path / name, *serve)
        assert done.returncode == code, done.stderr
        assert f"{tmp_path / name}: " in done.stderr.splitlines()[-1]


@pytest.mark.parametrize("error", ["EIO", "ESTALE"])
def test_what_lies_beside_a_log_on_a_disk_that_fails_is_named(tmp_path: Path, error: str) -> None:
    log, part = tmp_path / "log.jsonl", tmp_path / "log.jsonl.bak"
    part.touch()
    done = fault("newfstatat", error, part, "-c", BESIDE, str(log))
    assert (done.stdout, done.stderr) == (f"{log}: beside it, not read: {part.name}\n", "")
