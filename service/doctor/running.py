"""The running service: does it answer, is it ready, in which mode, and what it complains of."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import protocol
from service import mode_file
from service.console.words import counted, span, stamp
from service.doctor.answers import base_scores
from service.doctor.finding import Finding, fail, ok, warn
from service.doctor.scene import Running, Scene, user_name
from service.doctor.system import Process
from service.files import presence
from service.sockets.addresses import askable, is_wildcard

_KEYS_RIGHT = (
    "--server-key is to be this service's, the pair of --key on its list (curve.clients_dir; its "
    "log names keys that it refused); if they are, "
)

STALLED_MS = 250.0
"""As the alert ScorerLoopStalled has it."""
NOT_UNDERSTOOD = ("malformed", "too_large", "unsupported_version", "unknown_op", "invalid_field")


def check(scene: Scene) -> Iterator[Finding]:
    """What its `health` and `stats` say."""
    running = scene.running
    if running is None:
        yield _absent(scene)
        return
    yield _ready(running)
    yield from _whose(scene, running)
    yield from _version(running)
    yield from _losses(running)
    for status, said in base_scores(scene):
        if status != "unknown_symbol":  # of which the feed's check knows more
            yield warn(running.address, said, "docs/runbook.md, ScorerBaseScores, says what to do")
    yield from _not_understood(running)
    for note in running.health.get("notes", ()):
        if "restart" in note:
            yield warn(
                running.address, note, "restart it when it suits: systemctl restart signal-scorer"
            )
        elif "ahead of this machine's clock" in note:
            yield warn(
                running.address,
                note,
                "where it stays for five minutes, compare `date -u` and the sender's clock with "
                "the true time, set the one that is wrong, or feed.clock_offset; then systemctl "
                "restart signal-scorer",
            )
    drift = running.stats.get("drift", {}).get("drifting", ())
    if drift:
        yield warn(
            running.address,
            f"inputs are unlike those that the model was trained on: {', '.join(drift)}",
            "signal-scorer-train monitor judges it; docs/monitoring.md says what to make of it",
        )


def mode(scene: Scene) -> Iterator[Finding]:
    """Anything but live is somebody's decision, which somebody may have forgotten."""
    configured = scene.config.score.mode
    path = scene.state_dir / mode_file.FILE_NAME
    try:
        command = mode_file.read(scene.state_dir, owner=scene.owner)
    except ValueError as error:
        yield fail(
            path,
            f"{error}: it is not obeyed, {_served(scene)}",
            f"a folder is not written over, move it away: mv {path} {path}.old"
            if presence.is_dir(path)
            else "write it anew as root or the service's user: signal-scorer mode "
            "live|shadow|off|configured",
        )
        return
    wanted = configured if command is None else command.mode
    if wanted == "live":
        yield ok(path if command else "score.mode", "live")
    elif command is None:
        yield warn(
            "score.mode",
            f"{wanted} is configured: base scores are served",
            f"when {wanted} has done its work: signal-scorer mode live",
        )
    else:
        yield warn(
            path,
            f"{wanted} was commanded by {command.by or 'somebody'} on {stamp(command.at)} UTC: "
            "base scores are served",
            "when it has done its work: signal-scorer mode live",
        )


def _served(scene: Scene) -> str:
    """What a command that is not obeyed leaves in force: the mode before, after a start the
    configured one."""
    if scene.running is None:
        return f"a start serves {scene.config.score.mode}"
    return f"{scene.running.health['mode']} is served"


def _absent(scene: Scene) -> Finding:
    if scene.holder is not None:
        return _unanswered(scene, scene.holder)
    return warn(
        ", ".join(scene.config.score.bind),
        "no service runs with this configuration",
        "start it: systemctl start signal-scorer, or signal-scorer serve --config FILE",
    )


def _unanswered(scene: Scene, holder: Process) -> Finding:
    """Of a process that holds the journal."""
    asked = askable(scene.config, scene.keys)
    who = f"process {holder.pid}"
    if not asked and all(map(is_wildcard, scene.config.score.bind)):
        return ok(who, "runs; its port is left to the system: the line `ready` of its log names it")
    if not asked:
        return warn(
            who,
            "runs and was not asked how it is: all its addresses want keys",
            "give --server-key and --key",
        )
    shown = any(keys is not None for _, keys in asked)
    return fail(
        who,
        f"holds the journal and does not answer at {', '.join(address for address, _ in asked)}: "
        f"it hangs, {'does not know this key, ' * shown}is stopped, waits for its disk, "
        "listens elsewhere, or is a restore",
        f"{_KEYS_RIGHT if shown else ''}look at ps -fp {holder.pid}: let a restore end; else "
        "systemctl restart signal-scorer; its log and `signal-scorer journal tail` say more",
    )


def _ready(running: Running) -> Finding:
    health = running.health
    if health["ready"]:
        return ok(running.address, f"ready, up {span(health['uptime_s'])}")
    return fail(
        running.address,
        f"is not ready: {'; '.join(health['reasons'])}",
        "the other findings say what to do, or docs/runbook.md, ScorerNotReady; answers go on "
        "meanwhile",
    )


def _whose(scene: Scene, running: Running) -> Iterator[Finding]:
    """Any user may answer where the service does not listen, and say that he is the service."""
    behind = running.process
    if behind is None or scene.holder is not None or not presence.exists(scene.state_dir):
        return
    if behind.uid != scene.owner:
        who = f"process {behind.pid}" if behind.pid else "what listens there"
        yield fail(
            running.address,
            f"answers as user {user_name(behind.uid)}, the state is {scene.owner_name}'s",
            f"is {who} yours? If not, end it: it stands where the service would. If it is, "
            + (
                "give that user the state rather than run it as root"
                if scene.owner == 0
                else "run it as the user whose the state is"
            ),
        )


def _version(running: Running) -> Iterator[Finding]:
    theirs = running.health.get("versions", {}).get("service")
    if theirs != protocol.__version__:
        yield warn(
            running.address,
            f"runs version {theirs}, {protocol.__version__} is installed",
            "restart it to use what was installed",
        )


def _losses(running: Running) -> Iterator[Finding]:
    stats = running.stats
    journal, requests = stats["journal"], stats["requests"]
    if journal["unwritten"]:
        yield warn(
            running.address,
            f"{journal['unwritten']} answers were given and not kept since its start",
            "they are lost for training; the journal's and the disk's findings say why",
        )
    elif journal["errors"] and journal["fault"] is None:
        yield warn(
            running.address,
            f"{journal['errors']} operations on the journal failed since its start, or rows in it "
            "were damaged; no answer is missing",
            "docs/runbook.md, ScorerJournalErrors: journalctl -u signal-scorer -p warning",
        )
    for key, what, advice in (
        (
            "refused_overloaded",
            "requests were refused because too many waited, or too large replies were not read",
            "docs/runbook.md, ScorerOverloaded",
        ),
        (
            "reply_dropped",
            "replies were dropped since their client read none" + _stall(stats),
            "they come too late for it, or it does not wait: docs/runbook.md, ScorerRepliesDropped",
        ),
        (
            "refused_internal",
            "requests met a fault of this program",
            "its log has each with a traceback; please report it",
        ),
    ):
        if requests.get(key):
            yield warn(running.address, f"{requests[key]} {what}", advice)


def _stall(stats: dict[str, Any]) -> str:
    """Of a loop that kept a client waiting for longer than any does, as a slow disk makes it."""
    longest_ms = stats["longest_turn_ms"]
    return f"; once the loop was busy for {longest_ms:.0f} ms" if longest_ms > STALLED_MS else ""


def _not_understood(running: Running) -> Iterator[Finding]:
    """Its log has no line of them, and the reply has perhaps nobody read."""
    counts = {code: running.stats["requests"].get(f"refused_{code}", 0) for code in NOT_UNDERSTOOD}
    if any(counts.values()):
        named = ", ".join(f"{count} {code}" for code, count in counts.items() if count)
        yield warn(
            running.address,
            f"{counted(sum(counts.values()), 'request')} not understood since its start: {named}",
            "docs/runbook.md, ScorerRequestsRefused, says whose each may be",
        )
