"""Windows of whole seconds: exact sums whatever went through them."""

from collections import defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.features.windows import EventBuckets


@given(
    events=st.lists(
        st.tuples(st.sampled_from([0, 1, 2, 7, 40]), st.sampled_from([0.0, 0.1, 3.0, 1e9])),
        min_size=1,
        max_size=200,
    ),
    start=st.integers(0, 10**6),
    length=st.sampled_from([5, 30, 300]),
)
def test_windows_hold_what_a_dictionary_holds(
    events: list[tuple[int, float]], start: int, length: int
) -> None:
    buckets, by_second, second = EventBuckets(length), defaultdict[int, list[float]](list), start
    for gap, size in events:
        second += gap
        buckets.add(second, size)
        by_second[second].append(size)
    buckets.settle(second + 1)
    for last in (second - 3, second, second + 2):
        for first in range(max(second - length, last - 50), last + 2):
            if first <= second - length:
                continue
            kept = [size for s in range(first, last + 1) for size in by_second[s]]
            total = pytest.approx(sum(kept), rel=1e-12)
            assert window(buckets, first, last) == (len(kept), total, max(kept, default=0.0))


def rows(buckets: EventBuckets, first: int, last: int) -> tuple[int, int]:
    """The rows of the seconds `first..last`."""
    return buckets.row(first), buckets.row(last + 1)


def window(buckets: EventBuckets, first: int, last: int) -> tuple[int, float, float]:
    """Count, sum and largest of the seconds `first..last`."""
    at = rows(buckets, first, last)
    return buckets.count(*at), buckets.size_sum(*at), buckets.size_max(*at)


def test_rows_are_bounded_however_long_it_runs() -> None:
    buckets = EventBuckets(100)
    for second in range(5000):
        buckets.add(second, float(second))
    buckets.settle(5000)
    count, total, most = window(buckets, 0, 5000)
    assert 100 <= count < 100 + 256
    assert (total, most) == (sum(range(5000 - count, 5000)), 4999.0)


def test_a_whole_window_is_there_at_every_second_however_long_it_runs() -> None:
    buckets = EventBuckets(100)
    for second in range(1000):
        buckets.add(second, 1.0)
        buckets.settle(second + 1)
        held = min(second + 1, 100)
        assert window(buckets, second - 99, second) == (held, held, 1.0)


def test_the_second_in_progress_is_only_written_when_it_is_over() -> None:
    buckets = EventBuckets(60)
    buckets.add(100, 2.0)
    buckets.add(100, 3.0)
    buckets.settle(100)
    assert (buckets.open_count, buckets.open_sum, buckets.open_max) == (2, 5.0, 3.0)
    assert window(buckets, 41, 100) == (0, 0.0, 0.0)
    buckets.settle(101)
    assert (buckets.open_count, buckets.open_sum, buckets.open_max) == (0, 0.0, 0.0)
    assert window(buckets, 41, 100) == (2, 5.0, 3.0)


def test_an_event_of_a_settled_second_joins_it() -> None:
    buckets = EventBuckets(60)
    buckets.add(100, 2.0)
    buckets.settle(105)
    revision = buckets.closed_revision
    buckets.add(100, 7.0)
    assert buckets.closed_revision > revision, "a row went"
    assert (buckets.open_count, window(buckets, 50, 100)) == (2, (0, 0.0, 0.0))
    buckets.settle(105)
    assert window(buckets, 50, 100) == (2, 9.0, 7.0)


@given(
    events=st.lists(st.tuples(st.integers(0, 30), st.integers(0, 3)), min_size=1, max_size=150),
    wanted=st.integers(1, 60),
    back=st.integers(0, 100),
)
def test_the_newest_sizes_are_those_of_a_plain_walk(
    events: list[tuple[int, int]], wanted: int, back: int
) -> None:
    buckets, by_second, second = EventBuckets(500), defaultdict[int, list[float]](list), 1000
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
    assert buckets.newest_sizes(*rows(buckets, first, last), wanted) == (len(walked), sum(walked))


def test_clear_forgets_sizes_and_counts() -> None:
    buckets = EventBuckets(60)
    assert (window(buckets, 0, 5), buckets.newest) == ((0, 0.0, 0.0), None)
    buckets.add(100, 2.0)
    buckets.add(101, 2.0)
    revision = buckets.closed_revision
    buckets.clear()
    assert buckets.newest is None
    assert buckets.closed_revision > revision
    buckets.add(102, 0.0)
    buckets.settle(103)
    assert window(buckets, 43, 102) == (1, 0.0, 0.0)
