"""CURVE: the secret is one, the list of clients can be read and lets somebody in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from shlex import quote

from protocol.curve import PUBLIC_SUFFIX, KeyFileError, read_public, read_secret
from service.doctor.finding import Finding, fail, ok, refused, warn
from service.doctor.scene import Scene
from service.doctor.system import ENTER, READ, obstacle, others_may_write, through, unless_linked
from service.errors import ConfigError
from service.files import presence
from service.sockets.setup import feed_keys, guard
from service.sockets.zap import AllowList


def check(scene: Scene) -> Iterator[Finding]:
    """Only where keys are configured."""
    curve = scene.config.curve
    if curve.server_secret_file:
        yield from _secret(scene, scene.config.path(curve.server_secret_file))
        yield from _clients(scene, scene.config.path(curve.clients_dir))
    else:
        try:
            guard(scene.config)
        except ConfigError as error:
            yield refused("curve", error)
    if curve.feed_keys or curve.feed_secret_file:
        try:
            feed_keys(scene.config)
        except ConfigError as error:
            yield refused("curve.feed_keys", error)
        else:
            yield ok("curve.feed_keys", f"{len(curve.feed_keys)} endpoints with keys")


def _secret(scene: Scene, path: Path) -> Iterator[Finding]:
    try:
        read_secret(path)
    except KeyFileError as error:
        yield refused(path, error)
        return
    hindrance = obstacle(path, scene.owner, READ)
    if hindrance is not None:
        yield fail(
            hindrance,
            f"user {scene.owner_name}, as whom the service runs, may not read it: "
            "the service does not start",
            unless_linked(
                path, f"chown {scene.owner_name} {quote(str(path))} && chmod u+r {quote(str(path))}"
            )
            if hindrance == path
            else through(path, scene.owner),
        )
        return
    yield ok(path, f"a secret, readable by {scene.owner_name} alone")


def _clients(scene: Scene, folder: Path) -> Iterator[Finding]:
    hindrance = obstacle(folder, scene.owner, READ | ENTER)
    if hindrance is not None:
        yield fail(
            folder,
            f"user {scene.owner_name} may not read it (at {hindrance}): no client is let in",
            "signal-scorer keygen makes the folder; give it to that user, or chmod o+rx",
        )
        return
    named = sorted(folder.glob(f"*{PUBLIC_SUFFIX}"))
    for path in (folder, *named):
        if presence.exists(path) and others_may_write(path):
            yield fail(
                path,
                "every user of this machine may write to it, and so let himself in",
                f"chmod o-w {quote(str(path))}",
            )
    allowed = AllowList(folder)
    allowed.look()
    for path in named:
        try:
            read_public(path)
        except KeyFileError as error:
            yield refused(path, error)
    if not allowed.names:
        yield fail(
            folder,
            "holds no client's key: nobody is let in where keys are asked for",
            f"signal-scorer keygen --name CLIENT {folder.parent}",
        )
        return
    refusals = 0
    if scene.running is not None:
        refusals = int(scene.running.stats.get("handshakes", {}).get("refused", 0))
    if refusals:
        yield warn(
            folder,
            f"{refusals} connections with a key that is not on the list were refused",
            "the service's log names key and address; add NAME.pub if it is a client of yours",
        )
    yield ok(folder, f"clients that are let in: {len(allowed.names)}")
