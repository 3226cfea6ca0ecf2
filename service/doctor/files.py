"""Files and folders: may the service use them, may nobody else, and is there room."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from shlex import quote

from service.console.words import amount
from service.doctor.finding import Finding, fail, lost_link, ok, warn
from service.doctor.scene import Scene
from service.doctor.system import (
    ENTER,
    MOUNT,
    READ,
    WRITE,
    dangling,
    mode_text,
    nearest_there,
    obstacle,
    others_may_write,
    read_only,
    through,
    unless_linked,
)
from service.files import presence
from service.journal.file import wal_of

MIB = 1 << 20
SCARCE_BYTES, FULL_BYTES = 1024 * MIB, 100 * MIB
SCARCE_FILES = 1000
INCOMING = ".incoming-"
FORGOTTEN_S = 6 * 3600.0


def check(scene: Scene) -> Iterator[Finding]:
    """The state directory, the configuration's file, the models."""
    yield _folder(scene, scene.state_dir, READ | WRITE | ENTER, "state_dir")
    file = scene.config_file
    if file is not None:
        yield _configuration(scene, file)
    # Last, where it may be hidden from who asks.
    models, state_dir = scene.config.models_dir, scene.state_dir
    if presence.exists(models) and not (presence.exists(state_dir) and state_dir.samefile(models)):
        yield _folder(scene, models, READ | ENTER, "model.directory")
        yield from _leftovers(models, scene.now_s)


def disk(scene: Scene) -> Iterator[Finding]:
    """Room on each file system that something is written to."""
    config = scene.config
    folders = [wal_of(config.journal_path).parent, config.models_dir]
    if config.record.enabled:
        folders.append(config.path(config.record.directory))
    seen: set[int] = set()
    for folder in map(nearest_there, folders):
        device = folder.stat().st_dev
        if device not in seen:
            seen.add(device)
            yield _room(folder)


def _folder(scene: Scene, path: Path, wanted: int, key: str) -> Finding:
    if not presence.exists(path):
        return to_be_made(scene, path, path, key)
    if not presence.is_dir(path):
        return fail(path, f"is no folder ({key})", f"move it away, or set another {key}")
    hindrance = obstacle(path, scene.owner, wanted)
    if hindrance is not None:
        what = "write to" if wanted & WRITE else "read"
        return fail(
            hindrance,
            f"user {scene.owner_name}, as whom the service runs, may not {what} it ({key})",
            _let_in(scene, path, wanted),
        )
    if wanted & WRITE and read_only(path):
        return _not_mounted_for_writing(path, key)
    if others_may_write(path):
        return fail(
            path,
            f"every user of this machine may write to it (mode {mode_text(path)})",
            unless_linked(path, f"chmod o-w {quote(str(path))}")
            + ": who writes there commands the mode and the models",
        )
    return ok(path, f"usable by {scene.owner_name}, mode {mode_text(path)}")


def to_be_made(scene: Scene, path: Path, folder: Path, key: str) -> Finding:
    """Of what is not there: may the service make it? `folder` is the path itself or, where that
    is to be a file, the one that the file is to lie in."""
    link, place = dangling(path), nearest_there(path)
    if link is not None:
        # Not by resolve(), which raises for links that lead in a circle; of those a link is left.
        target = Path(os.path.realpath(path))
        place = target.parent
        # Through a link that leads to nothing a file can be made, and no folder.
        if folder == path or target.is_symlink() or not presence.exists(place):
            return lost_link(link, key)
    if read_only(place):
        return _not_mounted_for_writing(path, key)
    hindrance = obstacle(place, scene.owner, WRITE | ENTER)
    if hindrance is None:
        return ok(path, f"is not there; {scene.owner_name} may make it")
    if link is not None:  # as where its disk is not mounted; and never to give away what is there
        return lost_link(link, key, f"and user {scene.owner_name} may not make it in {hindrance}")
    make = through(folder, scene.owner, f"install -d -o {scene.owner_name} {quote(str(folder))}")
    if place == folder.absolute():  # never to give away what is around it, be it /var/lib
        make = _let_in(scene, place, WRITE | ENTER)
    return fail(
        path,
        f"is not there, and user {scene.owner_name} may not make it in {hindrance}",
        f"{make}, or set another {key}",
    )


def _let_in(scene: Scene, path: Path, wanted: int) -> str:
    if obstacle(path, scene.owner, wanted) != path:  # never to give away what is around it
        return through(path, scene.owner)
    name = quote(str(path))
    advice = (
        f"chown {scene.owner_name} {name} && chmod u+rwx {name}; and mind who else writes there"
    )
    if not wanted & WRITE:  # it is the trainer's, who goes on writing there
        advice = f"chmod a+rx {name}"
    return unless_linked(path, advice)


def _not_mounted_for_writing(path: Path, key: str) -> Finding:
    return fail(path, f"the disk is read-only: answers go on, and none is kept ({key})", MOUNT)


def _configuration(scene: Scene, file: Path) -> Finding:
    if others_may_write(file) or others_may_write(file.absolute().parent):
        return fail(
            file,
            "every user of this machine may change or replace the configuration",
            f"chmod o-w {quote(str(file))} {quote(str(file.absolute().parent))}",
        )
    hindrance = obstacle(file, scene.owner, READ)
    if hindrance is not None:
        return fail(
            file,
            f"user {scene.owner_name} may not read it (at {hindrance}): it would not start again",
            f"chgrp $(id -g {scene.owner_name}) {quote(str(file))} && chmod g+r {quote(str(file))}"
            if hindrance == file
            else through(file, scene.owner),
        )
    return ok(file, f"readable by {scene.owner_name}, mode {mode_text(file)}")


def _leftovers(models: Path, now_s: float) -> Iterator[Finding]:
    for path in models.glob(f"{INCOMING}*"):
        if now_s - path.stat().st_mtime > FORGOTTEN_S:
            made = time.strftime("%Y-%m-%d", time.gmtime(path.stat().st_mtime))
            yield warn(
                path,
                f"a publication of {made} was interrupted",
                "nothing of it is used; the next signal-scorer-train train removes it",
            )


def _room(folder: Path) -> Finding:
    status = os.statvfs(folder)
    free = status.f_bavail * status.f_frsize
    said = f"{amount(free)} free"
    advice = (
        "make room, or move state_dir: with a full disk answers go on, and none is kept; "
        "signal-scorer journal stats says how fast the journal grows"
    )
    if free < FULL_BYTES:
        return fail(folder, said, advice)
    if free < SCARCE_BYTES:
        return warn(folder, said, advice)
    # File systems without a number of files say 0 of 0.
    if status.f_files and status.f_favail < SCARCE_FILES:
        return fail(folder, f"room for {status.f_favail} more files only", advice)
    return ok(folder, said)
