"""Everything in a configuration that `serve` refuses before it opens anything.

The types and bounds of single keys are `settings`'s; here is what takes several keys or files
to see. The start, a reload and `config --check` ask the same, so that none passes what another
refuses.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from service import sockets
from service.addresses import check_address, check_endpoint, is_wildcard
from service.errors import ConfigError
from service.settings import Config


def check(config: Config) -> None:
    """Raises ConfigError naming the key and what to do."""
    guarded = sockets.guard(config)
    sockets.feed_keys(config)
    for key, address in _bound(config):
        with _named(key):
            check_address(address, protected=guarded.insecure or guarded.encrypts(address))
    check_distinct(config)
    for address in config.feed.endpoints:
        with _named("feed.endpoints"):
            check_endpoint(address)


def check_distinct(config: Config) -> None:
    """Raises ConfigError where one address is named twice: to itself no service can listen."""
    taken: dict[str, str] = {}
    feeds = [("feed.endpoints", address) for address in config.feed.endpoints]
    for key, address in _bound(config) + feeds:
        if address in taken and not is_wildcard(address):
            where = key if taken[address] == key else f"{taken[address]} and {key}"
            raise ConfigError(f"{where}: {address} is named twice; leave one of them")
        taken[address] = key


def _bound(config: Config) -> list[tuple[str, str]]:
    ingest = [("feed.ingest", config.feed.ingest)] if config.feed.ingest else []
    return [("score.bind", address) for address in config.score.bind] + ingest


@contextmanager
def _named(key: str) -> Iterator[None]:
    try:
        yield
    except ConfigError as error:
        raise ConfigError(f"{key}: {error}") from None
