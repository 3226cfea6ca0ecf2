"""Root file systems: made once by debootstrap and kept, written to through an overlay."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import host


def base(cache: Path, name: str, *options: str, suite: str | None = None) -> Path:
    """A Debian of that or of this machine's release; made where it is not there yet."""
    own, mirror = host.suite_and_mirror()
    suite = suite or own
    root = cache / f"{suite}-{name}"
    if root.exists():
        return root
    print(f"making a root file system in {root}, a few minutes", flush=True)
    cache.mkdir(parents=True, exist_ok=True)
    scratch = root.with_suffix(".new")
    if scratch.exists():
        shutil.rmtree(scratch)
    host.run("debootstrap", *options, suite, scratch, mirror)
    host.run("chroot", scratch, "apt-get", "clean")
    scratch.rename(root)
    return root


@contextmanager
def writable(
    root: Path, scratch: Path, *, mirrors: bool = True, sources: bool = True
) -> Iterator[Path]:
    """A root that can be written to; what was written is in `scratch` and goes with it.

    `sources`: with this machine's apt sources, which another release has no use for.
    """
    upper, work, merged = (scratch / name for name in ("upper", "work", "root"))
    for folder in (upper, work, merged):
        folder.mkdir(parents=True)
    options = f"lowerdir={root},upperdir={upper},workdir={work}"
    host.run("mount", "-t", "overlay", "overlay", "-o", options, merged)
    try:
        if mirrors:
            host.share_mirrors(merged, sources=sources)
        yield merged
    finally:
        host.run("umount", "--lazy", merged)
        with suppress(OSError):
            shutil.rmtree(scratch)
