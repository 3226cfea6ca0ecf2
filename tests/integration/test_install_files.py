"""What `install.sh` writes beside the release: whole, or as it was before."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from installer import SCRIPT, run_steps

GIVEN = """
systemctl() { :; }
invocation() { :; }
trigger=cron logs=$units/log chosen=/usr/bin/python3
mkdir -p $etc $prefix/alert $commands
"""


def there(folder: Path) -> dict[str, str]:
    """What lies on the disk; what is noted below /run does not."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != "outdated")
    return {str(path.relative_to(folder)): path.read_text() for path in files}


@pytest.mark.parametrize("earlier", [False, True])
@pytest.mark.parametrize("step", ["files", "units", "trigger", "truth_logs"])
def test_a_full_disk_leaves_what_is_there_as_it_was(
    tmp_path: Path, step: str, earlier: bool
) -> None:
    if earlier:
        run_steps(tmp_path, f"{GIVEN}\ninstall_{step}")
    before = there(tmp_path)
    assert bool(before) == earlier
    run_steps(tmp_path, f"{GIVEN}\nulimit -f 0\ninstall_{step}")
    assert there(tmp_path) == before


def test_a_full_disk_leaves_the_choice_of_a_python(tmp_path: Path) -> None:
    for full in "", "ulimit -f 0":
        run_steps(tmp_path, f"{GIVEN}\n{full}\nkeep_python")
        assert there(tmp_path) == {"opt/python": "/usr/bin/python3\n"}


def test_a_configuration_that_is_found_is_left_alone_but_an_empty_one_is_none(
    tmp_path: Path,
) -> None:
    ours = (SCRIPT.parent / "config.toml").read_text()
    for found, left in (("", ours), ("# mine\n", "# mine\n")):
        (tmp_path / "etc").mkdir(exist_ok=True)
        (tmp_path / "etc/config.toml").write_text(found)
        run_steps(tmp_path, f"{GIVEN}\ninstall_files")
        assert there(tmp_path)["etc/config.toml"] == left


def test_the_trainer_writes_in_no_folder_that_roots_collectors_write_in() -> None:
    # Those of node exporter's package follow a link that somebody else has left there.
    for path in filter(Path.is_file, SCRIPT.parent.rglob("*")):
        assert not re.search("prometheus/node-exporter(?!-scorer)", path.read_text()), path
