"""The journal: whole, of a schema that is known, writable by the service and by nobody else now."""

from __future__ import annotations

import errno
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from shlex import quote

from service.console.words import amount, stamp
from service.doctor.files import to_be_made
from service.doctor.finding import Finding, fail, ok, warn
from service.doctor.scene import Scene
from service.doctor.system import (
    ENTER,
    MOUNT,
    READ,
    WRITE,
    locks,
    nearest_there,
    obstacle,
    process,
    read_only,
    through,
    unless_linked,
)
from service.files import presence
from service.files.locks import lock_of
from service.journal.file import (
    NOT_OURS,
    SCHEMA_VERSION,
    bytes_of,
    irregular,
    shm_of,
    size_of,
    wal_of,
)
from service.journal.reading import ASK_DOCTOR, JournalUnreadable, open_quietly, schema_of
from service.journal.score_table import spooled_scores
from service.journal.spool import spool_path

LARGE_WAL_BYTES = 64 << 20
CHECK_S = 5.0
"""A reader that stays keeps the WAL from being emptied: a large file is not read to its end."""
STEPS_A_LOOK = 100_000
WRITER_BYTE = "120"
"""Of the -shm file: WAL_WRITE_LOCK, which a transaction holds (sqlite.org/walformat.html)."""
LOCKED_FOR_S = 0.5
LOOKS = 5
RESTARTS, RESTARTS_S = 5, 3600.0
SCORE_AHEAD_S = 60.0
_NEWEST = "SELECT scored_at FROM scores WHERE typeof(scored_at) = 'real' ORDER BY seq DESC LIMIT 1"


def check(scene: Scene) -> Iterator[Finding]:
    """Of the file; where nothing is wrong with it, the running service's own word."""
    path = scene.config.journal_path
    sound = True
    for finding in _seen(scene, path):
        sound = sound and finding.level != "fail"
        yield finding
    if sound:
        yield from _unwritten(scene, path)


def _seen(scene: Scene, path: Path) -> Iterator[Finding]:
    """Without waiting for anybody."""
    yield from _lock(scene, lock_of(path))
    other = irregular(path)
    if other is not None:
        yield fail(other, "is no file: no answer is kept", f"move it away, then restart: {other}")
        return
    yield from _spool(path)
    if not presence.exists(path):
        yield to_be_made(scene, path, path.parent, "journal.path")
        return
    yield from _rights(scene, path)
    yield from _writer(scene, path)
    wal = bytes_of(wal_of(path))
    if wal > LARGE_WAL_BYTES:
        yield warn(
            wal_of(path),
            f"{amount(wal)} wait to be moved into the journal",
            "some reader stays in it: end long queries and backups; without one, restart the "
            "service and look at the disk",
        )
    try:
        with closing(open_quietly(path)) as connection:
            yield from _content(scene, path, connection)
    except JournalUnreadable as error:
        yield _unreadable(path, str(error))
    except sqlite3.Error as error:
        yield _damaged(path, str(error))


def _unwritten(scene: Scene, path: Path) -> Iterator[Finding]:
    """What keeps the service from it though, as seen from here, nothing does."""
    fault = scene.running and scene.running.stats["journal"]["fault"]
    # Where the journal is a link, its lock and spool lie beside that, its WAL beside the file.
    lie_in = wal_of(path).parent, Path(os.path.realpath(path.parent))
    folders = sorted(set(map(nearest_there, lie_in)))
    # A folder that it may not write to is the files' check's to tell.
    if not fault or any(obstacle(one, scene.owner, WRITE | ENTER) for one in folders):
        return
    do = "docs/runbook.md, ScorerJournalFailing, says what to do"
    if any(map(read_only, folders)):
        do = MOUNT
    elif "Read-only" in fault or "readonly" in fault:
        do = (
            "its unit keeps it out: systemctl edit signal-scorer, "
            f"ReadWritePaths={' '.join(map(str, folders))} under [Service]; then systemctl restart "
            "signal-scorer"
        )
    elif "Permission denied" in fault:
        do = (
            f"let the user of the running service write in {' and '.join(map(str, folders))}; its "
            "unit hides /home, /root and /run/user (ProtectHome=): below them, set another "
            "journal.path"
        )
    yield fail(path, f"the running service cannot write it: {fault}", do)


def _lock(scene: Scene, lock: Path) -> Iterator[Finding]:
    """What the service has to open before it writes; without it nothing is journalled."""
    if not os.path.lexists(lock):
        return
    if lock.is_symlink() or not presence.is_file(lock):
        yield fail(
            lock,
            "is no file: the service cannot lock its journal, answers are not kept",
            f"move it away: {lock}; the service makes a new one",
        )
        return
    # A folder that it may not pass through is the files' check's to tell.
    if obstacle(lock, scene.owner, READ | WRITE) == lock:
        yield fail(
            lock,
            f"user {scene.owner_name}, as whom the service runs, may not open it: "
            "it cannot lock its journal, answers are not kept",
            unless_linked(lock, f"chown -h {scene.owner_name}: {quote(str(lock))}"),
        )


def _rights(scene: Scene, path: Path) -> Iterator[Finding]:
    for file in (path, wal_of(path), shm_of(path), spool_path(path)):
        if presence.exists(file):
            hindrance = obstacle(file, scene.owner, READ | WRITE)
            if hindrance is not None:
                yield fail(
                    hindrance,
                    f"user {scene.owner_name}, as whom the service runs, may not write it: "
                    "answers are not kept",
                    _give(scene, path, file) if hindrance == file else through(file, scene.owner),
                )
                return
    yield from _around(scene, path)


def _give(scene: Scene, path: Path, file: Path) -> str:
    leads = path.is_symlink() and file != spool_path(path)
    files = f"{quote(str(path.resolve() if leads else path))}*"
    # The folder is the service's: root must not give away what a link leads to.
    give = f"chown -h {scene.owner_name}: {files} && chmod u+rw {files}"
    if leads:
        return f"{path} is a link, look first: ls -l {files}; where that is the journal: {give}"
    return unless_linked(path, give)


def _around(scene: Scene, path: Path) -> Iterator[Finding]:
    folder, state_dir = path.absolute().parent, scene.state_dir
    hindrance = obstacle(folder, scene.owner, WRITE | ENTER)
    told = presence.exists(state_dir) and state_dir.samefile(folder)  # by the files' check
    if hindrance is not None and not told:
        name = quote(str(folder))
        yield fail(
            hindrance,
            f"user {scene.owner_name}, as whom the service runs, may not make the journal's lock "
            "and WAL in it: answers are not kept",
            unless_linked(folder, f"chown {scene.owner_name} {name} && chmod u+rwx {name}")
            + ", or set another journal.path, as where it is not the journal's alone",
        )
    behind = obstacle(wal_of(path).parent, scene.owner, WRITE | ENTER)
    if behind is not None and path.is_symlink():
        yield fail(
            behind,
            f"user {scene.owner_name}, as whom the service runs, may not make the journal's WAL "
            "in it: answers are not kept",
            f"{path} is a link into it: look first whose it is, then let that user write there, or "
            "set the link anew",
        )


def _spool(path: Path) -> Iterator[Finding]:
    """Scores that were promised and are not in their table yet."""
    if not os.path.lexists(spool_path(path)):
        return
    try:
        _, damaged = spooled_scores(path)
    except PermissionError as error:
        yield warn(spool_path(path), f"cannot be read: {error.strerror}", "run it as root")
        return
    except OSError as error:
        advice = f"look at the disk; copy {spool_path(path)} before anything else, it holds scores"
        if error.errno in (errno.ELOOP, errno.EINVAL):
            advice = f"move it away: {spool_path(path)}; the service goes on with a new one"
        fault = f"cannot be read: {error.strerror}: answers are not kept"
        yield fail(spool_path(path), fault, advice)
        return
    if damaged:
        yield fail(
            spool_path(path),
            "holds damaged scores: these are lost, whole ones behind them are looked for",
            f"copy {spool_path(path)} away; the service takes what is whole at its next start; "
            "look at the disk (smartctl, dmesg)",
        )


def _writer(scene: Scene, path: Path) -> Iterator[Finding]:
    """Another program's transaction that goes on; ours are over within milliseconds."""
    shm = shm_of(path)
    ours = scene.holder.pid if scene.holder else None

    def others() -> set[int]:
        return {
            lock.pid
            for lock in locks(shm)
            if lock.kind == "POSIX WRITE" and lock.first == WRITER_BYTE and lock.pid != ours
        }

    staying = others()
    for _ in range(LOOKS):
        if not staying:
            return
        time.sleep(LOCKED_FOR_S / LOOKS)
        staying &= others()
    for pid in staying:
        who = process(pid)
        yield fail(
            path,
            f"is locked by {who.name if who else 'a program'} (process {pid}): "
            "answers are not kept meanwhile",
            f"end its transaction, or the program: kill {pid}",
        )


def _content(scene: Scene, path: Path, connection: sqlite3.Connection) -> Iterator[Finding]:
    schema = schema_of(connection)
    if schema > SCHEMA_VERSION:
        yield fail(
            path,
            f"has schema {schema}, this program knows {SCHEMA_VERSION}: it was written by a "
            "newer version",
            "install that version again, or restore a backup that was made before it",
        )
        return
    if schema == 0:
        yield warn(
            path,
            "is empty: no service has made its tables yet",
            "start the service where none runs. If it once held scores, give the trainer those of "
            "the last backup: docs/runbook.md, ScorerJournalFailing",
        )
        return
    problem, whole = _integrity(connection, full=scene.full)
    if problem is not None:
        yield _damaged(path, problem)
        return
    newest = connection.execute(_NEWEST).fetchone()
    if newest is not None and newest[0] > scene.now_s + SCORE_AHEAD_S:
        yield fail(
            path,
            f"its last score is of {stamp(newest[0])} UTC, which is yet to come",
            "the clock was ahead then or is behind now: compare `date -u` with the true time",
        )
    yield from _restarts(scene, path, connection)
    known = f"schema {schema}" + (", brought forward at start" if schema < SCHEMA_VERSION else "")
    read = "whole" if whole else f"not read to its end in {CHECK_S:g} s (--full does)"
    last = "no score yet" if newest is None else f"last score {stamp(newest[0])} UTC"
    yield ok(path, f"{amount(size_of(path))}, {known}, {read}; {last}")


def _restarts(scene: Scene, path: Path, connection: sqlite3.Connection) -> Iterator[Finding]:
    (count,) = connection.execute(
        "SELECT count(*) FROM events WHERE kind = 'started' AND at > ? AND at <= ?",
        (scene.now_s - RESTARTS_S, scene.now_s),
    ).fetchone()
    if count > RESTARTS:
        yield warn(
            path,
            f"the service was started {count} times within an hour",
            "its log says why it ended: journalctl -u signal-scorer -p warning",
        )


def _integrity(connection: sqlite3.Connection, *, full: bool) -> tuple[str | None, bool]:
    """(what is wrong, whether it was looked at to its end)."""
    end_s = time.monotonic() + CHECK_S
    if not full:
        connection.set_progress_handler(lambda: time.monotonic() > end_s, STEPS_A_LOOK)
    try:
        rows = connection.execute("PRAGMA quick_check(3)").fetchall()
    except sqlite3.OperationalError as error:
        if "interrupted" in str(error):
            return None, False
        raise
    finally:
        connection.set_progress_handler(None, 0)
    found = [" ".join(str(row[0]).split()) for row in rows if row[0] != "ok"]
    return ("; ".join(found)[:300] if found else None), True


def _unreadable(path: Path, text: str) -> Finding:
    what, _, advice = text.partition("; ")
    if "not a database" in what or "malformed" in what:
        return _damaged(path, what)
    if NOT_OURS in what:
        do = "drop them as the service's user, or install the newer version that made them"
        return fail(path, what, f"{do}; sqlite3's .schema shows them")
    if advice == ASK_DOCTOR:
        return fail(path, what, "run doctor again; if it stays, look at the disk (smartctl, dmesg)")
    advice = advice.removesuffix(f"; {ASK_DOCTOR}")  # which this is
    return warn(path, what, advice or "run doctor as the service's user, or as root")


def _damaged(path: Path, text: str) -> Finding:
    return fail(
        path,
        f"is damaged: {text.removeprefix(f'{path} ')}",
        "move it away with its -wal and -shm while the service runs, as docs/runbook.md, "
        "ScorerJournalFailing, says: a new one begins at once, and the trainer is given the old "
        "rows later. Do not restore yet",
    )
