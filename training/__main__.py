"""`signal-scorer-train`: the trainer's command line. A batch program that keeps nothing running."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from service.console import libraries, streams

try:
    streams.open_closed()
    from datetime import UTC, datetime

    import click

    from service.console import exit_codes
    from service.console.printable import printable
    from service.console.progress import show_progress
    from service.console.within import Within
    from service.scoring import Weights
    from training.backfill.command import backfill
    from training.models.pointing import pin, rollback, unpin
    from training.options import (
        EXAMPLE,
        PATH,
        Commands,
        leave,
        reading_options,
        settings_of,
        store_options,
        worker_options,
    )
except ImportError as missing:
    libraries.leave("signal-scorer-train", "training", missing)

if TYPE_CHECKING:
    from service.config.settings import Config
    from training.settings import Settings
    from training.truth_log import TruthLog


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=exit_codes.epilog(exit_codes.TRAINER),
)
def main() -> None:
    """Train, judge and publish models from what the service and Elite Guard have recorded.

    \b
    Example:
      signal-scorer-train COMMAND --help
    """


@main.command(epilog=EXAMPLE + "signal-scorer-train train --truth-log truth_log.jsonl")
@store_options
@reading_options
@click.option("--min-new", type=click.IntRange(min=0), help="New samples to start for (100).")
@click.option("--min-samples", type=click.IntRange(min=1), help="Samples to start at (100).")
@click.option("--force", is_flag=True, help="Skip the counts; never the gate.")
@worker_options
@click.option("--textfile", "training_textfile", type=PATH, help="Write metrics for Prometheus.")
def train(force: bool, **options: Any) -> None:
    """Read, join, walk forward, and publish a model whose advantage is established."""
    from training.train import train as run_training

    settings = settings_of(options)
    with show_progress(sys.stderr) as progress:
        run = run_training(
            settings, now_s=time.time(), force=force, progress=progress, clock=time.time
        )
    _tell_prometheus(run.result, settings.config)
    click.echo(run.text)
    sys.exit(run.code)


@main.command(epilog=EXAMPLE + "signal-scorer-train evaluate --report evaluation.html")
@store_options
@reading_options
@click.option(
    "--report",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("evaluation.html"),
    show_default=True,
    help="Where the page goes.",
)
@click.option(
    "--pictures",
    type=click.Path(file_okay=False, path_type=Path),
    help="A directory for the page's pictures as SVG files too.",
)
@worker_options
def evaluate(report: Path, pictures: Path | None, **options: Any) -> None:
    """Walk forward and say what the gate would, in a page too; publish nothing."""
    from training.train import evaluate as run_evaluation

    settings = settings_of(options)
    with show_progress(sys.stderr) as progress:
        run = run_evaluation(
            settings, report, now_s=time.time(), pictures=pictures, progress=progress
        )
    click.echo(run.text)
    sys.exit(run.code)


@main.command(epilog=EXAMPLE + "signal-scorer-train status")
@store_options
@reading_options
def status(**options: Any) -> None:
    """Show how many outcomes there are, why others do not count, the last run, what serves."""
    from service.model.history import read_history
    from training.models.champion import serving
    from training.status import describe
    from training.train import gather, usable

    settings = settings_of(options)
    now_s = time.time()
    log, data = gather(settings, now_s=now_s)
    _tell_unread(settings, log)
    if settings.truth_logs:
        click.echo(f"truth logs       {usable(log)}")
    shown = describe(
        data,
        read_history(settings.models),
        serving(settings.models, settings.expire_after_days, now_s=now_s),
        min_samples=settings.min_samples,
        holding_s=settings.joining.max_holding_s,
        now_s=now_s,
    )
    _tell(shown)


@main.command(epilog=EXAMPLE + "signal-scorer-train results --weeks 8")
@store_options
@reading_options
@click.option("--weeks", type=click.IntRange(1, 520), default=12, show_default=True)
def results(weeks: int, **options: Any) -> None:
    """Show week by week what all signals made, those the model took and those it rejected."""
    from training.advisers import published_version
    from training.dataset.answered import advice_by_score
    from training.results import describe
    from training.train import gather

    settings = settings_of(options)
    now_s = time.time()
    log, data = gather(settings, now_s=now_s)
    _tell_unread(settings, log)
    advices = advice_by_score(settings.journals)
    shown = describe(
        data.samples,
        advices,
        weeks=weeks,
        now_s=now_s,
        holding_s=settings.joining.max_holding_s,
        silent_s=data.silent_s,
        even_s=data.even_s,
        published=published_version(settings.models),
    )
    _tell(shown)


@main.command(epilog=EXAMPLE + "signal-scorer-train thresholds --today 70 --pattern OB_BOUNCE=75")
@store_options
@click.option("--today", type=Within(0, 100), help="Your threshold on the base score.")
@click.option(
    "--pattern", "patterns", multiple=True, metavar="NAME=SCORE", help="One for a pattern."
)
def thresholds(today: float | None, patterns: tuple[str, ...], **options: Any) -> None:
    """Translate thresholds on the base score to the final score, by pattern.

    The final score that passes as many signals; without --today for some usual thresholds.
    """
    from training.models.champion import current_model
    from training.models.registry import NOT_USED, too_old
    from training.thresholds import PatternError, asked_signals, describe

    settings = settings_of(options)
    by_pattern = _by_pattern(patterns)
    model = current_model(settings.models)
    if model is None:
        leave("no model is served, so there is no final score yet", exit_codes.NOT_SO)
    if old := too_old(model.reviewed_at, settings.expire_after_days, now_s=time.time()):
        click.echo(f"{model.version}: {old}{NOT_USED}")
    score = settings.config.score
    weights = Weights(score.base_weight, score.model_weight, score.session_bonus_weight)
    scores = asked_signals(settings.journals)
    try:
        _tell(describe(model, scores, weights, today=today, by_pattern=by_pattern))
    except PatternError as odd:
        raise click.BadParameter(str(odd), param_hint="--pattern") from odd


@main.command(epilog=EXAMPLE + "signal-scorer-train monitor --textfile /run/metrics/scorer.prom")
@store_options
@reading_options
@click.option("--textfile", "monitor_textfile", type=PATH, help="Write metrics for Prometheus.")
def monitor(**options: Any) -> None:
    """Hold the served model against its promise: inputs, calibration, win rate, age.

    Exit code 5 while there is an alert. Tells [alerts] command of changes.
    """
    from training.monitor.look import act, describe, look
    from training.monitor.reach import reach_of
    from training.train import gather

    settings = settings_of(options)
    now_s = time.time()
    log, data = gather(settings, now_s=now_s, reach=reach_of(settings, now_s=now_s))
    seen = look(data, settings, now_s=now_s, unread=log.problems)
    _tell_beside(settings)
    _tell(describe(seen))
    _tell(act(seen, settings, now_s=now_s))
    sys.exit(exit_codes.DEGRADED if seen.degraded else exit_codes.OK)


@main.command(epilog=EXAMPLE + "signal-scorer-train models --models var/models")
@store_options
def models(**options: Any) -> None:
    """List the published models, newest first; * is served, - is what rollback returns to."""
    from training.models.registry import list_models
    from training.wording import behind

    listed = list_models(settings_of(options).models)
    if not listed:
        click.echo("no model has been published")
    for model in listed:
        mark = "*" if model.current else "-" if model.previous else " "
        made = datetime.fromtimestamp(model.created_at, UTC)
        known = f"  {made:%Y-%m-%d %H:%M} UTC  n={model.n}" if model.created_at else ""
        pinned = "  pinned" if model.pinned else ""
        click.echo(f"{mark} {model.version}{known}{pinned}")
        said = model.problem or model.reason
        click.echo("\n".join(map(printable, behind("    ", said))))


for command in (rollback, pin, unpin, backfill):
    main.add_command(command)


@main.group()
def truth() -> None:
    """Look at truth logs."""


@truth.command(epilog=EXAMPLE + "signal-scorer-train truth check truth_log.jsonl old.jsonl.gz")
@click.argument(
    "files",
    nargs=-1,
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
)
@click.option("--config", "config_path", help="Configuration file (TOML).")
@click.option("--timezone", help="Zone of stamps without one (UTC).")
@click.option(
    "--max-watch-delay-s",
    type=Within(min=0),
    help="How late after its signal a tracker may begin to watch (60 s).",
)
def check(files: tuple[Path, ...], **options: Any) -> None:
    """Say what of each FILE can be believed: shapes, usable outcomes, refusals by reason."""
    from training.truth_check import check as check_files

    _tell(check_files(files, settings_of(options).reading_at(time.time())))


@main.command(epilog=EXAMPLE + "signal-scorer-train original --threshold 80 /root/HydraX-v2")
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--config", "config_path", help="Configuration file (TOML).")
@click.option("--timezone", help="Zone of stamps without one (UTC).")
@click.option(
    "--threshold", type=Within(0, 100), help="What you compare the original's score with."
)
def original(folder: Path, threshold: float | None, **options: Any) -> None:
    """Say what the in-process scorer in FOLDER leaves that is of use, and what is not, and why.

    It reads the logs and opens no model. With --threshold also which base score passes as many.
    """
    from training.original import describe

    _tell(describe(folder, settings_of(options).reading_at(time.time()), threshold))


def _tell(lines: Iterable[str]) -> None:
    """Each as soon as it is known, without what a name in it would do to the terminal."""
    for line in lines:
        click.echo(printable(line))


def _tell_unread(settings: Settings, log: TruthLog) -> None:
    _tell(f"truth log not read to the end: {problem}" for problem in log.problems)
    _tell_beside(settings)


def _tell_beside(settings: Settings) -> None:
    _tell(f"truth log {said}" for said in settings.truth_logs_beside())


def _by_pattern(given: tuple[str, ...]) -> dict[str, float]:
    found: dict[str, float] = {}
    for text in given:
        name, _, number = text.partition("=")
        try:
            found[name] = float(number)
        except ValueError:
            found[name] = math.nan
        if not 0.0 <= found[name] <= 100.0:
            raise click.BadParameter(
                f"{text!r} is not NAME=SCORE with a score of 0 to 100", param_hint="--pattern"
            )
    return found


def _tell_prometheus(result: str, config: Config) -> None:
    """Write the configured textfile; where that fails it is said, and the run stays what it was."""
    if not config.training.textfile:
        return
    from training.textfile import write_train

    path = config.path(config.training.textfile)
    try:
        write_train(path, result, now_s=time.time())
    except OSError as error:
        click.echo(f"metrics not written to {path}: {error.strerror}")


if __name__ == "__main__":
    main()
