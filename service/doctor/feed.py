"""The feed: does it speak, is it what an EA sends, and is its clock the one that was configured.

Beside what the running service says, `doctor` subscribes for itself, briefly: a PUB serves one
more subscriber without noticing.
"""

from __future__ import annotations

import math
import socket
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import zmq

from protocol.ea_feed import Candle, Candles, Skipped, Tick, parse
from service.console.words import span
from service.doctor.answers import base_scores
from service.doctor.finding import Finding, fail, ok, refused, warn
from service.doctor.scene import Running, Scene, ask_again
from service.doctor.system import listener
from service.doctor.unread import why_unread
from service.errors import ConfigError
from service.feed.clock_offset import MAX_OFFSET_S, QUARTER_S, SLACK_S
from service.sockets.addresses import check_endpoint
from service.sockets.setup import feed_keys, feed_socket

ENOUGH_TICKS = 50
LEAST_REFUSED = 3
NAMED = 60
PASSING = frozenset({"tick_late", "tick_spike"})
"""Fates of the first tick of a seldom symbol: late, or behind a true jump of its price. Further
ones end them."""
BEHIND_S = 30.0
REFUSED = frozenset(
    f"tick_{why}"
    for why in ("crossed", "non_positive", "late", "future", "symbol_limit", "spike", "fault")
)
"""Fates of a tick that are told of; a repeat, or one of a stand-by, is as it should be."""
CLOSED = "; FX markets may be closed now, for the weekend or the daily break"


@dataclass(slots=True)
class Heard:
    """What came from an endpoint: `lead_s` is the highest stamp minus receipt of its ticks.

    `moves`: a symbol's stamp was newer than its first, so they are not last quotes sent again.
    """

    messages: int = 0
    ticks: int = 0
    candles: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    lead_s: float = -math.inf
    moves: bool = False
    sample: str = ""
    _first_s: dict[tuple[str, str], float] = field(default_factory=dict)

    @property
    def symbols(self) -> set[str]:
        """Those that ticked, as the feed spells them."""
        return {symbol for symbol, _ in self._first_s}

    def add(self, frame: bytes, now_s: float) -> None:
        """Count one message."""
        self.messages += 1
        found = parse(frame)
        if isinstance(found, Tick):
            self.ticks += 1
            self.lead_s = max(self.lead_s, found.stamp_s - now_s)
            source = found.symbol, found.node_id
            self.moves |= found.stamp_s > self._first_s.setdefault(source, found.stamp_s)
        elif isinstance(found, Candle | Candles):
            self.candles += 1
        elif isinstance(found, Skipped):
            self.skipped[found.kind] += 1
            if found.kind == "garbage":
                self.sample = why_unread(frame)


def check(scene: Scene) -> Iterator[Finding]:
    """Each endpoint; the service's own view first."""
    feed = scene.config.feed
    if not feed.endpoints and not feed.ingest:
        yield warn(
            "feed.endpoints",
            "names no feed, and feed.ingest takes none: no symbol will ever be warm",
            "set feed.endpoints to the bridge's PUB, for example tcp://127.0.0.1:5560",
        )
    try:
        keys = feed_keys(scene.config)
    except ConfigError:
        keys = {}  # told by the keys' check
    running = scene.running
    unknown = dict(base_scores(scene)).get("unknown_symbol")
    # A symbol that ticks seldom may be the one that is spelled otherwise.
    enough = math.inf if unknown else ENOUGH_TICKS
    symbols: set[str] = set()
    for address in feed.endpoints:
        try:
            check_endpoint(address)
            heard = listen(address, scene.listen_s, keys.get(address), enough)
        except ConfigError as error:
            yield refused(address, error)
            continue
        symbols |= heard.symbols
        yield from _endpoint(scene, address, heard)
    if running and unknown:
        yield warn(running.address, *_misnamed(scene, unknown, sorted(symbols)))
    if running is not None and "feed ingest is silent" in running.health["reasons"]:
        yield _ingest_is_silent(scene)


def _misnamed(scene: Scene, said: str, symbols: list[str]) -> tuple[str, str]:
    """Of signals for symbols that the feed does not have, or spells otherwise: text and advice."""
    advice = (
        "where clients spell them otherwise, set feed.symbol_suffixes (or feed.symbol_map), "
        "then restart"
    )
    if symbols:
        names = ", ".join(symbols[:NAMED]) + ", ..." * (len(symbols) > NAMED)
        return f"{said}; among what was heard in {scene.listen_s:g} s: {names}", advice
    if scene.config.feed.ingest:  # what is pushed nobody else can listen to
        return said, advice
    advice = "what the feed's other finding says comes first; if that is fine, --listen-s 60"
    return f"{said}; no tick was heard in {scene.listen_s:g} s", advice


def listen(address: str, seconds: float, keys: Any = None, enough: float = ENOUGH_TICKS) -> Heard:
    """Subscribe until so many ticks came or the time is over. Raises ConfigError for no address."""
    heard = Heard()
    end_s = time.monotonic() + seconds
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    try:
        feed = feed_socket(context, address, keys)
        while heard.ticks < enough and (left_s := end_s - time.monotonic()) > 0:
            if feed.poll(int(left_s * 1000) + 1):
                heard.add(feed.recv(), time.time())
        return heard
    finally:
        context.destroy(linger=0)


def _endpoint(scene: Scene, address: str, heard: Heard) -> Iterator[Finding]:
    known = _known(scene, address)
    if not heard.messages:
        yield _silent(scene, address, known)
        return
    if not heard.ticks:
        yield _no_ticks(scene, address, heard)
        return
    if unread := heard.skipped["garbage"]:
        yield warn(
            address,
            f"{unread} of {heard.messages} messages cannot be read: {heard.sample}",
            "mend what is sent: those of a symbol may be missing altogether (docs/protocol.md)",
        )
    faults = [*_unapplied(scene, address, heard, known), *_clock(scene, address, heard, known)]
    yield from faults
    if not faults and not unread:
        yield ok(address, f"{heard.ticks} ticks heard, {_offset(heard.lead_s)}")


def _known(scene: Scene, address: str) -> dict[str, Any] | None:
    """What the running service says of this endpoint."""
    return None if scene.running is None else _said(scene.running, address)


def _said(running: Running, address: str) -> dict[str, Any] | None:
    endpoints = running.stats["feed"]["endpoints"]
    return next((one for one in endpoints if one["name"] == address), None)


def _ingest_is_silent(scene: Scene) -> Finding:
    """As the service says: nobody else can listen to what is pushed to it."""
    known = _known(scene, "ingest")
    age_s = None if known is None else known["age_s"]
    return fail(
        scene.config.feed.ingest or "feed.ingest",
        "is silent: nothing was pushed " + ("so far" if age_s is None else f"for {span(age_s)}"),
        "is the program up that calls update_market_data, and is this the address it pushes to? "
        'Where the bridge carries all symbols set feed.ingest = ""',
    )


def _silent(scene: Scene, address: str, known: dict[str, Any] | None) -> Finding:
    age_s = None if known is None else known["age_s"]
    if age_s is not None and age_s < scene.config.feed.silence_s:
        return ok(address, f"quiet now; the service heard it {age_s:.0f} s ago")
    since = "" if age_s is None else f", the service last heard it {span(age_s)} ago"
    unknown = _unknown_name(address)
    if unknown is not None:
        return fail(
            address,
            f"nobody knows the name in it ({unknown}){since}",
            "correct feed.endpoints, or see why the name is not resolved: getent hosts NAME",
        )
    if address.startswith("tcp://127.") and not _listened(address):
        return fail(
            address,
            f"nothing listens there{since}",
            "start the bridge that publishes the EA's ticks, or correct feed.endpoints",
        )
    text = f"is silent: nothing in {scene.listen_s:g} s{since}"
    advice = "is the terminal connected and its EA attached to a chart? Is it the right port?"
    if _rests(scene.now_s):
        return warn(address, text + CLOSED, f"look again when they have opened. {advice}")
    return fail(address, text, advice)


def _no_ticks(scene: Scene, address: str, heard: Heard) -> Finding:
    named = ", ".join(f"{count} {kind}" for kind, count in heard.skipped.most_common(4))
    if heard.skipped["garbage"] and not heard.candles:
        return fail(
            address,
            f"sends what cannot be read: {heard.sample}",
            "docs/protocol.md shows what is read; or is another program's PUB on this port?",
        )
    endpoints = scene.running.stats["feed"]["endpoints"] if scene.running else []
    since_s = scene.now_s - scene.config.feed.stale_after_s
    fresh = {one["name"] for one in endpoints if (one.get("tick_time_s") or 0.0) > since_s}
    if address in fresh:
        return ok(address, f"no tick while listening; {named or 'candles'} came")
    text = f"sends no ticks, only {named or 'candles'}"
    advice = "is the terminal connected to its broker, and are symbols in the EA's market watch?"
    if _rests(scene.now_s):
        return warn(address, text + CLOSED, f"look again when they have opened. {advice}")
    return (warn if fresh else fail)(address, text, advice)


def _unapplied(
    scene: Scene, address: str, heard: Heard, known: dict[str, Any] | None
) -> Iterator[Finding]:
    """Ticks that come and of which the service takes none: what it counts meanwhile says why.

    It is asked again: the first ticks after a quiet time are no fault.
    """
    if scene.running is None or known is None:
        return
    last_s = known["tick_time_s"]
    since_s = scene.now_s - scene.running.health["uptime_s"] if last_s is None else last_s
    if scene.now_s - since_s <= scene.config.feed.stale_after_s:
        return
    now = ask_again(scene)
    same = None if now is None else _said(now, address)
    if now is None or same is None or same["tick_time_s"] != last_s:
        return
    before, after = (Counter(one.stats["feed"]["counts"]) for one in (scene.running, now))
    lost = [(n, fate) for fate, n in (after - before).items() if fate in REFUSED]
    # Counted of all endpoints: few are another's, beside last quotes sent again by this one.
    refused_ticks = sum(n for n, _ in lost)
    if 2 * refused_ticks < heard.ticks:
        return
    few = min(heard.ticks, refused_ticks) < LEAST_REFUSED
    passing = few and any(fate in PASSING for _, fate in lost)
    count, fate = max(lost)
    yield (warn if _rests(scene.now_s) or passing else fail)(
        address,
        f"{heard.ticks} ticks heard, the service has applied none for "
        f"{span(scene.now_s - since_s)}: {count} {fate} meanwhile",
        f"docs/runbook.md, ScorerTicksRefused, says what {fate} means and what to do",
    )


def _clock(
    scene: Scene, address: str, heard: Heard, known: dict[str, Any] | None
) -> Iterator[Finding]:
    """Whether its stamps become UTC by the offset that is in use."""
    setting = scene.config.feed.clock_offset
    due_s = math.ceil((heard.lead_s - SLACK_S) / QUARTER_S) * QUARTER_S
    behind_s = due_s - heard.lead_s
    used_s = setting if setting != "auto" else None if known is None else known["clock_offset_s"]
    rests = _rests(scene.now_s) and not heard.moves
    # A quote that gets older only proves that the offset is at least so high.
    if rests and (used_s is None or due_s <= used_s):
        yield ok(address, "last quotes, sent again: how its clock is set shows in trading hours")
        return
    if setting != "auto" and abs(setting - due_s) >= QUARTER_S:
        yield fail(
            address,
            f"its clock offset is wrong: {_offset(heard.lead_s)}, "
            f"feed.clock_offset = {setting:g} s",
            'set feed.clock_offset = "auto"' + f", or {due_s:g}" * (abs(due_s) <= MAX_OFFSET_S),
        )
    elif setting == "auto" and known is not None and known["clock_state"] == "live":
        if abs(known["clock_offset_s"] - due_s) >= QUARTER_S:
            yield warn(
                address,
                f"{_offset(heard.lead_s)}; the service uses {known['clock_offset_s']:g} s",
                "it follows within a minute; if not, set feed.clock_offset and restart",
            )
    elif setting == "auto" and known is not None and known["clock_state"] == "history":
        if abs(due_s) > MAX_OFFSET_S:
            yield warn(
                address,
                "its stamps lie beyond any time zone: a recording is being played, or the clock "
                "that stamps it, or this machine's (`date -u`), has a wrong date",
                "of a live feed compare both with the true time before you do what else is advised",
            )
        else:
            yield warn(
                address,
                "its stamps run faster than the wall: a recording is being played",
                "for a live feed set feed.clock_offset and restart",
            )
        return  # its stamps are of any time
    if behind_s > BEHIND_S and not rests:
        yield warn(
            address,
            f"its newest tick is {span(behind_s)} behind: either the clock that stamps it is "
            "wrong by more than a time zone, or the quotes are old",
            "compare the terminal's server time with the true one; is the market open?",
        )


def _unknown_name(address: str) -> str | None:
    """Why the host of a TCP address is not found; None where it is, or the address has none.

    libzmq says nothing of it, and tries again for ever.
    """
    if not address.startswith("tcp://"):
        return None
    host = address.removeprefix("tcp://").rpartition(":")[0].rpartition(";")[2].strip("[]")
    try:
        socket.getaddrinfo(host, None)
    except (OSError, UnicodeError) as error:  # a label that is too long is no name either
        return str(getattr(error, "strerror", None) or error)
    return None


def _listened(address: str) -> bool:
    host, _, port = address.removeprefix("tcp://").rpartition(":")
    return port.isdigit() and listener(host, int(port)) is not None


def _offset(lead_s: float) -> str:
    hours = math.ceil((lead_s - SLACK_S) / QUARTER_S) * QUARTER_S / 3600.0
    if hours == 0:
        return "its clock is UTC"
    return f"its clock is {abs(hours):g} h {'ahead of' if hours > 0 else 'behind'} UTC"


def _rests(now_s: float) -> bool:
    """Whether FX may be closed: Friday 21:00 to Sunday 23:00 UTC, and each day from 21:00 to 23:00.

    In New York it is an hour from 17:00 on, and so another hour of UTC in summer than in winter.
    """
    now = datetime.fromtimestamp(now_s, UTC)
    hour = now.weekday() * 24 + now.hour
    return now.hour in (21, 22) or 4 * 24 + 21 <= hour < 6 * 24 + 23
