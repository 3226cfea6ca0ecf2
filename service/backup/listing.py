"""What makes a folder a backup: `backup.json`, with the digest of every file in it.

The rule: a folder without it, or with a file that is not the one that was saved, is none.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path, PurePosixPath
from typing import BinaryIO

import msgspec

from protocol.manifest import MANIFEST_NAME, POINTER_NAME
from service.config.settings import Config
from service.console import exit_codes
from service.errors import remedy
from service.files.regular import open_regular
from service.journal.file import SCHEMA_VERSION

NAME = "backup.json"
FORMAT = 1
JOURNAL, MODE, CONFIG, EFFECTIVE = "journal.db", "mode.json", "config.toml", "effective.json"
MODELS = "models"
MAX_MANIFEST_BYTES = 1 << 20
CHUNK_BYTES = 1 << 20


class BackupError(Exception):
    """A backup that cannot be made or used; the text says why and what to do."""

    def __init__(self, message: str, exit_code: int = exit_codes.NO_INPUT) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file as it was saved."""

    sha256: str
    size: int


class SavedManifest(msgspec.Struct, frozen=True, kw_only=True):
    """`files` maps paths within the folder. `schema` is the journal's, None without one;
    `model` the version that was served; `problems` what could not be saved as it should."""

    v: int = FORMAT
    made_at: float
    program: str
    schema: int | None = None
    model: str | None = None
    files: dict[str, Entry]
    problems: tuple[str, ...] = ()


def read(folder: Path) -> SavedManifest:
    """The manifest of a backup. Raises BackupError."""
    path = folder / NAME
    try:
        # Neither a pipe nor a file without end holds up whoever restores.
        with open_regular(path) as file:
            content = file.read(MAX_MANIFEST_BYTES + 1)
        if len(content) > MAX_MANIFEST_BYTES:
            raise BackupError(f"{path} is too large to be a backup's")
        manifest = msgspec.json.decode(content, type=SavedManifest)
    except OSError as error:
        if isinstance(error, PermissionError):
            raise _closed(path, error) from None
        raise BackupError(
            f"{folder} is no backup: {NAME}: {error.strerror}; name the folder that "
            "`signal-scorer backup` made"
        ) from None
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BackupError(f"{path} is damaged: {error}; take another backup") from None
    if manifest.v != FORMAT:
        raise BackupError(
            f"{folder} has format {manifest.v}, this program reads {FORMAT}: use the version that "
            f"made it ({manifest.program})"
        )
    for name in manifest.files:
        if not is_within(name):
            raise BackupError(f"{path} names {name!r}, which lies elsewhere; take another backup")
    return manifest


def verify(folder: Path, manifest: SavedManifest) -> None:
    """Compare every file with its digest, and look into the journal. Raises BackupError."""
    for name, entry in manifest.files.items():
        path = folder / name
        try:
            with open_regular(path) as file:
                found = copy(file, lambda _chunk: None)
        except PermissionError as error:
            raise _closed(path, error) from None
        except OSError as error:
            raise BackupError(
                f"{path} cannot be read: {error.strerror}; take another backup"
            ) from None
        if found != entry:
            raise BackupError(f"{path} is not the file that was saved; take another backup")
    if JOURNAL in manifest.files:
        check_journal(folder / JOURNAL)


def _closed(path: Path, error: OSError) -> BackupError:
    """A backup is for its owner alone: that says nothing against it."""
    return BackupError(f"{path} cannot be read: {error.strerror}; {remedy(error)}")


def check_journal(path: Path) -> int:
    """The schema of a journal that nobody uses. Raises BackupError where it is not sound."""
    with _reading(path) as connection:
        (schema,) = connection.execute("PRAGMA user_version").fetchone()
        (whole,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if whole != "ok":
        raise BackupError(f"{path} is damaged: {whole}; take another backup")
    if schema > SCHEMA_VERSION:
        raise BackupError(
            f"{path} has schema {schema}, this program knows {SCHEMA_VERSION}; install the version "
            "that made it"
        )
    return int(schema)


def what_is_missed(
    folder: Path, manifest: SavedManifest, config: Config, *, damaged: bool
) -> str | None:
    """What a backup lacks though the service had it, and where that was looked for.

    `damaged` says that the current model is, or the pointer to it. Raises BackupError.
    """
    if manifest.schema is None:
        return f"a journal: there is none at {config.journal_path}"
    purpose = (
        "(a link to one is not saved; removed on purpose: docs/operations.md, Backup and restore)"
    )
    models = any(PurePosixPath(name).match(manifest_of("*")) for name in manifest.files)
    if not models and _was_served(folder):
        return f"models: there are none in {config.models_dir}, though one was served {purpose}"
    if manifest.model and manifest_of(manifest.model) not in manifest.files:
        return f"the current model: {manifest.model} is not in {config.models_dir} {purpose}"
    if damaged or (manifest.model is None and _was_served(folder)):
        damage = f"a file of it, or {POINTER_NAME}, is damaged or missing"
        return f"a sound current model: in {config.models_dir} {damage}"
    return None


def _was_served(folder: Path) -> bool:
    """Whether its journal tells of a model that was served.

    Where the models lie tells nothing: a mount point without its disk is a folder like any other,
    into which the trainer may have written its history.
    """
    with _reading(folder / JOURNAL) as connection:
        served = connection.execute("SELECT 1 FROM events WHERE kind = 'model_installed' LIMIT 1")
        return served.fetchone() is not None


def manifest_of(version: str) -> str:
    """What a model's manifest is called in a backup."""
    return f"{MODELS}/{version}/{MANIFEST_NAME}"


@contextmanager
def _reading(path: Path) -> Iterator[sqlite3.Connection]:
    """A journal that nobody uses. Raises BackupError."""
    uri = f"{path.resolve().as_uri()}?mode=ro&immutable=1"
    try:
        with closing(sqlite3.connect(uri, uri=True)) as connection:
            yield connection
    except sqlite3.Error as error:
        raise BackupError(f"{path} is damaged: {error}; take another backup") from None


def copy(file: BinaryIO, write: Callable[[bytes], object]) -> Entry:
    """Hand all of a file on in pieces; returns what it was."""
    digest, size = hashlib.sha256(), 0
    while chunk := file.read(CHUNK_BYTES):
        digest.update(chunk)
        size += len(chunk)
        write(chunk)
    return Entry(digest.hexdigest(), size)


def is_within(name: str) -> bool:
    """Whether a backup may hold a file of this name."""
    path = PurePosixPath(name)
    plain = not path.is_absolute() and str(path) == name and name.isprintable() and "\\" not in name
    # No link to elsewhere, and among the models none of what they keep for themselves (`.lock`).
    hidden = any(part.startswith(".") for part in path.parts[:2])
    return plain and not hidden and len(path.parts) <= 3 and ".." not in path.parts
