"""`restore`: a verified backup put in place of what is there, of which nothing is lost.

The rule: first everything is copied and verified beside its place, then each file moves by one
rename, the models' pointer last. What was there goes into a folder `before-restore-TIME`. The
locks of service and trainer are held meanwhile, so that neither starts in between.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from itertools import chain, count
from pathlib import Path
from typing import NamedTuple

from protocol.manifest import MANIFEST_NAME, POINTER_NAME
from service import backup_manifest as form
from service import exit_codes, mode_file, presence
from service.backup_manifest import BackupError, Manifest
from service.durable import LockHeld, Step, TrainerLock, named, no_step, sync_directory
from service.errors import remedy
from service.history import HISTORY_NAME
from service.journal_file import shm_of, wal_of
from service.locks import HeldError, hold
from service.regular_file import open_regular
from service.score_table import insert_scores, spooled_scores
from service.settings import Config
from service.spool import spool_path

STAGED = ".restore-incoming"
ASIDE = "before-restore"


class Restored(NamedTuple):
    """What was put in place, where that lies now which was there, and folders that were made."""

    manifest: Manifest
    aside: tuple[Path, ...]
    made: tuple[Path, ...]


class Place:
    """A folder that files are put into: staged beside their place, then moved there."""

    def __init__(self, root: Path, stamp: str, step: Step) -> None:
        self.root = root
        self.staged = root / STAGED
        self.aside = root / f"{ASIDE}-{stamp}"
        self._step = step

    def stage(self, source: Path, name: str, entry: form.Entry, mode: int) -> None:
        """Copy one file beside its place, and see that it is the one that was saved."""
        self._step(f"stage {name}")
        path = self.staged / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with named(path), open_regular(source) as file, path.open("xb") as copy:
            found = form.copy(file, copy.write)
            copy.flush()
            os.fsync(copy.fileno())
        if found != entry:
            raise BackupError(f"{source} is not the file that was saved; take another backup")
        path.chmod(mode)
        _give_to_owner_of(self.root, path)

    def keep(self, name: str) -> None:
        """Let what is in the place lie in the folder aside as well."""
        path = self.root / name
        if not _is_there(path):
            return
        self._step(f"keep {name}")
        self.aside.mkdir(exist_ok=True, mode=0o700)
        os.link(path, self.aside / name, follow_symlinks=False)
        sync_directory(self.aside)

    def move_aside(self, name: str) -> None:
        """Take something out of the place."""
        if _is_there(self.root / name):
            self._step(f"move aside {name}")
            self.aside.mkdir(exist_ok=True, mode=0o700)
            (self.root / name).rename(self.aside / name)
            sync_directory(self.aside)

    def put(self, name: str) -> None:
        """Move what is staged to its place, replacing a file of that name at once."""
        self._step(f"put {name}")
        (self.staged / name).rename(self.root / name)
        sync_directory(self.root)

    def clean(self) -> None:
        """Remove what an interrupted restore, or this one, staged."""
        if self.staged.is_symlink():  # nor is one that lies there followed
            self.staged.unlink()
        shutil.rmtree(self.staged, ignore_errors=True)


def restore(
    config: Config, folder: Path, *, force: bool, now_s: float, step: Step = no_step
) -> Restored:
    """Verify a backup and put it in place. Raises BackupError, before anything was changed
    unless the disk fails half way; then the same with `force` completes it."""
    manifest = form.read(folder)
    form.verify(folder, manifest)
    with ExitStack() as stack:
        with _failing("nothing was restored and nothing replaced"):
            roots = (config.journal_path.parent, config.path("."), config.models_dir)
            if not all(presence.exists(root) for root in roots):  # refused, it makes none
                _refuse_existing(config, manifest, force=force)
            made = _make(roots)
            stack.enter_context(_nobody_at_work(config))
            _refuse_existing(config, manifest, force=force)
            stamp = _free_stamp(roots, now_s)
            places = journal, state, models = [Place(root, stamp, step) for root in roots]
            for place in places:
                place.clean()
                stack.callback(_tidy, place)
            _stage(folder, manifest, config, journal, state, models)
        with _failing("restore ended half way, nothing is lost, and --force completes it"):
            _journal(config, manifest, journal)
            _mode(manifest, state)
            _models(manifest, models)
        kept = {place.aside for place in places}
        return Restored(manifest, tuple(sorted(path for path in kept if path.is_dir())), made)


def _tidy(place: Place) -> None:
    with suppress(OSError):  # what is left goes with the next restore
        place.clean()


@contextmanager
def _failing(how: str) -> Iterator[None]:
    """Raises BackupError for an OSError of the block."""
    try:
        yield
    except OSError as error:
        text = f"{how}: {error}; {remedy(error)}"
        raise BackupError(text, exit_codes.CANT_CREATE) from None


def _make(folders: Iterable[Path]) -> tuple[Path, ...]:
    """Those that were not there and are now, with the folders above them."""
    missing = sorted({folder for folder in folders if not presence.exists(folder)})
    for folder in missing:
        made = [path for path in (folder, *folder.parents) if not presence.exists(path)]
        folder.mkdir(parents=True, exist_ok=True)
        for path in reversed(made):
            _give_to_owner_of(path.parent, path)
    return tuple(missing)


@contextmanager
def _nobody_at_work(config: Config) -> Iterator[None]:
    """Hold the service's lock and the trainer's. Raises BackupError where either is at work."""
    path = config.journal_path
    lock = path.with_name(path.name + ".lock")
    try:
        descriptor = hold(lock)
    except OSError as error:
        raise BackupError(
            f"cannot lock {lock}: {error.strerror}; {remedy(error)}",
            exit_codes.CANT_CREATE,
        ) from None
    except HeldError as error:
        raise BackupError(
            f"the service runs (process {error.holder}) and would go on with the old journal; "
            "stop it first: systemctl stop signal-scorer",
            exit_codes.TRY_LATER,
        ) from None
    try:
        _give_to_owner_of(path.parent, lock)
        with TrainerLock(config.models_dir):
            _give_to_owner_of(config.models_dir, config.models_dir / ".lock")
            yield
    except LockHeld as error:
        raise BackupError(str(error), exit_codes.TRY_LATER) from None
    finally:
        os.close(descriptor)


def _free_stamp(roots: Iterable[Path], now_s: float) -> str:
    """The time, with a number behind it where an earlier restore has its folder aside."""
    time = f"{datetime.fromtimestamp(now_s, UTC):%Y%m%dT%H%M%SZ}"
    stamps = chain([time], (f"{time}-{number}" for number in count(2)))
    return next(
        stamp
        for stamp in stamps
        if not any(os.path.lexists(root / f"{ASIDE}-{stamp}") for root in roots)
    )


def _refuse_existing(config: Config, manifest: Manifest, *, force: bool) -> None:
    there = []
    if form.JOURNAL in manifest.files and presence.exists(config.journal_path):
        there.append(config.journal_path)
    if f"{form.MODELS}/{POINTER_NAME}" in manifest.files:
        there += [path for path in [config.models_dir / POINTER_NAME] if presence.exists(path)]
    if there and not force:
        raise BackupError(
            f"{' and '.join(map(str, there))} would be replaced; --force does it and keeps what "
            f"is there in a folder {ASIDE}-TIME beside it",
            exit_codes.CANT_CREATE,
        )


def _stage(
    folder: Path, manifest: Manifest, config: Config, journal: Place, state: Place, models: Place
) -> None:
    for name, entry in manifest.files.items():
        if name == form.JOURNAL:
            journal.stage(folder / name, config.journal_path.name, entry, 0o640)
        elif name == form.MODE:
            # The service obeys no command that others than its user could have written.
            state.stage(folder / name, mode_file.FILE_NAME, entry, 0o644)
        elif name.startswith(f"{form.MODELS}/"):
            # The service, which is another user than the trainer, reads them.
            models.stage(folder / name, name.removeprefix(f"{form.MODELS}/"), entry, 0o644)


def _journal(config: Config, manifest: Manifest, place: Place) -> None:
    if form.JOURNAL not in manifest.files:
        return
    path = config.journal_path
    if presence.exists(path):
        _complete(path)
    # A WAL belongs to its own file, and so do spooled scores: beside another one they would be
    # applied to that.
    for part in (wal_of(path), shm_of(path), spool_path(path)):
        place.move_aside(part.name)
    place.keep(path.name)
    place.put(path.name)


def _complete(path: Path) -> None:
    """Move what is in the spool and the WAL into the journal; where that fails they lie aside."""
    with suppress(sqlite3.Error, OSError):
        connection = sqlite3.connect(path, timeout=2.0)
        try:
            with connection:
                insert_scores(connection, spooled_scores(path)[0])
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        finally:
            connection.close()


def _mode(manifest: Manifest, place: Place) -> None:
    if form.MODE in manifest.files:
        place.keep(mode_file.FILE_NAME)
        place.put(mode_file.FILE_NAME)


def _models(manifest: Manifest, place: Place) -> None:
    """Bundles first, the pointer last; models that are not in the backup stay."""
    names = {name.split("/")[1] for name in manifest.files if name.startswith(f"{form.MODELS}/")}
    versions = {name for name in names if (place.staged / name / MANIFEST_NAME).exists()}
    for version in sorted(versions):
        if _same(place.root / version, place.staged / version):
            continue
        place.move_aside(version)
        _give_to_owner_of(place.root, place.staged / version)
        (place.staged / version).chmod(0o755)
        place.put(version)
    for name in (HISTORY_NAME, POINTER_NAME):
        if name in names:
            place.keep(name)
            place.put(name)


def _is_there(path: Path) -> bool:
    """Whether something would be replaced. Raises OSError where a disk does not tell, of which
    os.path.lexists makes a no."""
    try:
        path.lstat()
    except FileNotFoundError:
        return False
    return True


def _same(ours: Path, theirs: Path) -> bool:
    """Whether a bundle is there already: it never changes, so its files' bytes decide."""
    try:
        return all(
            (ours / path.name).read_bytes() == path.read_bytes() for path in theirs.iterdir()
        )
    except OSError:
        return False


def _give_to_owner_of(folder: Path, path: Path) -> None:
    """Root restores for the users that own the folders."""
    if os.geteuid() == 0:
        status = folder.stat()
        os.chown(path, status.st_uid, status.st_gid, follow_symlinks=False)
