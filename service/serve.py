"""`serve`: wires the parts together, runs the loop, ends cleanly.

The order matters: journal and bars first, then the model, then the sockets, and READY only
when all of that stands, so that the first request is answered like any other.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
import time
from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING

import msgspec
import structlog

from protocol.limits import PROTOCOL_VERSION
from service import logs, systemd
from service.clock import SystemClock
from service.config.load import Sourced
from service.config.settings import Config
from service.config_check import refuse_unusable
from service.console import exit_codes
from service.engine import Engine
from service.errors import CommandError
from service.files.locks import HeldError
from service.housekeeping import Housekeeping, TooManyFaults
from service.journal.checkpoints import Checkpoints
from service.journal.writer import Journal
from service.model.watch import ModelWatch
from service.recording.recorded_engine import RecordedEngine
from service.recording.segments import SegmentWriter
from service.reload import Reload
from service.responder import Responder
from service.server import Server
from service.sockets.zap import AllowList
from service.vitals import Vitals

if TYPE_CHECKING:
    from service.metrics.exporter import Metrics

log = structlog.get_logger("scorer")

PATIENCE_S = 8.0
"""With a journal that is held: so long that systemd, which counts the starts of a minute, never
gives up a service that is started while a restore is at work."""
LOOK_S = 0.1
UNKEPT = "answers are not kept; signal-scorer doctor says what to do"


def serve(sourced: Sourced, reread: Callable[[], Sourced]) -> int:
    """Run until SIGTERM or SIGINT. Raises ConfigError, CommandError or addresses.BindError.

    `reread` loads the configuration again, after a SIGHUP.
    """
    config = sourced.config
    as_json = logs.configure(config.log)
    log.info("configuration", **_shown(sourced, whole=as_json))
    refuse_unusable(config)
    view = _metrics_view(config)
    clock = SystemClock()
    journal = Journal(config.journal_path)
    stop = _Signals()
    if not _claim(journal, clock, stop):
        return exit_codes.OK
    vitals = Vitals(clock.utc_s())
    engine, recorder = _engine(config, clock)
    watch = ModelWatch(config.models_dir, interval_s=config.model.poll_s)
    allowed = _allowed(config)
    checkpoints = Checkpoints(config.journal_path)
    housekeeping = Housekeeping(
        config, clock, engine, journal, watch, vitals, checkpoints, recorder, allowed
    )
    responder = Responder(engine, journal, vitals, clock)
    stop.reload = Reload(config, reread, allowed, housekeeping.reconfigure, vitals)
    _take_up(journal, housekeeping)
    server = Server(config, clock, engine, responder, housekeeping, vitals, allowed)
    # The first look at the models is ours, before READY; later ones are the thread's.
    watch.poll_once()
    housekeeping.turn()
    watch.start()
    checkpoints.start()
    metrics = view(config.metrics.bind, vitals, engine, journal, clock) if view else None
    try:
        if metrics is not None:
            metrics.start()
        _favour_the_loop()
        _announce(config, server, engine, refused=vitals.last_rejection is not None)
        housekeeping.event("started", pid=os.getpid(), protocol=PROTOCOL_VERSION)
        server.run(stop)
        log.info("stopping", signal=stop.received)
        code = exit_codes.OK
    except TooManyFaults as error:
        log.critical("giving up", error=str(error))
        code = exit_codes.SOFTWARE
    finally:
        systemd.notify("STOPPING=1")
        watch.stop(timeout_s=1.0)
        checkpoints.stop(timeout_s=1.0)
        if metrics is not None:
            metrics.stop()
        housekeeping.save_all()
        housekeeping.event("stopped")
        journal.close()
        if recorder is not None:
            recorder.close()
    return code


def _claim(journal: Journal, clock: SystemClock, stop: _Signals) -> bool:
    """Two services writing one journal would each answer the other's retries wrongly.

    False where it was told to stop while it waited.
    """
    give_up_s = clock.monotonic_s() + PATIENCE_S
    holder = _holder(journal)
    if holder is not None:
        log.warning("waiting for the journal", path=str(journal.path), process=holder)
        systemd.notify(f"STATUS=waiting for the journal, which process {holder} has")
    while holder is not None:
        if clock.monotonic_s() >= give_up_s:
            # It gets free by itself, where a restore has it: a supervisor should start us again.
            raise CommandError(
                f"the journal {journal.path} is in use by process {holder}: let a restore end, "
                "stop another service, or set another state_dir or journal.path",
                exit_codes.TRY_LATER,
            )
        time.sleep(LOOK_S)
        if stop.received is not None:
            log.info("stopping", signal=stop.received)
            return False
        holder = _holder(journal)
    return True


def _holder(journal: Journal) -> str | None:
    """Who else has the journal; None where it is ours now, or nobody's to have."""
    try:
        journal.claim()
    except HeldError as error:
        return error.holder
    except OSError as error:
        # Without a writable disk it serves all the same, and says so.
        log.error(f"journal cannot be locked: {UNKEPT}", path=str(journal.path), error=str(error))
    return None


def _take_up(journal: Journal, housekeeping: Housekeeping) -> None:
    # What is read now stays: a collector would go over all of it again and again.
    gc.disable()
    if not journal.open():
        log.error(
            f"journal cannot be opened: {UNKEPT}", path=str(journal.path), error=journal.fault
        )
    # One that is killed within ten seconds each time would add to its WAL for ever.
    journal.checkpoint()
    housekeeping.restore()


def _engine(config: Config, clock: SystemClock) -> tuple[Engine, SegmentWriter | None]:
    """The engine and, where inputs are recorded, what writes them."""
    run_id = f"{int(clock.utc_s() * 1000):x}{os.urandom(2).hex()}"
    record = config.record
    if not record.enabled:
        return Engine(config, run_id), None
    writer = SegmentWriter(
        config.path(record.directory),
        run_id,
        segment_bytes=record.segment_bytes,
        keep_bytes=record.keep_bytes,
    )
    return RecordedEngine(config, run_id, writer), writer


def _metrics_view(config: Config) -> type[Metrics] | None:
    """What shows it to Prometheus; where that is not wanted, its library is not loaded either."""
    if not config.metrics.bind:
        return None
    from service.metrics.exporter import Metrics

    return Metrics


def _allowed(config: Config) -> AllowList | None:
    """The list of clients, where there is a server key that they could be asked with."""
    if not config.curve.server_secret_file:
        return None
    return AllowList(config.path(config.curve.clients_dir))


class _Signals:
    """True once SIGTERM or SIGINT came; after a SIGHUP the loop's next question reloads.

    The handlers set a flag and nothing else. They stand before anything is waited for: the
    first process of a container gets no signal that it has no handler for.
    """

    def __init__(self) -> None:
        self.received: str | None = None
        self.reload: Callable[[], None] = lambda: None
        self._hung_up = False
        signal.signal(signal.SIGHUP, self._on_hangup)
        signal.signal(signal.SIGTERM, self._on_signal)
        signal.signal(signal.SIGINT, self._on_signal)

    def __call__(self) -> bool:
        if self._hung_up:
            self._hung_up = False
            self.reload()
        return self.received is not None

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        self.received = signal.Signals(number).name

    def _on_hangup(self, _number: int, _frame: FrameType | None) -> None:
        self._hung_up = True


def _shown(sourced: Sourced, *, whole: bool) -> dict[str, object]:
    """What an operator wants to see once: the paths, addresses and by what keys were set.

    `whole`: every value as well, for who asks months later what it ran with, but for the command
    of the alerts: it is the trainer's, and may name a webhook that nobody else is to know.
    """
    config = sourced.config
    values = msgspec.to_builtins(config)
    values.pop("alerts")
    return {
        "bind": list(config.score.bind),
        "feeds": list(config.feed.endpoints),
        "journal": str(config.journal_path),
        "models": str(config.models_dir),
        "mode": config.score.mode,
        "set": sourced.sources,
    } | ({"effective": values} if whole else {})


def _favour_the_loop() -> None:
    # What was allocated so far lives as long as the process: keep the collector off it.
    gc.freeze()
    # What is made for a request is freed by counting; cycles are rare and can wait.
    gc.set_threshold(50_000, 20, 50)
    gc.enable()
    # A helper thread that computes gives the interpreter back this soon.
    sys.setswitchinterval(0.0005)


def _announce(config: Config, server: Server, engine: Engine, *, refused: bool) -> None:
    model = engine.model.version if engine.model else None
    if model is None:
        why = "the published model was refused" if refused else "no model yet"
        log.warning(f"{why}: base scores are served", models=str(config.models_dir))
    log.info("ready", address=server.score_address, model=model, mode=engine.mode)
    systemd.notify(f"READY=1\nSTATUS=serving {model or 'base scores'}")
