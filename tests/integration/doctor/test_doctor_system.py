"""The machine: files and disk, mode, clock and configuration."""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from another_user import NOBODY, as_root
from doctored import MONDAY_S, Setup, beside
from harness import running

from service import mode_file
from service.config.load import load
from service.doctor import clock, files
from service.doctor.scene import look_around
from service.keygen import keygen

# Files and disk


def test_a_state_directory_that_anybody_may_write(setup: Setup) -> None:
    setup.state.chmod(0o777)
    assert "chmod o-w" in setup.fault("files", "every user", "0777").advice


@as_root
def test_a_state_directory_that_the_service_may_not_make(
    open_folder: Path, served_by_nobody: Setup
) -> None:
    (open_folder / "closed").mkdir(mode=0o700)
    served_by_nobody.values["MODEL_DIRECTORY"] = str(open_folder / "closed")
    found = served_by_nobody.fault("files", "closed", "may not")
    # Not to be given away: the trainer, whose it is, goes on writing there.
    assert found.advice == f"chmod a+rx {open_folder / 'closed'}"


@as_root
@pytest.mark.parametrize("there", [True, False])
def test_what_is_advised_lets_the_service_in_and_gives_away_nothing_around(
    open_folder: Path, served_by_nobody: Setup, there: bool
) -> None:
    inner = open_folder / "closed" / "inner"
    state, config = inner / "state", inner / "config.toml"
    state.mkdir(parents=True)
    config.touch()
    os.chown(state, NOBODY, NOBODY)
    modes = {inner.parent: 0o700, inner: 0o700, state: 0o500, config: 0o600}
    for path, mode in modes.items():
        path.chmod(mode)
    if not there:
        state.rmdir()
    served_by_nobody.values["STATE_DIR"] = str(state)
    seen = look_around(load(environ=served_by_nobody.environ), now_s=0.0, listen_s=0.0)
    seen = replace(seen, owner=NOBODY, config_file=config)
    for _ in range(3):
        advised = {found.advice for found in files.check(seen)} - {""}
        for advice in advised:
            command = advice.partition(", or set")[0].partition(";")[0]
            subprocess.run(["sh", "-ec", command], check=True)
    assert [found.level for found in files.check(seen)] == ["ok", "ok"]
    assert [path.stat().st_uid for path in modes] == [0, 0, NOBODY, 0]
    assert [path.stat().st_mode & 0o777 for path in (inner.parent, inner)] == [0o711, 0o711]


@as_root
def test_a_journal_beside_which_nothing_can_be_made(
    open_folder: Path, served_by_nobody: Setup
) -> None:
    served_by_nobody.write_journal()
    (open_folder / "elsewhere").mkdir()
    journal = served_by_nobody.journal.rename(open_folder / "elsewhere" / "journal.db")
    os.chown(journal, NOBODY, NOBODY)
    served_by_nobody.values["JOURNAL_PATH"] = str(journal)
    advice = served_by_nobody.fault("journal", "elsewhere", "lock and WAL").advice
    subprocess.run(["sh", "-ec", advice.partition(", or set")[0]], check=True)
    assert {found.level for found in served_by_nobody.findings("journal")} == {"ok"}


@as_root
def test_what_a_link_beside_the_journal_leads_to_is_not_to_be_given_away(
    open_folder: Path, served_by_nobody: Setup
) -> None:
    served_by_nobody.write_journal()
    other = open_folder / "shadow"
    other.touch(mode=0o600)
    (served_by_nobody.state / "journal.db-x").symlink_to(other)
    advice = served_by_nobody.fault("journal", "may not write it").advice
    subprocess.run(["sh", "-c", advice], check=False)
    assert served_by_nobody.journal.stat().st_uid == NOBODY
    assert other.stat().st_uid == 0


def test_a_journal_behind_a_link_to_what_is_not_mounted(setup: Setup, tmp_path: Path) -> None:
    (tmp_path / "kept").symlink_to(tmp_path / "unmounted")
    setup.values["JOURNAL_PATH"] = str(tmp_path / "kept" / "journal.db")
    assert "mounted" in setup.fault("journal", "kept is a link to", "journal.path").advice
    setup.values["JOURNAL_PATH"] = str(tmp_path / "linked.db")
    (tmp_path / "linked.db").symlink_to(tmp_path / "unmounted" / "journal.db")
    assert "mounted" in setup.fault("journal", "linked.db is a link to", "journal.path").advice
    (tmp_path / "unmounted").mkdir()  # through such a link the service makes it
    assert [found.level for found in setup.findings("journal")] == ["ok"]


@as_root
def test_a_journal_behind_a_link_into_a_folder_that_is_not_the_services(
    open_folder: Path, served_by_nobody: Setup
) -> None:
    point = open_folder / "disk"  # of a disk that is not mounted
    point.mkdir()
    served_by_nobody.journal.symlink_to(point / "journal.db")
    found = served_by_nobody.fault("journal", "is a link to", "may not make", str(point))
    assert "mounted" in found.advice
    assert "chown" not in found.advice


@as_root
def test_a_linked_journal_of_roots_is_to_be_looked_at_before_it_is_given_away(
    open_folder: Path, served_by_nobody: Setup
) -> None:
    other = open_folder / "other"
    other.mkdir()
    served_by_nobody.journal.symlink_to(other / "journal.db")
    served_by_nobody.write_journal()
    advice = served_by_nobody.fault("journal", "journal.db", "may not write it").advice
    assert "is a link, look first: ls -l" in advice
    command = advice.partition("where that is the journal: ")[2]
    subprocess.run(["sh", "-ec", command], check=True)
    assert served_by_nobody.journal.stat().st_uid == NOBODY
    found = served_by_nobody.fault("journal", "may not make the journal's WAL", str(other))
    assert "chown" not in found.advice
    os.chown(other, NOBODY, NOBODY)
    assert {found.level for found in served_by_nobody.findings("journal")} == {"ok"}


@as_root
def test_a_journal_or_a_key_behind_a_closed_folder_is_not_to_be_given_away(
    open_folder: Path, served_by_nobody: Setup
) -> None:
    closed = open_folder / "closed"
    closed.mkdir(mode=0o700)
    made = keygen(closed, "client")
    served_by_nobody.write_journal()
    journal = served_by_nobody.journal.rename(closed / "journal.db")
    for path in (journal, made.server_secret):
        os.chown(path, NOBODY, NOBODY)
    served_by_nobody.values["JOURNAL_PATH"] = str(journal)
    served_by_nobody.values["CURVE_SERVER_SECRET_FILE"] = str(made.server_secret)
    assert served_by_nobody.fault("journal", "may not write").advice == f"chmod a+x {closed}"
    assert served_by_nobody.fault("keys", "may not read it").advice == f"chmod a+x {closed}"


@as_root
def test_a_folder_in_which_no_journal_can_be_made(
    open_folder: Path, served_by_nobody: Setup
) -> None:
    (open_folder / "closed").mkdir(mode=0o700)
    served_by_nobody.values["JOURNAL_PATH"] = str(open_folder / "closed" / "journal.db")
    assert "chown" in served_by_nobody.fault("journal", "closed", "may not make it").advice
    # Never what is around a folder that is not there, be it /var/lib.
    new = open_folder / "closed" / "new"
    served_by_nobody.values["JOURNAL_PATH"] = str(new / "journal.db")
    advice = served_by_nobody.fault("journal", "closed", "may not make it").advice
    closed = open_folder / "closed"
    assert advice.startswith(f"chmod a+x {closed} && install -d -o nobody {new},")


@as_root
def test_a_state_directory_on_a_read_only_disk(setup: Setup) -> None:
    mount = ["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", str(setup.state)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("nothing may be mounted here")
    try:
        assert "mounted for writing" in setup.fault("files", "state", "read-only").advice
        assert "mounted for writing" in setup.fault("journal", "state", "read-only").advice
        setup.values["STATE_DIR"] = str(setup.state / "new")
        assert "mounted for writing" in setup.fault("files", "new", "read-only").advice
        assert "mounted for writing" in setup.fault("journal", "new", "read-only").advice
    finally:
        subprocess.run(["umount", str(setup.state)], check=True)


@as_root
def test_a_disk_that_the_kernel_took_back_for_a_fault(setup: Setup, tmp_path: Path) -> None:
    image, state = tmp_path / "disk", str(setup.state)
    image.write_bytes(b"")
    os.truncate(image, 8 << 20)
    make = f"mkfs.ext4 -q {image} && mount -o loop,errors=remount-ro {image} {state}"
    if subprocess.run(make, shell=True, capture_output=True).returncode:
        pytest.skip("no disk can be made here")
    try:
        subprocess.run(["mount", "-o", "remount,abort", state], check=True)
        assert "dmesg" in setup.fault("files", "state", "read-only").advice
    finally:
        subprocess.run(["umount", state], check=True)


def test_a_configuration_that_anybody_may_write(setup: Setup, tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text("")
    file.chmod(0o666)
    assert "chmod o-w" in setup.fault("files", "config.toml", config_file=file).advice


def test_a_publication_that_was_interrupted(setup: Setup) -> None:
    left = setup.models / ".incoming-x"
    left.mkdir(parents=True)
    os.utime(left, (1.0, 1.0))
    assert "removes it" in setup.fault("files", "interrupted", level="warn").advice


def test_a_state_directory_that_is_a_file(setup: Setup) -> None:
    setup.state.rmdir()
    setup.state.touch()
    assert "state_dir" in setup.fault("files", "is no folder").advice


def test_a_link_to_a_disk_that_is_not_mounted(setup: Setup) -> None:
    setup.state.rmdir()
    setup.state.symlink_to("/mnt/not/there/scorer")
    assert "mounted" in setup.fault("files", "is a link to /mnt/not/there/scorer").advice
    setup.values["STATE_DIR"] = str(setup.state / "deeper")
    assert setup.fault("files", "is a link to").about == str(setup.state)


def test_a_link_to_itself_hides_nothing_else(setup: Setup, tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    setup.values["MODEL_DIRECTORY"] = str(tmp_path / "models")
    setup.state.rmdir()
    setup.state.symlink_to(setup.state)
    assert {found.about: found.level for found in setup.findings("files")} == {
        str(setup.state): "fail",
        str(tmp_path / "models"): "ok",
    }
    assert "set the link anew" in setup.fault("files", "is a link to").advice
    setup.values["JOURNAL_PATH"] = str(tmp_path / "loop.db")
    (tmp_path / "loop.db").symlink_to("loop.db")  # nothing can be made through it
    assert "set the link anew" in setup.fault("journal", "loop.db is a link to").advice


def test_models_beside_a_state_directory_that_is_not_made_yet(setup: Setup, tmp_path: Path) -> None:
    setup.state.rmdir()
    (tmp_path / "models").mkdir()
    setup.values["MODEL_DIRECTORY"] = str(tmp_path / "models")
    assert {found.about: found.level for found in setup.findings("files")} == {
        str(setup.state): "ok",
        str(tmp_path / "models"): "ok",
    }


@as_root
@pytest.mark.parametrize("scheme", ["tcp", "ipc"])
def test_who_answers_without_the_lock_is_not_the_user_to_give_things_to(
    served_by_nobody: Setup, open_folder: Path, scheme: str
) -> None:
    ipc = {"SCORE_BIND": f"ipc://{open_folder}/score.sock"} if scheme == "ipc" else {}
    with running(served_by_nobody.state, **ipc) as service:
        (served_by_nobody.state / "journal.db.lock").rename(open_folder / "moved")
        served_by_nobody.values |= {"SCORE_BIND": service.address} | ipc
        assert served_by_nobody.findings("files")[0].text.startswith("usable by nobody")
        found = served_by_nobody.fault("service", "answers as user root", "the state is nobody's")
        assert service.process
        named = "what listens there" if ipc else f"process {service.process.pid}"
        assert f"is {named} yours?" in found.advice


@as_root
@pytest.mark.parametrize("closed", [".", "state"])
def test_who_may_not_look_is_told_so_and_nothing_else_of_it(
    served_by_nobody: Setup, open_folder: Path, closed: str
) -> None:
    (open_folder / closed).chmod(0o700)
    os.seteuid(NOBODY + 1)
    try:
        bad = [found for found in served_by_nobody.findings() if found.level == "fail"]
    finally:
        os.seteuid(0)
    assert [(found.check, found.about) for found in bad] == [("files", str(served_by_nobody.state))]
    assert "as root" in bad[0].advice


@as_root
@pytest.mark.parametrize(("size", "level"), [("50m", "fail"), ("500m", "warn")])
def test_a_disk_that_is_nearly_full(setup: Setup, size: str, level: str) -> None:
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(setup.state)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("this machine lets nobody mount a small disk")
    try:
        assert "make room" in setup.fault("disk", "free", level=level).advice
    finally:
        subprocess.run(["umount", str(setup.state)], check=True)


# Mode, clock, configuration


def test_a_mode_that_somebody_commanded(setup: Setup) -> None:
    mode_file.write(setup.state, mode_file.Command("shadow", "anna", MONDAY_S))
    found = setup.fault("mode", "shadow", "anna", "2025-09-15", level="warn")
    assert "mode live" in found.advice


def test_a_mode_that_is_configured(setup: Setup) -> None:
    setup.values["SCORE_MODE"] = "off"
    assert "mode live" in setup.fault("mode", "off is configured", level="warn").advice


def test_a_mode_that_is_not_obeyed(setup: Setup) -> None:
    mode_file.write(setup.state, mode_file.Command("off", "mallory", MONDAY_S))
    (setup.state / mode_file.FILE_NAME).chmod(0o666)
    assert "signal-scorer mode" in setup.fault("mode", "not obeyed").advice


def test_a_folder_in_the_place_of_a_mode_is_to_be_moved_away(setup: Setup) -> None:
    (setup.state / mode_file.FILE_NAME).mkdir(parents=True)
    assert "mv " in setup.fault("mode", "not obeyed").advice


def test_a_mode_that_is_not_obeyed_beside_the_one_that_is(tmp_path: Path) -> None:
    mode_file.write(tmp_path, mode_file.Command("shadow", "anna", MONDAY_S))
    with running(tmp_path) as service:
        (tmp_path / mode_file.FILE_NAME).write_text("off")
        said = beside(service, tmp_path / "beside").fault("mode", "not obeyed").text
    assert said.endswith("shadow is served")


def test_a_clock_that_nothing_keeps_right(setup: Setup) -> None:
    scene = look_around(load(environ=setup.environ), now_s=MONDAY_S, listen_s=0.0)
    (found,) = clock.check(scene, lambda: False)
    assert (found.level, "timedatectl" in found.advice) == ("warn", True)


def test_a_clock_of_another_decade(setup: Setup) -> None:
    assert "timedatectl" in setup.fault("clock", "long passed", now_s=1e9).advice


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"SCORE_BASE_WEIGHT": "0.6"}, "scale"),
        ({"FEED_STALE_AFTER_S": "10"}, "silence"),
        ({"MODEL_EXPIRE_AFTER_DAYS": "0"}, "for ever"),
        ({"PAPER_MAX_HOLDING_S": "20000"}, "before all of it has ended"),
    ],
)
def test_values_that_say_what_nobody_means(setup: Setup, values: dict[str, str], said: str) -> None:
    setup.values |= values
    setup.fault("configuration", said, level="warn")
