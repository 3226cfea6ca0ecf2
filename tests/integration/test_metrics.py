"""The metrics as Prometheus gets them: scraped over HTTP and parsed by its own parser."""

from __future__ import annotations

import re
import shutil
import time
import urllib.request
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple, get_args

import builders
import pytest
import zmq
from harness import Feed, eventually, running
from prometheus_client.parser import text_string_to_metric_families
from serving import Parts, body, candle, tick, unpacked
from wire_document import DOCUMENT

from protocol import messages
from service.histogram import LATENCY_BOUNDS_S, Histogram
from service.metrics.exporter import VitalsCollector
from service.recording.rerun import compare
from service.symbol_class import CLASSES, symbol_class

ERRORS = DOCUMENT.section("## Errors")


class Scrape:
    """One answer, looked up by name and labels."""

    def __init__(self, address: str) -> None:
        with urllib.request.urlopen(address, timeout=10) as reply:
            text = reply.read().decode()
        self.families = {family.name: family for family in text_string_to_metric_families(text)}

    def value(self, name: str, **labels: str) -> float:
        found = [
            sample.value
            for family in self.families.values()
            for sample in family.samples
            if sample.name == f"signal_scorer_{name}" and sample.labels == labels
        ]
        assert len(found) == 1, (name, labels, found)
        return found[0]


class Served(NamedTuple):
    """What a service said after some work, over HTTP and over its own socket."""

    scrape: Scrape
    version: str
    stats: dict[str, Any]
    disk_free: int


def asked(address: str, request: bytes) -> dict[str, Any]:
    """One request without the client, which refuses to send nonsense."""
    with zmq.Context() as context, context.socket(zmq.REQ) as socket:
        socket.linger = 0
        socket.connect(address)
        socket.send(request)
        assert socket.poll(10_000)
        return unpacked(socket.recv())


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Served:
    folder = tmp_path_factory.mktemp("metrics")
    version = builders.small_model(folder / "models")
    with running(
        folder, with_feed=True, METRICS_BIND="127.0.0.1:0", MODEL_EXPIRE_AFTER_DAYS="0"
    ) as service:
        service.warm("EURUSD", "GBPUSD", "XAUUSD", "BTCUSD")
        with service.client() as client:
            for at in range(4):
                assert client.score("EURUSD", 70.0 + at).status == "success"
            client.score("EURUSD", 71.0, signal_id="a")
            client.score("EURUSD", 71.0, signal_id="a")
            client.score("NOSUCH", 71.0)
            client.sentiment("EURUSD", 60.0)
            assert asked(service.address, body("nonsense"))["ok"] is False
            stats = client.stats()
        eventually(
            lambda: Scrape(service.metrics()).value("symbols_warm") == 4, "four warm symbols"
        )
        return Served(Scrape(service.metrics()), version, stats, shutil.disk_usage(folder).free)


def test_answers_are_counted_by_op_and_code(served: Served):
    assert served.scrape.value("requests_total", op="score", status="ok") == 7
    assert served.scrape.value("requests_total", op="sentiment", status="ok") == 1
    assert served.scrape.value("requests_total", op="unknown", status="unknown_op") == 1
    assert served.scrape.value("scores_total", status="success") == 5
    assert served.scrape.value("scores_total", status="unknown_symbol") == 1
    assert served.scrape.value("retries_total") == 1
    assert served.scrape.value("replies_dropped_total") == 0


def test_latencies_lie_in_buckets_from_fifty_microseconds(served: Served):
    family = served.scrape.families["signal_scorer_latency_seconds"]
    buckets = [
        (float(sample.labels["le"]), sample.value)
        for sample in family.samples
        if sample.name.endswith("_bucket") and sample.labels["op"] == "score"
    ]
    assert [bound for bound, _ in buckets] == [*LATENCY_BOUNDS_S, float("inf")]
    assert buckets[0][0] == pytest.approx(50e-6)
    counts = [count for _, count in buckets]
    assert counts == sorted(counts)
    assert counts[-1] == served.scrape.value("latency_seconds_count", op="score") == 7
    assert 0 < served.scrape.value("latency_seconds_sum", op="score") < 7 * 10
    assert served.scrape.value("turn_seconds_count") > 0
    assert served.scrape.value("longest_turn_seconds") > 0


def test_the_feed_is_counted_by_fate_and_by_class_of_symbol(served: Served):
    assert served.scrape.value("feed_messages_total", fate="tick_accepted") == 20
    endpoint = served.stats["feed"]["endpoints"][0]["name"]
    for kind, count in (("forex", 10), ("metal", 5), ("crypto", 5)):
        labels = {"endpoint": endpoint, "symbol_class": kind}
        assert served.scrape.value("ticks_total", **labels) == count
    assert served.scrape.value("symbols") == 4
    assert -1 < served.scrape.value("feed_lag_seconds") < 60
    assert 0 <= served.scrape.value("feed_age_seconds", endpoint=endpoint) < 60


def test_the_model_the_journal_and_the_caches_are_shown(served: Served):
    info = served.scrape.families["signal_scorer_model_info"].samples[0]
    assert info.labels["version"] == served.version
    assert served.scrape.value("model_swaps_total") == 1
    assert served.scrape.value("model_age_seconds") > 0
    assert served.scrape.value("journal_size_bytes") > 4096
    assert served.scrape.value("journal_errors_total") == 0
    assert served.scrape.value("journal_failing") == 0
    asked_caches = served.stats["cache_hit_rates"]
    assert {"vector", "model", "correlation"} <= set(asked_caches)
    assert all(0 <= rate <= 1 for rate in asked_caches.values())
    for cache in asked_caches:
        assert served.scrape.value("cache_lookups_total", cache=cache, result="miss") >= 1
    assert served.scrape.value("ready") == 1
    assert served.scrape.value("mode", mode="live") == 1


def test_what_alerts_ask_for_is_there_before_it_happens(served: Served):
    refused = re.findall(r"^\| `(\w+)` \|", ERRORS, re.M)
    assert "overloaded" in refused
    for code in refused:
        if code not in ("error", "fallback", "versions"):
            assert served.scrape.value("requests_total", op="unknown", status=code) in (0, 1), code
    for op in messages.REQUESTS:
        assert served.scrape.value("requests_total", op=op, status="internal") == 0
    for status in get_args(messages.Status):
        assert served.scrape.value("scores_total", status=status) >= 0
    endpoint = served.stats["feed"]["endpoints"][0]["name"]
    assert served.scrape.value("ticks_total", endpoint=endpoint, symbol_class="other") == 0
    assert served.scrape.value("feed_messages_total", fate="tick_fault") == 0
    assert served.scrape.value("handshakes_total", result="refused") == 0
    assert served.scrape.value("model_rejections_total", reason="golden") == 0
    assert served.scrape.value("model_refused") == 0


def test_what_fills_up_is_shown_beside_its_limit(served: Served):
    assert served.scrape.value("symbols") < served.scrape.value("symbols_limit") == 512
    assert served.scrape.value("paper_positions") < served.scrape.value("paper_positions_limit")
    free = served.scrape.value("journal_disk_free_bytes")
    assert 0 < free < served.scrape.value("journal_disk_size_bytes")
    assert free == pytest.approx(served.disk_free, rel=0.2)
    assert 0 < served.scrape.value("journal_wal_bytes") < served.scrape.value("journal_size_bytes")
    # Models of any age are served here: then there is no limit to hold an age against.
    assert "signal_scorer_model_expire_after_seconds" not in served.scrape.families
    assert abs(served.scrape.value("start_time_seconds") - time.time()) < 300


def test_a_silent_feed_and_a_refused_model_are_states(tmp_path: Path):
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "CURRENT.json").write_text("{")
    values = {"METRICS_BIND": "127.0.0.1:0", "FEED_SILENCE_S": "0.2"}
    with running(tmp_path, FEED_ENDPOINTS="tcp://127.0.0.1:1", **values) as service:
        address, silent = service.metrics(), {"endpoint": "tcp://127.0.0.1:1"}
        eventually(lambda: Scrape(address).value("feed_silent", **silent) == 1, "silence")
        scrape = Scrape(address)
        assert scrape.value("feed_clock_changes_total", **silent) == 0
        # Never heard: how long that has been, and no ticks of any class.
        assert 0.2 < scrape.value("feed_age_seconds", **silent) <= scrape.value("uptime_seconds")
        for kind in CLASSES:
            assert scrape.value("ticks_total", **silent, symbol_class=kind) == 0
        started_s = scrape.value("start_time_seconds")
        assert scrape.value("feed_last_tick_timestamp_seconds", **silent) == started_s
        assert scrape.value("model_refused") == 1
        assert scrape.value("model_rejections_total", reason="pointer") == 1
        assert scrape.value("model_expire_after_seconds") == 35 * 86_400


def test_of_two_feeds_each_has_its_own_ticks(tmp_path: Path):
    now_s = int(time.time())
    coins = Feed()
    with (
        closing(coins),
        closing(Feed()) as fx,
        running(
            tmp_path,
            METRICS_BIND="127.0.0.1:0",
            FEED_ENDPOINTS=f'["{coins.address}", "{fx.address}"]',
        ) as service,
    ):

        def ticks(feed: Feed, kind: str) -> float:
            scrape = Scrape(service.metrics())
            return scrape.value("ticks_total", endpoint=feed.address, symbol_class=kind)

        def last_tick_s(feed: Feed) -> float:
            name = "feed_last_tick_timestamp_seconds"
            return Scrape(service.metrics()).value(name, endpoint=feed.address)

        for feed in (coins, fx):
            feed.wait_for_subscriber()
        # Before the first tick it is the start, of which a wait for one can be counted.
        assert last_tick_s(coins) == last_tick_s(fx) < time.time()
        begun_s = time.time()
        coins.send(*(tick("BTCUSD", now_s - 9 + at, 1.1 + at * 1e-5) for at in range(3)))
        fx.send(*(tick("EURUSD", now_s - 9 + at, 1.1 + at * 1e-5) for at in range(2)))
        eventually(lambda: service.received() == 5, "the ticks")
        assert (ticks(coins, "crypto"), ticks(coins, "forex")) == (3, 0)
        assert (ticks(fx, "crypto"), ticks(fx, "forex")) == (0, 2)
        assert begun_s <= (ticked_s := last_tick_s(fx)) <= time.time()
        # Heartbeats, the last quote again, and a symbol that is another's move nothing.
        again = tick("EURUSD", now_s - 8, 1.1 + 1e-5)
        fx.send(b'{"type":"heartbeat"}', again)
        eventually(lambda: service.received() == 7, "the messages")
        assert last_tick_s(fx) == ticked_s
        fx.send(tick("BTCUSD", now_s, 1.2))
        eventually(lambda: service.received() == 8, "the tick")
        assert (ticks(fx, "crypto"), ticks(fx, "forex")) == (0, 2)
        # Yet it is a tick that came from there.
        assert last_tick_s(fx) > ticked_s


def test_stats_say_the_same_in_their_own_words(served: Served):
    stats = served.stats
    assert stats["requests"]["score"] == 7
    assert set(stats["latency_ms"]) == {"p50", "p95", "p99", "p99_9"}
    assert stats["drift"] == {"signals": 5, "drifting": [], "features": {}}
    assert stats["journal"]["size_bytes"] > 0


def test_the_ticks_never_fall_though_a_symbol_goes_and_comes_again(tmp_path: Path):
    parts = Parts(tmp_path, LIMITS_SYMBOLS="1")
    vitals = VitalsCollector(parts.vitals, parts.engine, parts.journal, parts.clock)

    def ticks() -> float:
        (family,) = (found for found in vitals.collect() if found.name == "signal_scorer_ticks")
        return sum(sample.value for sample in family.samples)

    def trade(symbol: str, count: int) -> None:
        for at in range(count):
            parts.feed(tick(symbol, parts.clock.utc_s() - count + at, 1.1 + at * 1e-5))

    trade("EURUSD", 5)
    assert ticks() == 5
    # Between two looks another one takes its place, and it comes back with fewer than before.
    for symbol, count in (("GBPUSD", 1), ("EURUSD", 2)):
        parts.clock.advance(7200.0)
        trade(symbol, count)
    assert list(parts.engine.intake.feeds) == ["EURUSD"]
    assert ticks() == 7


def test_a_symbol_that_is_taken_over_leaves_its_ticks_with_whom_they_came_from(tmp_path: Path):
    parts = Parts(tmp_path)
    vitals = VitalsCollector(parts.vitals, parts.engine, parts.journal, parts.clock)
    other = parts.engine.endpoint("other", volume_is_deal=False)
    parts.vitals.endpoints.append(other)

    def ticks() -> dict[str, float]:
        (family,) = (found for found in vitals.collect() if found.name == "signal_scorer_ticks")
        return {
            sample.labels["endpoint"]: sample.value
            for sample in family.samples
            if sample.labels["symbol_class"] == "forex"
        }

    # Known before its first tick, as after a restart: it has no source then.
    minute = int(parts.clock.utc_s()) // 60 - 2
    parts.feed(candle("EURUSD", minute, 1.1))
    assert ticks() == {"feed": 0, "other": 0}
    for at in range(5):
        parts.feed(tick("EURUSD", parts.clock.utc_s() - 5 + at, 1.1 + at * 1e-5))
    assert ticks() == {"feed": 5, "other": 0}
    parts.clock.advance(60.0)
    for at in range(2):
        frame = tick("EURUSD", parts.clock.utc_s() - 2 + at, 1.2 + at * 1e-5)
        parts.engine.on_frame(other, frame, parts.clock.utc_s())
    assert parts.engine.intake.changes["source_takeover"] == 1
    assert ticks() == {"feed": 5, "other": 2}


def test_a_drift_is_in_the_metrics_the_score_health_and_the_replay(tmp_path: Path):
    builders.small_model(tmp_path / "models")
    with running(
        tmp_path,
        with_feed=True,
        METRICS_BIND="127.0.0.1:0",
        MODEL_EXPIRE_AFTER_DAYS="0",
        RECORD_ENABLED="true",
    ) as service:
        service.warm()
        with service.client() as client:
            signals = [{"symbol": "EURUSD", "base_score": 99.0} for _ in range(120)]
            client.call(messages.ScoreManyRequest(signals=signals))
            eventually(
                lambda: "base_score" in client.stats()["drift"]["drifting"], "the drift to be seen"
            )
            reply = client.score("EURUSD", 99.0)
            assert "base_score" in reply.drifting
            assert reply.status == "success"
            assert any("base_score" in note for note in client.health()["notes"])
        scrape = Scrape(service.metrics())
        assert scrape.value("drifting", feature="base_score") == 1
        psi = scrape.value("drift_psi", feature="base_score")
        assert psi > scrape.value("drift_psi_limit", feature="base_score") >= 0.2
        assert service.terminate()[0] == 0
    # It is a part of the engine's state: the recording gives the same words again.
    account = compare(sorted((tmp_path / "segments").iterdir()), tmp_path / "journal.db")
    assert account.identical == account.rows == 121, account.lines()


def test_an_address_that_is_taken_costs_the_metrics_only(tmp_path: Path):
    with running(tmp_path / "a", METRICS_BIND="127.0.0.1:0") as first:
        taken = first.metrics().removeprefix("http://").removesuffix("/metrics")
        with running(tmp_path / "b", METRICS_BIND=taken) as second, second.client() as client:
            assert client.health()["uptime_s"] >= 0
            assert any("no metrics" in line.get("event", "") for line in second.log)


def test_a_bucket_holds_what_is_at_most_its_bound():
    histogram = Histogram((0.1, 1.0))
    for value in (0.05, 0.1, 0.5, 7.0):
        histogram.observe(value)
    assert histogram.cumulative() == [("0.1", 2), ("1", 3), ("+Inf", 4)]
    assert histogram.sum_s == pytest.approx(7.65)


@pytest.mark.parametrize(
    ("symbol", "expected"),
    [
        ("EURUSD", "forex"),
        ("usdjpy.r", "forex"),
        ("EUR/GBP", "forex"),
        ("XAUUSD", "metal"),
        ("BTCUSDT", "crypto"),
        ("ETHEUR", "crypto"),
        ("US30", "other"),
        ("USDX", "other"),
    ],
)
def test_a_symbol_is_of_one_class(symbol: str, expected: str):
    assert symbol_class(symbol) == expected
