"""Which Python `install.sh` builds with, the first time and at each later one."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from installer import interpreter, run_steps


def used(folder: Path, given: str = "") -> str:
    """What an installation says and takes; on the PATH is one that it finds by itself."""
    found = interpreter(folder / "found/python3")
    return run_steps(
        folder,
        f"PATH={found.parent}:$PATH python='{given}'\nmkdir -p $prefix\n"
        "find_python\nkeep_python\necho takes $python",
    )


def test_without_a_choice_it_is_the_one_that_is_found(tmp_path: Path) -> None:
    for _ in range(2):
        assert used(tmp_path) == f"takes {tmp_path}/found/python3\n"


def test_the_one_that_was_chosen_stays_chosen(tmp_path: Path) -> None:
    chosen = interpreter(tmp_path / "other/python3.12")
    for given in (str(chosen), "", ""):
        assert used(tmp_path, given) == f"takes {chosen}\n"
    # What is found next time may be another one: a name is no path.
    for given in ("python3", ""):
        assert used(tmp_path, given) == f"takes {tmp_path}/found/python3\n"


def test_a_choice_that_is_gone_is_told_and_comes_back_with_it(tmp_path: Path) -> None:
    chosen = interpreter(tmp_path / "other/python3.12")
    used(tmp_path, str(chosen))
    chosen.unlink()
    note, takes = used(tmp_path).splitlines()
    assert f"note: {chosen}" in note
    assert takes == f"takes {tmp_path}/found/python3"
    interpreter(chosen)
    assert used(tmp_path) == f"takes {chosen}\n"


def test_a_choice_is_kept_wherever_the_next_run_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = interpreter(tmp_path / "other/python3.12")
    monkeypatch.chdir(tmp_path)
    used(tmp_path, "other/python3.12")
    monkeypatch.chdir(os.sep)
    assert used(tmp_path) == f"takes {chosen}\n"


def test_one_in_a_home_which_the_units_do_not_see_is_passed_over(tmp_path: Path) -> None:
    hidden = interpreter(tmp_path / "shims/python3", "/root/.pyenv/versions/3.12.1/bin/python3.12")
    seen = interpreter(tmp_path / "seen/python3.12")
    path = f"PATH={hidden.parent}:{seen.parent}:$PATH python=''"
    assert run_steps(tmp_path, f"{path}\nfind_python\necho $python") == f"{seen}\n"


def test_one_in_a_home_is_refused_where_it_was_named(tmp_path: Path) -> None:
    for number, home in enumerate(("/root", "/home/bit", "/run/user/0")):
        lies_at = f"{home}/.local/bin/python3.12"
        hidden = interpreter(tmp_path / f"other/python{number}", lies_at)
        said = used(tmp_path, str(hidden))
        assert lies_at in said
        assert "below /usr or /opt" in said
    assert used(tmp_path) == f"takes {tmp_path}/found/python3\n"


def test_nothing_is_looked_for_in_a_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usual = os.environ["PATH"].split(":")
    homes = ["/root/.pyenv/shims", "/home/bit/bin", "/root", "/run/user/0/bin"]
    monkeypatch.setenv("PATH", ":".join([*homes, "/rooted/bin", *usual]))
    looked = run_steps(tmp_path, "echo $PATH").strip().split(":")
    assert looked[0] == "/rooted/bin"
    assert not set(homes) & set(looked)


def test_root_finds_its_own_programs_with_a_users_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # `su` keeps that of the user; groupadd and runuser lie elsewhere.
    monkeypatch.setenv("PATH", "/usr/local/bin:/usr/bin:/bin")
    looked = run_steps(tmp_path, "echo $PATH").strip().split(":")
    assert looked[:3] == ["/usr/local/bin", "/usr/bin", "/bin"]
    assert {"/usr/sbin", "/sbin"} <= set(looked)


def test_a_choice_is_kept_once_it_has_been_built_with(tmp_path: Path) -> None:
    chosen = interpreter(tmp_path / "other/python3.12")
    others = "check_users check_truth_logs choose_trigger make_users make_folders"
    steps = f'for one in {others}; do eval "$one() {{ :; }}"; done\nmkdir -p $prefix'
    fails = "build_release() { refuse no network; }"
    said = run_steps(tmp_path, f"{steps}\n{fails}\npython={chosen}\ninstall_all")
    assert said == "install.sh: no network\n"
    assert used(tmp_path) == f"takes {tmp_path}/found/python3\n"


def test_a_python_with_a_space_in_its_path_is_refused(tmp_path: Path) -> None:
    chosen = interpreter(tmp_path / "my py/python3.12")
    assert "without spaces" in used(tmp_path, str(chosen))


def test_nothing_of_the_folder_it_is_called_in_is_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("ensurepip", "venv", "pip"):
        (tmp_path / f"{module}.py").write_text("open('run', 'w')")
    monkeypatch.chdir(tmp_path)
    run_steps(tmp_path, f"{sys.executable} -c 'import ensurepip, venv'\n{sys.executable} -m pip -V")
    assert not (tmp_path / "run").exists()
