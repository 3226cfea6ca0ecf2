"""`backup`: a folder with journal, models and configuration, while everything runs.

The rule: it is written under a name that nobody takes for a backup, flushed, verified and only
then renamed, once; killed at any moment it leaves a backup or none, and one that lacks something
never has the name of a whole one. The journal is copied by SQLite within one read transaction,
which keeps no writer waiting.
"""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
import stat
from contextlib import closing, suppress
from itertools import chain, count
from pathlib import Path
from typing import BinaryIO, NamedTuple

import msgspec

import protocol
from protocol.manifest import FOREST_NAME, MANIFEST_NAME, POINTER_NAME, REPORT_NAME, FileName
from service import mode_file
from service.backup import listing
from service.backup.listing import BackupError, Entry, SavedManifest
from service.config.load import Sourced
from service.console import exit_codes
from service.errors import ModelRejected, RejectReason, remedy
from service.files import presence
from service.files.durable import Step, named, no_step, sync_directory
from service.files.owned_folder import below, make_unshared, opened, without_links
from service.files.regular import open_regular
from service.files.unfinished import beside, remove_dead
from service.journal.file import SCHEMA_VERSION, refuse_foreign
from service.journal.reading import ASK_DOCTOR, JournalUnreadable, open_quietly, schema_of
from service.journal.score_table import insert_scores, spooled_scores
from service.journal.spool import spool_path
from service.model.bundle import MAX_MANIFEST_BYTES, load, machine_faults
from service.model.history import HISTORY_NAME
from service.model.pointer import decode_pointer, read_pointer_bytes

MOST_BYTES = 1 << 30
"""Of a file beside the journal, far above any of ours: one with holes would fill the disk."""

TRIES = 3
"""A model may be published while others are being copied: the next time only it is."""

_OF_THE_COPY = frozenset(
    {
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR_WRITE,
        sqlite3.SQLITE_IOERR_FSYNC,
        sqlite3.SQLITE_IOERR_DIR_FSYNC,
        sqlite3.SQLITE_IOERR_TRUNCATE,
    }
)
"""SQLite's codes for what only the copy can fail with: the journal itself is merely read."""


class Made(NamedTuple):
    """Where the backup lies, what is in it, and what it lacks though the service had it."""

    folder: Path
    manifest: SavedManifest
    missed: str | None


def make(
    sourced: Sourced,
    config_file: Path | None,
    target: Path,
    *,
    now_s: float,
    step: Step = no_step,
) -> Made:
    """Make `target`, which must not be there yet or be empty. Raises BackupError.

    One that lacks something is given a name that nobody counts who removes the oldest: good ones
    may be among those.
    """
    target = _placed(target.absolute())
    work = beside(target)
    try:
        if os.path.lexists(target) and (not presence.is_dir(target) or any(target.iterdir())):
            raise BackupError(
                f"{target} is there already and is not touched; name a new folder, for example "
                "with the date",
                exit_codes.CANT_CREATE,
            )
        # In full size, and a nightly backup never has the same name again.
        remove_dead(target.parent)
        work.mkdir(mode=0o700)
        writer = _Writer(work, step)
        manifest, damaged = _fill(writer, sourced, config_file, now_s)
        listing.verify(work, manifest)
        missed = listing.what_is_missed(work, manifest, sourced.config, damaged=damaged)
        if missed:
            with suppress(OSError):  # where it was there, and empty: it would count for a backup
                target.rmdir()
            target = _apart(target)
        writer.content(listing.NAME, msgspec.json.format(msgspec.json.encode(manifest), indent=1))
        for folder in (path for path in work.rglob("*") if path.is_dir()):
            sync_directory(folder, step)
        sync_directory(work, step)
        step("rename")
        work.rename(target)
        try:
            sync_directory(target.parent, step)
        except OSError:
            # What was said to have failed is not to be found and trusted.
            target.rename(work)
            raise
    except OSError as error:
        read = error.filename and Path(error.filename)
        if read and not read.is_relative_to(work) and read not in work.parents:
            raise BackupError(f"cannot read {read}: {error.strerror}; {remedy(error)}") from None
        raise BackupError(
            f"cannot write {target}: {error.strerror or error}; {remedy(error)}",
            exit_codes.CANT_CREATE,
        ) from None
    except sqlite3.Error as error:
        if getattr(error, "sqlite_errorcode", None) in _OF_THE_COPY:
            raise BackupError(_no_room(target, error), exit_codes.CANT_CREATE) from None
        raise BackupError(
            f"the journal cannot be copied: {error}; `signal-scorer doctor` looks closer"
        ) from None
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return Made(target, manifest, missed)


def _placed(target: Path) -> Path:
    """The same by a path without links, in a folder that is there. SQLite writes by a path, so
    nobody else may lead it elsewhere meanwhile."""
    try:
        folder = without_links(target.parent)
        shared = make_unshared(folder)
    except OSError as error:
        raise BackupError(
            f"cannot write {target}: {error.strerror}; {remedy(error)}", exit_codes.CANT_CREATE
        ) from None
    if shared is not None:
        raise BackupError(
            f"cannot write {target}: another user may write in {shared} and could lead root "
            "elsewhere; name a folder of root's, such as /var/backups/signal-scorer/2026-11-25",
            exit_codes.CANT_CREATE,
        )
    return folder / target.name


def _apart(target: Path) -> Path:
    name = f"incomplete-{target.name}"
    names = chain([name], (f"{name}-{number}" for number in count(2)))
    return next(path for path in map(target.with_name, names) if not os.path.lexists(path))


def _no_room(target: Path, error: sqlite3.Error) -> str:
    if error.sqlite_errorcode == sqlite3.SQLITE_FULL:
        return f"cannot write {target}: no space left; make room on that disk"
    return f"cannot write {target}: {error}"


class _Writer:
    """Writes files below a folder, flushed, and keeps what they are."""

    def __init__(self, folder: Path, step: Step) -> None:
        self.folder = folder
        self.entries: dict[str, Entry] = {}
        self._step = step

    def content(self, name: str, content: bytes) -> None:
        """A file from memory."""
        import io

        self._write(name, io.BytesIO(content))

    def file(self, name: str, source: Path, folder: int | None = None) -> None:
        """A copy of a regular file, from its folder where that is open. Raises OSError."""
        with named(source):
            file = open_regular(source if folder is None else Path(source.name), folder)
        with file:
            size = os.fstat(file.fileno()).st_size
            if size > MOST_BYTES:
                raise BackupError(
                    f"{source} has {size} bytes, which nothing of ours has; move it away"
                )
            self._write(name, file)

    def forget(self, folder: str) -> None:
        """Take back what was written of a folder."""
        for name in [name for name in self.entries if name.startswith(f"{folder}/")]:
            del self.entries[name]
        shutil.rmtree(self.folder / folder, ignore_errors=True)

    def journal(self, source: Path) -> tuple[int, int]:
        """A consistent copy of the journal, in one file.

        Returns its schema, and how many of the scores that wait beside it are not in it.
        """
        path = self.folder / listing.JOURNAL
        # First: what is taken to its table meanwhile is in the copy of that.
        try:
            waiting, left_out = spooled_scores(source)
        except OSError as error:
            raise BackupError(
                f"{spool_path(source)} cannot be read: {error.strerror}; {ASK_DOCTOR}"
            ) from None
        with (
            closing(open_quietly(source)) as reading,
            closing(_private(path)) as writing,
        ):
            _refuse_newer(reading, source)
            self._step(f"copy {listing.JOURNAL}")
            reading.backup(writing)
            refuse_foreign(writing)  # as whoever owns the journal had altered it by then
            # In one transaction: thousands may wait, and each commit waits for the disk.
            with writing:
                left_out += insert_scores(writing, waiting)
            self._step(f"close {listing.JOURNAL}")
            # One file without a WAL beside it: what is copied on is whole.
            (mode,) = writing.execute("PRAGMA journal_mode=DELETE").fetchone()
            if mode != "delete":
                raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))
        path.chmod(0o600)
        self._sync(path)
        try:
            schema = listing.check_journal(path)
        except BackupError as error:  # the copy, which is as the journal is, goes
            said = " ".join(str(error).removeprefix(f"{path} ").partition(";")[0].split())
            raise BackupError(
                f"the copy of {source} {said}; `signal-scorer doctor` says whether the journal is"
            ) from None
        with open_regular(path) as file:
            self.entries[listing.JOURNAL] = listing.copy(file, lambda _chunk: None)
        return schema, left_out

    def _write(self, name: str, source: BinaryIO) -> None:
        self._step(f"write {name}")
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with path.open("wb") as file:
            self.entries[name] = listing.copy(source, file.write)
        path.chmod(0o600)
        self._sync(path)

    def _sync(self, path: Path) -> None:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _refuse_newer(connection: sqlite3.Connection, source: Path) -> None:
    schema = schema_of(connection)
    if schema > SCHEMA_VERSION:
        raise BackupError(
            f"{source} has schema {schema}, this program knows {SCHEMA_VERSION}: it was "
            "written by a newer version; install that, whose `backup` can copy it"
        )


def _private(path: Path) -> sqlite3.Connection:
    """A new file without locks: nobody else knows it, and a network's disk may have none, for
    which SQLite would wait without an end."""
    connection = sqlite3.connect(f"{path.as_uri()}?vfs=unix-none", uri=True)
    # Else the WAL that the copy says it has wants memory that is shared, under locks.
    connection.execute("PRAGMA locking_mode=EXCLUSIVE")
    return connection


def _fill(
    writer: _Writer, sourced: Sourced, config_file: Path | None, now_s: float
) -> tuple[SavedManifest, bool]:
    config = sourced.config
    schema, left_out = None, 0
    if presence.exists(config.journal_path):
        try:
            schema, left_out = writer.journal(config.journal_path)
        except JournalUnreadable as error:
            raise BackupError(str(error)) from None
    model, problems, damaged = _models(writer, config.models_dir)
    if not writer.entries:
        raise BackupError(
            f"there is neither a journal at {config.journal_path} nor a model in "
            f"{config.models_dir}: nothing to save; is it the service's configuration?"
        )
    mode = config.path(mode_file.FILE_NAME)
    if presence.is_file(mode):
        writer.file(listing.MODE, mode)
    if config_file is not None:
        # Which may be a link, as whoever runs this wants it.
        writer.file(listing.CONFIG, config_file.resolve())
    writer.content(listing.EFFECTIVE, msgspec.json.format(msgspec.json.encode(sourced), indent=1))
    if config.curve.server_secret_file or config.curve.feed_secret_file:
        problems = (*problems, "secret keys are not in a backup: keep them apart from it")
    if left_out:
        spool = spool_path(config.journal_path)
        why = "are damaged or another version's and not in it: copy that file away"
        problems = (*problems, f"scores in {spool} {why}")
    if schema is None:
        problems = (*problems, f"there is no journal at {config.journal_path}")
    others = (*config.training.journals, *config.training.backfills)
    if others:
        problems = (*problems, f"what else the trainer reads is not in it: {', '.join(others)}")
    manifest = SavedManifest(
        made_at=now_s,
        program=protocol.__version__,
        schema=schema,
        model=model,
        files=dict(writer.entries),
        problems=problems,
    )
    return manifest, damaged


def _models(writer: _Writer, models: Path) -> tuple[str | None, tuple[str, ...], bool]:
    """All published models and the pointer; which one it names, what is wrong with it, and whether
    that is damage."""
    if not presence.is_dir(models):
        return None, (), False
    history = models / HISTORY_NAME
    if presence.is_file(history):
        writer.file(f"{listing.MODELS}/{HISTORY_NAME}", history)
    for _ in range(TRIES):
        _bundles(writer, models)
        try:
            with machine_faults():
                # Behind the bundles: what it names is among them, or was published meanwhile.
                found = read_pointer_bytes(models)
                if found is None:
                    return None, (), False
                content, pointer = found, decode_pointer(found)
        except ModelRejected as error:
            return None, (f"the models' pointer cannot be used and is not saved: {error}",), True
        if listing.manifest_of(pointer.version) in writer.entries:
            break
    writer.content(f"{listing.MODELS}/{POINTER_NAME}", content)
    version = pointer.version
    try:
        with machine_faults():
            load(writer.folder / listing.MODELS, pointer)
    except ModelRejected as error:
        said = f"saved as it is, but the service would refuse {version}: {error}"
        # For the rest it is another version's, or takes long here, and is what was published.
        return version, (said,), error.reason in (RejectReason.UNREADABLE, RejectReason.DIGEST)
    return version, (), False


def _bundles(writer: _Writer, models: Path) -> None:
    """Bundles never change once they are there, and may be removed at any time.

    Whoever owns the models may put a link to a folder of root's in the place of one."""
    with opened(models) as folder:
        for version in sorted(path.parent.name for path in models.glob(f"*/{MANIFEST_NAME}")):
            saved = f"{listing.MODELS}/{version}"
            try:
                with below(folder, models / version) as bundle:
                    _bundle(writer, saved, models / version, bundle)
            except (FileNotFoundError, NotADirectoryError):
                writer.forget(saved)


def _bundle(writer: _Writer, saved: str, path: Path, folder: int) -> None:
    with named(path):
        found = {name for name in os.listdir(folder) if _is_regular(name, folder)}
        names = found & {MANIFEST_NAME, *_declared(folder, found)}
    sources = {f"{saved}/{name}": path / name for name in sorted(names)}
    if all(map(listing.is_within, sources)) and writer.entries.keys().isdisjoint(sources):
        for name, source in sources.items():
            writer.file(name, source, folder)


class _Declares(msgspec.Struct, frozen=True):
    """Of a manifest, which may be another version's, the names of the files."""

    files: dict[FileName, msgspec.Raw]


def _declared(folder: int, found: set[str]) -> set[str]:
    """What a bundle's manifest says to be of it: whatever else lies there is not ours to keep."""
    if MANIFEST_NAME in found:
        with open_regular(Path(MANIFEST_NAME), folder) as file:
            content = file.read(MAX_MANIFEST_BYTES)
        with suppress(msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return set(msgspec.json.decode(content, type=_Declares).files)
    return {FOREST_NAME, REPORT_NAME}


def _is_regular(name: str, folder: int) -> bool:
    return stat.S_ISREG(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode)
