"""`rollback`, `pin` and `unpin`: an operator's word on which model serves.

The rule: what is put off while a trainer is at work is named by its version for then. By that time
the model before may be another one.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import click

from service.console import exit_codes
from service.files import presence
from service.files.durable import LockHeld, TrainerLock
from training.interrupt import finished_first
from training.options import EXAMPLE, leave, settings_of, store_options
from training.wording import MEANWHILE


@click.command(epilog=EXAMPLE + "signal-scorer-train rollback 20261122T020000Z-3f9c2a")
@store_options
@click.argument("version", required=False)
@click.option("--why", default="rolled back by hand", help="For the history.")
def rollback(version: str | None, why: str, **options: Any) -> None:
    """Serve VERSION again, or the previous model; the service follows within a second."""
    from training.models.publish import current_pointer
    from training.models.registry import rollback as point_back

    models = settings_of(options).models
    pointer = current_pointer(models)
    to = version or (pointer and pointer.previous)
    _change(
        options,
        lambda models_dir, now_s: point_back(models_dir, version, now_s=now_s, why=why),
        then=f"rollback {to}" if to else "",
    )


@click.command(epilog=EXAMPLE + "signal-scorer-train pin 20261122T020000Z-3f9c2a")
@store_options
@click.argument("version")
def pin(version: str, **options: Any) -> None:
    """Serve VERSION and keep later candidates from displacing it."""
    from training.models.registry import pin as pin_version

    _change(
        options,
        lambda models_dir, now_s: pin_version(models_dir, version, now_s=now_s),
        ", pinned",
        then=f"pin {version}",
    )


@click.command(epilog=EXAMPLE + "signal-scorer-train unpin")
@store_options
def unpin(**options: Any) -> None:
    """Let later candidates displace the current model again."""
    from training.models.registry import unpin as release

    _change(options, lambda models_dir, now_s: release(models_dir, now_s=now_s), ", not pinned")


def _change(
    options: dict[str, Any],
    point: Callable[[Path, float], object],
    how: str = "",
    *,
    then: str = "",
) -> None:
    """Move the pointer by `point`. `how` is said behind the version that is current by then;
    `then` is the command for when another trainer is done."""
    from training.models.publish import current_pointer
    from training.models.registry import NOT_USED, RegistryError, complete_history, too_old

    settings, now_s = settings_of(options), time.time()
    if not presence.is_dir(settings.models):
        leave("no model has been published", exit_codes.NOT_SO)
    try:
        with TrainerLock(settings.models), finished_first():
            with suppress(OSError):  # a full disk is no reason to keep a bad model
                complete_history(settings.models)
            point(settings.models, now_s)
            pointer = current_pointer(settings.models)
            assert pointer is not None
            version = pointer.version
            old = too_old(pointer.reviewed_at, settings.expire_after_days, now_s=now_s)
            click.echo(f"{version} is current{how}" + (f"; {old}{NOT_USED}" if old else ""))
    except LockHeld as held:
        if not then:
            raise
        leave(f"{held}; {MEANWHILE}; then: signal-scorer-train {then}", held.exit_code)
    except RegistryError as error:
        leave(str(error), exit_codes.NOT_SO)
