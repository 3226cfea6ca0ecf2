"""What the loop does between requests and ticks: scores to their table, models, bars, watchdog.

Each turn is short and bounded, so that a minute's end with hundreds of symbols never stalls
an answer; what is longer is spread over several turns.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import structlog

from service import systemd
from service.bar_keeping import BarKeeping
from service.clock import Clock, SystemClock
from service.config.settings import Config
from service.engine import Engine
from service.journal.checkpoints import Checkpoints
from service.journal.records import EventRow
from service.journal.writer import Journal
from service.mode_file import Look as ModeLook
from service.mode_file import ModeWatch
from service.model.watch import Event as ModelEvent
from service.model.watch import Loaded, ModelWatch, Rejected, Removed
from service.paper_keeping import PaperKeeping
from service.recording.segments import SegmentWriter
from service.vitals import Vitals
from service.warm_start import WarmStart

log = structlog.get_logger("scorer")

TURN_S = 0.1
SECOND_S = 1.0
CHECKPOINT_S = 10.0
STEADY_S = 5.0
"""A journal that failed is called working after so long without a fault: on a full disk a little
fits whenever it is opened anew."""
CHECKPOINT_ROWS = 2048
"""After so many rows a checkpoint comes early: what is left in the WAL is read at each start."""
SPOOLED_ROWS = 256
"""So many scores are taken to their table where there is no rest."""
MAX_DETAIL_CHARS = 300
LEVELS = {
    "tick_fault": "error",
    "recording_ended": "error",
    "model_rejected": "warning",
    "model_pointer_missing": "warning",
    "mode_refused": "warning",
    "feed_silent": "warning",
    "clock_stepped": "warning",
}
"""Of events in the log; all others are information."""
ADVICE = {
    "model_rejected": {"advice": "signal-scorer doctor says what to do"},
    "model_pointer_missing": {"advice": "docs/runbook.md, ScorerModelGone, before the next start"},
    "feed_silent": {"advice": "signal-scorer doctor says where to look"},
}
"""For who reads the log; the journal's rows go without."""


class Clients(Protocol):
    """Who is let in: see `sockets.zap.AllowList`, whose library is no business of this module."""

    names: Mapping[bytes, str]
    faults: tuple[str, ...]

    def look(self) -> bool:
        """Read the list again where it changed; True where it was read."""


class TooManyFaults(Exception):  # noqa: N818  what happened, not what it is
    """Ticks cannot be applied any more; ending lets the supervisor start afresh."""


class Housekeeping:
    """Keeps the process's surroundings true. `due_s` (monotonic) is when it wants a turn."""

    def __init__(
        self,
        config: Config,
        clock: Clock,
        engine: Engine,
        journal: Journal,
        watch: ModelWatch,
        vitals: Vitals,
        checkpoints: Checkpoints,
        recorder: SegmentWriter | None = None,
        allowed: Clients | None = None,
    ) -> None:
        self.due_s = 0.0
        self._config = config
        self._clock = clock
        self._engine = engine
        self._journal = journal
        self._watch = watch
        self._vitals = vitals
        self._checkpoints = checkpoints
        self._recorder = recorder
        self._allowed = allowed
        self._mode = ModeWatch(config.path("."))
        self._second_due_s = 0.0
        self._checkpoint_due_s = clock.monotonic_s() + CHECKPOINT_S
        self._reconnected_s: dict[str, float] = {}
        self._faults_logged = 0
        self._journal_failed_s = 0.0
        self._journal_logged = "", 0.0
        self._bars = BarKeeping(engine, journal)
        self._paper = PaperKeeping(engine, journal)
        self._warm_start = WarmStart(engine, journal, self._bars, self._paper)

    def restore(self) -> None:
        """Bring back bars, recent replies and paper positions from the journal: warm at once."""
        self._warm_start.begin(self._clock.utc_s())

    def rest(self, least: int) -> float:
        """Nobody asks just now: take scores to their table where there are so many.

        Returns the seconds that it took, 0 where there was nothing to do.
        """
        # A journal at fault takes nothing; to ask it is no work, after which to look on at once.
        if self._journal.fault is not None or self._journal.spooled < least:
            return 0.0
        begun_s = self._clock.monotonic_s()
        self._journal.settle()
        return self._clock.monotonic_s() - begun_s

    def turn(self) -> list[str]:
        """Do what is due. Returns the names of feeds whose sockets should be rebuilt.

        Raises TooManyFaults after too many ticks in a minute could not be applied.
        """
        now_s = self._clock.monotonic_s()
        if self._journal.spooled >= SPOOLED_ROWS:
            self._journal.settle()
        if now_s < self.due_s:
            return []
        self.due_s = now_s + TURN_S
        utc_s = self._clock.utc_s()
        self._follow(self._watch.take())
        self._follow_mode(self._mode.look())
        self._engine.advance(utc_s)
        self._bars.turn(utc_s)
        self._paper.turn(now_s, utc_s)
        self._checkpoints.look(self._journal.commits)
        if self._journal.in_wal >= CHECKPOINT_ROWS:
            self._checkpoint()
        if now_s < self._second_due_s:
            return []
        self._second_due_s = now_s + SECOND_S
        systemd.notify("WATCHDOG=1")
        self._look_at_faults(utc_s)
        self._look_at_journal(now_s, utc_s)
        self._journal.settle()
        self._follow_wall_clock()
        self._look_at_clients()
        self._flush_recorder()
        if now_s >= self._checkpoint_due_s and self._checkpoint():
            self._checkpoint_due_s = now_s + CHECKPOINT_S
        # The time may be another one since.
        return self._look_at_silence(self._clock.utc_s())

    def save_all(self) -> None:
        """Keep every closed bar and every paper position, at the end."""
        utc_s = self._clock.utc_s()
        self._paper.save_all(utc_s)
        self._bars.save_all(utc_s)

    def reconfigure(self, config: Config) -> None:
        """Go on with a configuration that differs in keys of `reload.LIVE` alone."""
        before, self._config = self._config, config
        if config.score.mode != before.score.mode:
            found = self._mode.again()
            if found is not None and found.refused and self._engine.mode == before.score.mode:
                self._engine.set_mode(config.score.mode)  # no command stands in its way
            self._follow_mode(found)

    def event(self, kind: str, **detail: str | float | int | bool | None) -> None:
        """Log something worth finding again, and keep it in the journal."""
        getattr(log, LEVELS.get(kind, "info"))(kind, **detail, **ADVICE.get(kind, {}))
        self._journal.write([EventRow(at=self._clock.utc_s(), kind=kind, detail=detail)])

    def _checkpoint(self) -> bool:
        """Have the WAL moved; False where it has to be asked again."""
        self._journal.errors += self._checkpoints.failures
        self._checkpoints.failures = 0
        if self._checkpoints.overgrown:
            self._journal.checkpoint()
            self._checkpoints.moved(self._journal.commits)
        elif self._checkpoints.ask(self._journal.commits, self._journal.file):
            self._journal.in_wal = 0
        else:
            return False
        return True

    def _follow(self, found: ModelEvent | None) -> None:
        """Install a model that was published, or say why not; what serves goes on serving."""
        if isinstance(found, Loaded):
            before = self._engine.model
            self._engine.install(found.model)
            self._vitals.swaps += 1
            self._vitals.last_rejection = None
            self._vitals.pointer_gone = False
            version = before.version if before else None
            self.event("model_installed", version=found.model.version, before=version)
            systemd.notify(f"STATUS=serving {found.model.version}")
        elif isinstance(found, Rejected):
            self._vitals.rejections[str(found.reason)] += 1
            self._vitals.pointer_gone = False
            detail = found.detail[:MAX_DETAIL_CHARS]
            self._vitals.last_rejection = f"{found.reason}: {detail}"
            serving = self._engine.model.version if self._engine.model else None
            self.event(
                "model_rejected",
                reason=str(found.reason),
                detail=detail,
                serving=serving,
            )
        elif isinstance(found, Removed):
            # The pointer is gone: what was proven goes on serving until another is published.
            self._vitals.last_rejection = None
            self._vitals.pointer_gone = True
            self.event("model_pointer_missing")

    def _follow_mode(self, found: ModeLook | None) -> None:
        """Serve in the mode that was commanded, or as configured where no command stands."""
        if found is None:
            return
        if found.refused:
            self._vitals.mode_note = f"a mode was refused: {found.refused}"
            self.event("mode_refused", reason=found.refused, mode=self._engine.mode)
            return
        before, configured = self._engine.mode, self._config.score.mode
        mode, by = configured, "the configuration"
        if found.command is not None:
            mode, by = found.command.mode, found.command.by
        self._engine.set_mode(mode)
        changed = mode != configured
        self._vitals.mode_note = (
            f"mode {mode} was commanded by {by}; {configured} is configured" if changed else None
        )
        self.event("mode", mode=mode, before=before, by=by)

    def _look_at_silence(self, utc_s: float) -> list[str]:
        silence_s = self._config.feed.silence_s
        rebuild = []
        for endpoint in self._vitals.endpoints:
            heard_s = max(endpoint.seen_s, self._vitals.started_utc_s)
            silent = utc_s - heard_s > silence_s
            if silent and endpoint.name not in self._vitals.silent_feeds:
                self._vitals.silent_feeds.add(endpoint.name)
                self.event("feed_silent", endpoint=endpoint.name, seconds=utc_s - heard_s)
            elif not silent and endpoint.name in self._vitals.silent_feeds:
                self._vitals.silent_feeds.discard(endpoint.name)
                self.event("feed_back", endpoint=endpoint.name)
            if silent and utc_s - self._reconnected_s.get(endpoint.name, heard_s) > silence_s:
                self._reconnected_s[endpoint.name] = utc_s
                rebuild.append(endpoint.name)
        return rebuild

    def _look_at_journal(self, now_s: float, utc_s: float) -> None:
        """Say that the journal failed, again where the fault changes, and once that it works."""
        self._journal.look()
        fault, told = self._journal.fault, self._vitals.journal_fault
        if fault:
            logged, logged_s = self._journal_logged
            # It may fail otherwise each second.
            if not told or (fault != logged and now_s - logged_s >= STEADY_S):
                log.error("journal failed; answers are not kept", fault=fault)
                self._journal_logged = fault, now_s
            self._vitals.journal_fault = fault
            self._journal_failed_s = now_s
            if self._journal.recover(utc_s):
                self._warm_start.go_on(utc_s)
        elif told and now_s - self._journal_failed_s >= STEADY_S:
            self._vitals.journal_fault = None
            log.warning("journal works again", unwritten=self._journal.unwritten)

    def _look_at_faults(self, utc_s: float) -> None:
        faults = self._engine.intake.faults
        new = self._engine.intake.faulted - self._faults_logged
        for fault in list(faults)[-new:] if new else ():
            self.event("tick_fault", symbol=fault.symbol, error=fault.error)
        self._faults_logged += new
        # One of the future was before the clock was set back, whenever.
        recent = sum(0.0 <= utc_s - fault.at_s <= 60.0 for fault in faults)
        if recent >= self._config.limits.faults_per_minute:
            raise TooManyFaults(f"{recent} ticks in a minute could not be applied; see the log")

    def _flush_recorder(self) -> None:
        """A crash costs a second of the recording; an end of it is said once."""
        if self._recorder is None or self._vitals.recording_fault is not None:
            return
        self._recorder.flush()
        fault = self._recorder.fault  # which another thread sets
        self._vitals.recording_fault = fault
        if fault is not None:
            self.event("recording_ended", reason=fault)

    def _look_at_clients(self) -> None:
        """Let in whose key was added, and nobody any more whose key was taken away."""
        if self._allowed is None or not self._allowed.look():
            return
        self._vitals.client_key_faults = self._allowed.faults
        for fault in self._allowed.faults:
            log.error("client key not read", fault=fault)
        self.event("clients_read", clients=len(self._allowed.names))

    def _follow_wall_clock(self) -> None:
        if isinstance(self._clock, SystemClock):
            step_s = self._clock.reanchor()
            if step_s:
                self._vitals.clock_steps += 1
                self._engine.clock_stepped(step_s)
                self._bars.look_ahead(self._clock.utc_s())
                # Ages are measured from these: they move with the clock.
                self._vitals.started_utc_s += step_s
                for endpoint in self._vitals.endpoints:
                    endpoint.clock_stepped(step_s)
                for name in self._reconnected_s:
                    self._reconnected_s[name] += step_s
                self.event("clock_stepped", seconds=step_s)
