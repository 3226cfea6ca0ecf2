"""What comes, or does not come, from the EA."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from contextlib import closing
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest
from background import meanwhile
from doctored import DAY_S, MONDAY_S, Setup, beside
from harness import PATIENCE_S, Feed, Service, eventually, free_port, running
from serving import tick
from wire import nobodys_address

from service.doctor.feed import ENOUGH_TICKS
from service.doctor.finding import Finding
from service.doctor.unread import why_unread

SATURDAY_S = MONDAY_S + 5 * DAY_S
PATIENT_S = 5.0
"""To listen for: a busy machine takes its time to subscribe, and enough ticks end it sooner."""


def heard(setup: Setup, *words: str, **options: Any) -> Finding:
    """The fault of what comes without ticks, sought anew while a busy machine lets nothing come."""
    end_s = time.monotonic() + PATIENCE_S
    while True:
        try:
            return setup.fault("feed", *words, **options)
        except AssertionError:
            if time.monotonic() > end_s:
                raise


def no_tick(setup: Setup) -> Finding | None:
    """What it finds, once it has heard something, and no tick."""
    found = setup.findings("feed")[0]
    return found if "no tick while listening" in found.text else None


def some_monday_s() -> float:
    """Not the next one, which may be so near that a tick of now is fresh by then."""
    weeks = math.ceil((time.time() - MONDAY_S) / (7 * DAY_S)) + 1
    return MONDAY_S + weeks * 7 * DAY_S


def test_a_feed_where_nothing_listens(setup: Setup) -> None:
    setup.values["FEED_ENDPOINTS"] = nobodys_address()
    found = setup.fault("feed", "nothing listens", listen_s=0.1)
    assert "bridge" in found.advice


@pytest.mark.parametrize("host", ["no-such-host.invalid", "a" * 70])
def test_a_feed_whose_name_nobody_knows(setup: Setup, host: str) -> None:
    setup.values["FEED_ENDPOINTS"] = f"tcp://{host}:5560"
    found = setup.fault("feed", host, "nobody knows the name", listen_s=0.1)
    assert "feed.endpoints" in found.advice


def test_a_feed_that_is_silent(setup: Setup, publish: Callable[[Any], str]) -> None:
    setup.values["FEED_ENDPOINTS"] = publish(None)
    found = setup.fault("feed", "is silent", now_s=MONDAY_S, listen_s=0.1)
    assert "terminal" in found.advice
    setup.fault("feed", "weekend", level="warn", now_s=SATURDAY_S, listen_s=0.1)


def test_a_feed_that_is_no_eas(setup: Setup, publish: Callable[[Any], str]) -> None:
    setup.values["FEED_ENDPOINTS"] = publish(lambda: b"GET / HTTP/1.1")
    assert "PUB" in heard(setup, "cannot be read", "GET /").advice


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (b'"EURUSD.r x"', "symbol 'EURUSD.r x'"),
        (b'"X","timestamp":1757964832000', "timestamp 1757964832000"),
        (b'"X","timestamp":"2025.09.15 19:33"', "timestamp '2025.09.15 19:33'"),
        (b'"X","bid":-1', "$.bid"),
        (b'"X","ask":nan', "no JSON"),
        (b'"X","node_id":7', "$.node_id"),
    ],
)
def test_a_feed_of_which_a_part_cannot_be_read(
    setup: Setup, publish: Callable[[Any], str], wrong: bytes, why: str
) -> None:
    head = b'{"type":"tick","bid":1,"ask":2,"timestamp":1757964832,"symbol":'
    frames = cycle([tick("GBPUSD", time.time()), head + wrong + b"}"])
    setup.values["FEED_ENDPOINTS"] = publish(lambda: next(frames))
    found = setup.fault("feed", "messages cannot be read", why, level="warn", listen_s=PATIENT_S)
    assert wrong.decode() in found.text


@pytest.mark.parametrize("before", [b"prices;EURUSD ", b'"t" ', b"tick\0", b"a" * 70])
def test_what_stands_before_a_message_is_not_laid_to_the_message(before: bytes) -> None:
    said = why_unread(before + tick("EURUSD", time.time()))
    assert said.startswith("what stands before the message is no topic: ")


def test_a_feed_with_heartbeats_alone(setup: Setup, publish: Callable[[Any], str]) -> None:
    setup.values["FEED_ENDPOINTS"] = publish(lambda: b"HEARTBEAT")
    assert "market watch" in heard(setup, "no ticks", "heartbeat", now_s=MONDAY_S).advice
    heard(setup, "no ticks", "weekend", level="warn", now_s=SATURDAY_S)


def test_a_feed_that_has_nothing_but_heartbeats_left(
    tmp_path: Path, publish: Callable[[Any], str]
) -> None:
    frames = [tick("EURUSD", time.time())]
    address = publish(lambda: frames[-1])
    with running(tmp_path, FEED_ENDPOINTS=address) as service:
        with service.client() as client:
            eventually(lambda: client.stats()["symbols"], "the tick")
        frames.append(b"HEARTBEAT")
        setup = beside(service, tmp_path / "unused", FEED_ENDPOINTS=address)
        heard(setup, "no ticks", "heartbeat", now_s=some_monday_s())
        assert eventually(lambda: no_tick(setup), "its heartbeats").level == "ok"


def test_ticks_of_one_bridge_do_not_excuse_another_that_sends_none(
    tmp_path: Path, publish: Callable[[Any], str]
) -> None:
    cut_off = publish(lambda: b"HEARTBEAT")
    values = {"FEED_ENDPOINTS": f"{publish(lambda: tick('EURUSD', time.time()))},{cut_off}"}
    with running(tmp_path, **values) as service:
        with service.client() as client:
            eventually(lambda: client.stats()["symbols"], "the tick")
        setup = beside(service, tmp_path / "unused", **values)
        found = heard(setup, cut_off, "no ticks", "heartbeat", level="warn")
        assert "market watch" in found.advice


def test_a_quiet_bridge_beside_an_ingest_is_known_by_its_last_tick(
    tmp_path: Path, publish: Callable[[Any], str]
) -> None:
    frames = [tick("EURUSD", time.time())]
    bridge = publish(lambda: frames[-1])
    values = {"FEED_ENDPOINTS": bridge, "FEED_INGEST": f"tcp://127.0.0.1:{free_port()}"}
    with running(tmp_path, **values) as service:
        with service.client() as client:
            eventually(lambda: client.stats()["symbols"], "the tick")
        frames.append(b"HEARTBEAT")
        setup = beside(service, tmp_path / "unused", **values)
        assert eventually(lambda: no_tick(setup), "its heartbeats").level == "ok"


@pytest.mark.parametrize("hours", [6, 16])
def test_last_quotes_that_are_sent_again_tell_no_clock(
    setup: Setup, publish: Callable[[Any], str], hours: int
) -> None:
    last = tick("EURUSD", time.time() - hours * 3600)
    setup.values["FEED_ENDPOINTS"] = publish(lambda: last)
    setup.values["FEED_CLOCK_OFFSET"] = str(3 * 3600)
    (found,) = setup.findings("feed", now_s=SATURDAY_S, listen_s=PATIENT_S)
    assert (found.level, "trading hours" in found.text) == ("ok", True)
    wrong = setup.fault("feed", "offset is wrong", now_s=MONDAY_S, listen_s=PATIENT_S)
    assert (f", or {-hours * 3600}" in wrong.advice) == (hours < 14)


def test_an_offset_that_last_quotes_alone_have_taught_is_told_to_nobody(
    tmp_path: Path, publish: Callable[[Any], str]
) -> None:
    last = tick("EURUSD", time.time() - 12 * 3600)
    values = {"FEED_ENDPOINTS": publish(lambda: last), "FEED_CLOCK_OFFSET": "auto"}
    unserved = Setup(tmp_path / "unserved", **values)
    with running(tmp_path / "served", **values) as service:
        with service.client() as client:
            eventually(
                lambda: client.stats()["feed"]["endpoints"][0]["clock_offset_s"], "the first place"
            )
        for setup in (unserved, beside(service, tmp_path / "beside", **values)):
            (found,) = setup.findings("feed", now_s=SATURDAY_S, listen_s=PATIENT_S)
            assert (found.level, "trading hours" in found.text) == ("ok", True), found


@pytest.mark.parametrize("now_s", [MONDAY_S, SATURDAY_S])  # as of what is traded at weekends too
@pytest.mark.parametrize("hours", [3, -2])
def test_a_clock_offset_that_is_wrong(
    setup: Setup, publish: Callable[[Any], str], hours: int, now_s: float
) -> None:
    setup.values["FEED_ENDPOINTS"] = publish(lambda: tick("BTCUSD", time.time() + hours * 3600))
    options = {"now_s": now_s, "listen_s": PATIENT_S}
    found = setup.fault(
        "feed", "offset is wrong", f"{abs(hours)} h", "feed.clock_offset = 0", **options
    )
    assert f"or {hours * 3600}" in found.advice
    setup.values["FEED_CLOCK_OFFSET"] = str(hours * 3600)
    assert {finding.level for finding in setup.findings("feed", **options)} == {"ok"}


def test_a_feed_that_carried_the_time_forward(tmp_path: Path) -> None:
    with running(tmp_path, with_feed=True) as service:
        service.feed.send(tick("EURUSD", time.time() + 3 * 3600))
        setup = beside(service, tmp_path / "unused")
        with service.client() as client:
            eventually(lambda: client.stats()["symbols"], "the tick")
        found = setup.fault("service", service.feed.address, "ahead of this machine", level="warn")
        assert "feed.clock_offset" in found.advice


def test_a_feed_whose_clock_is_minutes_late(setup: Setup, publish: Callable[[Any], str]) -> None:
    setup.values["FEED_ENDPOINTS"] = publish(lambda: tick("EURUSD", time.time() - 420))
    found = setup.fault("feed", "7 min behind", level="warn", now_s=MONDAY_S, listen_s=PATIENT_S)
    assert "server time" in found.advice


@pytest.mark.parametrize(
    ("lead", "later_s", "said"),
    [
        # For the listener between two quarters of an hour.
        (lambda gone_s: 400.0 * gone_s, 420.0, "stamps run faster than the wall: a recording"),
        (
            lambda _: 3 * DAY_S + 300.0,
            3 * DAY_S + 300.0,
            "or this machine's (`date -u`), has a wrong",
        ),
    ],
)
def test_a_recording_that_is_being_played_is_not_behind(
    tmp_path: Path,
    publish: Callable[[Any], str],
    lead: Callable[[float], float],
    later_s: float,
    said: str,
) -> None:
    begin_s = time.time()
    leads = [lead]

    def played() -> bytes:
        now_s = time.time()
        return tick("EURUSD", now_s + leads[-1](now_s - begin_s))

    values = {"FEED_ENDPOINTS": publish(played), "FEED_CLOCK_OFFSET": "auto"}
    with running(tmp_path, **values) as service:

        def is_history() -> bool:
            return client.stats()["feed"]["endpoints"][0]["clock_state"] == "history"

        with service.client() as client:
            eventually(is_history, "the recording")
        leads.append(lambda _: later_s)
        setup = beside(service, tmp_path / "unused", **values)
        (found,) = setup.findings("feed", now_s=MONDAY_S, listen_s=PATIENT_S)
        assert "a recording is being played" in found.text
        assert said in found.text


@pytest.mark.parametrize(
    ("good_ones", "stale_after_s", "level"),
    [(True, "120", "fail"), (False, "0.001", "fail"), (False, "120", "ok")],
)
def test_a_feed_of_which_no_tick_is_applied(
    tmp_path: Path,
    publish: Callable[[Any], str],
    good_ones: bool,
    stale_after_s: str,
    level: str,
) -> None:
    """A service that has only just begun to listen is given time."""
    spreads = [0.0001 if good_ones else -0.0001]
    address = publish(lambda: tick("EURUSD", time.time(), spread=spreads[-1]))
    values = {"FEED_ENDPOINTS": address, "FEED_STALE_AFTER_S": stale_after_s}
    with running(tmp_path, **values) as service:
        with service.client() as client:
            eventually(lambda: client.stats()["feed"]["counts"], "a tick")
            spreads.append(-0.0001)
            eventually(lambda: "tick_crossed" in client.stats()["feed"]["counts"], "a bad one")
        setup = beside(service, tmp_path / "unused", **values)
        (found,) = setup.findings("feed", now_s=some_monday_s(), listen_s=PATIENT_S)
        assert found.level == level
        if level == "fail":
            assert "the service has applied none for" in found.text
            assert "tick_crossed" in found.text
            assert "ScorerTicksRefused" in found.advice
            saturday_s = some_monday_s() + 5 * DAY_S
            setup.fault("feed", "applied none", level="warn", now_s=saturday_s, listen_s=PATIENT_S)


@pytest.mark.parametrize(
    ("others", "late_s", "spread", "level"),
    [(False, 5.0, 0.0001, "warn"), (True, 5.0, 0.0001, "warn"), (False, 0.0, -0.0001, "fail")],
)
def test_a_single_late_tick_is_no_fault_yet(
    tmp_path: Path,
    publish: Callable[[Any], str],
    others: bool,
    late_s: float,
    spread: float,
    level: str,
) -> None:
    """It may be the first in a while, however many of another feed are refused."""
    crossed = [publish(lambda: tick("USDJPY", time.time(), spread=-0.0001))] if others else []
    with closing(Feed()) as feed:
        endpoints = ",".join([feed.address, *crossed])
        values = {"FEED_ENDPOINTS": endpoints, "FEED_STALE_AFTER_S": "0.001"}
        with running(tmp_path, **values) as service:
            feed.wait_for_subscriber()
            first_s = time.time()
            feed.send(tick("EURUSD", first_s))
            with service.client() as client:
                eventually(lambda: client.stats()["symbols"], "the tick")
            setup = beside(service, tmp_path / "unused", **values)

            def refused(_stop: threading.Event) -> None:
                feed.wait_for_subscriber()
                feed.send(tick("EURUSD", first_s - late_s, spread=spread))

            with meanwhile(refused):
                said = f"{feed.address} 1 ticks heard, the service has applied none"
                setup.fault("feed", said, level=level, now_s=some_monday_s(), listen_s=2.0)


def test_a_market_that_was_quiet_until_now(tmp_path: Path, publish: Callable[[Any], str]) -> None:
    values = {"FEED_ENDPOINTS": publish(lambda: tick("EURUSD", time.time()))}
    with running(tmp_path, **values) as service:
        with service.client() as client:
            eventually(lambda: client.stats()["symbols"], "the tick")
        setup = beside(service, tmp_path / "unused", **values)
        (found,) = setup.findings("feed", now_s=some_monday_s(), listen_s=PATIENT_S)
        assert (found.level, "ticks heard" in found.text) == ("ok", True)


def test_an_ingest_to_which_nothing_is_pushed(tmp_path: Path) -> None:
    values = {"FEED_INGEST": f"tcp://127.0.0.1:{free_port()}"}
    with closing(Service(tmp_path, FEED_SILENCE_S="1", **values)) as service:
        service.start()
        with service.client() as client:
            eventually(lambda: not client.health()["ready"], "the silence")
        setup = beside(service, tmp_path / "unused", **values)
        found = setup.fault("feed", values["FEED_INGEST"], "is silent: nothing was pushed so far")
        assert "update_market_data" in found.advice


def test_symbols_that_clients_name_otherwise_than_the_feed(tmp_path: Path) -> None:
    """Also those of which few ticks come beside a lively one's."""
    names = ["BTCUSD"] * ENOUGH_TICKS + ["GBPUSD.pro", "EURUSD.pro"]
    with closing(Feed()) as feed:

        def burst(stop: threading.Event) -> None:
            while not stop.wait(0.1):
                feed.send(*(tick(name, time.time()) for name in names))

        values = {"FEED_ENDPOINTS": feed.address}
        with meanwhile(burst), running(tmp_path, **values) as service:
            ask_for_strangers(service)
            setup = beside(service, tmp_path / "unused", **values)
            among = "among what was heard in 1 s: BTCUSD, EURUSD.pro, GBPUSD.pro"
            said = "6 of 6 answers", "unknown_symbol", among
            found = heard(setup, *said, level="warn", listen_s=1.0)
            assert "feed.symbol_suffixes" in found.advice


def test_symbols_that_are_unknown_since_no_feed_speaks(tmp_path: Path) -> None:
    values = {"FEED_ENDPOINTS": nobodys_address()}
    with running(tmp_path, **values) as service:
        ask_for_strangers(service)
        setup = beside(service, tmp_path / "unused", **values)
        said = "6 of 6 answers", "unknown_symbol", "no tick was heard"
        found = setup.fault("feed", *said, level="warn", listen_s=0.1)
        assert "feed.symbol_suffixes" not in found.advice


def ask_for_strangers(service: Service) -> None:
    """Six signals for a symbol that no feed has under this name."""
    with service.client() as client:
        for _ in range(6):
            client.score("EURUSD", 70.0)


def test_no_feed_at_all(setup: Setup) -> None:
    assert "feed.endpoints" in setup.fault("feed", "names no feed", level="warn").advice
