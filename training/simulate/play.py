"""The play: service up, market on, signals scored, trainer run, model swapped, twice over.

One thread, the main one, starts the children and waits; every wait ends early when the
demo is interrupted, a child dies or a thread fails. The rule: whatever happens, all that
was started is ended before `run` returns or raises.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import msgspec

from protocol.client import ScorerClient, ScorerRefused, ScorerUnavailable
from protocol.manifest import POINTER_NAME
from service.console.progress import unstamped
from training.simulate import children, facts
from training.simulate.account import Account
from training.simulate.bridge import BROKER_AHEAD_S, frames
from training.simulate.children import Child
from training.simulate.elite_guard import EliteGuard, Settings
from training.simulate.facts import Facts, Swap, Training
from training.simulate.feed import Feed
from training.simulate.market import Market
from training.simulate.scene import STAGES, Scene, Screen
from training.simulate.truth import Truth

MARKET_START_S = 1_741_564_800.0
"""Monday 2025-03-10 00:00 UTC: long past, so that its stamps are history to the service."""

WARM_UP_S = 5_400.0
"""An hour shows that a symbol has no deals, and 21 minutes fill the longest window."""

DAY_S = 86_400.0
HOURS_A_SECOND = 24.0
"""The market's pace."""
WHILE_TRAINING = 6.0
"""The same while the trainer works: at full pace they would take the processors from each other."""

BASE_RATE = 0.45
MIN_OUTCOMES, MIN_DAYS = 250, 11.0
"""Collected before the first training: the gate counts days, and wants five of signals that its
candidate had not seen."""

TICK_S = 0.1
FOLLOW_S = 0.05
START_LIMIT_S = 30.0
TRAIN_LIMIT_S = 180.0
SWAP_LIMIT_S = 15.0
END_LIMIT_S = 30.0
# Shares of the planned time at which collecting and the first model's time are over.
COLLECTED, RETRAINED = 0.33, 0.62
SHORTEST_LIVE = 0.12


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What the demo is asked for; `a_day` are the signals of a market day."""

    directory: Path
    seconds: float = 45.0
    strength: float = 1.5
    seed: int = 7
    a_day: float = 60.0
    report: bool = False


class DemoFailed(Exception):  # noqa: N818  what happened
    """Something of ours went wrong; the text says what and where to look."""


class Interrupted(Exception):  # noqa: N818
    """Somebody wants it to end."""


def run(options: Options, screen: Screen, stop: threading.Event) -> Facts:
    """Play it through, or until `stop` is set; then the facts are about what there was.

    Raises DemoFailed.
    """
    market = Market(options.seed)
    feed = Feed(frames(market, MARKET_START_S, options.seed), MARKET_START_S)
    scene = Scene(options.seconds, feed, Account())
    play = _Play(options, scene, screen, stop)
    interrupted = False
    try:
        play.perform()
    except Interrupted:
        interrupted = True
        screen.say(scene, "interrupted: ending the service and what else runs")
    finally:
        play.end()
    return play.facts(interrupted=interrupted)


class _Play:
    """One performance, and what it has started."""

    def __init__(
        self, options: Options, scene: Scene, screen: Screen, stop: threading.Event
    ) -> None:
        self.options, self.scene, self.screen, self.stop = options, scene, screen, stop
        self.feed, self.account = scene.feed, scene.account
        self.truth_log = options.directory / "truth_log.jsonl"
        self.models = options.directory / "models"
        self.children: list[Child] = []
        self.guard: EliteGuard | None = None
        self.trainings: list[Training] = []
        self.swaps: list[Swap] = []
        self.exit_codes: dict[str, int] = {}
        self._ended = threading.Event()
        self._follower: threading.Thread | None = None

    def perform(self) -> None:
        """All stages, in order."""
        scene, seconds = self.scene, self.options.seconds
        guard = self._begin()
        self._stage(2)
        guard.trading = True
        self._say(
            f"Elite Guard trades every signal, {self.options.a_day:.0f} a market day, "
            "and logs how each ends"
        )
        self._until(
            lambda: (
                scene.elapsed_s >= COLLECTED * seconds
                and len(self.account.closed) >= MIN_OUTCOMES
                and self.feed.event_s >= MARKET_START_S + DAY_S * MIN_DAYS
            )
        )
        for stage, until in ((3, RETRAINED), (5, 1.0)):
            self._stage(stage)
            self._train(guard)
            self._stage(stage + 1)
            self._rest(max(until * seconds, scene.elapsed_s + SHORTEST_LIVE * seconds))
        self._stage(7)
        guard.trading = False
        self._until(lambda: guard.idle, END_LIMIT_S, "the open trades to end")

    def _rest(self, until_s: float) -> None:
        self._until(lambda: self.scene.elapsed_s >= until_s)

    def _begin(self) -> EliteGuard:
        self._stage(0)
        service = children.service(self.options.directory, self.feed.endpoint, BROKER_AHEAD_S)
        self.children.append(service)
        ready: list[str] = []
        self._until(lambda: self._listen(service, ready), START_LIMIT_S, "the service's start")
        self._say(f"the service listens on {ready[0]}, to the feed on {self.feed.endpoint}")
        self.feed.start()
        follower = threading.Thread(target=self._follow, args=(ready[0],), daemon=True)
        follower.start()
        self._follower = follower
        self._until(lambda: self.feed.heard, START_LIMIT_S, "the service to subscribe")
        self._stage(1)
        settings = Settings(
            endpoint=ready[0],
            truth_log=self.truth_log,
            every_s=DAY_S / self.options.a_day,
            seed=self.options.seed,
            report=self.options.report,
        )
        truth = Truth(BASE_RATE, self.options.strength)
        guard = self.guard = EliteGuard(settings, self.feed, truth, self.account)
        self._pace(HOURS_A_SECOND)
        guard.start()
        warm_s = MARKET_START_S + WARM_UP_S
        self._until(lambda: self.feed.event_s >= warm_s, START_LIMIT_S, "the market to begin")
        return guard

    def _follow(self, endpoint: str) -> None:
        """Tell the feed how far the service is: the market waits for it."""
        with ScorerClient(endpoint, timeout_ms=1000) as client:
            while not self._ended.wait(FOLLOW_S):
                # It has no time, or is gone, which others tell.
                with suppress(ScorerUnavailable, ScorerRefused):
                    self.feed.tell(client.stats()["feed"]["received"])

    def _listen(self, service: Child, ready: list[str]) -> bool:
        """Pass on what the service logs; whether it has said where it listens."""
        for line in service.new_lines():
            event = children.event_of(line)
            if event.get("event") == "ready":
                ready.append(event["address"])
            elif event.get("event") == "model_installed":
                self.scene.model = event["version"]
                self._say(f"service: installed model {event['version']}")
            elif event.get("level") in ("error", "critical"):
                self._say(f"service: {event}")
        return bool(ready)

    def _train(self, guard: EliteGuard) -> None:
        """One run of the trainer, with requests in flight all the while."""
        before = self._pointed_at()
        began_s = time.monotonic()
        self._say(
            f"trainer started on {len(self.account.closed)} outcomes; meanwhile Elite Guard "
            "has further candidates scored, in bursts"
        )
        guard.candidates = True
        self._pace(WHILE_TRAINING)
        number = len(self.trainings) + 1
        child = children.trainer(self.options.directory, self.truth_log, number)
        self.children.append(child)
        said = ["it said nothing"]

        def ended() -> bool:
            over = child.code is not None
            for line in child.new_lines():
                said.append(line)
                self._say(f"trainer: {unstamped(line)}")
            return over

        self._until(ended, TRAIN_LIMIT_S, "the trainer to end")
        seconds = time.monotonic() - began_s
        self.trainings.append(Training(child.code or 0, said[-1], seconds))
        version = self._pointed_at()
        if version is not None and version != before:
            published_s = (self.models / POINTER_NAME).stat().st_mtime
            replies = self.account.first_replies
            self._until(lambda: version in replies, SWAP_LIMIT_S, f"a reply by model {version}")
            first = replies[version]
            self.swaps.append(Swap(version, first.at_s - published_s, first.in_flight))
            self._say(
                f"first score by {version} {first.at_s - published_s:.1f} s after it was "
                f"published; requests in flight then {first.in_flight}, lost {self.account.lost}"
            )
        guard.candidates = False
        self._pace(HOURS_A_SECOND)

    def _pace(self, hours_a_second: float) -> None:
        self.feed.speed = 3600.0 * hours_a_second

    def _pointed_at(self) -> str | None:
        try:
            content = json.loads((self.models / POINTER_NAME).read_bytes())
        except FileNotFoundError:
            return None
        return str(content["version"])

    def _until(
        self, condition: Callable[[], bool], limit_s: float = 3600.0, what: str = "the market"
    ) -> None:
        """Wait, and meanwhile show and look after everything. Raises Interrupted, DemoFailed."""
        give_up_s = time.monotonic() + limit_s
        while not condition():
            if self.stop.wait(TICK_S):
                raise Interrupted
            self.screen.refresh(self.scene)
            self._look_after(what)
            if time.monotonic() > give_up_s:
                raise DemoFailed(f"waited {limit_s:.0f} s for {what}; see {self.options.directory}")

    def _look_after(self, what: str) -> None:
        service = self.children[0]
        if self.guard is not None:
            self._listen(service, [])
        if service.code is not None:
            raise DemoFailed(
                f"the service ended with code {service.code} while waiting for {what}; "
                f"see {service.log}"
            )
        fault = self.feed.fault or (self.guard.fault if self.guard else None)
        if fault is not None:
            raise DemoFailed(f"the simulation failed: {fault!r}") from fault

    def _stage(self, number: int) -> None:
        self.scene.stage = number
        self._say(f"stage {number + 1} of {len(STAGES)}: {STAGES[number]}")

    def _say(self, text: str) -> None:
        self.screen.say(self.scene, text)

    def end(self) -> None:
        """End everything, callers before the service. Safe to call in any state."""
        if self.guard is not None:
            self.guard.stop()
        self._ended.set()
        if self._follower is not None:
            self._follower.join()
        self.feed.stop()
        for child in reversed(self.children):
            self.exit_codes.setdefault(child.name, child.stop())  # of several, the last

    def facts(self, *, interrupted: bool) -> Facts:
        """What there was; to be asked for after the end."""
        account, options = self.account, self.options
        by_model = facts.scored_by_model(account)
        exchanges = [e for e in account.exchanges if not e.lost]
        trips = [e.round_trip_ms for e in exchanges]
        files = {
            "journal": options.directory / "journal.db",
            "truth log": self.truth_log,
            "models": self.models,
            "trainer's last report": self.models / "last-report.html",
            "service log": options.directory / "service.log",
        }
        return Facts(
            interrupted=interrupted,
            seconds=self.scene.elapsed_s,
            market_days=(self.feed.event_s - MARKET_START_S) / DAY_S,
            frames=self.feed.sent,
            strength=options.strength,
            base_rate=BASE_RATE,
            seed=options.seed,
            sent=account.sent,
            answered=len(exchanges),
            lost=account.sent - len(exchanges),
            traded=len(account.scored),
            ended=len(account.closed),
            outcome_requests=dict(account.reports),
            statuses=dict(account.statuses),
            before=facts.choice(
                "before any model", [s for s in account.closed if s.model_version is None]
            ),
            choices=facts.comparison(by_model) if by_model else (),
            log_loss=facts.log_loss(by_model),
            round_trip_ms=facts.percentiles(trips),
            service_ms=facts.percentiles([e.service_ms for e in exchanges if e.service_ms]),
            over_client_default=sum(trip > facts.CLIENT_DEFAULT_MS for trip in trips),
            models=facts.models(account),
            swaps=tuple(self.swaps),
            trainings=tuple(self.trainings),
            exit_codes=self.exit_codes,
            files={name: str(path) for name, path in files.items() if path.exists()},
            bytes_on_disk=sum(
                path.stat().st_size for path in options.directory.rglob("*") if path.is_file()
            ),
        )
