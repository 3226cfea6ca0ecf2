"""`forest.npz`: five uncompressed .npy members, as `numpy.savez` writes them.

The rule: what is read has exactly the members, dtypes and lengths that are due, was never
unpickled or decompressed, and no header can ask for memory. What the numbers mean is
`forest_arrays.check_structure`'s to examine.
"""

from __future__ import annotations

import io
import zipfile
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from protocol.manifest import FOREST_NAME
from service.errors import ModelRejected, RejectReason
from service.model.forest_arrays import Arrays

DTYPES = {"feature": "<i2", "threshold": "<f8", "left": "<i4", "probability": "<f8", "roots": "<i4"}


def encode(arrays: Arrays) -> bytes:
    """Return the file for these arrays; the same arrays give the same bytes."""
    file = io.BytesIO()
    members = {name: getattr(arrays, name).astype(dtype) for name, dtype in DTYPES.items()}
    np.savez(file, allow_pickle=False, **members)
    return file.getvalue()


def decode(content: bytes, *, nodes: int, trees: int) -> Arrays:
    """Return the arrays, four of length `nodes` and the roots of `trees`. Raises ModelRejected."""
    try:
        parts = _members(content)
        return Arrays(
            feature=_array(parts, "feature", nodes),
            threshold=_array(parts, "threshold", nodes),
            left=_array(parts, "left", nodes),
            probability=_array(parts, "probability", nodes),
            roots=_array(parts, "roots", trees),
        )
    # What zipfile and numpy raise on crafted bytes is documented nowhere and no short list.
    except Exception as error:
        detail = f"{FOREST_NAME}: {type(error).__name__}: {error}"
        raise ModelRejected(RejectReason.ARRAYS, detail) from error


def _members(content: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = archive.infolist()
        if sorted(m.filename for m in members) != sorted(f"{name}.npy" for name in DTYPES):
            raise ValueError("it must hold exactly " + ", ".join(DTYPES))
        for member in members:
            # Stored and no larger than the file itself: nothing can unfold.
            if member.compress_type != zipfile.ZIP_STORED or member.file_size > len(content):
                raise ValueError(f"{member.filename} is not stored as it is")
        return {m.filename.removesuffix(".npy"): archive.read(m) for m in members}


def _array(parts: dict[str, bytes], name: str, length: int) -> NDArray[Any]:
    """Let numpy parse the header only, and take the numbers from the bytes that are there."""
    content, due = parts[name], np.dtype(DTYPES[name])
    file = io.BytesIO(content)
    if npy.read_magic(file) != (1, 0):
        raise ValueError(f"{name} is not of .npy version 1.0")
    shape, _fortran, dtype = npy.read_array_header_1_0(file)
    if dtype != due or shape != (length,):
        raise ValueError(f"{name} is {dtype} {shape}, due is {due} ({length},)")
    if len(content) - file.tell() != length * due.itemsize:
        raise ValueError(f"{name} is not as long as it says")
    return np.frombuffer(content, due, offset=file.tell())
