"""What every check looks at: the configuration, the running service's answers, who it runs as."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from protocol.client import ScorerClient, ScorerRefused, ScorerUnavailable
from protocol.curve import CurveKeys
from service.config.load import Sourced
from service.config.settings import Config
from service.doctor.system import Process, listener, locks, process
from service.files import presence
from service.files.locks import lock_of
from service.shown_logs import DROP_IN
from service.sockets.addresses import IPC, TCP, askable, ipc_path, is_loopback

ASK_MS = 2000.0


@dataclass(frozen=True, slots=True)
class Running:
    """A service that answers: where, its `health` and `stats`, and whose process it is (its pid
    is 0 for a socket's path), None where that cannot be told."""

    address: str
    health: dict[str, Any]
    stats: dict[str, Any]
    process: Process | None


@dataclass(frozen=True, slots=True)
class Scene:
    """`running` is the service of this configuration, `stranger` one of another that answers
    at its address. `holder` is the process that holds the journal; `owner` the user that the
    service runs as, or will. `drop_in` is what `install.sh --truth-log` writes. `keys` are shown
    where an address wants some; an answer is waited for `ask_ms`."""

    config: Config
    now_s: float
    listen_s: float = 3.0
    full: bool = False
    config_file: Path | None = None
    running: Running | None = None
    stranger: Running | None = None
    holder: Process | None = None
    owner: int = 0
    drop_in: Path = DROP_IN
    keys: CurveKeys | None = None
    ask_ms: float = ASK_MS

    @property
    def state_dir(self) -> Path:
        """Where relative paths lie."""
        return self.config.path(".").absolute()

    @property
    def owner_name(self) -> str:
        """For advice: a name where there is one."""
        return user_name(self.owner)


def look_around(
    sourced: Sourced,
    *,
    now_s: float,
    listen_s: float,
    full: bool = False,
    config_file: Path | None = None,
    keys: CurveKeys | None = None,
    ask_ms: float = ASK_MS,
) -> Scene:
    """Ask whatever answers at the configured addresses, and see who holds the journal."""
    config = sourced.config
    holder = journal_holder(config)
    answers = (_ask(address, wanted, ask_ms) for address, wanted in askable(config, keys))
    found = next((answer for answer in answers if answer is not None), None)
    ours = found is not None and found.stats.get("state_dir") == config.told_state_dir
    return Scene(
        config,
        now_s,
        listen_s,
        full,
        config_file,
        found if ours else None,
        None if ours else found,
        holder,
        _owner(config, holder),
        keys=keys,
        ask_ms=ask_ms,
    )


def ask_again(scene: Scene) -> Running | None:
    """What the running service says now, None where it says nothing any more."""
    if scene.running is None:
        return None
    address = scene.running.address
    return _ask(address, dict(askable(scene.config, scene.keys))[address], scene.ask_ms)


def journal_holder(config: Config) -> Process | None:
    """The process that writes the journal, as the kernel's lock says."""
    lock = lock_of(config.journal_path)
    pids = [found.pid for found in locks(lock) if found.kind.startswith("FLOCK")]
    return process(pids[0]) if pids else None


def user_name(uid: int) -> str:
    """The name of a user, or its number."""
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _ask(address: str, keys: CurveKeys | None, ask_ms: float) -> Running | None:
    if not _listened(address):
        return None
    try:
        with ScorerClient(address, ask_ms, retries=0, curve=keys) as client:
            return Running(address, client.health(), client.stats(), _process_behind(address))
    except (ScorerUnavailable, ScorerRefused, KeyError, ValueError):
        return None


def _process_behind(address: str) -> Process | None:
    if address.startswith(IPC):
        try:
            return Process(0, ipc_path(address).stat().st_uid, "a process")
        except OSError:
            return None
    host, _, port = address[len(TCP) :].rpartition(":")
    found = listener(host.strip("[]"), int(port))
    return found if found is not None and found.pid else None


def _listened(address: str) -> bool:
    """Whether it is worth the wait: an address of another machine may be."""
    if address.startswith(IPC):
        try:
            return presence.is_socket(ipc_path(address))
        except OSError:  # hidden from who asks, who could not connect either
            return False
    host, _, port = address[len(TCP) :].rpartition(":")
    return not is_loopback(address) or listener(host.strip("[]"), int(port)) is not None


def _owner(config: Config, holder: Process | None) -> int:
    """Never the user that answers: any user may, at a port that the service has left."""
    if holder is not None:
        return holder.uid
    try:
        return config.path(".").stat().st_uid
    except OSError:
        return os.geteuid()
