"""The circuit opens after time-outs in a row and at no other time."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.breaker import Breaker, pause_s


@settings(max_examples=200)
@given(st.integers(1, 5), st.lists(st.booleans(), max_size=40))
def test_it_is_open_exactly_from_the_nth_time_out_in_a_row_until_an_answer(
    after: int, answered: list[bool]
) -> None:
    breaker, in_a_row, opened = Breaker(after), 0, 0
    for answer in answered:
        if answer:
            breaker.answered()
            in_a_row = 0
        else:
            in_a_row += 1
            opened_now = breaker.timed_out(breaker.news)
            assert opened_now == (in_a_row == after)
            opened += opened_now
        assert breaker.is_open == (in_a_row >= after)


def test_a_call_that_was_under_way_beside_an_answer_or_a_time_out_is_no_time_out_more() -> None:
    breaker = Breaker(3)
    for news in (breaker.answered, lambda: breaker.timed_out(breaker.news)):
        began = breaker.news
        news()
        assert not any(breaker.timed_out(began) for _ in range(10))
        assert not breaker.is_open
    assert [breaker.timed_out(breaker.news) for _ in range(2)] == [False, True]


def test_it_never_opens_when_told_so() -> None:
    breaker = Breaker(0)
    assert not any(breaker.timed_out(breaker.news) for _ in range(100))
    assert not breaker.is_open


@pytest.mark.parametrize(("draw", "seconds"), [(0.0, 1.0), (0.5, 2.0), (1.0, 3.0)])
def test_the_pause_lies_between_half_and_one_and_a_half_intervals(
    draw: float, seconds: float
) -> None:
    assert pause_s(2.0, draw) == seconds
