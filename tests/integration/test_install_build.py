"""What `install.sh` builds, what it believes to be built, and what it leaves where that fails."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from installer import SCRIPT, interpreter, run_steps

STEPS = """
wheels='' synced=no
mkdir -p $prefix/releases
setsid() { shift && alone=yes "$@"; }
runuser() {
    case "$alone $1 $2 $3" in
        'yes -u scorer --' | 'yes -u scorer-trainer --') shift 3 && "$@" ;;
    esac
}
sync() { [ -e "$2/complete" ] || synced=yes; }
systemctl() { echo "${main:-0}"; }
"""
"""What is done before, and as much of the machine as is asked for: its users, and its disk."""


class Place:
    """Where releases are built."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.said = ""

    def build(self, python: Path, machine: str = "") -> Path:
        """Build with this Python; the release that is named."""
        steps = f"{STEPS}\n{machine}\npython={python}\nbuild_release\necho synced $synced $release"
        self.said = run_steps(self.folder, steps)
        (*_, named) = [line for line in self.said.splitlines() if line.startswith("synced ")] or [
            ""
        ]
        return Path(named.rpartition(" ")[2])

    @property
    def left(self) -> set[str]:
        """What lies there in the end."""
        there = (self.folder / "opt/releases").iterdir()
        return {path.name for path in [*there, *self.folder.glob("opt/.build")]}


@pytest.fixture
def python(tmp_path: Path) -> Path:
    return interpreter(tmp_path / "bin/python3.12")


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_what_is_built_and_runs_is_not_built_again(place: Place, python: Path) -> None:
    release = place.build(python)
    assert "building" in place.said
    assert place.build(python) == release
    assert "building" not in place.said
    assert place.left == {release.name}


def test_another_python_makes_another_release_also_of_the_same_version(
    place: Place, python: Path
) -> None:
    other = interpreter(python.with_name("python3"))
    releases = {place.build(python), place.build(other)}
    assert {(one / "bin/python").resolve() for one in releases} == {python, other}


@pytest.mark.parametrize("lost", ["bin/python", "bin/signal-scorer-train", "library", "pictures"])
def test_beside_what_is_complete_but_does_not_run_another_is_built(
    place: Place, python: Path, lost: str
) -> None:
    """The service may still run from the one that is there."""
    release = place.build(python)
    (release / lost).unlink()
    another = place.build(python)
    assert "does not run any more" in place.said
    assert (another / "complete").exists()
    assert place.left == {release.name, another.name}
    assert place.build(python) == another
    assert "building" not in place.said


def test_what_is_installed_stays_also_where_one_before_it_runs_again(
    place: Place, python: Path
) -> None:
    built = [place.build(python)]
    for _ in range(2):
        (built[-1] / "library").unlink()
        built.append(place.build(python))
    for release in built:
        (release / "library").touch()
    current = place.folder / "opt/current"
    for release in built:
        current.unlink(missing_ok=True)
        current.symlink_to(release)
        assert place.build(python) == release
        assert "building" not in place.said
    (current.resolve() / "library").unlink()
    assert place.build(python) == built[0]
    assert "does not run any more" in place.said
    assert "building" not in place.said


def test_what_does_not_run_stays_where_no_other_can_be_built(place: Place, python: Path) -> None:
    release = place.build(python)
    (release / "library").unlink()
    python.with_name(python.name + ".downloads").write_text("exit 1")
    place.build(python)
    assert "synced" not in place.said
    assert place.left == {release.name}


def test_it_lies_on_the_disk_before_it_is_called_complete(place: Place, python: Path) -> None:
    place.build(python)
    assert "synced yes" in place.said


def test_what_the_service_may_not_run_is_not_complete(place: Place, python: Path) -> None:
    place.build(python, "runuser() { echo Permission denied >&2; return 126; }")
    assert "Permission denied" in place.said
    assert "--python" in place.said
    assert not place.left


@pytest.mark.parametrize("end", ["exit 1", "kill -HUP $(ps -o ppid= -p $PPID)"])
def test_a_build_that_ends_early_leaves_no_disk_full(place: Place, python: Path, end: str) -> None:
    before = place.build(python)
    other = interpreter(python.with_name("python3"))
    other.with_name("python3.downloads").write_text(end)
    place.build(other)
    assert "synced" not in place.said
    assert place.left == {before.name}


def test_what_one_that_was_killed_left_goes_with_the_next(place: Place, python: Path) -> None:
    for _ in "built", "left alone":
        for left in ("releases/0.1.0-half/lib", ".build/lib"):
            (place.folder / "opt" / left).mkdir(parents=True)
        assert {"0.1.0-half", ".build"} <= place.left
        release = place.build(python)
        assert place.left == {release.name}


@pytest.mark.parametrize("downloads", ["", "exit 1"])
@pytest.mark.parametrize("used", ["current", "running"])
def test_what_is_in_use_stays_also_where_it_is_not_known_to_be_whole(
    place: Place, python: Path, used: str, downloads: str
) -> None:
    release = place.build(python)
    (release / "complete").unlink()
    python.with_name(f"{python.name}.downloads").write_text(downloads)
    with subprocess.Popen([release / "bin/python", "60"], executable="/bin/sleep") as service:
        if used == "current":
            (place.folder / "opt/current").symlink_to(release)
        another = place.build(python, f"main={service.pid if used == 'running' else 0}")
        service.kill()
    assert not (release / "complete").exists()
    assert place.left == ({release.name} if downloads else {release.name, another.name})


def test_a_checkout_in_a_folder_whose_name_ends_in_brackets_is_built(
    place: Place, python: Path
) -> None:
    checkout = place.folder / "scorer [1]"
    checkout.mkdir()
    for name in ("protocol", "service", "training", "pyproject.toml", "README.md", "requirements"):
        (checkout / name).symlink_to(SCRIPT.parents[1] / name)
    release = place.build(python, f"project='{checkout}'")
    assert place.left == {release.name}
