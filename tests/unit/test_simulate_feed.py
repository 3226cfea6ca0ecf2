"""The bridge's market waits for a subscriber that is behind, and not for what it has lost."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import repeat

import pytest
import zmq
from harness import PATIENCE_S

from training.simulate.bridge import Item
from training.simulate.feed import MOST_UNREAD, SAME_ANSWERS, Feed


@pytest.fixture
def feed() -> Iterator[Feed]:
    """All of its frames are due at once."""
    feed = Feed(repeat(Item(0.0, b"a frame", None)), 0.0)
    yield feed
    feed.stop()


def unread(feed: Feed, taken: int, answers: int = 1) -> int:
    """What it waits for after so many answers that say the same."""
    for _ in range(answers):
        feed.tell(taken)
    return feed.unread


def test_it_sends_no_more_than_may_be_unread(feed: Feed) -> None:
    with zmq.Context() as context, context.socket(zmq.SUB) as subscriber:
        subscriber.rcvtimeo = int(1000 * PATIENCE_S)
        subscriber.subscribe(b"")
        subscriber.connect(feed.endpoint)
        feed.start()
        for taken, more in ((0, MOST_UNREAD), (700, 700), (701, 1)):
            feed.tell(taken)
            for _ in range(more):
                subscriber.recv()
            assert not subscriber.poll(50), "it stands"


def test_what_no_answer_tells_of_is_lost_after_a_while(feed: Feed) -> None:
    feed.sent = 3000
    assert unread(feed, 1000, SAME_ANSWERS) == 2000
    assert unread(feed, 1000) == 0
    feed.sent = 3500
    assert unread(feed, 1400) == 100


def test_while_something_is_taken_in_nothing_is_lost(feed: Feed) -> None:
    feed.sent = 3000
    unread(feed, 1000, SAME_ANSWERS)
    assert unread(feed, 1001, SAME_ANSWERS) == 1999


def test_what_was_thought_lost_and_came_late_is_not_missed_twice(feed: Feed) -> None:
    feed.sent = 2000
    assert unread(feed, 0, SAME_ANSWERS + 1) == 0
    assert unread(feed, 2000) == 0
    feed.sent = 4000
    assert feed.unread == 2000
