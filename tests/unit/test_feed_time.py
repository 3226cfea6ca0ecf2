"""For how long *now* is ahead, by event and receive times alone."""

from __future__ import annotations

import pytest

from service.feed.feed_time import FOUND_WITHIN_S, NOW_AHEAD_S, FeedTime

T = 1_757_944_800.0
AHEAD_S = NOW_AHEAD_S + 1.0


@pytest.fixture
def ahead() -> FeedTime:
    """One that leads since T."""
    time = FeedTime()
    time.move(T + AHEAD_S, T)
    return time


def test_it_is_ahead_for_a_while_and_newer_stamps_make_that_no_longer(ahead: FeedTime) -> None:
    ahead.move(T + 200 + AHEAD_S, T + 200)
    assert ahead.is_ahead(T + FOUND_WITHIN_S)
    assert not ahead.is_ahead(T + FOUND_WITHIN_S + 1)


def test_it_is_ahead_anew_once_it_was_not(ahead: FeedTime) -> None:
    ahead.move(T + 400, T + 400)
    ahead.move(T + 500 + AHEAD_S, T + 500)
    assert ahead.is_ahead(T + 500 + FOUND_WITHIN_S)


def test_it_is_ahead_anew_once_it_was_forgotten(ahead: FeedTime) -> None:
    ahead.forget()
    assert ahead.now(T + 500) == T + 500
    ahead.move(T + 500 + AHEAD_S, T + 500)
    assert ahead.is_ahead(T + 500 + FOUND_WITHIN_S)


def test_a_step_of_the_clock_makes_no_time_ahead_longer_or_shorter(ahead: FeedTime) -> None:
    ahead.clock_stepped(-3600.0)
    assert ahead.is_ahead(T - 3600 + FOUND_WITHIN_S)
    assert not ahead.is_ahead(T - 3600 + FOUND_WITHIN_S + 1)
