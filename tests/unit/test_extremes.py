"""The largest value since each moment, against looking through all values again."""

from hypothesis import given, settings
from hypothesis import strategies as st

from service.paper.extremes import MaximumSince

# (value, begins, ends): what a step adds, whether a moment begins, which old one ends.
STEPS = st.lists(
    st.tuples(st.integers(0, 9), st.booleans(), st.integers(0, 20)), min_size=1, max_size=60
)


@given(STEPS)
@settings(max_examples=200)
def test_it_equals_the_maximum_of_all_values_since(steps):
    highest = MaximumSince()
    since: dict[int, list[int]] = {}
    for number, (value, begins, ends) in enumerate(steps):
        highest.add(value)
        for values in since.values():
            values.append(value)
        if begins:
            highest.begin(number, value)
            since[number] = [value]
        if ends in since:
            del since[ends]
            highest.keep(since)
        assert len(highest) <= len(since) + number
        for moment, values in since.items():
            assert highest.of(moment) == max(values)


def test_moments_that_are_kept_cost_no_more_than_their_number():
    highest = MaximumSince()
    for number in range(100):
        highest.add(-number)
        highest.begin(number, -number)
    assert len(highest) == 100
    highest.keep([98, 99])
    assert len(highest) == 2
    assert (highest.of(98), highest.of(99)) == (-98, -99)
    highest.keep([])
    assert len(highest) == 0
