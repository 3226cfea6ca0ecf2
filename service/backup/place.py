"""A folder that a restore puts files into: staged in it first, then moved to their names.

The rule: all goes by the descriptor of the folder, so that whoever owns it can lead root nowhere
else, whatever he puts in the way meanwhile. Owners and modes are set of what is open.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from pathlib import Path

from service.backup import listing
from service.backup.listing import BackupError
from service.files.durable import Step, named
from service.files.owned_folder import below, give, new_folder
from service.files.regular import open_regular

STAGED = ".restore-incoming"
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class Place:
    """Context manager. `root` is what the open `folder` is called; `aside` is the name of the
    folder in it that takes what was there."""

    def __init__(self, root: Path, folder: int, step: Step) -> None:
        self.root = root
        self.folder = folder
        self.aside = ""
        self._step = step
        self._made: dict[str, int] = {}

    def __enter__(self) -> Place:
        return self

    def __exit__(self, *_raised: object) -> None:
        for descriptor in self._made.values():
            os.close(descriptor)

    @property
    def kept(self) -> Path | None:
        """Where that lies which was there, if anything was."""
        return self.root / self.aside if self.aside in self._made else None

    def has(self, name: str) -> bool:
        """Whether something would be replaced. Raises OSError where a disk does not tell, of which
        os.path.lexists makes a no."""
        return self._mode(name) is not None

    def clean(self) -> None:
        """Remove what an interrupted restore, or this one, staged."""
        mode = self._mode(STAGED)
        if mode is None:
            return
        with named(self.root / STAGED):
            if stat.S_ISDIR(mode):
                shutil.rmtree(STAGED, dir_fd=self.folder)
            else:  # a link that lies there is not followed, and no pipe is opened
                os.unlink(STAGED, dir_fd=self.folder)

    def stage(self, source: Path, name: str, entry: listing.Entry, mode: int) -> None:
        """Copy one file beside its place, and see that it is the one that was saved."""
        self._step(f"stage {name}")
        above, _, last = name.rpartition("/")
        path = self.root / STAGED / name
        with ExitStack() as stack:
            file = stack.enter_context(open_regular(source))
            stack.enter_context(named(path))
            staged = self._own(STAGED)
            if above:
                with suppress(FileExistsError):
                    os.mkdir(above, 0o700, dir_fd=staged)
                staged = stack.enter_context(below(staged, path.parent))
            descriptor = os.open(last, _NEW_FILE, 0o600, dir_fd=staged)
            copy = stack.enter_context(os.fdopen(descriptor, "wb"))
            found = listing.copy(file, copy.write)
            copy.flush()
            give(descriptor, self.folder)
            os.fchmod(descriptor, mode)
            os.fsync(descriptor)
        if found != entry:
            raise BackupError(f"{source} is not the file that was saved; take another backup")

    def holds(self, folder: str, files: Mapping[str, listing.Entry]) -> bool:
        """Whether these files are all in a folder of the place already, byte for byte."""
        try:
            with below(self.folder, self.root / folder) as there:
                return all(_is(Path(name), there, entry) for name, entry in files.items())
        except OSError:
            return False

    def keep(self, name: str) -> None:
        """Let what is in the place lie in the folder aside as well."""
        if not self.has(name):
            return
        self._step(f"keep {name}")
        with named(self.root / name):
            aside = self._own(self.aside)
            os.link(name, name, src_dir_fd=self.folder, dst_dir_fd=aside, follow_symlinks=False)
            os.fsync(aside)

    def move_aside(self, name: str) -> None:
        """Take something out of the place."""
        if not self.has(name):
            return
        self._step(f"move aside {name}")
        with named(self.root / name):
            aside = self._own(self.aside)
            os.rename(name, name, src_dir_fd=self.folder, dst_dir_fd=aside)
            os.fsync(aside)

    def put(self, name: str) -> None:
        """Move what is staged to its place, replacing a file of that name at once."""
        self._step(f"put {name}")
        with named(self.root / name):
            os.rename(name, name, src_dir_fd=self._made[STAGED], dst_dir_fd=self.folder)
            os.fsync(self.folder)

    def put_folder(self, name: str) -> None:
        """The same with a folder, which everybody may look into."""
        path = self.root / STAGED / name
        with below(self._made[STAGED], path) as folder, named(path):
            os.fchmod(folder, 0o755)
            give(folder, self.folder)
            os.fsync(folder)
        self.put(name)

    def _own(self, name: str) -> int:
        """A folder in the place that is made, for us alone, when it is first wanted."""
        if name not in self._made:
            with named(self.root / name):
                self._made[name] = new_folder(self.folder, name, 0o700)
        return self._made[name]

    def _mode(self, name: str) -> int | None:
        try:
            with named(self.root / name):
                return os.stat(name, dir_fd=self.folder, follow_symlinks=False).st_mode
        except FileNotFoundError:
            return None


def _is(path: Path, folder: int, entry: listing.Entry) -> bool:
    with open_regular(path, folder) as file:
        size = os.fstat(file.fileno()).st_size
        return size == entry.size and listing.copy(file, lambda _chunk: None) == entry
