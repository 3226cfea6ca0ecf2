"""One run of the trainer: read, join, walk forward, fit on all, publish or not.

What serves goes on serving unless the gate finds the candidate's advantage established on
signals that it had not seen. Whatever the run finds ends in the report and in the history, also
when nothing is published: without the rejected nobody can tell how many were tried.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from service.console.exit_codes import NOT_ENOUGH, OK, REJECTED
from service.console.progress import SILENT, Progress
from service.errors import ModelRejected, RejectReason
from service.files.durable import TrainerLock, Unflushed
from service.model.history import LAST_RUN_NAME, Event, last_trained, read_history
from training.dataset.join import Dataset, read_dataset
from training.dataset.journals import open_journals
from training.dataset.samples import Samples
from training.dataset.scored import Reach
from training.interrupt import finished_first
from training.replacing import may_replace, replace
from training.settings import Settings
from training.truth_log import TruthLog, read_truth_logs
from training.walk_forward import NotEnough

if TYPE_CHECKING:
    from protocol.manifest import Pointer
    from training.candidate import Candidate
    from training.report.plots import Picture

LAST_REPORT = "last-report.html"
"""The page of the last candidate, published or not, unless a kill came in between."""
WITHHELD = "withheld"
"""In the history: good enough to be published, while a model was pinned."""
UNCOMPARED = "Nothing was compared with the published model, which the service would not load"
FEWER = 0.95
"""Of the last run's samples: with less, files are missing rather than labels in doubt."""


class Run(msgspec.Struct, frozen=True):
    """How a run ended: the exit code and one or more sentences for the operator."""

    code: int
    text: str
    version: str | None = None

    @property
    def result(self) -> str:
        """One word: `published`, `nothing_to_do`, `rejected` or `not_enough`."""
        if self.code == OK:
            return "published" if self.version else "nothing_to_do"
        return {REJECTED: "rejected", NOT_ENOUGH: "not_enough"}[self.code]


def train(
    settings: Settings,
    *,
    now_s: float,
    force: bool = False,
    progress: Progress = SILENT,
    clock: Callable[[], float] | None = None,
) -> Run:
    """Run once. `force` skips the counts, never the test; `progress` hears what is going on.

    `now_s` is when the run began, `clock` says when its model is published, see `publish`.

    Ctrl-C (KeyboardInterrupt) leaves everything as it was, until the writing begins: then it
    waits for the end. Raises LockHeld where another trainer is at work, FileNotFoundError or
    sqlite3.Error where the journal cannot be read.
    """
    # Loaded late: what only looks at the data starts without scikit-learn and matplotlib.
    from training.models.registry import complete_history

    open_journals(settings.journals).close()  # without one, nothing is left behind
    settings.models.mkdir(parents=True, exist_ok=True)
    with TrainerLock(settings.models):
        complete_history(settings.models)
        run = _locked(settings, now_s, force, progress, clock)
        with finished_first():
            how = f"{run.result}\n".encode()
            return _leaving(run, settings.models / LAST_RUN_NAME, how, "That it ran is not noted")


def _locked(
    settings: Settings,
    now_s: float,
    force: bool,
    progress: Progress,
    clock: Callable[[], float] | None,
) -> Run:
    from training.models.publish import current_pointer

    log, data = gather(settings, now_s=now_s, progress=progress)
    history = read_history(settings.models)
    last = last_trained(history)
    pointer = current_pointer(settings.models)
    publishes = pointer is None or not pointer.pinned
    released = publishes and _released(settings.models, pointer, last)
    early = _too_early(settings, data, last, force=force, released=released)
    if early is not None:
        return _without_candidate(early, data.samples, settings, now_s)
    if said := fewer(data, last):
        progress.say(said)
    try:
        candidate, _, written = _judged(settings, log, data, history, now_s, progress)
        page = written(publishes=publishes).encode()
    except NotEnough as lack:
        run = Run(NOT_ENOUGH, f"not enough samples: {lack}; what served before goes on serving")
        return _without_candidate(run, data.samples, settings, now_s)
    with finished_first():
        progress.say("writing the report and what became of the candidate")
        run = _publish(candidate, page, settings, clock)
        if publishes and candidate.verdict.published and run.version is None:
            # Good enough, and the service would refuse it.
            page = written(publishes=False).encode()
        return _leaving(run, settings.models / LAST_REPORT, page, "Its report is missing")


def evaluate(
    settings: Settings,
    report: Path,
    *,
    now_s: float,
    pictures: Path | None = None,
    progress: Progress = SILENT,
) -> Run:
    """Walk forward and write the report to `report`; nothing is published or recorded.

    Into the directory `pictures` go its pictures as SVG files.
    """
    may_replace(report)
    log, data = gather(settings, now_s=now_s, progress=progress)
    if early := _too_early(settings, data, None, force=True, released=False):
        return early
    history = read_history(settings.models)
    try:
        candidate, drawn, written = _judged(settings, log, data, history, now_s, progress)
        page = written(publishes=False).encode()
    except NotEnough as lack:
        return Run(NOT_ENOUGH, f"not enough samples: {lack}")
    with finished_first():
        report.parent.mkdir(parents=True, exist_ok=True)
        replace(report, page)
        if pictures is not None:
            pictures.mkdir(parents=True, exist_ok=True)
            for name, picture in drawn.items():
                replace(pictures / f"{name}.svg", picture.light)
    would = "would be published" if candidate.verdict.published else "would be rejected"
    return Run(OK, f"{would}: {candidate.verdict.reason} The report is {report}.")


def _judged(
    settings: Settings,
    log: TruthLog,
    data: Dataset,
    history: list[Event],
    now_s: float,
    progress: Progress,
) -> tuple[Candidate, dict[str, Picture], Callable[..., str]]:
    """The candidate, its pictures, and what writes its report. Raises NotEnough.

    OSError where the model that serves cannot be read: it is displaced by none unheard.
    """
    from training.candidate import make
    from training.models.champion import serving_model
    from training.report.figures import figures
    from training.report.findings import find
    from training.report.page import render

    progress.say(f"walking forward through {len(data.samples)} samples")
    current, remark = None, ""
    try:
        current = serving_model(settings.models, settings.expire_after_days, now_s=now_s)
    except ModelRejected as error:
        remark = f"{UNCOMPARED}: {str(error)[:300]}."

    def window(done: int, total: int) -> None:
        progress.step("walk-forward, windows", done, total)

    candidate = make(
        data.samples, settings, now_s=now_s, current=current, remark=remark, progress=window
    )
    findings = find(candidate, settings, progress.step)
    drawings = figures(findings)
    pictures = {}
    for done, (name, draw) in enumerate(drawings.items()):
        progress.step("drawing the report", done, len(drawings))
        pictures[name] = draw()
    progress.step("drawing the report", len(drawings), len(drawings))
    serving = None if current is None else current.version
    return (
        candidate,
        pictures,
        partial(render, candidate, findings, data, log, history, pictures, serving=serving),
    )


def gather(
    settings: Settings,
    *,
    now_s: float,
    progress: Progress = SILENT,
    reach: Reach | None = None,
) -> tuple[TruthLog, Dataset]:
    """Everything there is to learn from, or what lies within `reach`: the truth logs read, and
    joined with the journal."""
    files = settings.truth_log_files()
    progress.say(f"reading {_named(settings.journals)} and {len(files)} truth log file(s)")
    only = None if reach is None else reach.ids
    for said in settings.truth_logs_beside():
        progress.say(said)
    log = read_truth_logs(files, settings.reading_at(now_s), only)
    for problem in log.problems:
        progress.say(f"not read to the end: {problem}")
    if files:
        progress.say(f"truth logs: {usable(log)}")
    return log, read_dataset(
        settings.journals,
        log.outcomes,
        settings.joining,
        now_s=now_s,
        backfills=settings.backfills,
        reach=reach,
        even=log.even,
    )


def usable(log: TruthLog) -> str:
    """How much of the truth logs can be believed."""
    found = f"{len(log.outcomes)} usable outcomes in {log.lines} lines"
    return (
        found
        if log.outcomes or not log.lines
        else f"{found}; `truth check` says why none can be believed"
    )


def _named(journals: tuple[Path, ...]) -> str:
    return str(journals[0]) if len(journals) == 1 else f"{len(journals)} journals"


def _released(models: Path, pointer: Pointer | None, last: Event | None) -> bool:
    """Whether a pin withheld what the last samples gave, or what is published cannot be loaded.

    Where they were rejected beside that they would be again, and count as another candidate.
    """
    from training.models.champion import current_model

    if last is None or (last.event == "rejected" and UNCOMPARED in last.why):
        return False
    return last.event == WITHHELD or (pointer is not None and current_model(models) is None)


def _too_early(
    settings: Settings, data: Dataset, last: Event | None, *, force: bool, released: bool
) -> Run | None:
    """Why there is nothing to try; `released`: the same samples may be tried again."""
    n = len(data.samples)
    code, said = NOT_ENOUGH, ""
    if n < settings.min_samples and not force:
        said = (
            f"not enough samples: {n} of {settings.min_samples} ({data.scored} signals scored; "
            "`status` shows why the others do not count)"
        )
    elif not data.samples.both_classes:
        said = f"not enough samples: {n}, without both a win and a loss"
    elif last and not force and not released and (new := _new(data, last)) < settings.min_new:
        code = OK
        said = (
            f"nothing to do: {new} new samples since the last run, {settings.min_new} wanted "
            "(--min-new, or --force)"
        )
    return Run(code, "; ".join(filter(None, (said, fewer(data, last))))) if said else None


def _new(data: Dataset, last: Event) -> int:
    """How many samples the last run did not have, as far as can be told.

    Later ones, or so many more: outcomes of older signals arrive late, and old files may leave.
    """
    n, before = len(data.samples), last.n or 0
    if last.newest_s is None:
        return n - before if n >= before else n
    later = int(np.count_nonzero(data.samples.time_s > last.newest_s))
    return max(n - before, later)


def fewer(data: Dataset, last: Event | None) -> str:
    """What is to be said where many samples have gone since the last run; else nothing.

    A few go again and again: a later outcome contradicts an earlier one.
    """
    n, before = len(data.samples), 0 if last is None else last.n or 0
    if n >= FEWER * before:
        return ""
    return (
        f"{n} samples are fewer than the {before} of the last run: is a journal or truth log no "
        "longer where it was, or were they scored with other features?"
    )


def _publish(
    candidate: Candidate, report: bytes, settings: Settings, clock: Callable[[], float] | None
) -> Run:
    """Publish, or record why not; the history gets one line either way."""
    from training.candidate import draft
    from training.models.publish import Pinned, publish

    verdict = candidate.verdict
    if not verdict.published:
        return _reject(candidate, verdict.reason, settings)
    try:
        version = publish(
            settings.models,
            candidate.forest,
            draft(candidate),
            report,
            now_s=candidate.made_s,
            why=verdict.reason,
            keep=settings.keep,
            clock=clock,
        )
    except Pinned as pinned:
        _record(candidate, WITHHELD, f"{pinned}.", settings)
        return Run(OK, _recorded(f"nothing published: {pinned}", candidate, settings))
    except ModelRejected as refusal:
        why = f"the service would refuse it: {refusal}."
        if refusal.reason is not RejectReason.LATENCY:  # of this machine, at this moment
            why = f"{why} {verdict.reason}"
        return _reject(candidate, why, settings)
    return Run(OK, f"published {version}. {verdict.reason}", version)


def _reject(candidate: Candidate, why: str, settings: Settings) -> Run:
    _record(candidate, "rejected", why, settings)
    text = f"rejected: {why} What served before goes on serving"
    return Run(REJECTED, _recorded(text, candidate, settings))


def _record(candidate: Candidate, what: str, why: str, settings: Settings) -> None:
    """One line in the history for a candidate that was not published."""
    from training.models.publish import append_history

    event = {"event": what, "at": candidate.made_s, "why": why}
    samples = candidate.samples
    facts = {"n": len(samples), "gain": candidate.gain, "verdict": candidate.verdict}
    facts["newest_s"] = float(samples.time_s[-1])
    append_history(settings.models, event | facts)


def _recorded(text: str, candidate: Candidate, settings: Settings) -> str:
    """`text` and the review. One that fails is said: the candidate's verdict and page stand."""
    try:
        return _reviewed(text, candidate.samples, settings, candidate.made_s)
    except Unflushed:
        raise  # it stands, and a power cut may undo it
    except OSError as error:
        failed = f"{error.filename}: {error.strerror}" if error.filename else error
        return f"{text.rstrip('.')}. The review of the published model failed: {failed}."


def _reviewed(text: str, samples: Samples, settings: Settings, now_s: float) -> str:
    """`text` and what the review of the current model found, as sentences."""
    from training.models.review import review

    return f"{text.rstrip('.')}. {review(samples, settings, now_s=now_s)}".strip()


def _without_candidate(run: Run, samples: Samples, settings: Settings, now_s: float) -> Run:
    """A review that is due waits for no candidate: a model would expire for want of signals."""
    from training.models.review import due

    if not due(settings, now_s=now_s):
        return run
    return Run(run.code, _reviewed(run.text, samples, settings, now_s))


def _leaving(run: Run, path: Path, content: bytes, lack: str) -> Run:
    """`run`, and a file of it; where that cannot be written, `lack` is said and the run stays."""
    try:
        replace(path, content)
    except OSError as error:
        text = f"{run.text} {lack}: {path}: {error.strerror}"
        return msgspec.structs.replace(run, text=text)
    return run
