"""What is refused before anything is opened, by the start, a reload and `config --check` alike."""

from __future__ import annotations

import pytest
from serving import settings

from service.config_check import refuse_unusable
from service.errors import ConfigError


@pytest.mark.parametrize(
    ("key", "address"),
    [
        ("SCORE_BIND", "nonsense"),
        ("SCORE_BIND", "tcp://127.0.0.1"),
        ("SCORE_BIND", "tcp://127.0.0.1:99999"),
        ("SCORE_BIND", "tcp://127.0.0.1:65536"),
        ("SCORE_BIND", "tcp://127.0.0.1:-1"),
        ("SCORE_BIND", "tcp://127.0.0.1:5561x"),
        ("SCORE_BIND", "tcp://:5561"),
        ("SCORE_BIND", "tcp://0.0.0.0:5561"),
        ("SCORE_BIND", "ipc://"),
        ("FEED_INGEST", "tcp://127.0.0.1:99999"),
        ("FEED_INGEST", "tcp://0.0.0.0:5562"),
        ("FEED_ENDPOINTS", "foo"),
        ("FEED_ENDPOINTS", "tcp://127.0.0.1:5560,tcp://127.0.0.1:99999"),
        ("FEED_ENDPOINTS", "tcp://127.0.0.1:*"),
        ("FEED_ENDPOINTS", "ipc://"),
        ("FEED_ENDPOINTS", "ipc:///tmp/" + "x" * 110),
        ("METRICS_BIND", "9461"),
        ("METRICS_BIND", "localhost"),
        ("METRICS_BIND", "127.0.0.1:"),
        ("METRICS_BIND", "127.0.0.1:99999"),
        ("METRICS_BIND", "*:9461"),
        ("METRICS_BIND", "http://127.0.0.1:9461"),
        ("METRICS_BIND", "tcp://127.0.0.1:9461"),
    ],
)
def test_an_address_that_is_none_is_refused_with_its_key(key: str, address: str) -> None:
    with pytest.raises(ConfigError) as caught:
        refuse_unusable(settings(**{key: address}))
    said = str(caught.value)
    assert said.startswith(key.lower().replace("_", ".") + ": ")
    assert "; " in said, "no advice"


@pytest.mark.parametrize(
    ("key", "address"),
    [
        ("SCORE_BIND", "tcp://127.0.0.1:65535"),
        ("SCORE_BIND", "tcp://127.0.0.1:*"),
        ("SCORE_BIND", "tcp://127.0.0.1:0"),
        ("SCORE_BIND", "tcp://127.0.0.1:*,tcp://127.0.0.1:*"),
        ("SCORE_BIND", "tcp://[::1]:5561,ipc:///tmp/score.sock"),
        ("FEED_INGEST", ""),
        ("FEED_ENDPOINTS", ""),
        ("FEED_ENDPOINTS", "tcp://bridge.example:5560,ipc:///tmp/feed.sock"),
        ("FEED_ENDPOINTS", "tcp://bridge.example:5561,tcp://127.0.0.2:5561"),
        ("METRICS_BIND", ""),
        ("METRICS_BIND", "127.0.0.1:0"),
        ("METRICS_BIND", "[::1]:5561"),
        ("METRICS_BIND", "localhost:9461"),
        ("METRICS_BIND", ":9461"),
    ],
)
def test_what_can_be_used_is_not_refused(key: str, address: str) -> None:
    refuse_unusable(settings(**{key: address}))


@pytest.mark.parametrize("key", ["SCORE_BIND", "FEED_INGEST", "FEED_ENDPOINTS"])
def test_an_address_is_no_word_for_a_shell(key: str) -> None:
    with pytest.raises(ConfigError, match=r"ipc://~/x\.sock: ~ stands for no folder"):
        refuse_unusable(settings(**{key: "ipc://~/x.sock"}))


def test_one_address_is_bound_once() -> None:
    twice = "tcp://127.0.0.1:5561"
    with pytest.raises(ConfigError, match=r"score\.bind: .*:5561 is named twice"):
        refuse_unusable(settings(SCORE_BIND=f"{twice},{twice}"))
    with pytest.raises(ConfigError, match=r"score\.bind and feed\.ingest: .* is named twice"):
        refuse_unusable(settings(FEED_INGEST=twice))


@pytest.mark.parametrize(
    ("bound", "others"),
    [
        ("tcp://127.0.0.1:5561", "tcp://localhost:5561"),
        ("tcp://127.0.0.1:5561", "tcp://127.0.0.1:05561"),
        ("tcp://127.0.0.2:5561", "tcp://0.0.0.0:5561"),
        ("tcp://*:5561", "tcp://127.0.0.1:5561"),
        ("tcp://[::1]:5561", "tcp://[0:0::1]:5561"),
        ("ipc://x.sock", "ipc://./x.sock"),
        ("ipc:///run/x.sock", "ipc:///run/scorer/../x.sock"),
    ],
)
def test_one_place_is_bound_once_however_it_is_written(bound: str, others: str) -> None:
    with pytest.raises(ConfigError, match=r"score\.bind and feed\.ingest: .* are one address; "):
        refuse_unusable(settings(SCORE_BIND=bound, FEED_INGEST=others, SCORE_ALLOW_INSECURE="true"))


@pytest.mark.parametrize("metrics", ["127.0.0.1:5561", "localhost:5561", "0.0.0.0:5561", ":5561"])
def test_metrics_have_an_address_of_their_own(metrics: str) -> None:
    with pytest.raises(ConfigError, match=r"score\.bind and metrics\.bind: "):
        refuse_unusable(settings(SCORE_BIND="tcp://127.0.0.1:5561", METRICS_BIND=metrics))


def test_a_service_does_not_listen_to_itself() -> None:
    """5560 and 5561 changed round: the bridge could not bind its own address any more."""
    feed = "tcp://127.0.0.1:5560"
    with pytest.raises(ConfigError, match=r"score\.bind and feed\.endpoints: .*:5560 is named"):
        refuse_unusable(settings(SCORE_BIND=feed, FEED_ENDPOINTS=feed))
    with pytest.raises(ConfigError, match=r"^feed\.endpoints: .*:5560 is named twice"):
        refuse_unusable(settings(FEED_ENDPOINTS=f"{feed},{feed}"))


def test_there_is_an_address_to_bind() -> None:
    with pytest.raises(ConfigError, match=r"\$\.score\.bind.*SIGNAL_SCORER_SCORE_BIND"):
        settings(SCORE_BIND="")
