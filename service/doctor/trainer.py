"""The trainer and the monitor: did they run lately, can they read, and whom they would tell."""

from __future__ import annotations

import os
import pwd
import shutil
from collections.abc import Iterator
from pathlib import Path
from shlex import quote
from zoneinfo import ZoneInfo

from service.config.settings import Config
from service.console.words import stamp
from service.doctor.finding import Finding, fail, ok, warn
from service.doctor.scene import Scene, user_name
from service.doctor.system import ENTER, READ, WRITE, allows, nearest_there, obstacle, through
from service.files import presence
from service.files.rotated import with_rotated
from service.journal.reading import JournalUnreadable, reading
from service.model.history import HISTORY_NAME, LAST_RUN_NAME, last_trained, read_history
from service.shown_logs import INSTALLED, shown_logs
from service.spans import DAY_S

WEEKLY_S = 8 * DAY_S
"""Cron runs it once a week; a day more is no news."""
HOURLY_S = 3 * 3600.0
LOCK = ".lock"
OWN_TO_UNITS = ("/home", "/root", "/run/user", "/tmp", "/var/tmp")  # noqa: S108
"""Folders in whose place the units of deploy/systemd have empty ones (ProtectHome, PrivateTmp)."""
UNSEEN = "lies in a folder that is hidden from the units"
CRON = "install deploy/cron/signal-scorer or the timers, and look at its log: journalctl -u "


def check(scene: Scene) -> Iterator[Finding]:
    """Its truth logs, its last run, the monitor's."""
    yield from _truth_logs(scene)
    yield from _own_files(scene)
    yield _last_run(scene)
    textfile = scene.config.monitor.textfile
    if textfile:
        yield _monitor(scene, scene.config.path(textfile))


def alerts(scene: Scene) -> Iterator[Finding]:
    """The program that is told of changes; `--test-alert` runs it."""
    command = scene.config.alerts.command
    if not command:
        yield ok("alerts.command", "none: nobody is told unless Prometheus does")
        return
    found = shutil.which(command[0])
    if found is None:
        there = presence.exists(Path(command[0]))
        yield fail(
            command[0],
            "is not executable" if there else "is not there: nobody would be told",
            f"chmod +x {command[0]}" if there else "correct alerts.command, an argv without shell",
        )
        return
    if _unseen(scene, Path(found)):
        yield fail(
            found,
            f"{UNSEEN}: nobody would be told",
            "copy it to /opt/signal-scorer/alert, and name it there in alerts.command",
        )
        return
    trainer = _trainer(scene)
    hindrance = obstacle(Path(found), trainer, READ | ENTER)
    if hindrance is not None:
        yield fail(
            hindrance,
            f"user {user_name(trainer)}, as whom the monitor runs, may not use it",
            f"chmod a+rx {quote(found)}"
            if hindrance == Path(found)
            else through(Path(found), trainer),
        )
        return
    yield ok(command[0], "there; signal-scorer doctor --test-alert tries it out")


def monitors_user(config: Config) -> pwd.struct_passwd | None:
    """The user that trainer and monitor run as, the models' owner, where that is another one."""
    try:
        found = pwd.getpwuid(config.models_dir.stat().st_uid)
    except (OSError, KeyError):
        return None
    return None if found.pw_uid == os.geteuid() else found


def _trainer(scene: Scene) -> int:
    """The user that the trainer runs as: the models are its own."""
    try:
        return scene.config.models_dir.stat().st_uid
    except OSError:
        return scene.owner


def _truth_logs(scene: Scene) -> Iterator[Finding]:
    config = scene.config
    try:
        ZoneInfo(config.truth_log.timezone)
    except (ValueError, OSError, KeyError):
        if config.truth_log.timezone != "UTC":
            yield fail(
                "truth_log.timezone",
                f"there is no zone named {config.truth_log.timezone!r}",
                "use UTC or a name such as Europe/Athens",
            )
    shown = shown_logs(scene.config_file, scene.drop_in)
    for log, bound in shown:
        yield _shown_log(log, bound, _trainer(scene))
    for path in () if shown else map(config.path, config.truth_log.paths):
        try:
            yield _unseen_log(scene, path) or _configured_log(path, _trainer(scene))
        except PermissionError:
            yield warn(path, "the truth log is hidden from you", "run it as root")


def _unseen_log(scene: Scene, path: Path) -> Finding | None:
    if not _unseen(scene, path):
        return None
    return fail(
        path,
        f"{UNSEEN}: no reported outcome is learnt from",
        f"deploy/install.sh --truth-log {quote(str(path))} shows it to the trainer's",
    )


def _unseen(scene: Scene, path: Path) -> bool:
    """Whether the installed units, unlike whoever asks, find nothing there."""
    real = Path(os.path.realpath(path))  # resolve() raises for links that lead in a circle
    return scene.config_file == INSTALLED and any(map(real.is_relative_to, OWN_TO_UNITS))


def _configured_log(path: Path, trainer: int) -> Finding:
    if not presence.exists(path) and obstacle(nearest_there(path.parent), trainer, ENTER) is None:
        return fail(
            path,
            "the truth log is not there: no reported outcome is learnt from",
            "correct truth_log.paths; signal-scorer-train truth check FILE reads one",
        )
    hindrance = obstacle(path, trainer, READ)
    if hindrance is not None:
        return fail(
            path,
            f"user {user_name(trainer)}, as whom the trainer runs, may not read it "
            f"(at {hindrance})",
            f"deploy/install.sh --truth-log {quote(str(path))} arranges that",
        )
    if not presence.is_file(path):
        return fail(
            path,
            "is no file: no reported outcome is learnt from",
            "put the log in its place, or correct truth_log.paths. A container makes a folder "
            "of a file to be mounted that was not there",
        )
    return _whole(path, "readable")


def _shown_log(log: Path, bound: Path, trainer: int) -> Finding:
    try:
        log.stat()
    except (FileNotFoundError, NotADirectoryError):
        return fail(
            log,
            "the truth log is not there: no reported outcome is learnt from",
            "it is read once it is there; if it lies elsewhere: deploy/install.sh --truth-log PATH",
        )
    except OSError as error:
        return warn(log, f"doctor may not look at it: {error.strerror}", "run it as root")
    wanted = {bound: READ | ENTER, log: READ}  # what is above is passed by root
    closed = next((path for path in wanted if not allows(path, trainer, wanted[path])), None)
    if closed is not None:
        return fail(
            log,
            f"user {user_name(trainer)}, as whom the trainer runs, may not read it (at {closed})",
            f"chmod a+rX {quote(str(closed))}; the folders above keep others out",
        )
    if not presence.is_file(log):
        return fail(
            log,
            "is no file: no reported outcome is learnt from",
            "put the log in its place; if it lies elsewhere: deploy/install.sh --truth-log PATH",
        )
    return _whole(log, "shown to the trainer's units")


def _whole(log: Path, said: str) -> Finding:
    """Of one that is read: empty, as are its rotated parts, it may have been emptied."""
    if not any(map(_has_content, with_rotated(log))):
        return warn(
            log,
            "is empty: no reported outcome is learnt from",
            "all is well if Elite Guard has recorded nothing yet; else put back what was in it, or "
            "leave its rotated parts, plain or .gz, beside it",
        )
    return ok(log, f"{said}, changed {stamp(log.stat().st_mtime)} UTC")


def _has_content(part: Path) -> bool:
    """Also where it may not be looked at: then it is not known to be empty."""
    try:
        return presence.is_file(part) and part.stat().st_size > 0
    except OSError:
        return True


def _own_files(scene: Scene) -> Iterator[Finding]:
    """What each run writes on in: root's, where root ran it without the installed command."""
    models, trainer = scene.config.models_dir, _trainer(scene)
    for path, harm in (
        (models / LOCK, "nothing is trained, published or rolled back"),
        (models / HISTORY_NAME, "what is published, rejected or rolled back is not noted"),
    ):
        if not os.path.lexists(path):  # or hidden from who asks
            continue
        name = quote(str(path))
        # The folder is the trainer's: root is not to give it what a link of its own leads to.
        if path.is_symlink() or not presence.is_file(path):
            yield fail(path, f"is no file: {harm}", f"move it away: mv {name} {name}.aside")
        elif not allows(path, trainer, READ | WRITE):
            yield fail(
                path,
                f"user {user_name(trainer)}, as whom the trainer runs, may not write it: {harm}",
                f"chown -h {user_name(trainer)}: {name} && chmod u+rw {name}",
            )


def _last_run(scene: Scene) -> Finding:
    models = scene.config.models_dir
    last = last_trained(read_history(models))
    noted_s = _modified(models / LAST_RUN_NAME)
    ran_s = max(noted_s, 0.0 if last is None else last.at)
    verdict = "" if last is None else f"; last verdict {stamp(last.at)}: {last.event}"
    if scene.now_s - ran_s <= WEEKLY_S:
        return ok(models, f"ran {stamp(ran_s)} UTC{verdict}")
    # Of a version that noted no run the lock may tell of one, or of a pin, rollback or restore.
    used_s = 0.0 if noted_s else _modified(models / LOCK)
    if scene.now_s - used_s <= WEEKLY_S:
        return ok(models, f"no run is noted yet; last used {stamp(used_s)} UTC{verdict}")
    since_s = _first_score_s(scene)
    if since_s is None or scene.now_s - since_s <= WEEKLY_S:
        return ok(models, "has nothing to do yet: the first scores are younger than a week")
    at_most_s = max(ran_s, used_s)
    when = f"did not run after {stamp(at_most_s)} UTC" if at_most_s else "never ran"
    return warn(models, when + verdict, CRON + "signal-scorer-train")


def _monitor(scene: Scene, path: Path) -> Finding:
    written_s = _modified(path)
    if not written_s:
        return warn(path, "the monitor has written no metrics yet", CRON + "signal-scorer-monitor")
    if scene.now_s - written_s > HOURLY_S:
        return warn(
            path,
            f"the monitor last ran {stamp(written_s)} UTC; hourly is due",
            CRON + "signal-scorer-monitor",
        )
    return ok(path, f"the monitor ran {stamp(written_s)} UTC")


def _modified(path: Path) -> float:
    try:
        return os.stat(path).st_mtime  # noqa: PTH116  0.0 for none, in one step
    except PermissionError:  # "never ran" would be said of what is hidden
        raise
    except OSError:
        return 0.0


def _first_score_s(scene: Scene) -> float | None:
    try:
        with reading(scene.config.journal_path) as connection:
            row = connection.execute(
                "SELECT scored_at FROM scores WHERE typeof(scored_at) = 'real' ORDER BY seq LIMIT 1"
            ).fetchone()
    except JournalUnreadable:
        return None  # told by the journal's check
    return None if row is None else float(row[0])
