"""What the trainer's commands share: options, settings made of them, errors made sentences."""

from __future__ import annotations

import errno
import os
import sqlite3
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import click

from service.console import exit_codes, libraries
from service.console.printable import printable
from service.console.streams import print_no_more
from service.console.within import Within
from service.files.durable import LockHeld, Unflushed
from training import settings as trainer_settings
from training.replacing import NotReplaced
from training.settings import Settings

# \b keeps click from rewrapping the example.
EXAMPLE = "\b\nExample:\n  "
PATH = click.Path(path_type=Path)


def store_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options of every command that reads the journal or the models."""
    for option in (
        click.option("--config", "config_path", help="Configuration file (TOML)."),
        click.option(
            "--journal",
            "journals",
            multiple=True,
            type=PATH,
            help="The service's journal; again for each replica's.",
        ),
        click.option("--models", type=PATH, help="Directory of the models."),
    )[::-1]:
        command = option(command)
    return command


def reading_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options of every command that makes samples."""
    for option in (
        click.option(
            "--truth-log",
            "truth_logs",
            multiple=True,
            type=PATH,
            help="A truth log; its rotated parts are found. Repeatable.",
        ),
        click.option(
            "--backfill",
            "backfills",
            multiple=True,
            type=PATH,
            help="A file that `backfill` made: it trains, and never evaluates. Repeatable.",
        ),
        click.option("--timezone", help="Zone of stamps without one (UTC)."),
        click.option(
            "--max-holding-s",
            type=Within(min=0, min_open=True),
            help="How long a signal may run, where it is unknown (7500 s).",
        ),
        click.option(
            "--max-watch-delay-s",
            type=Within(min=0),
            help="How late after its signal a tracker may begin to watch (60 s).",
        ),
        click.option(
            "--labels",
            type=click.Choice(["paper", "reported"]),
            help="Which outcome trains where both exist (paper).",
        ),
    )[::-1]:
        command = option(command)
    return command


def worker_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Where the work is done."""
    for option in (
        click.option(
            "--jobs",
            type=int,
            default=-1,
            show_default=True,
            callback=_some,
            help="Processes to use; -1 is one a core.",
        ),
        click.option(
            "--backend",
            type=click.Choice(["joblib", "dask"]),
            default="joblib",
            show_default=True,
            help="Processes of this machine, or an existing Dask cluster.",
        ),
        click.option("--scheduler", metavar="tcp://HOST:PORT", help="The cluster's, for dask."),
    )[::-1]:
        command = option(command)
    return command


def _some(_ctx: click.Context, _param: click.Parameter, jobs: int) -> int:
    if jobs == 0:
        raise click.BadParameter("0 processes do no work; -1 is one a core")
    return jobs


def _scheduler(options: dict[str, Any]) -> str | None:
    backend, scheduler = options.get("backend"), options.get("scheduler")
    if backend == "dask" and scheduler is None:
        raise click.UsageError("--backend dask needs --scheduler tcp://HOST:PORT")
    if backend != "dask" and scheduler is not None:
        raise click.UsageError("--scheduler is for --backend dask")
    return scheduler


def settings_of(options: dict[str, Any]) -> Settings:
    """Flags over environment over file. Paths given as flags are relative to the cwd."""

    def path(name: str) -> str | None:
        return str(options[name].absolute()) if options.get(name) else None

    def paths(name: str) -> list[str] | None:
        return [str(path.absolute()) for path in options.get(name) or ()] or None

    journals = [str(given.absolute()) for given in options.get("journals") or ()]
    return trainer_settings.effective(
        options.get("config_path"),
        {
            "journal.path": journals[0] if journals else None,
            # Named there too, a journal that is given alone would be read twice.
            "training.journals": journals[1:] if journals else None,
            "model.directory": path("models"),
            "truth_log.paths": paths("truth_logs"),
            "truth_log.timezone": options.get("timezone"),
            "training.backfills": paths("backfills"),
            "training.min_new": options.get("min_new"),
            "training.min_samples": options.get("min_samples"),
            "training.max_holding_s": options.get("max_holding_s"),
            "training.labels": options.get("labels"),
            "truth_log.max_watch_delay_s": options.get("max_watch_delay_s"),
            "training.textfile": path("training_textfile"),
            "monitor.textfile": path("monitor_textfile"),
        },
        jobs=options.get("jobs", -1),
        scheduler=_scheduler(options),
    )


class Commands(click.Group):
    """A group whose help, and its commands', may be written onto a full disk too."""

    def make_context(self, *args: Any, **extra: Any) -> click.Context:  # noqa: D102  click's
        with advice():
            return super().make_context(*args, **extra)

    def invoke(self, ctx: click.Context) -> Any:  # noqa: D102  click's
        with advice():
            return super().invoke(ctx)


@contextmanager
def advice() -> Iterator[None]:
    """Turn what can go wrong outside of us into a sentence and an exit code."""
    try:
        yield
    except FileNotFoundError as error:
        leave(str(error), exit_codes.CONFIG)
    except MemoryError as error:
        traceback.clear_frames(error.__traceback__)  # what was read is let go, to say this
        leave(
            "more memory is needed than this process may have: give it more (MemoryMax= of its "
            "unit, or ulimit -v) and run it again; what was published before is whole",
            exit_codes.NO_MEMORY,
        )
    except KeyboardInterrupt:
        # Where that came within an exec of a text, as of a library that makes a dataclass, CPython
        # notes it and, run with -m, kills itself by SIGINT at its end. The next clears the note.
        exec("")  # noqa: S102  nothing
        leave("interrupted; nothing was written", exit_codes.INTERRUPTED)
    except (BrokenPipeError, click.ClickException, click.exceptions.Exit):
        raise  # click's too: a reader that went away ends a command without a word
    except OSError as error:
        if error.filename is None:  # it may be standard output
            print_no_more()
        leave(_unusable(error), exit_codes.CANT_CREATE)
    except ModuleNotFoundError as error:
        libraries.leave("signal-scorer-train", "training", error)
    except sqlite3.Error as error:
        leave(
            f"the journal cannot be read: {error}; `signal-scorer doctor` looks closer",
            exit_codes.CONFIG,
        )
    except LockHeld as error:
        leave(f"{error}; try again when it is done", error.exit_code)
    except Exception as error:
        code = getattr(error, "exit_code", None)
        if code is None:
            raise
        leave(str(error), code)


def _unusable(error: OSError) -> str:
    """Which file, why, and what to do."""
    where = f"{os.fsdecode(error.filename)}: " if error.filename else ""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        do = "make room there"
    elif error.errno in (errno.EACCES, errno.EPERM):
        do = "become root or the trainer's user, let that one read and write there,"
    elif error.errno == errno.EROFS:
        do = "have that disk mounted for writing"
    elif isinstance(error, NotReplaced):
        do = "name a file"
    else:
        do = "look at that disk" if isinstance(error, Unflushed) else "mend that"
    if isinstance(error, Unflushed):  # a rollback that is run again goes back to the other one
        return f"{where}{error.strerror}; {do.rstrip(',')}"
    return (
        f"{where}{error.strerror or error}; {do} and run it again (what was "
        "published before is whole)"
    )


def leave(text: str, code: int) -> NoReturn:
    """End with a sentence on stderr."""
    click.echo(f"signal-scorer-train: {printable(text)}", err=True)
    sys.exit(code)
