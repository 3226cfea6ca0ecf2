"""Recorded feeds of the field through a running service: its clock found, what is missing named."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest
from command import invoke
from harness import eventually, free_port, running

from protocol.schema import FEATURE_NAMES

OF_NO_HISTORY = {"spread_quality", "session_bonus", "base_score"}


class Recording(NamedTuple):
    """A file, how it is played, and what is then known of these symbols."""

    name: str
    options: tuple[str, ...]
    volume: str
    symbols: tuple[str, ...]
    published: int
    repeats: int
    offset_s: float
    present: set[str]


RECORDINGS = {
    "ea": Recording(
        "ea_feed/ticks_20250915.jsonl",
        ("--clock-offset", "3h"),
        "last_deal",
        ("EURUSD",),
        published=1500,
        repeats=36,
        offset_s=10_800.0,
        present=OF_NO_HISTORY,
    ),
    "binance": Recording(
        "market/hft_binance_20240808_09_events.csv.gz",
        ("--limit", "60000"),
        "deal",
        ("BTCUSDT.spot", "ETHUSDT.spot"),
        published=60_000,
        repeats=23_337,
        offset_s=0.0,
        present=OF_NO_HISTORY | {"whale_activity"},
    ),
    "coinbase": Recording(
        "market/lean_coinbase_1m_quotes_trades_20180404_06.csv.gz",
        # BTC's and ETH's quotes end then, a day before the others'.
        ("--until", "2018-04-05T23:50:00"),
        "deal",
        ("BTCUSD", "ETHUSD", "LTCUSD"),
        published=11_464,
        repeats=0,
        offset_s=0.0,
        present=set(FEATURE_NAMES) - {"sentiment_score"},
    ),
}


@pytest.mark.parametrize("recording", RECORDINGS.values(), ids=RECORDINGS)
def test_a_recording_that_is_played_is_taken_in_and_what_it_lacks_is_named(
    tmp_path: Path, shared_data: Path, recording: Recording
) -> None:
    bind = f"tcp://127.0.0.1:{free_port()}"
    values = {"FEED_ENDPOINTS": bind, "FEED_CLOCK_OFFSET": "auto", "FEED_VOLUME": recording.volume}
    with running(tmp_path, **values) as service:
        played = [str(shared_data / recording.name), "--bind", bind, "--wait-s", "20"]
        done = invoke("replay", *played, *recording.options)
        assert done.returncode == 0
        eventually(lambda: service.received() >= recording.published, "all of it")
        with service.client() as client:
            feed = client.stats()["feed"]
            replies = [client.score(name, 75.0, direction="BUY") for name in recording.symbols]
    assert feed["received"] == sum(feed["counts"].values()) == recording.published
    assert feed["counts"].get("tick_repeat", 0) == recording.repeats
    assert feed["endpoints"][0]["clock_offset_s"] == recording.offset_s
    for reply in replies:
        assert reply.features.keys() == {*FEATURE_NAMES, "score_id"}
        assert set(reply.missing) == set(FEATURE_NAMES) - recording.present
