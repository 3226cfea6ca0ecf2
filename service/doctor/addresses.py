"""Addresses: free, or held by the running service; and who may reach them."""

from __future__ import annotations

from collections.abc import Iterator
from shlex import quote

from service.doctor.finding import Finding, fail, ok, refused, warn
from service.doctor.scene import Scene
from service.doctor.system import WRITE, Process, listener, locks, nearest_there, obstacle, through
from service.errors import ConfigError
from service.files import presence
from service.files.locks import lock_of
from service.sockets.addresses import (
    EVERY_IPV4,
    IPC,
    TCP,
    check_address,
    check_http,
    ipc_path,
    is_loopback,
    is_open,
)
from service.sockets.setup import guard

TMPFILES = "/etc/tmpfiles.d/signal-scorer.conf"
"""By which install.sh has the socket's folder made, for the clients' group."""


def check(scene: Scene) -> Iterator[Finding]:
    """Each address of `score.bind`, `feed.ingest` and `metrics.bind`."""
    config = scene.config
    for key, address in [("score.bind", bind) for bind in config.score.bind] + [
        ("feed.ingest", config.feed.ingest)
    ]:
        if not address:
            continue
        open_to_others = _protection(scene, address)
        if open_to_others is not None:
            yield open_to_others
        if address.startswith(IPC):
            try:
                yield _path(scene, address)
            except PermissionError:
                yield warn(address, "is hidden from you", "run it as root or the service's user")
        elif address.startswith(TCP):
            yield _port(scene, key, address, address[len(TCP) :])
    if config.metrics.bind:
        yield from _metrics(scene, config.metrics.bind)


def _protection(scene: Scene, address: str) -> Finding | None:
    """What serve would refuse, and what it would not but an operator should know."""
    score = scene.config.score
    try:
        guarded = guard(scene.config)
    except ConfigError:
        return None  # told by the keys' check
    try:
        check_address(address, protected=guarded.insecure or guarded.encrypts(address))
    except ConfigError as error:
        return refused(address, error)
    if score.allow_insecure and is_open(address) and not guarded.encrypts(address):
        return warn(
            address,
            "is open to every machine that reaches it (score.allow_insecure)",
            "unless the network itself keeps others out, make keys: signal-scorer keygen "
            "--name CLIENT DIR, and take allow_insecure away",
        )
    return None


def _port(scene: Scene, key: str, address: str, text: str) -> Finding:
    host, _, number = text.rpartition(":")
    if not number.isdigit():
        return ok(address, "any free port is taken")
    held = _held(scene, host, int(number))
    if held is None:
        if scene.running is not None:
            return fail(
                address,
                f"the running service does not listen here ({key})",
                "restart it, so that it takes up its configuration",
            )
        return ok(address, "free")
    if scene.stranger is not None and scene.stranger.address == address:
        return fail(
            address,
            "is held by a signal-scorer with another state directory, "
            f"{scene.stranger.stats.get('state_dir')}",
            f"name that one's configuration with --config, or set another address in {key}",
        )
    if _is_the_service(scene, held):
        return ok(address, "held by the running service")
    return fail(
        address,
        f"is taken by {held.name} (process {held.pid or 'unknown'})",
        f"stop that program, or set another address in {key}",
    )


def _held(scene: Scene, host: str, port: int) -> Process | None:
    """Who listens at an address or, of one that means all, at another, where the service could not.

    The service itself, at one of them alone, does not listen at all.
    """
    host = EVERY_IPV4 if host in ("", "*") else host.strip("[]")
    held = listener(host, port)
    if held is None and host in (EVERY_IPV4, "::"):
        held = listener(host, port, in_the_way=True)
        if held is not None and _is_the_service(scene, held):
            return None
    return held


def _is_the_service(scene: Scene, held: Process) -> bool:
    if scene.holder is not None and held.pid:
        return held.pid == scene.holder.pid
    return scene.running is not None or scene.holder is not None


def _path(scene: Scene, address: str) -> Finding:
    path = ipc_path(address)
    lock = lock_of(path)
    if (presence.exists(path) or path.is_symlink()) and not presence.is_socket(path):
        return fail(
            address,
            f"{path} is there and is no socket; serve does not replace it",
            f"move it away: mv {path} {path}.aside",
        )
    holders = [found.pid for found in locks(lock)]
    if holders:
        if scene.holder is not None and scene.holder.pid not in holders:
            return fail(
                address,
                f"is served by another process ({holders[0]})",
                "stop that one, or set another path in score.bind",
            )
        if not presence.is_socket(path):
            return fail(
                address,
                "the socket of the running service was removed: nobody reaches it here",
                "restart it, which makes another: systemctl restart signal-scorer",
            )
        return ok(address, "held by the running service")
    if scene.running is not None:
        return fail(
            address,
            "the running service does not listen here",
            "restart it, so that it takes up its configuration",
        )
    folder = nearest_there(path.parent)
    hindrance = obstacle(folder, scene.owner, WRITE)
    if hindrance is not None:
        return fail(
            address,
            f"user {scene.owner_name} may not write in {hindrance}",
            f"as installed: systemd-tmpfiles --create {TMPFILES}; elsewhere: "
            + through(
                path.parent,
                scene.owner,
                f"install -d -o {scene.owner_name} {quote(str(path.parent))}",
            ),
        )
    return ok(address, "free")


def _metrics(scene: Scene, bind: str) -> Iterator[Finding]:
    if not is_loopback(TCP + bind):
        yield warn(
            f"metrics at {bind}",
            "can be read from other machines: they have no keys",
            "set metrics.bind to 127.0.0.1:9461, or let a firewall admit the scraper alone",
        )
    try:
        check_http(bind)
    except ConfigError as error:
        yield refused("metrics.bind", error)
        return
    host, _, number = bind.rpartition(":")
    held = _held(scene, host, int(number))
    if held is not None and not _is_the_service(scene, held):
        yield fail(
            f"metrics at {bind}",
            f"is taken by {held.name} (process {held.pid or 'unknown'}): no metrics",
            "stop that program, or set another address in metrics.bind",
        )
    elif held is None and scene.running is not None:
        yield fail(
            f"metrics at {bind}",
            "the running service gives none here",
            "restart it; its log says why the address could not be bound",
        )
    else:
        yield ok(f"metrics at {bind}", "free" if held is None else "held by the running service")
