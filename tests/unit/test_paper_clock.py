"""Paper positions while a feed's clock is being found."""

from __future__ import annotations

import pytest
from serving import settings, tick

from service.engine import Engine
from service.features.state import SymbolSnapshot
from service.journal.records import PaperRow

T = 1_757_944_830.0
BROKER_S = 10_800.0


def position(symbol: str) -> PaperRow:
    """A buy that was open before the restart, whose levels are never touched."""
    return PaperRow(
        score_id=f"run-{symbol}",
        signal_id=symbol,
        symbol=symbol,
        direction=1,
        stop_loss=1.0,
        take_profit=1.3,
        risk=0.1,
        event_time=T - 600.0,
        deadline=T + 7200.0,
        last_time=T - 1.0,
        opened_at=T - 600.0,
        opened_price=1.1,
        best_price=1.1,
        worst_price=1.1,
        last_price=1.1,
    )


@pytest.mark.parametrize("ahead_s", [400, 7200, 72_000])
@pytest.mark.parametrize("others", [("A",), ("A", "C", "D")])
def test_a_tick_of_the_future_ends_no_position_but_those_of_its_symbol(
    ahead_s: int, others: tuple[str, ...]
) -> None:
    engine = Engine(settings(FEED_CLOCK_OFFSET="auto"), "run")
    for symbol in (*others, "THIN"):
        engine.restore(SymbolSnapshot(symbol, (), (), T - 1.0, None), T)
    engine.resume([position(symbol) for symbol in (*others, "THIN")], [])
    endpoint = engine.endpoint("feed", volume_is_deal=False)

    def send(symbol: str, stamp_s: float, now_s: float) -> None:
        engine.on_frame(endpoint, tick(symbol, stamp_s + BROKER_S), now_s + 0.02)

    for second in range(900):
        now_s = T + second
        for symbol in others:
            send(symbol, now_s, now_s)
        if second == 3:
            send("THIN", now_s + ahead_s, now_s)
            assert engine.intake.time.now(now_s + 0.02) == now_s + ahead_s
        elif second % 60 == 1:
            send("THIN", now_s, now_s)
        engine.advance(now_s + 0.1)
    assert endpoint.clock.state == "live"
    open_symbols = {symbol for symbol, book in engine.paper.books.items() if book}
    assert open_symbols == set(others)
    assert engine.paper.counts["void_gap"] == 1


def test_a_market_that_falls_silent_ends_its_positions() -> None:
    """As ever: what is held back is held back for the search alone."""
    engine = Engine(settings(FEED_CLOCK_OFFSET="auto"), "run")
    engine.restore(SymbolSnapshot("A", (), (), T - 1.0, None), T)
    engine.resume([position("A")], [])
    for second in range(900):
        engine.advance(T + second)
    assert engine.paper.counts["void_gap"] == 1
