"""Everything in a configuration that `serve` refuses before it opens anything.

The types and bounds of single keys are `settings`'s; here is what takes several keys or files
to see. The start, a reload and `config --check` ask the same, so that none passes what another
refuses.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from service.config.settings import Config
from service.errors import ConfigError
from service.sockets.addresses import (
    TCP,
    check_address,
    check_endpoint,
    check_http,
    is_wildcard,
    overlap,
)
from service.sockets.setup import feed_keys, guard


def refuse_unusable(config: Config) -> None:
    """Raises ConfigError naming the key and what to do."""
    guarded = guard(config)
    feed_keys(config)
    for key, address in _bound(config):
        with _named(key):
            check_address(address, protected=guarded.insecure or guarded.encrypts(address))
    if config.metrics.bind:
        with _named("metrics.bind"):
            check_http(config.metrics.bind)
    check_distinct(config)
    for address in config.feed.endpoints:
        with _named("feed.endpoints"):
            check_endpoint(address)


def check_distinct(config: Config) -> None:
    """Raises ConfigError where one address is named twice: to itself no service can listen."""
    taken: list[tuple[str, str]] = []
    feeds = [("feed.endpoints", address) for address in config.feed.endpoints]
    scrapes = [("metrics.bind", TCP + config.metrics.bind)] if config.metrics.bind else []
    for key, address in _bound(config) + scrapes + feeds:
        clash = next((one for one in taken if overlap(one[1], address)), None)
        if clash is not None and not is_wildcard(address):
            where = key if clash[0] == key else f"{clash[0]} and {key}"
            twice = f"{address} is named twice"
            what = twice if clash[1] == address else f"{clash[1]} and {address} are one address"
            raise ConfigError(f"{where}: {what}; leave one of them")
        taken.append((key, address))


def _bound(config: Config) -> list[tuple[str, str]]:
    ingest = [("feed.ingest", config.feed.ingest)] if config.feed.ingest else []
    return [("score.bind", address) for address in config.score.bind] + ingest


@contextmanager
def _named(key: str) -> Iterator[None]:
    try:
        yield
    except ConfigError as error:
        raise ConfigError(f"{key}: {error}") from None
