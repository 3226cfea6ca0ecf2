"""Stamps of a broker's clock as UTC, the whole year round."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.backfill.broker_clock import IN_UTC, clock_of, first_switch

HOUR_S = 3600.0


def at(*when: int) -> float:
    return datetime(*when, tzinfo=UTC).timestamp()  # type: ignore[misc, arg-type]


@pytest.mark.parametrize(
    ("text", "winter_h", "summer_h"),
    [
        ("0", 0, 0),
        ("3h", 3, 3),
        ("-90m", -1.5, -1.5),
        ("Europe/Athens", 2, 3),
        ("America/New_York+7h", 2, 3),
        ("America/New_York-1h", -6, -5),
        ("Etc/GMT-3", 3, 3),
    ],
)
def test_a_clock_is_an_offset_or_a_zone_and_what_it_is_ahead_of_it(
    text: str, winter_h: float, summer_h: float
) -> None:
    clock = clock_of(text)
    for utc_s, ahead_h in ((at(2025, 1, 15, 12), winter_h), (at(2025, 7, 15, 12), summer_h)):
        assert clock.utc_s(utc_s + 0.25 + ahead_h * HOUR_S) == utc_s + 0.25


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Europe/Atlantis", "is no clock"),
        ("", "is no clock"),
        ("+7h New_York", "is no clock"),
        ("America", "is no clock"),
        ("../zone", "is no clock"),
        ("Europe/Athens+bla", "is no offset"),
        ("America/New_York+7", "quarters of an hour"),  # seconds, which nobody means
    ],
)
def test_what_is_no_clock_is_refused(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        clock_of(text)


@given(st.floats(at(2024, 1, 1), at(2027, 1, 1)))
def test_what_a_clock_shows_once_is_the_moment_that_it_was_shown(utc_s: float) -> None:
    clock = clock_of("Europe/Athens")
    assert clock.zone is not None
    offset = datetime.fromtimestamp(utc_s, clock.zone).utcoffset()
    assert offset is not None
    found_s = clock.utc_s(utc_s + offset.total_seconds())
    ends_s = [at(year, 10, day, 1) for year, day in ((2024, 27), (2025, 26), (2026, 25))]
    is_shown_twice = any(-HOUR_S <= utc_s - end_s < HOUR_S for end_s in ends_s)
    assert found_s == (None if is_shown_twice else pytest.approx(utc_s, abs=1e-5))


def test_a_time_that_the_clock_never_shows_is_none() -> None:
    clock = clock_of("Europe/Athens")
    assert clock.utc_s(at(2025, 3, 30, 3, 30)) is None
    assert clock.utc_s(at(2025, 3, 30, 2, 59)) == at(2025, 3, 30, 0, 59)
    assert clock.utc_s(at(2025, 3, 30, 4)) == at(2025, 3, 30, 1)


@pytest.mark.parametrize(
    ("first", "last", "switch"),
    [
        ((2025, 10, 20), (2025, 10, 31), (2025, 10, 26, 1)),
        ((2025, 10, 27), (2025, 11, 7), (2025, 11, 2, 6)),
        ((2025, 1, 1), (2025, 12, 31), (2025, 3, 9, 7)),
        ((2025, 3, 28), (2025, 4, 4), (2025, 3, 30, 1)),
        ((2025, 10, 26), (2025, 10, 26), (2025, 10, 26, 1)),
        ((2025, 4, 1), (2025, 10, 25), None),
    ],
)
@pytest.mark.parametrize("begins", [(0, 0), (0, 5), (0, 59)])
def test_a_switch_between_two_moments_is_found_to_the_second(
    first: tuple[int, ...],
    last: tuple[int, ...],
    switch: tuple[int, ...] | None,
    begins: tuple[int, int],
) -> None:
    found_s = first_switch(at(*first, *begins) + 0.5, at(*last, 20) + 0.5)
    assert found_s == (None if switch is None else at(*switch))


@pytest.mark.parametrize(
    ("text", "fixed"),
    [
        ("3h", True),
        ("Etc/GMT-3", True),
        ("UTC+3h", True),
        ("Asia/Tokyo", True),
        ("Europe/Athens", False),
        ("America/New_York+7h", False),
    ],
)
def test_a_clock_is_fixed_that_knows_no_summer_time(text: str, fixed: bool) -> None:
    for month in range(1, 13):
        assert clock_of(text).is_fixed(at(2025, month, 15)) == fixed


def test_no_offset_is_utc() -> None:
    assert clock_of("0") == clock_of("0h") == IN_UTC
