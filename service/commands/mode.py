"""`mode`: writes the command for a mode and waits until the service has followed it."""

from __future__ import annotations

import getpass
import os
import time
from typing import Any, cast

from protocol.client import ScorerClient, ScorerRefused, ScorerUnavailable
from protocol.messages import Mode
from protocol.questions import ReplyNotUnderstood
from service.config.load import load
from service.config.settings import Config
from service.console import exit_codes
from service.console.printable import printable
from service.errors import CommandError, remedy
from service.files.durable import Unflushed
from service.mode_file import FILE_NAME, Command, write
from service.top.answers import health_of, stats_of

FOLLOWED_WITHIN_S = 2.0
LOOK_S = 0.05


def command(wanted: str, config_path: str | None, client: ScorerClient) -> str:
    """Command a mode (`configured`: none) and say what came of it.

    Raises CommandError where it cannot be written or is not followed, ConfigError.
    """
    config = load(config_path).config
    folder = config.path(".")
    asked = None if wanted == "configured" else Command(cast(Mode, wanted), _who(), time.time())
    before = _served(client)
    try:
        write(folder, asked)
    except OSError as error:
        what = "" if isinstance(error, Unflushed) else f"cannot write {folder / FILE_NAME}: "
        text = f"{what}{error.strerror}; {remedy(error)}"
        raise CommandError(text, exit_codes.CANT_CREATE) from None
    due = config.score.mode if wanted == "configured" else wanted
    end_s = time.monotonic() + FOLLOWED_WITHIN_S
    while True:
        served = None if before is None else _served(client)
        if served is None:
            return f"{due}: written; no service answers, it holds from the next start"
        # One that served so before may never have looked at what was written.
        unmoved = served == before == due and not _is_ours(client, config)
        if served == due and not unmoved:
            return f"{due}: served from now on"
        if unmoved or time.monotonic() > end_s:
            raise CommandError(printable(_not_followed(due, served, client, config)), 1)
        time.sleep(LOOK_S)


def _not_followed(due: str, served: str, client: ScorerClient, config: Config) -> str:
    try:
        why = _why(stats_of(client), config)
    except (ScorerUnavailable, ScorerRefused) as error:
        answered = isinstance(error, (ReplyNotUnderstood, ScorerRefused))
        if not (served and answered):
            return f"{due}: written, but the service does not say what it serves: {error}"
        why = str(error)
    return f"the service goes on serving {served or 'another mode'}: {why}"


def _is_ours(client: ScorerClient, config: Config) -> bool:
    """Whether the service is the configuration's, as far as it says."""
    try:
        return client.stats().get("state_dir") == config.told_state_dir
    except (ScorerUnavailable, ScorerRefused):
        return True


def _why(stats: dict[str, Any], config: Config) -> str:
    if stats.get("state_dir") == config.told_state_dir:
        return (
            "its configuration is another one than the file's until it is reloaded (systemctl "
            "reload signal-scorer), or it refused the command, as `signal-scorer health` says then"
        )
    return (
        f"it keeps its state in {stats.get('state_dir')}, this command wrote to "
        f"{config.path('.').absolute()}; name the service's configuration with --config"
    )


def _served(client: ScorerClient) -> str | None:
    """The mode that a service answers in, empty where it does not say; None without one."""
    try:
        return str(health_of(client)["mode"])
    except (ScorerRefused, ReplyNotUnderstood):
        return ""
    except ScorerUnavailable:
        return None


def _who() -> str:
    """Who asked, for the journal; sudo's caller rather than root."""
    try:
        return (os.environ.get("SUDO_USER") or getpass.getuser())[:64]
    except (KeyError, OSError):
        return f"user {os.getuid()}"
