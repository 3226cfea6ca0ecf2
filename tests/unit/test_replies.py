"""Rows for the journal, from requests and the moment they were answered in."""

from __future__ import annotations

import pytest

from protocol import codec
from protocol.messages import OutcomeRequest
from service.features.state import SymbolState
from service.feed.symbol_feed import SymbolFeed
from service.replies import feed_age_s, outcome_row


@pytest.mark.parametrize(
    ("word", "kept", "win"),
    [
        ("WIN", "WIN", True),
        ("WIN_TP", "WIN_TP", True),
        ("win_tp", "win_tp", True),
        (True, "true", True),
        ("LOSS", "LOSS", False),
        ("LOSS_SL", "LOSS_SL", False),
        (False, "false", False),
        ("timeout", "timeout", None),
        ("MT5_EXECUTING", "MT5_EXECUTING", None),
    ],
)
def test_an_outcome_keeps_its_word_and_says_win_only_where_it_means_one(
    word: str | bool, kept: str, win: bool | None
) -> None:
    row = outcome_row(OutcomeRequest(outcome=word, signal_id="a"), 1000.0)
    assert (row.outcome, row.win, row.source, row.received_at) == (kept, win, "request", 1000.0)


@pytest.mark.parametrize(
    ("stamp", "seconds"),
    [
        (None, None),
        (1_755_000_000, 1_755_000_000.0),
        (1_755_000_000.5, 1_755_000_000.5),
        (1_755_000_000_500, 1_755_000_000.5),
        (99_999_999_999, 99_999_999_999.0),
        ("2025-08-12T12:00:00", 1_755_000_000.0),
        ("2025-08-12T12:00:00Z", 1_755_000_000.0),
        ("2025-08-12T14:00:00+02:00", 1_755_000_000.0),
        ("0001-01-01T00:00:00+14:00", -62_135_647_200.0),
        ("yesterday", None),
        ("", None),
        (0, None),
        (0.0, None),
    ],
)
def test_the_end_is_read_as_a_number_or_as_iso_text(
    stamp: float | str | None, seconds: float | None
) -> None:
    asked = codec.pack(
        {"v": 1, "op": "outcome", "outcome": "WIN", "signal_id": "a", "closed_at": stamp}
    )
    request = codec.decode_request(asked).request
    assert isinstance(request, OutcomeRequest)
    assert outcome_row(request, 1.0).closed_at == seconds


def test_the_feed_has_an_age_from_its_first_tick_on() -> None:
    feed = SymbolFeed(SymbolState("EURUSD"), ("", ""), seen_s=100.0)
    assert feed_age_s(None, 103.0) is None
    assert feed_age_s(feed, 103.0) is None
    feed.ticks = 1
    assert feed_age_s(feed, 103.0) == 3.0
    assert feed_age_s(feed, 99.0) == 0.0
