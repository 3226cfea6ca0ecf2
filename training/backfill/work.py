"""A backfill from beginning to end: signals and recordings in, a result and its account out."""

from __future__ import annotations

import os
import shlex
import sqlite3
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import IO, Any, NamedTuple

import click

from service.config.settings import Config
from service.console.progress import show_progress
from service.recording.market_files import Format
from training.backfill.broker_clock import BrokerClock, clock_of, first_switch
from training.backfill.pieces import CutRules, Cutter, Piece
from training.backfill.rerun import Backfilled, rerun, settings_of
from training.backfill.result import Result, refuse_other
from training.backfill.segments import rerun_recorded, runs_of, with_signals
from training.backfill.signals import Asked, Wanted, add_told, read_signals
from training.backfill.stream import Market, StreamAccount, events, market_of
from training.dataset.journals import open_journals
from training.options import settings_of as trainer_settings
from training.settings import Settings
from training.truth_log import read_truth_logs
from training.wording import behind, day, meaning
from training.workers import Place, Workers, workers

SEGMENT = ".rec.gz"
SYMBOLS_THAT_ALL_COUNT = 32
"""Up to so many the correlation takes all symbols, and their ticks are not counted for it."""


class Plan(NamedTuple):
    """What was asked for."""

    files: tuple[Path, ...]
    signals: tuple[Path, ...]
    settings: Settings
    config: Config
    output: Path
    clock: BrokerClock
    fmt: Format | None
    symbol: str | None
    place: Place
    more: str
    """Which of the options `train` needs as well, in words."""

    @classmethod
    def of(cls, options: dict[str, Any]) -> Plan:
        """From the command's options. Raises ConfigError, click.UsageError."""
        settings = trainer_settings(options)
        if not options["signals"] and not settings.truth_logs:
            raise click.UsageError("name the signals: --signals FILE, or --truth-log FILE")
        segments = sum(path.name.endswith(SEGMENT) for path in options["files"])
        if segments not in (0, len(options["files"])):
            raise click.UsageError("recorded segments and market files go into runs of their own")
        try:
            clock = clock_of(options["clock_offset"])
        except ValueError as error:
            raise click.BadParameter(str(error), param_hint="--clock-offset") from None
        return cls(
            options["files"],
            options["signals"],
            settings,
            settings.config,
            options["output"] or default_output(settings),
            clock,
            options["fmt"],
            options["symbol"],
            Place(settings.jobs, settings.scheduler),
            _more(options, settings),
        )


def _more(options: dict[str, Any], settings: Settings) -> str:
    logs = options["truth_logs"]
    given = {
        "--config": options["config_path"],
        "--journal": options["journals"],
        "--models": options["models"],
        "--truth-log": logs,
        # Without a log it was the signals' alone.
        "--timezone": settings.truth_logs and options["timezone"],
    }
    names = ", ".join(name for name, value in given.items() if value)
    # A flag takes the place of those that are configured.
    configured = set(trainer_settings({**options, "truth_logs": ()}).truth_logs)
    too = "; name configured logs too" if configured - set(settings.truth_logs) else ""
    return f"with {names} as here{too}" if names else ""


def default_output(settings: Settings) -> Path:
    """Beside the journal; as installed the trainer may write among the models only."""
    beside = settings.journal.with_name("backfill.db")
    open_to_us = os.access(beside.parent, os.W_OK, effective_ids=True)
    return beside if open_to_us else settings.models / beside.name


def run(plan: Plan, progress: IO[str]) -> Iterator[str]:
    """Do it; lines for people. Raises what the modules beside this one say they raise."""
    refuse_other(plan.output)
    wanted = _signals(plan)
    asked = wanted.in_order()
    yield f"signals          {len(asked)} of {wanted.lines} can be scored"
    yield from _counted(wanted.refused)
    for problem in wanted.problems:
        yield from behind("  not read to the end: ", problem)
    for said in plan.settings.truth_logs_beside():
        yield from behind("  truth log ", said)
    if not asked:
        return
    from_segments = plan.files[0].name.endswith(SEGMENT)
    with (
        workers(plan.place) as pool,
        Result(plan.output, _source(plan), plan.settings.joining) as result,
        show_progress(progress) as shown,
    ):
        source = _Segments(plan, asked) if from_segments else _Files(plan, asked)
        step = partial(shown.step, f"signals scored in {pool.where}", total=len(asked))
        for found in source.work(pool):
            result.write(found)
            step(result.rows + source.lost)
        step(len(asked))
    yield from source.account()
    yield from _result(result, len(asked), plan)


def _source(plan: Plan) -> str:
    return ", ".join(path.name for path in plan.files)[:1000]


def _signals(plan: Plan) -> Wanted:
    wanted = Wanted()
    zone = plan.settings.reading.zone
    read_signals(plan.signals, zone, wanted)
    log = read_truth_logs(plan.settings.truth_log_files(), plan.settings.reading)
    wanted.problems += log.problems
    add_told(log.signals, zone, wanted)
    wanted.leave_out(_scored_live(plan.settings.journals))
    return wanted


def _scored_live(journals: Sequence[Path]) -> list[str]:
    try:
        with closing(open_journals(journals)) as reader:
            found = reader.execute("select signal_id from scores where signal_id is not null")
            return [signal_id for (signal_id,) in found]
    except (FileNotFoundError, sqlite3.OperationalError):
        return []  # a machine without a service has scored nothing


class _Files:
    """Market files: read once, cut, and each piece rerun by whoever is free."""

    def __init__(self, plan: Plan, asked: Sequence[Asked]) -> None:
        self._plan = plan
        self._market = market_of(plan.files, fmt=plan.fmt, symbol=plan.symbol, clock=plan.clock)
        self._account = StreamAccount()
        self._canonical = _canonical(plan.config)
        symbols = [self._canonical(one.request.symbol) for one in asked]
        self._cutter = Cutter(asked, symbols, _rules(plan.config, self._market))

    def work(self, pool: Workers) -> Iterator[list[Backfilled]]:
        deals = self._market.volume_is_deal(self._plan.config.feed)
        config = settings_of(self._plan.config.paper, deals=deals)
        pieces: Iterator[Piece] = self._cutter.pieces(
            events(self._market, self._canonical, self._account)
        )
        return pool.map(partial(rerun, config=config), pieces)

    @property
    def lost(self) -> int:
        """Signals that no piece holds, so far."""
        return self._cutter.unplaced.total()

    def account(self) -> Iterator[str]:
        read, dropped = self._account.market, self._account.dropped
        yield f"market           {read.messages} messages in {len(self._plan.files)} files"
        yield from _counted(read.skipped + dropped)
        yield from _clock_warning(self._plan.clock, self._account)
        yield from _counted(self._cutter.unplaced)


class _Segments:
    """A service's recorded runs, each rerun whole."""

    def __init__(self, plan: Plan, asked: Sequence[Asked]) -> None:
        self._plan = plan
        self._found = runs_of(plan.files)
        self._runs, self.lost = with_signals(self._found, asked)

    def work(self, pool: Workers) -> Iterator[list[Backfilled]]:
        return pool.map(partial(rerun_recorded, paper=self._plan.config.paper), self._runs)

    def account(self) -> Iterator[str]:
        files = len(self._plan.files)
        yield f"recordings       {len(self._found)} runs of the service in {files} segments"
        yield from _counted(Counter({"before_the_market": self.lost}))


def _rules(config: Config, market: Market) -> CutRules:
    return CutRules(
        config.paper.max_holding_s,
        config.paper.max_gap_s,
        whole_seconds=market.whole_seconds,
        # An fx file holds one symbol; how many another one holds shows only at its end.
        crowded=set(market.formats) != {"fx"} or len(market.files) > SYMBOLS_THAT_ALL_COUNT,
    )


def _canonical(config: Config) -> Any:
    from service.feed.symbol_names import SymbolNames

    return SymbolNames(config.feed.symbol_suffixes, config.feed.symbol_map).canonical


def _clock_warning(clock: BrokerClock, account: StreamAccount) -> Iterator[str]:
    """One offset for summer and winter has half of the ticks an hour too early or too late."""
    if account.first_s > account.last_s or not clock.is_fixed(account.last_s):
        return
    switch_s = first_switch(account.first_s, account.last_s)
    if switch_s is not None:
        yield from behind(
            "  one offset: ",
            f"but brokers' clocks changed on {day(switch_s)}. If this one did, name what it goes "
            "by (--clock-offset Europe/Athens, or America/New_York+7h): signals of half the "
            "market were scored with prices of an hour later or earlier",
        )


def _counted(counts: Counter[str]) -> Iterator[str]:
    for reason, count in counts.most_common():
        if count:
            yield f"  {reason:<20} {count:>7}  {meaning(reason)}"


def _result(result: Result, asked: int, plan: Plan) -> Iterator[str]:
    enough = f"{result.usable} with features enough to train"
    yield f"scored           {result.rows} of {asked}, {enough}"
    ends = ", ".join(f"{count} {word}" for word, count in result.words.most_common())
    yield f"outcomes         {ends or 'none'}"
    yield f"written to       {result.path}"
    if result.usable:
        # Of signals that are in several the first file counts.
        files = {path.absolute(): path for path in (result.path, *plan.settings.backfills)}
        named = " ".join(f"--backfill {shlex.quote(str(path))}" for path in files.values())
        yield f"next             signal-scorer-train train {named}"
        if plan.more:
            yield f"                 {plan.more}"
