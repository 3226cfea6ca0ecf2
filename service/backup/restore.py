"""`restore`: a verified backup put in place of what is there, of which nothing is lost.

The rule: first everything is copied and verified beside its place, then each file moves by one
rename, the models' pointer last. What was there goes into a folder `before-restore-TIME`. The
locks of service and trainer are held meanwhile, so that neither starts in between. As root it is
done for the users that own the folders, of which none is trusted.
"""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from itertools import chain, count
from pathlib import Path
from typing import NamedTuple

from protocol.manifest import MANIFEST_NAME, POINTER_NAME
from service import mode_file
from service.backup import listing
from service.backup.listing import BackupError, SavedManifest
from service.backup.place import Place
from service.config.settings import Config
from service.console import exit_codes
from service.errors import remedy
from service.files import presence
from service.files.durable import LockHeld, Step, TrainerLock, named, no_step
from service.files.locks import HeldError, hold, lock_of
from service.files.owned_folder import as_owner_of, give, opened
from service.journal.file import refuse_foreign, refuse_irregular, shm_of, wal_of
from service.journal.score_table import insert_scores, spooled_scores
from service.journal.spool import spool_path
from service.model.history import HISTORY_NAME

ASIDE = "before-restore"


class Restored(NamedTuple):
    """What was put in place, where that lies now which was there, and folders that were made."""

    manifest: SavedManifest
    aside: tuple[Path, ...]
    made: tuple[Path, ...]


def restore(
    config: Config, folder: Path, *, force: bool, now_s: float, step: Step = no_step
) -> Restored:
    """Verify a backup and put it in place. Raises BackupError, before anything was changed
    unless the disk fails half way; then the same with `force` completes it."""
    manifest = listing.read(folder)
    listing.verify(folder, manifest)
    with ExitStack() as stack:
        with _failing("nothing was restored and nothing replaced"):
            roots = (config.journal_path.parent, config.path("."), config.models_dir)
            if not all(presence.exists(root) for root in roots):  # refused, it makes none
                _refuse_existing(config, manifest, force=force)
            made = tuple(sorted({root for root in roots if not presence.exists(root)}))
            journal, state, models = _places(roots, step, stack)
            stack.enter_context(_nobody_at_work(config, journal, models))
            _refuse_existing(config, manifest, force=force)
            places = list(dict.fromkeys((journal, state, models)))
            stamp = _free_stamp(places, now_s)
            for place in places:
                place.aside = f"{ASIDE}-{stamp}"
                place.clean()
                stack.callback(_tidy, place)
            _stage(folder, manifest, config, journal, state, models)
        with _failing("restore ended half way, nothing is lost, and --force completes it"):
            _journal(config, manifest, journal)
            _mode(manifest, state)
            _models(manifest, models)
        kept = [place.kept for place in places]
        return Restored(manifest, tuple(sorted(path for path in kept if path)), made)


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


def _places(roots: Iterable[Path], step: Step, stack: ExitStack) -> Iterator[Place]:
    """One for each folder, made where it is missing; the same for two names of one folder."""
    places: dict[tuple[int, int], Place] = {}
    for root in roots:
        folder = stack.enter_context(opened(root, make=True))
        status = os.fstat(folder)
        key = status.st_dev, status.st_ino
        if key not in places:
            places[key] = stack.enter_context(Place(root, folder, step))
        yield places[key]


@contextmanager
def _nobody_at_work(config: Config, journal: Place, models: Place) -> Iterator[None]:
    """Hold the service's lock and the trainer's. Raises BackupError where either is at work."""
    path = config.journal_path
    lock = lock_of(path)
    try:
        descriptor = hold(Path(lock.name), folder=journal.folder)
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
        with named(lock):
            give(descriptor, journal.folder)
        with TrainerLock(config.models_dir, models.folder) as trainer:
            with named(config.models_dir / ".lock"):
                give(trainer.descriptor, models.folder)
            yield
    except LockHeld as error:
        raise BackupError(str(error), exit_codes.TRY_LATER) from None
    finally:
        os.close(descriptor)


def _free_stamp(places: Iterable[Place], now_s: float) -> str:
    """The time, with a number behind it where an earlier restore has its folder aside."""
    time = f"{datetime.fromtimestamp(now_s, UTC):%Y%m%dT%H%M%SZ}"
    stamps = chain([time], (f"{time}-{number}" for number in count(2)))
    return next(
        stamp for stamp in stamps if not any(place.has(f"{ASIDE}-{stamp}") for place in places)
    )


def _refuse_existing(config: Config, manifest: SavedManifest, *, force: bool) -> None:
    if listing.JOURNAL in manifest.files:
        _refuse_link(config.journal_path)
    there = []
    if listing.JOURNAL in manifest.files and presence.exists(config.journal_path):
        there.append(config.journal_path)
    if f"{listing.MODELS}/{POINTER_NAME}" in manifest.files:
        there += [path for path in [config.models_dir / POINTER_NAME] if presence.exists(path)]
    if there and not force:
        raise BackupError(
            f"{' and '.join(map(str, there))} would be replaced; --force does it and keeps what "
            f"is there in a folder {ASIDE}-TIME beside it",
            exit_codes.CANT_CREATE,
        )


def _refuse_link(journal: Path) -> None:
    """The journal would lie in the link's place, on a disk that was not chosen for it."""
    with suppress(FileNotFoundError, NotADirectoryError):
        if stat.S_ISLNK(journal.lstat().st_mode):
            raise BackupError(
                f"{journal} is a link, and a restore would put a file in its place; let "
                "journal.path name what it leads to, and move the -spool beside it, if there is "
                "one, to that",
                exit_codes.CANT_CREATE,
            )


def _stage(
    folder: Path,
    manifest: SavedManifest,
    config: Config,
    journal: Place,
    state: Place,
    models: Place,
) -> None:
    for name, entry in manifest.files.items():
        if name == listing.JOURNAL:
            journal.stage(folder / name, config.journal_path.name, entry, 0o640)
        elif name == listing.MODE:
            # The service obeys no command that others than its user could have written.
            state.stage(folder / name, mode_file.FILE_NAME, entry, 0o644)
        elif name.startswith(f"{listing.MODELS}/"):
            # The service, which is another user than the trainer, reads them.
            models.stage(folder / name, name.removeprefix(f"{listing.MODELS}/"), entry, 0o644)


def _journal(config: Config, manifest: SavedManifest, place: Place) -> None:
    if listing.JOURNAL not in manifest.files:
        return
    path = config.journal_path
    if presence.exists(path):
        _complete(path, place.folder)
    # A WAL belongs to its own file, and so do spooled scores: beside another one they would be
    # applied to that.
    for part in (wal_of(path), shm_of(path), spool_path(path)):
        place.move_aside(part.name)
    place.keep(path.name)
    place.put(path.name)


def _complete(path: Path, folder: int) -> None:
    """Move what is in the spool and the WAL into the journal; where that fails they lie aside.

    SQLite follows links, and makes a file where one leads to none."""
    with suppress(sqlite3.Error, OSError), as_owner_of(folder):
        refuse_irregular(path)
        connection = sqlite3.connect(path, timeout=2.0)
        try:
            with connection:
                connection.execute("BEGIN IMMEDIATE")  # nobody alters the schema from here on
                refuse_foreign(connection)
                insert_scores(connection, spooled_scores(path)[0])
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        finally:
            connection.close()


def _mode(manifest: SavedManifest, place: Place) -> None:
    if listing.MODE in manifest.files:
        place.keep(mode_file.FILE_NAME)
        place.put(mode_file.FILE_NAME)


def _models(manifest: SavedManifest, place: Place) -> None:
    """Bundles first, the pointer last; models that are not in the backup stay."""
    models = {
        name.removeprefix(f"{listing.MODELS}/"): entry
        for name, entry in manifest.files.items()
        if name.startswith(f"{listing.MODELS}/")
    }
    for version in sorted(
        name.split("/")[0] for name in models if name.endswith(f"/{MANIFEST_NAME}")
    ):
        files = {
            name.removeprefix(f"{version}/"): entry
            for name, entry in models.items()
            if name.startswith(f"{version}/")
        }
        if not place.holds(version, files):  # it never changes
            place.move_aside(version)
            place.put_folder(version)
    for name in (HISTORY_NAME, POINTER_NAME):
        if name in models:
            place.keep(name)
            place.put(name)
