"""Values of any kind that the wire can carry, and some that it refuses, for hypothesis."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(max_size=20)
    | st.binary(max_size=8)
)


def holding(
    inner: st.SearchStrategy[Any], keys: st.SearchStrategy[Any]
) -> st.SearchStrategy[list[Any] | dict[Any, Any]]:
    """Lists and maps of a few values."""
    return st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4)


def nested(leaves: st.SearchStrategy[Any], keys: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Leaves, and lists and maps of up to three levels; `st.recursive` is slow to draw them."""
    few = holding(leaves, keys)
    more = holding(leaves | few, keys)
    return leaves | few | more | holding(more, keys)


values = nested(scalars, st.text(max_size=8) | scalars)
