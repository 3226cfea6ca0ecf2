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
