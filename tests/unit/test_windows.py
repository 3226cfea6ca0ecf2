"""Windows of whole seconds: exact sums whatever went through them."""

from collections import defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.windows import CountRing, EventBuckets, SizeRing

steps = st.lists(st.tuples(st.integers(0, 40), st.floats(0, 1e9)), min_size=1, max_size=80)


@given(steps=steps, start=st.integers(0, 10**6))
def test_ring_holds_what_a_dictionary_holds(steps: list[tuple[int, float]], start: int) -> None:
    ring, numbers, second = SizeRing(30), dict[int, float](), start
    for gap, number in steps:
        second += gap
        ring.put(second, number)
        numbers[second] = number
        for length in (1, 7, 30):
            kept = [numbers.get(s, 0.0) for s in range(second - length + 1, second + 1)]
            assert ring.cells(second - length + 1, second).tolist() == kept
            assert ring.largest(second - length + 1, second) == max(kept)


@given(
    events=st.lists(st.tuples(st.integers(0, 40), st.integers(0, 5)), min_size=1, max_size=80),
    start=st.integers(0, 10**6),
    wanted=st.integers(1, 30),
)
def test_counts_are_those_of_a_dictionary(
    events: list[tuple[int, int]], start: int, wanted: int
) -> None:
    ring, numbers, second = CountRing(30), defaultdict[int, int](int), start
    for gap, count in events:
        second += gap
        ring.put(second, count)
        numbers[second] += count
        for last in (second - 40, second - 29, second - 7, second, second + 3):
            for first in (last - 45, last - 30, last - 3, last, last + 1):
                kept = range(max(first, second - 29), min(last, second) + 1)
                assert ring.count(first, last) == sum(numbers[s] for s in kept)
                enough = [s for s in kept if sum(numbers[t] for t in range(s, last + 1)) >= wanted]
                newest_start = ring.start_of(wanted, first, last)
                if enough:
                    assert newest_start == enough[-1]
                else:
                    assert ring.count(newest_start, last) == ring.count(first, last)


def test_a_window_after_the_newest_second_is_empty() -> None:
    ring = SizeRing(10)
    assert ring.total(0, 5) == 0
    ring.put(100, 3)
    assert ring.total(101, 105) == 0
    assert ring.total(95, 105) == 3
    assert ring.total(80, 90) == 0


def test_seconds_older_than_the_ring_are_left_out() -> None:
    ring = SizeRing(10)
    for second in range(20):
        ring.put(second, 1)
    assert ring.total(0, 19) == 10
    assert ring.total(0, 10) == 1


def test_a_spike_leaves_no_trace_once_it_is_out_of_the_window() -> None:
    buckets = EventBuckets(60, 60)
    for second in range(200):
        buckets.add(second, 1e9 if second == 50 else 0.1)
    buckets.settle(200)
    assert buckets.size_sum(141, 199) == pytest.approx(5.9, rel=1e-15)
    assert buckets.size_max(141, 199) == 0.1


def test_the_second_in_progress_is_only_written_when_it_is_over() -> None:
    buckets = EventBuckets(60, 60)
    buckets.add(100, 2.0)
    buckets.add(100, 3.0)
    buckets.settle(100)
    assert (buckets.open_count, buckets.open_sum, buckets.open_max) == (2, 5.0, 3.0)
    assert buckets.count(41, 100) == 0
    buckets.settle(101)
    assert (buckets.open_count, buckets.open_sum, buckets.open_max) == (0, 0.0, 0.0)
    assert (buckets.count(41, 100), buckets.size_sum(41, 100)) == (2, 5.0)


def test_an_event_of_a_settled_second_joins_it() -> None:
    buckets = EventBuckets(60, 60)
    buckets.add(100, 2.0)
    buckets.settle(105)
    buckets.add(100, 7.0)
    assert (buckets.open_count, buckets.count(50, 100), buckets.size_sum(50, 100)) == (2, 0, 0.0)
    buckets.settle(105)
    assert buckets.count(50, 100) == 2
    assert (buckets.size_sum(50, 100), buckets.size_max(50, 100)) == (9.0, 7.0)


def test_the_newest_sizes_take_the_completing_second_whole() -> None:
    buckets = EventBuckets(300, 60)
    for second, deals in ((10, 5), (50, 3), (51, 0), (52, 4)):
        for _ in range(deals):
            buckets.add(second, float(second))
        if not deals:
            buckets.add(second, 0.0)
    buckets.settle(60)
    assert buckets.newest_sizes(0, 52, 4) == (4, 4 * 52.0)
    assert buckets.newest_sizes(0, 52, 5) == (7, 4 * 52.0 + 3 * 50.0)
    assert buckets.newest_sizes(0, 51, 1) == (3, 3 * 50.0)
    assert buckets.newest_sizes(0, 52, 100) == (12, 4 * 52.0 + 3 * 50.0 + 5 * 10.0)
    assert buckets.newest_sizes(11, 52, 100) == (7, 4 * 52.0 + 3 * 50.0)
    assert buckets.newest_sizes(53, 59, 100) == (0, 0.0)


@given(
    events=st.lists(st.tuples(st.integers(0, 30), st.integers(0, 3)), min_size=1, max_size=150),
    wanted=st.integers(1, 60),
    back=st.integers(0, 100),
)
def test_the_newest_sizes_are_those_of_a_plain_walk(
    events: list[tuple[int, int]], wanted: int, back: int
) -> None:
    buckets, by_second, second = EventBuckets(500, 60), defaultdict[int, list[float]](list), 1000
    for gap, size in events:
        second += gap
        buckets.add(second, float(size))
        if size:
            by_second[second].append(float(size))
    buckets.settle(second + 1)
    first, last = second - 400, second - back
    walked: list[float] = []
    for at in range(last, first - 1, -1):
        walked += by_second[at]
        if len(walked) >= wanted:
            break
    assert buckets.newest_sizes(first, last, wanted) == (len(walked), sum(walked))


def test_clear_forgets_sizes_and_counts() -> None:
    buckets = EventBuckets(60, 60)
    buckets.add(100, 2.0)
    buckets.add(101, 2.0)
    revision = buckets.closed_revision
    buckets.clear()
    assert buckets.newest is None
    assert buckets.closed_revision > revision
    buckets.add(102, 0.0)
    buckets.settle(103)
    assert (buckets.count(43, 102), buckets.size_sum(43, 102)) == (1, 0.0)
