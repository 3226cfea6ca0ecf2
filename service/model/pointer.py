"""`CURRENT.json`, which names the current model; how any file of a model is read.

Apart from the model itself: who only asks which it is needs no numpy, which takes as long to
import as all the rest of a command.
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from protocol.manifest import MANIFEST_NAME, POINTER_NAME, Pointer
from service.errors import ModelRejected, RejectReason
from service.files.durable import named
from service.files.regular import open_regular

MAX_POINTER_BYTES = 64 << 10
REVIEW_DUE = 0.8
"""Of the days after which a model that was not reviewed is no longer used: then it is time."""


def read_pointer(models_dir: Path) -> Pointer | None:
    """Return `CURRENT.json`; None where there is none.

    Raises ModelRejected where it cannot be read or is ill-formed.
    """
    content = read_pointer_bytes(models_dir)
    return None if content is None else decode_pointer(content)


def read_pointer_bytes(models_dir: Path) -> bytes | None:
    """Return the bytes of `CURRENT.json`, None where there is none. Raises ModelRejected."""
    try:
        with named(models_dir / POINTER_NAME):
            return read_whole(models_dir / POINTER_NAME, None, MAX_POINTER_BYTES)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise unreadable(POINTER_NAME, error) from error


def decode_pointer(content: bytes) -> Pointer:
    """Decode `CURRENT.json`. Raises ModelRejected."""
    try:
        return msgspec.json.decode(content, type=Pointer)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise ModelRejected(RejectReason.POINTER, f"{POINTER_NAME}: {error}") from error


def read_whole(path: Path, folder: int | None, limit: int) -> bytes:
    """Read a regular file. Raises OSError, or ModelRejected for more than `limit` bytes."""
    with open_regular(path, folder) as file:
        size = os.fstat(file.fileno()).st_size
        if size > limit:
            detail = f"{path.name} has {size} bytes, at most {limit} allowed"
            if path.name in (POINTER_NAME, MANIFEST_NAME):
                detail += ": no trainer of ours writes such a one, publish again or roll back"
            raise ModelRejected(RejectReason.TOO_LARGE, detail)
        # One byte more than it says, so that a file which grows meanwhile does not match.
        return file.read(size + 1)


def unreadable(name: str, error: OSError) -> ModelRejected:
    """What the system said of a file, as a refusal."""
    return ModelRejected(RejectReason.UNREADABLE, f"{name}: {error.strerror or error}")
