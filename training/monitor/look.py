"""`monitor`: the served model against its promise. Looks, tells, and where allowed takes back.

The rule: a run keeps nothing but what it told last. All else is worked out anew from the
journal, so a run that was missed changes nothing, and two runs on the same journal say the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from service.alerting import CheckResult, tell
from service.files.durable import LockHeld
from service.model.history import read_history
from service.model.model import Model
from training.bound import DAY_S
from training.dataset.answered import advice_by_score, newest_vectors
from training.dataset.join import Dataset
from training.monitor import alerts, checks, model_in_use, retreat
from training.monitor.cusum import limit_of, promise_of
from training.monitor.live import Live, live_of
from training.settings import Settings
from training.wording import MEANWHILE, behind


class Seen(msgspec.Struct, frozen=True):
    """What a run found. `version` is the model that it looked at, `live` its number of outcomes."""

    version: str | None
    findings: tuple[CheckResult, ...]
    live: int = 0
    retreat: retreat.Retreat | None = None

    @property
    def degraded(self) -> bool:
        """Whether there is an alert."""
        return any(finding.level == "alert" for finding in self.findings)


def look(
    data: Dataset,
    settings: Settings,
    *,
    now_s: float,
    unread: Sequence[str] = (),
) -> Seen:
    """Hold the model that answers against its promise; nothing is changed.

    `unread` says what of the truth logs could not be read. Raises sqlite3.Error or
    FileNotFoundError where the journal cannot be read.
    """
    seen = _held(data, settings, now_s)
    return msgspec.structs.replace(seen, findings=seen.findings + checks.truth_logs(unread))


def _held(data: Dataset, settings: Settings, now_s: float) -> Seen:
    at = model_in_use.look(settings, now_s=now_s)
    model = at.model
    if model is None:
        return Seen(None, at.findings)
    advice = advice_by_score(settings.journals, model.version)
    live = live_of(data.samples, advice, model.version, settings.joining.max_holding_s)
    answered = newest_vectors(settings.journals, model.version)
    limit = limit_of(promise_of(model.manifest))
    findings = (
        *at.findings,
        checks.input_drift(model, answered),
        checks.calibration_and_loss(
            live, model.manifest.calibration.base_rate, limit, answered=len(advice)
        ),
        checks.win_rate(
            live,
            window_days=settings.config.monitor.win_rate_days,
            warn_points=settings.config.monitor.warn_points,
        ),
        *checks.age(
            model,
            expire_after_days=settings.expire_after_days,
            now_s=now_s,
            pinned=at.pinned,
        ),
    )
    back = None
    if at.published:
        back = _retreat(model, live, findings, settings, now_s)
    return Seen(model.version, findings, len(live), back)


def _retreat(
    model: Model,
    live: Live,
    findings: tuple[CheckResult, ...],
    settings: Settings,
    now_s: float,
) -> retreat.Retreat | None:
    if not any(f.name == "calibration" and f.level == "alert" for f in findings):
        return None
    return retreat.consider(
        model,
        live.last_days(settings.config.monitor.win_rate_days),
        settings.models,
        expire_after_days=settings.expire_after_days,
        now_s=now_s,
    )


def act(seen: Seen, settings: Settings, *, now_s: float) -> list[str]:
    """Roll back where it is due and allowed, tell of changes, write the metrics; says what it did.

    A place that cannot be written is said and changes nothing else.
    """
    said: list[str] = []
    untold = _untold_rollbacks(settings, now_s)
    findings, urgent = seen.findings, bool(untold)
    if seen.retreat is not None:
        text, moved = _take_back(seen.retreat, settings, now_s)
        said.append(text)
        if moved:
            findings, urgent = (*findings, CheckResult(alerts.ROLLBACK, "alert", text)), True
    told = findings + untold  # no state of now, so none of the metrics'
    problem = _tell(told, seen.version, settings, now_s=now_s, urgent=urgent)
    if problem:
        said.append(f"alert not delivered: {problem}; tried again next time")
    if settings.config.monitor.textfile:
        from training import textfile

        path = settings.config.path(settings.config.monitor.textfile)
        try:
            textfile.write_monitor(
                path, findings, now_s=now_s, model=seen.version, delivered=not problem
            )
        except OSError as error:
            said.append(f"metrics not written to {path}: {error.strerror}")
    return said


def _take_back(back: retreat.Retreat, settings: Settings, now_s: float) -> tuple[str, bool]:
    """What became of the rollback, and whether the pointer has moved."""
    if not back.due:
        return f"no rollback: {back.text}", False
    if not settings.config.monitor.rollback:
        return (
            f"rollback to {back.to} is advised and not allowed ([monitor] rollback = false): "
            f"{back.text}"
        ), False
    try:
        return retreat.carry_out(back, settings.models, now_s=now_s)
    except LockHeld as held:
        return f"rollback put off: {held}; {MEANWHILE}", False
    except OSError as error:  # its lock; what else cannot be written is said there
        return f"rollback failed: {error}", False


def _untold_rollbacks(settings: Settings, now_s: float) -> tuple[CheckResult, ...]:
    """Those of this monitor since the program was told anything: what told of one had failed."""
    if not settings.config.alerts.command:
        return ()
    told_s = alerts.read_state(state_path(settings)).told_at
    # A clock that was set back must not silence us.
    since_s = max(told_s if told_s <= now_s else 0.0, now_s - 7.0 * DAY_S)
    return tuple(
        CheckResult(alerts.ROLLBACK, "alert", f"rolled back to {event.version}: {event.why}")
        for event in read_history(settings.models)
        if event.event == "rolled back"
        and event.why.startswith(retreat.OURS)
        and since_s < event.at < now_s
    )


def _tell(
    findings: tuple[CheckResult, ...],
    version: str | None,
    settings: Settings,
    *,
    now_s: float,
    urgent: bool,
) -> str:
    """Tell the alert command what is new; returns why that failed, or nothing."""
    if not settings.config.alerts.command:
        return ""
    path = state_path(settings)
    state = alerts.read_state(path)
    alert = alerts.news(
        state, findings, settings.config.alerts, now_s=now_s, model=version, urgent=urgent
    )
    if alert is None:
        return ""
    problem = tell(alert, settings.config.alerts)
    if problem:
        return problem
    try:
        alerts.write_state(path, alerts.told(alert, state))
    except OSError as error:
        return f"told, but {path} cannot be written ({error.strerror})"
    return ""


def state_path(settings: Settings) -> Path:
    """Where it is kept what was told last: as configured, else beside the models."""
    if settings.config.monitor.state:
        return settings.config.path(settings.config.monitor.state)
    return settings.models.parent / "monitor.json"


def describe(seen: Seen) -> Iterator[str]:
    """Lines for the terminal and the log."""
    outcomes = f", {seen.live:,} outcomes since" if seen.version else ""
    yield f"model judged  {seen.version or 'none'}{outcomes}"
    for finding in seen.findings:
        level = "ALERT" if finding.level == "alert" else finding.level
        head = f"{finding.name.replace('_', ' '):<13} {level:<8} "
        yield from behind(head, finding.text)
    yield f"verdict       {_verdict(seen)}"


def _verdict(seen: Seen) -> str:
    if seen.degraded:
        wrong = [f.name.replace("_", " ") for f in seen.findings if f.level == "alert"]
        return f"degraded: {', '.join(wrong)}"
    warned = [f.name.replace("_", " ") for f in seen.findings if f.level == "warning"]
    if warned:
        return f"no alert; watch {', '.join(warned)}"
    if any(f.level == "unknown" for f in seen.findings):
        return "no alert; not everything can be judged yet"
    return "fine"
