"""Which release serves after `install.sh`, where what runs is not what `current` names."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from installer import run_steps

SYSTEMD = r"""
journalctl() { :; }
restart() {
    [ -z "${cut_off:-}" ] || kill -s "$cut_off" $$
    ! [ -e "$units/pid" ] || kill "$(cat "$units/pid")" 2>/dev/null || true
    now=$(readlink "$prefix/current")
    [ -e "$now/sound" ] || return 1
    "$now/bin/sleep" 60 > "$units/out" 2>&1 & echo $! > "$units/pid"
    # A fork has the name of the shell until it is the program.
    until grep -q "^$now/" "/proc/$!/cmdline"; do :; done
}
systemctl() {
    case $* in
        'restart signal-scorer') restart ;;
        'show --property MainPID --value signal-scorer') echo "${main:-$(cat "$units/pid")}" ;;
        'show --property ActiveState --value signal-scorer') echo "${active_state:-active}" ;;
        'show --property InvocationID --value signal-scorer') cat "$units/pid" || echo ;;
        '--quiet is-failed signal-scorer') false ;;
        '--quiet is-active signal-scorer') [ "${active_state:-active}" = active ] ;;
    esac
}
"""
"""As much of systemd as a switch asks for: one service, a real process."""


class Machine:
    """Releases, `current`, and what runs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.said = ""

    def make(self, name: str, *, sound: bool = True) -> None:
        release = self._release(name)
        (release / "bin").mkdir(parents=True)
        for program in ("sleep", "signal-scorer"):
            (release / "bin" / program).symlink_to("/bin/sleep")
        (release / "complete").touch()
        if sound:
            (release / "sound").touch()

    def install(self, name: str, *, start: str = "yes", machine: str = "") -> None:
        """What the script does once the release is there.

        Of the machine: `main` is what systemd says runs, `active_state` how the service stands,
        `cut_off` a signal that comes during a start.
        """
        given = f"{machine} start={start} trigger=cron"
        before = 'before=$(readlink "$prefix/current" || true)'
        steps = f"{given} release={self._release(name)}\n{before}\ninstall_units\nswitch_release"
        self.said = run_steps(self.folder, f"{SYSTEMD}\n{steps}")

    def change_unit(self) -> None:
        """What was installed is of an earlier checkout."""
        (self.folder / "signal-scorer.service").write_text("[Service]\n")

    def restart(self) -> None:
        """By hand, as systemd does it."""
        run_steps(self.folder, f"{SYSTEMD}\nrestart")

    def kill(self) -> None:
        os.kill(int(self.pid), signal.SIGKILL)

    @property
    def pid(self) -> str:
        return (self.folder / "pid").read_text()

    @property
    def current(self) -> str:
        return (self.folder / "opt/current").readlink().name

    @property
    def runs(self) -> str:
        return Path(os.fsdecode(Path(f"/proc/{self.pid.strip()}/cmdline").read_bytes())).parts[-3]

    @property
    def kept(self) -> set[str]:
        return {path.name for path in (self.folder / "opt/releases").iterdir()}

    def _release(self, name: str) -> Path:
        return self.folder / "opt/releases" / name


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    """One that serves release A."""
    made = Machine(tmp_path)
    made.make("A")
    (tmp_path / "opt/current").symlink_to(tmp_path / "opt/releases/A")
    run_steps(tmp_path, f"{SYSTEMD}\ninstall_units\nrestart")
    yield made
    made.kill()


def test_a_release_that_waited_for_its_start_and_fails_leaves_the_one_that_ran(
    machine: Machine,
) -> None:
    machine.make("B", sound=False)
    machine.install("B", start="no")
    assert (machine.current, machine.runs) == ("B", "A")
    machine.install("B")
    assert (machine.current, machine.runs) == ("A", "A")
    assert "A serves again" in machine.said


def test_the_way_back_is_what_ran_and_not_what_was_never_started(machine: Machine) -> None:
    machine.make("B")
    machine.make("C")
    machine.install("B", start="no")
    machine.install("C")
    assert (machine.runs, machine.kept) == ("C", {"A", "C"})
    machine.make("B")
    machine.make("D", sound=False)
    machine.install("B", start="no")
    machine.install("D")
    assert (machine.current, machine.runs) == ("C", "C")


def test_what_runs_is_left_alone_also_where_another_release_waits_for_its_start(
    machine: Machine,
) -> None:
    machine.make("B")
    machine.install("B", start="no")
    pid = machine.pid
    machine.install("A")
    assert (machine.current, machine.pid) == ("A", pid)
    assert "left alone" in machine.said


def test_a_changed_unit_waits_for_the_start_however_many_runs_later(machine: Machine) -> None:
    pid = machine.pid
    machine.change_unit()
    machine.install("A", start="no")
    machine.install("A", start="no")
    assert machine.pid == pid
    machine.install("A")
    assert (machine.runs, machine.pid != pid) == ("A", True)
    pid = machine.pid
    machine.install("A")
    assert (machine.pid, "left alone" in machine.said) == (pid, True)


def test_what_was_started_anew_since_the_unit_changed_is_left_alone(machine: Machine) -> None:
    machine.change_unit()
    machine.install("A", start="no")
    machine.restart()
    pid = machine.pid
    machine.install("A")
    assert (machine.pid, "left alone" in machine.said) == (pid, True)


@pytest.mark.parametrize("main", ["0", "self"])
def test_a_program_of_no_release_or_none_is_no_way_back(machine: Machine, main: str) -> None:
    # systemd says 0 of a service whose process has just ended.
    machine.make("B", sound=False)
    machine.install("B", machine=f"main={main}")
    assert (machine.current, machine.runs) == ("A", "A")


def test_a_switch_that_was_cut_off_does_not_divert_the_next_one(machine: Machine) -> None:
    machine.make("B")
    machine.make("C")
    (machine.folder / "opt/.current").symlink_to(machine.folder / "opt/releases/B")
    machine.install("C")
    assert (machine.current, machine.runs) == ("C", "C")
    assert machine.kept == {"A", "C"}


@pytest.mark.parametrize("cut_off", ["HUP", "INT", "TERM"])
def test_a_terminal_that_goes_during_the_start_takes_no_way_back(
    machine: Machine, cut_off: str
) -> None:
    machine.make("B", sound=False)
    machine.install("B", machine=f"cut_off={cut_off}")
    assert (machine.current, machine.runs) == ("A", "A")
    assert "A serves again" in machine.said


def test_a_service_that_is_just_being_started_again_has_a_way_back(machine: Machine) -> None:
    # systemd will go on trying, and by then with the new release.
    machine.make("B", sound=False)
    machine.install("B", machine="active_state=activating main=0")
    assert (machine.current, machine.runs) == ("A", "A")
    machine.make("C")
    machine.install("C", machine="active_state=activating main=0")
    assert (machine.current, machine.runs) == ("C", "C")


def test_a_service_that_fails_again_and_again_is_not_left_alone(machine: Machine) -> None:
    (machine.folder / "opt/releases/A/sound").unlink()
    machine.install("A", machine="active_state=activating")
    assert "left alone" not in machine.said
    assert "does not start" in machine.said


def test_the_way_back_is_what_ran_also_where_it_was_not_marked_whole(machine: Machine) -> None:
    (machine.folder / "opt/releases/A/complete").unlink()
    machine.make("B", sound=False)
    machine.install("B")
    assert (machine.current, machine.runs) == ("A", "A")


@pytest.mark.parametrize("state", ["inactive", "deactivating"])
def test_what_was_stopped_by_hand_stays_so(machine: Machine, state: str) -> None:
    pid = machine.pid
    machine.make("B")
    machine.install("B", machine=f"active_state={state} main=0")
    assert (machine.current, machine.pid) == ("B", pid)
    assert "stays so" in machine.said
