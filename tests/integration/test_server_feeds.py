"""The duty cycle and the feeds: ticks and candles over real sockets, turned by hand."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import zmq
from harness import Feed, eventually, free_port
from served import PATIENCE_MS, Served
from serving import START_S, body, history, tick, unpacked

from protocol.ea_feed import Candle
from service.feed.intake import EARLY_TOGETHER
from service.server import TICK_BYTES, TICKS_A_REQUEST


def test_of_large_feed_messages_few_go_before_a_waiting_request(tmp_path: Path, peers: Any) -> None:
    with closing(Feed()) as feed, closing(Served(tmp_path, FEED_ENDPOINTS=feed.address)) as served:
        skipped = served.engine.intake.skipped
        client = served.connected(peers(zmq.DEALER, served.address))
        feed.wait_for_subscriber()
        feed.send(*[b'{"type": "odd", "text": "%s"}' % (b"x" * 100_000)] * 100)
        served.turn_until(lambda: skipped["other"], "the first message")
        client.send(body("health", id="next"))
        assert served.server._scoring.poll(PATIENCE_MS)
        before = skipped["other"]
        # It counts as so many ticks, for the turn as for the look at who waits.
        assert served.server._apply_ticks(served.server._feeds[0], 8) > 100_000 // TICK_BYTES
        assert skipped["other"] - before == 1


@pytest.mark.parametrize("asks", [True, False])
def test_candles_that_waited_for_the_clock_count_as_ticks_of_the_turn_that_lets_them_in(
    tmp_path: Path, peers: Any, asks: bool
) -> None:
    with closing(Feed()) as feed, closing(Served(tmp_path, FEED_ENDPOINTS=feed.address)) as served:
        client = served.connected(peers(zmq.DEALER, served.address))
        (taken_in,) = served.server._feeds
        early, last = taken_in.endpoint.early, int(START_S) // 60 - 1
        for ago in range(2_000):
            early.append((Candle("EURUSD", "M1", 60.0 * (last - ago), *[1.1] * 4), START_S))
        feed.wait_for_subscriber()
        ticks = range(2_000 // EARLY_TOGETHER + 1)
        feed.send_together(*(tick("EURUSD", START_S + n / 1000) for n in ticks))
        assert taken_in.socket.poll(PATIENCE_MS)
        if asks:
            client.send(body("health", id="next"))
            assert served.server._scoring.poll(PATIENCE_MS)
        let_in = []
        while early:
            before = len(early)
            served.server._apply_ticks(taken_in, 8)
            let_in.append(before - len(early))
        limit = 8 if asks else served.config.limits.ticks_per_cycle
        assert max(let_in) < limit + EARLY_TOGETHER


def test_ticks_are_applied_and_requests_answered_from_them(tmp_path: Path, peers: Any) -> None:
    with (
        closing(Feed()) as feed,
        closing(
            Served(tmp_path, FEED_ENDPOINTS=feed.address, LIMITS_TICKS_PER_CYCLE="20")
        ) as served,
    ):
        intake = served.engine.intake
        served.vitals.endpoints[0].clock.offset_s = 0.0
        feed.wait_for_subscriber()
        frames = history(("EURUSD", "GBPUSD"), START_S)
        feed.send(*frames)
        applied = []

        def done() -> bool:
            before = intake.received
            work = served.server.turn()
            applied.append(intake.received - before)
            assert work == applied[-1]
            return intake.received >= len(frames)

        eventually(done, "all ticks")
        assert intake.received == len(frames)
        # Where nobody asks, none is left to a later turn for a request that might come.
        assert TICKS_A_REQUEST < max(applied) <= 20
        client = peers(zmq.REQ, served.address)
        client.send(body("features", symbol="EURUSD"))
        served.turn_until(lambda: client.poll(0), "the answer")
        assert unpacked(client.recv())["warm"] is True


@pytest.mark.parametrize(("volume", "deals"), [("last_deal", 1), ("deal", 2)])
def test_what_is_pushed_to_ingest_is_a_feed_of_its_own(
    tmp_path: Path, peers: Any, volume: str, deals: int
) -> None:
    """Each of its volumes is a deal, those of the feed beside it as configured."""
    feed, ingest = Feed(), f"tcp://127.0.0.1:{free_port()}"
    served = Served(tmp_path, FEED_ENDPOINTS=feed.address, FEED_INGEST=ingest, FEED_VOLUME=volume)
    feeds = served.engine.intake.feeds
    try:
        push = peers(zmq.PUSH, ingest)
        feed.wait_for_subscriber()
        for send, symbol in ((push.send, "BTCUSD"), (feed.send, "ETHUSD")):
            for _ in range(2):
                send(tick(symbol, START_S, 60_000.0, 1.0, volume=0.5))
        served.turn_until(lambda: served.engine.intake.received == 4, "the ticks")
        assert feeds["BTCUSD"].source == ("ingest", "")
        assert (feeds["BTCUSD"].ticks, feeds["ETHUSD"].ticks) == (2, deals)
    finally:
        served.close()
        feed.close()


def test_the_socket_of_a_silent_feed_is_rebuilt_and_no_other(
    tmp_path: Path, peers: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is pushed comes to a bound socket, which no silence can have broken."""
    silent, heard, ingest = Feed(), Feed(), f"tcp://127.0.0.1:{free_port()}"
    served = Served(
        tmp_path,
        FEED_ENDPOINTS=f"{silent.address},{heard.address}",
        FEED_INGEST=ingest,
        FEED_SILENCE_S="5",
    )
    intake = served.engine.intake

    def comes(send: Callable[[bytes], Any], symbol: str) -> None:
        def look() -> bool:
            send(tick(symbol, served.clock.utc_s()))
            served.server.turn()
            return symbol in intake.feeds

        eventually(look, symbol)

    try:
        for number in range(2):
            silent.wait_for_subscriber()
            sockets = [feed.socket for feed in served.server._feeds]
            for step in range(3):
                served.clock.advance(2.0)
                comes(heard.send, f"HEARD{number}{step}")
            after = [feed.socket for feed in served.server._feeds]
            assert [a is b for a, b in zip(after, sockets, strict=True)] == [False, True, True]
            assert sockets[0].closed
            assert not any(socket.closed for socket, _ in served.server._watched)
            assert served.vitals.silent_feeds == {silent.address, "ingest"}
        silent.wait_for_subscriber()
        comes(silent.send, "SILENT")
        comes(peers(zmq.PUSH, ingest).send, "PUSHED")
        served.connected(peers(zmq.DEALER, served.address))
        assert "not rebuilt" not in "".join(capsys.readouterr())
    finally:
        served.close()
        silent.close()
        heard.close()
