"""The same request gets the same reply, for a while, and its row until it is written."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from scored_journal import score_row, vectors

from protocol.messages import ScoreRequest
from service.journal.records import Remembered, ScoreRow
from service.retries import Retries, content_digest

X = vectors(1)[0]


def row(signal_id: str | None, digest: bytes) -> ScoreRow:
    return score_row(0, X, signal_id=signal_id, digest=digest)


def test_an_answer_is_found_by_signal_and_content_within_the_window() -> None:
    retries = Retries(60.0, 10)
    retries.remember("a", Remembered(1000.0, b"one", b"1"))
    retries.remember("a", Remembered(1001.0, b"two", b"2"))
    first, second = retries.find("a", b"one", 1060.0), retries.find("a", b"two", 1060.0)
    assert first is not None
    assert second is not None
    assert (first.reply, second.reply) == (b"1", b"2")
    assert retries.find("a", b"one", 1060.5) is None
    assert retries.find("b", b"one", 1000.0) is None
    assert retries.find(None, b"one", 1000.0) is None


def test_rows_that_no_disk_takes_are_bounded_by_their_bytes() -> None:
    retries = Retries(60.0, 1000)
    for n in range(200):
        large = msgspec.structs.replace(row(f"s{n}", b"d"), request=bytes(1 << 20))
        retries.remember(f"s{n}", Remembered(1000.0, b"d", b"", large))
        if n < 50:
            retries.written(large)
    assert len(retries) == 64
    assert retries.find("s199", b"d", 1000.0) is not None
    retries.remember("s199", Remembered(1000.0, b"d", b""))
    for n in range(100):
        retries.remember(f"small{n}", Remembered(1000.0, b"d", b"", row(f"small{n}", b"d")))
    assert len(retries) == 164


def test_an_answer_that_is_given_anew_counts_once() -> None:
    retries = Retries(60.0, 1000)
    retries.remember("other", Remembered(1000.0, b"d", b"", row("other", b"d")))
    for _ in range(100):
        large = msgspec.structs.replace(row("s", b"d"), request=bytes(1 << 20))
        retries.remember("s", Remembered(1000.0, b"d", b"", large))
    assert retries.find("other", b"d", 1000.0) is not None


def test_the_oldest_answers_make_room() -> None:
    retries = Retries(60.0, 3)
    for signal_id in "abcad":  # a is answered anew, as after its window
        retries.remember(signal_id, Remembered(1000.0, b"d", b""))
    assert len(retries) == 3
    assert [one for one in "abcd" if retries.find(one, b"d", 1000.0)] == ["a", "c", "d"]


def test_a_row_is_carried_until_that_very_row_is_written() -> None:
    retries = Retries(60.0, 10)
    mine, other = row("a", b"one"), row("a", b"one")
    retries.remember("a", Remembered(1000.0, b"one", b"", mine))
    retries.written(other)
    retries.written(row(None, b"one"))
    found = retries.find("a", b"one", 1000.0)
    assert found is not None
    assert found.row is mine
    retries.written(mine)
    found = retries.find("a", b"one", 1000.0)
    assert found is not None
    assert found.row is None


signals = st.fixed_dictionaries(
    {
        "symbol": st.sampled_from(["EURUSD", "GBPUSD"]),
        "base_score": st.sampled_from([70, 70.0, 71.5]),
    },
    optional={
        "signal_id": st.sampled_from(["a", "b"]),
        "direction": st.sampled_from(["BUY", "SELL"]),
        "timeframe_data": st.just(
            {"M1": [{"open": 1.0, "high": 1.0, "low": 1, "close": 1.0, "time": 60}]}
        ),
    },
)
beside = st.fixed_dictionaries(
    {}, optional={"deadline_ms": st.floats(1, 2), "explain": st.booleans(), "id": st.integers()}
)


@given(signals, signals, beside, beside, st.randoms())
def test_digests_agree_exactly_where_the_content_does(
    one: dict[str, Any],
    two: dict[str, Any],
    around: dict[str, Any],
    other: dict[str, Any],
    mix: Any,
) -> None:
    left, right = list((one | around).items()), list((two | other).items())
    mix.shuffle(right)
    digests = [
        content_digest(msgspec.convert(dict(items), ScoreRequest)) for items in (left, right)
    ]
    assert (digests[0] == digests[1]) is (one == two)
