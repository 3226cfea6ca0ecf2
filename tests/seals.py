"""Digests made true again of a published bundle that a test has changed.

So what lies behind the digests is reached.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import msgspec
from builders import pointer_of

from protocol.manifest import MANIFEST_NAME, POINTER_NAME


def seal(models: Path) -> None:
    """Of the current bundle's files as they are now."""
    bundle = models / pointer_of(models).version
    manifest = json.loads((bundle / MANIFEST_NAME).read_bytes())
    for name in manifest["files"]:
        content = (bundle / name).read_bytes()
        digest = hashlib.sha256(content).hexdigest()
        manifest["files"][name] = {"sha256": digest, "size": len(content)}
    seal_manifest(models, json.dumps(manifest).encode())


def seal_manifest(models: Path, content: bytes) -> None:
    """Of another manifest, which is put in place."""
    pointer = pointer_of(models)
    (models / pointer.version / MANIFEST_NAME).write_bytes(content)
    sealed = msgspec.structs.replace(
        pointer, manifest_sha256=hashlib.sha256(content).hexdigest(), manifest_size=len(content)
    )
    fresh = models / "pointer.tmp"
    fresh.write_bytes(msgspec.json.encode(sealed))
    fresh.replace(models / POINTER_NAME)
