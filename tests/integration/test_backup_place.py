"""Where a backup may be written: where its path leads as it should, and nobody else leads root."""

from __future__ import annotations

import os
import stat
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest
from another_user import NOBODY, as_no_root, as_root
from saved_state import NOW_S, a_state, sourced

from service.backup import listing
from service.backup.save import make


@pytest.fixture
def place(open_folder: Path) -> Path:
    """A folder in which only root may write, with a state in it."""
    a_state(open_folder / "state", "x", 0)
    return open_folder


def save(place: Path, target: str) -> None:
    make(sourced(place / "state"), None, place / target, now_s=NOW_S)


@pytest.fixture(params=[0o002, 0o007, 0o022])
def umask(request: pytest.FixtureRequest) -> Iterator[None]:
    before = os.umask(request.param)
    yield
    os.umask(before)


@pytest.mark.parametrize("target", ["backups/today", "backups/a/b/today"])
def test_behind_a_link_to_a_disk_that_is_not_mounted_nothing_is_made(
    place: Path, target: str
) -> None:
    """Each night would look fine, and fill the disk that is to be saved."""
    (place / "mnt").mkdir()
    (place / "backups").symlink_to("other")
    (place / "other").symlink_to(place / "mnt/disk/scorer")
    with pytest.raises(listing.BackupError, match="have that disk mounted") as caught:
        save(place, target)
    assert caught.value.exit_code == 73
    assert not any((place / "mnt").iterdir())


@as_root
def test_so_it_is_for_who_is_not_root(place: Path) -> None:
    (place / "mnt").mkdir()
    (place / "mnt").chmod(0o777)
    (place / "backups").symlink_to("mnt/scorer")
    with as_no_root(), pytest.raises(listing.BackupError, match="have that disk mounted"):
        save(place, "backups/today")
    assert not any((place / "mnt").iterdir())


def test_a_backup_is_written_behind_a_link_of_ones_own(place: Path) -> None:
    (place / "disk").mkdir()
    (place / "backups").symlink_to("disk")
    save(place, "backups/a/today")
    assert (place / "disk/a/today" / listing.NAME).exists()


@as_root
@pytest.mark.parametrize("there", [True, False])
def test_no_other_user_chooses_by_a_link_where_root_writes(place: Path, there: bool) -> None:
    (place / "roots").mkdir()
    link = place / "state/backups"
    link.symlink_to(place / ("roots" if there else "roots/new"))
    for path in (place / "state", link):
        os.chown(path, NOBODY, NOBODY, follow_symlinks=False)
    with pytest.raises(listing.BackupError, match="a link leads") as caught:
        save(place, "state/backups/today")
    assert caught.value.exit_code == 73
    assert not any((place / "roots").iterdir())


@pytest.mark.usefixtures("umask")
def test_in_folders_that_it_makes_nobody_else_may_write_whatever_the_umask(place: Path) -> None:
    save(place, "backups/a/today")
    save(place, "backups/a/tomorrow")
    for path in (place / "backups", place / "backups/a"):
        assert not path.stat().st_mode & 0o022


@as_root
@pytest.mark.parametrize(
    ("mode", "group", "refused"),
    [
        (0o777, 0, True),
        (0o775, NOBODY, True),
        (0o775, 0, False),
        (0o1777, 0, False),
        (0o1775, NOBODY, False),
    ],
)
def test_a_backup_is_written_in_no_folder_where_another_user_may_rename_it(
    place: Path, mode: int, group: int, refused: bool
) -> None:
    shared = place / "shared"
    shared.mkdir()
    os.chown(shared, 0, group)
    shared.chmod(mode)
    (place / "link").symlink_to(shared)
    with pytest.raises(listing.BackupError, match=str(shared)) if refused else nullcontext():
        save(place, "link/backups/today")
    assert (shared / "backups" / "today").exists() is not refused


@as_root
def test_nor_where_a_list_of_access_lets_another_user_write(place: Path) -> None:
    """By the mode alone it is root's group that may."""
    shared = place / "shared"
    shared.mkdir()
    entries = [(1, 7, -1), (2, 7, NOBODY), (4, 5, -1), (16, 7, -1), (32, 5, -1)]
    content = struct.pack("<I", 2) + b"".join(struct.pack("<HHi", *entry) for entry in entries)
    try:
        os.setxattr(shared, "system.posix_acl_access", content)
    except OSError as error:
        pytest.skip(f"this disk keeps no lists of access: {error}")
    assert stat.S_IMODE(shared.stat().st_mode) == 0o775
    with pytest.raises(listing.BackupError, match="another user may write"):
        save(place, "shared/today")


ON_DEMAND = """
import ctypes, fcntl, os, struct, subprocess, sys, threading
place, uid, *command = sys.argv[1:]
libc = ctypes.CDLL(None)

def mount(system, options):
    if libc.mount(b"none", place.encode(), system, 0, options.encode()):
        sys.exit("no such disk can be mounted here")

ours, kernels = os.pipe()
mount(b"autofs", f"fd={kernels},pgrp={os.getpgrp()},minproto=5,maxproto=5,direct")
os.close(kernels)
trigger = os.open(place, os.O_RDONLY | os.O_DIRECTORY)

def serve():
    while asked := os.read(ours, 304):
        mount(b"tmpfs", f"mode=755,uid={uid}")
        AUTOFS_IOC_READY = 0x9360
        fcntl.ioctl(trigger, AUTOFS_IOC_READY, struct.unpack_from("I", asked, 8)[0])

threading.Thread(target=serve, daemon=True).start()
sys.exit(subprocess.run(command, start_new_session=True).returncode)
"""
LOOK = """
import sys
from pathlib import Path
from service.files.owned_folder import make_unshared, without_links
print(make_unshared(without_links(Path(sys.argv[1]))))
"""


@as_root
def test_a_disk_that_is_mounted_on_demand_is_judged_and_not_where_it_goes(tmp_path: Path) -> None:
    """Or root would write in a folder that is another user's as soon as it is mounted."""
    on_demand = ["unshare", "--mount", sys.executable, "-c", ON_DEMAND, tmp_path, str(NOBODY)]
    looking = [*on_demand, sys.executable, "-c", LOOK, tmp_path]
    done = subprocess.run(looking, capture_output=True, text=True, timeout=60.0)
    if "unshare failed" in done.stderr or "can be mounted here" in done.stderr:
        pytest.skip(done.stderr)
    assert (done.stdout, done.stderr) == (f"{tmp_path}\n", "")
