"""Images: built by buildah without a daemon, in a store of their own that goes with the tests."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import host

CHROOT = "--isolation=chroot"


class Store:
    """buildah's storage in a folder."""

    def __init__(self, folder: Path) -> None:
        self._buildah = (
            "buildah",
            f"--root={folder / 'root'}",
            f"--runroot={folder / 'run'}",
            "--storage-driver=overlay",
        )

    def base(self, root: Path, name: str) -> str:
        """An image of a root file system; returns its tag."""
        tag = f"localhost/{name}"
        working = self._run("from", "scratch").strip()
        self._run("copy", "--quiet", working, f"{root}/", "/")
        self._run("commit", "--quiet", "--format=docker", "--rm", working, tag)
        return tag

    def build(self, project: Path, tag: str, **arguments: str) -> float:
        """Build the project's Dockerfile; returns the seconds it took.

        The build sees the folders that this machine's pip is configured with.
        """
        started_s = time.monotonic()
        given = [f"--build-arg={key}={value}" for key, value in arguments.items()]
        mirrors = [f"--volume={path}:{path}:ro" for path in host.pip_paths()]
        self._run(
            "build",
            CHROOT,
            "--format=docker",  # OCI's own format knows no health check
            "--pull-never",
            "--network=host",
            f"--tag={tag}",
            *given,
            *mirrors,
            project,
        )
        return time.monotonic() - started_s

    def run(self, tag: str, *options: str, command: Sequence[str]) -> str:
        """What a command prints in a container of the image, with the rights an engine gives."""
        working = self._run("from", "--pull-never", tag).strip()
        # buildah 1.28 mounts what the image calls a volume now below, now above what is given.
        for volume in self.config(tag)["Volumes"]:
            self._run("config", f"--volume={volume}-", working)
        try:
            return self._run("run", CHROOT, *options, working, "--", *command)
        finally:
            self._run("rm", working)

    def config(self, tag: str) -> dict[str, Any]:
        """The image's user, environment, command and health check."""
        inspected = json.loads(self._run("inspect", "--type=image", tag))
        return dict(inspected["Docker"]["config"])

    def size(self, tag: str) -> int:
        """Bytes, uncompressed."""
        with self.mounted(tag) as root:
            text = host.run("du", "--summarize", "--bytes", "--one-file-system", root)
        return int(text.split()[0])

    @contextmanager
    def mounted(self, tag: str) -> Iterator[Path]:
        """The image's files."""
        working = self._run("from", "--pull-never", tag).strip()
        try:
            yield Path(self._run("mount", working).strip())
        finally:
            self._run("umount", working)
            self._run("rm", working)

    def clear(self) -> None:
        """Remove all images, with their mounts."""
        self._run("rm", "--all")
        self._run("rmi", "--all", "--force")

    def _run(self, command: str, *arguments: str | Path) -> str:
        return host.run(*self._buildah, command, *arguments)
