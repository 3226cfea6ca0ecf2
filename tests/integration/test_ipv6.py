"""IPv6 addresses, wherever one is bound or connected to, and IPv4 as before beside them."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import zmq
from harness import eventually
from served import Served
from serving import START_S, tick

from protocol.aio import AsyncScorerClient
from protocol.client import ScorerClient
from protocol.tick_push import TickPush
from service.errors import CommandError
from service.recording.replay import replay

ROOT = Path(__file__).resolve().parents[2]
TICK = '{"type":"tick","symbol":"EURUSD","bid":1.1,"ask":1.2,"volume":0,"timestamp":1757964832}\n'
ANY = "tcp://[::1]:*"


def free_port() -> int:
    """A port of ::1 that the system chose; skips the test where the machine has no ::1."""
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
            return int(probe.getsockname()[1])
    except OSError as error:
        pytest.skip(f"this machine has no ::1: {error}")


@pytest.fixture(autouse=True)
def _there() -> None:
    free_port()


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    served = Served(tmp_path, SCORE_BIND=ANY).run()
    yield served
    served.close()


async def asked(address: str) -> bool:
    async with AsyncScorerClient(address, 10_000) as client:
        return bool((await client.health())["ready"])


def answers(address: str) -> bool:
    with ScorerClient(address, 10_000) as client:
        return bool(client.health()["ready"])


@pytest.mark.parametrize("binds", [[ANY, "tcp://127.0.0.1:*"], ["tcp://127.0.0.1:*", ANY]])
def test_each_bind_speaks_its_own_family(tmp_path: Path, binds: list[str]) -> None:
    with closing(Served(tmp_path, SCORE_BIND=",".join(binds)).run()) as served:
        for bind, address in zip(binds, served.server.addresses, strict=True):
            assert address.startswith(bind.rstrip("*"))
            assert answers(address)
            assert asyncio.run(asked(address))


def test_an_address_may_name_its_interface(served: Served) -> None:
    assert answers(served.address.replace("::1", "::1%lo"))


def test_ticks_come_from_a_feed_and_by_ingest(tmp_path: Path) -> None:
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    bridge = context.socket(zmq.XPUB)
    bridge.setsockopt(zmq.IPV6, 1)
    bridge.bind(ANY)
    feed = bridge.getsockopt_string(zmq.LAST_ENDPOINT)
    ingest = f"tcp://[::1]:{free_port()}"
    served = Served(tmp_path, FEED_ENDPOINTS=feed, FEED_INGEST=ingest)
    push = TickPush(ingest)
    try:
        assert bridge.poll(20_000), "nobody subscribed"
        bridge.send(tick("EURUSD", START_S))
        eventually(lambda: push.push(tick("BTCUSD", START_S)), "the ingest to be connected")
        feeds = served.engine.intake.feeds
        served.turn_until(lambda: {"EURUSD", "BTCUSD"} <= feeds.keys(), "both ticks")
    finally:
        push.close()
        served.close()
        context.destroy(linger=0)


def test_a_recording_is_published_there(tmp_path: Path) -> None:
    path = tmp_path / "one.jsonl"
    path.write_text(TICK)
    with pytest.raises(CommandError, match=r"nobody subscribed to tcp://\[::1\]:\d+ "):
        replay([path], bind=ANY, wait_s=0.0)


def test_the_proxy_hands_on_from_there_to_there(served: Served) -> None:
    front = f"tcp://[::1]:{free_port()}"
    command = [sys.executable, str(ROOT / "deploy" / "proxy.py"), front, served.address]
    proxy = subprocess.Popen(command)
    try:
        assert answers(front)
    finally:
        proxy.kill()
        proxy.wait()
