"""Commands that save what the service has learnt, and bring it back."""

from __future__ import annotations

import time
from pathlib import Path

import click

from service.commands.root import cli, config_option, example
from service.console.printable import printable

# Whether it may be read is the command's own to say: it is no wrong usage.
folder_argument = click.argument(
    "folder", metavar="DIR", type=click.Path(path_type=Path, readable=False)
)


@cli.command(**example("signal-scorer backup /var/backups/signal-scorer/2026-11-25"))
@config_option
@folder_argument
def backup(config_path: str | None, folder: Path) -> None:
    """Save journal, models, mode and configuration in the new folder DIR.

    While everything runs. Secret keys are not in it. Killed half way it leaves no DIR. Where
    there is no journal, no model though one was served, or no sound current one, it leaves the
    rest as incomplete-DIR.
    """
    from service.backup.listing import BackupError
    from service.backup.save import make
    from service.config.load import config_file, load
    from service.console.words import amount
    from service.files.unfinished import undone_on_sigterm

    now_s = time.time()
    with undone_on_sigterm():
        sourced = load(config_path)
        made = make(sourced, config_file(config_path), folder, now_s=now_s)
    folder, manifest, missed = made
    size = sum(entry.size for entry in manifest.files.values())
    schema = "no journal" if manifest.schema is None else f"journal of schema {manifest.schema}"
    saved = f"{len(manifest.files)} files, {amount(size)}, {schema}"
    _tell(f"{folder}: {saved}, model {manifest.model or 'none'}")
    for problem in manifest.problems:
        _tell(f"note: {problem}")
    if missed:
        raise BackupError(
            f"{folder} is without {missed}; have the disk mounted, or ask `signal-scorer doctor`, "
            "and keep the backups before it"
        )


@cli.command(**example("signal-scorer restore /var/backups/signal-scorer/2026-11-25"))
@config_option
@folder_argument
@click.option(
    "--force", is_flag=True, help="Replace what is there, and keep it beside: nothing is lost."
)
@click.option("--check", is_flag=True, help="Only verify the backup.")
def restore(config_path: str | None, folder: Path, force: bool, check: bool) -> None:
    """Verify the backup DIR and put it in place; the service must not run.

    The configuration in it is left where it is: it says where the rest goes, and is yours to
    put in place first.
    """
    from service.backup import listing
    from service.backup.restore import restore as put_back
    from service.config.load import load
    from service.console.words import stamp

    if check:
        manifest = listing.read(folder)
        listing.verify(folder, manifest)
        _tell(f"{folder}: all {len(manifest.files)} files are as they were saved")
        return
    config = load(config_path).config
    done = put_back(config, folder, force=force, now_s=time.time())
    made = stamp(done.manifest.made_at)[: len("2026-11-25 03:30")].rstrip()
    journal = config.journal_path if listing.JOURNAL in done.manifest.files else "no journal"
    model = done.manifest.model or "none"
    _tell(f"restored the backup of {made} UTC: {journal}, model {model}")
    for path in done.aside:
        _tell(f"what was there lies in {path}")
    for path in done.made:
        others = ": chown it if another user trains" if path == config.models_dir else ""
        _tell(f"made {path}, for the owner of {path.parent}{others}")
    _tell("next: start the service, then signal-scorer doctor")


def _tell(text: str) -> None:
    """A line; the names in it may be others'."""
    click.echo(printable(text))
