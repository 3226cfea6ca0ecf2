"""A client is not copied: a copy's sockets would end with the first one."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable

import pytest

from protocol.aio import AsyncScorerClient
from protocol.client import ScorerClient


@pytest.mark.parametrize("kind", [ScorerClient, AsyncScorerClient])
@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, pickle.dumps])
def test_a_client_says_that_it_cannot_be_copied(
    kind: type[ScorerClient | AsyncScorerClient], copied: Callable[[object], object]
) -> None:
    with pytest.raises(TypeError, match=rf"^a {kind.__name__} holds sockets .* make another one"):
        copied(kind("tcp://127.0.0.1:1"))


class Portable(ScorerClient):
    """A client that says itself what of it is copied."""

    def __init__(self, address: str) -> None:
        super().__init__(address)
        self.address = address

    def __getstate__(self) -> object:
        return self.address

    def __setstate__(self, address: str) -> None:
        self.__init__(address)


def test_a_client_that_says_how_it_is_copied_may_be() -> None:
    client = Portable("tcp://127.0.0.1:1")
    for copied in (copy.copy(client), pickle.loads(pickle.dumps(client))):
        assert copied.address == client.address
        assert copied._home is not client._home
