"""The machine that the tests run on: what it must have, and its own package mirrors.

The mirrors that apt and pip are configured with are read at test time and shown to the root
file systems; no address of one stands anywhere in the project.
"""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

TOOLS = {
    "debootstrap": "debootstrap",
    "systemd-nspawn": "systemd-container",
    "slirp4netns": "slirp4netns",
    "ip": "iproute2",
    "nsenter": "util-linux",
    "buildah": "buildah",
}
COMPOSE = "docker-compose"
"""Tool and package; not every release has it, and without it one look is left out."""
APT_FILES = ("sources.list", "sources.list.d", "trusted.gpg.d", "keyrings", "auth.conf.d")
CERTIFICATES = Path("/etc/host-certificates.crt")
"""Where pip finds this machine's in a root: beside those that its ca-certificates installs."""


class Unsuitable(Exception):  # noqa: N818  a state of things, not a fault
    """This machine cannot run the tests; the text says why."""


def run(*command: str | Path, **options: object) -> str:
    """Run a command; its output, or RuntimeError with what it said."""
    done = subprocess.run(  # type: ignore[call-overload]
        [str(part) for part in command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        **options,
    )
    if done.returncode:
        raise RuntimeError(
            f"{' '.join(map(str, command))}: {done.returncode}: {done.stdout[-2000:]}"
        )
    return str(done.stdout)


def prepare() -> None:
    """Install by apt what is missing. Raises Unsuitable."""
    if os.geteuid() != 0:
        raise Unsuitable("root is needed, to make and boot a root file system")
    if not Path("/etc/debian_version").exists():
        raise Unsuitable("a Debian is needed, for debootstrap with its archive's keys")
    missing = sorted({package for tool, package in TOOLS.items() if not shutil.which(tool)})
    if missing:
        _install(missing)
    if not shutil.which(COMPOSE):
        with suppress(RuntimeError):
            _install([COMPOSE])


def _install(packages: list[str]) -> None:
    print(f"installing {' '.join(packages)}", flush=True)
    run("apt-get", "update")
    run("apt-get", "install", "--yes", "--no-install-recommends", *packages)


def cache_folder() -> Path:
    """Where root file systems are kept between runs."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "signal-scorer-deploy"


def suite_and_mirror() -> tuple[str, str]:
    """The release that runs here, and the archive that apt takes it from."""
    suite = run("sh", "-c", '. /etc/os-release; echo "$VERSION_CODENAME"').strip()
    indexes = run(
        "apt-get", "indextargets", "--format", "$(REPO_URI) $(CODENAME)", "Created-By: Packages"
    )
    for line in indexes.splitlines():
        uri, _, codename = line.partition(" ")
        if codename == suite:
            return suite, uri.rstrip("/")
    raise Unsuitable(f"apt knows no archive of {suite}; run apt-get update")


def share_mirrors(root: Path, *, sources: bool = True) -> None:
    """Give a root file system this machine's apt sources, pip settings and certificates."""
    for name in APT_FILES if sources else ():
        source, target = Path("/etc/apt") / name, root / "etc/apt" / name
        if source.is_dir():
            shutil.copytree(source, target, dirs_exist_ok=True)
        elif source.exists():
            shutil.copy2(source, target)
    # debootstrap wrote one of its own
    if sources and not (Path("/etc/apt") / "sources.list").exists():
        (root / "etc/apt/sources.list").unlink(missing_ok=True)
    (root / "etc/resolv.conf").write_text("nameserver 10.0.2.3\n")  # slirp4netns forwards it
    settings = pip_settings()
    if "cert" in settings:
        shutil.copy2(settings["cert"], root / CERTIFICATES.relative_to("/"))
        settings["cert"] = str(CERTIFICATES)
    lines = [f"{key} = {value}" for key, value in settings.items()]
    (root / "etc/pip.conf").write_text("\n".join(["[global]", *lines, ""]))


def pip_settings() -> dict[str, str]:
    """What pip is configured with here, by files and by environment."""
    settings = {}
    for line in run(sys.executable, "-m", "pip", "config", "list").splitlines():
        key, _, value = line.partition("=")
        scope, _, name = key.partition(".")
        if scope in ("global", "install", ":env:") and name not in ("require-virtualenv", "user"):
            settings[name] = str(ast.literal_eval(value))
    return settings


def pip_paths() -> list[Path]:
    """Folders and files of this machine that those settings name."""
    words = " ".join(value for key, value in pip_settings().items() if key != "cert").split()
    paths = [Path(word.removeprefix("file://")) for word in words]
    folders = {path.parent if path.name == "simple" else path for path in paths}
    return sorted(path for path in folders if path.is_absolute() and path.exists())


def copy_project(project: Path, target: Path) -> None:
    """What git knows of the project, and what it would take in, as it is now."""
    target.mkdir(parents=True)
    listed = "git ls-files -z --cached --others --exclude-standard"
    run("sh", "-c", f"{listed} | tar --null -T - -cf - | tar -xf - -C '{target}'", cwd=project)
