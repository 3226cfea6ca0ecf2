"""Counting warm symbols in turns: the count of a full round, whatever comes and goes."""

from __future__ import annotations

from pathlib import Path

from serving import Parts, tick

from service.warmth import SYMBOLS_A_LOOK, Warmth

SYMBOLS = [f"{base}{quote}" for base in ("EUR", "GBP", "AUD", "NZD") for quote in ("USD", "JPY")]


def rounds(parts: Parts, warmth: Warmth, number: int = 2) -> int:
    for _ in range(number * (len(parts.engine.intake.feeds) // SYMBOLS_A_LOOK + 1)):
        warmth.look(parts.engine.intake, parts.clock.utc_s())
    return warmth.warm


def test_nothing_is_warm_without_symbols_or_after_a_first_tick(tmp_path: Path):
    parts = Parts(tmp_path)
    assert rounds(parts, Warmth()) == 0
    parts.feed(tick("EURUSD", parts.clock.utc_s()))
    assert rounds(parts, Warmth()) == 0


def test_a_symbol_without_another_to_correlate_with_is_not_warm(tmp_path: Path):
    parts = Parts(tmp_path)
    parts.warm("EURUSD")
    assert parts.ask("features", symbol="EURUSD")["warm"] is False
    assert rounds(parts, Warmth()) == 0


def test_all_symbols_with_history_are_counted_once_in_each_round(tmp_path: Path):
    parts = Parts(tmp_path)
    parts.warm(*SYMBOLS)
    warmth = Warmth()
    assert rounds(parts, warmth) == len(SYMBOLS)
    assert rounds(parts, warmth, 5) == len(SYMBOLS)


def test_a_symbol_that_was_dropped_within_a_round_is_not_counted(tmp_path: Path):
    parts = Parts(tmp_path)
    parts.warm(*SYMBOLS)
    warmth = Warmth()
    rounds(parts, warmth)
    del parts.engine.intake.feeds[SYMBOLS[-1]]
    assert rounds(parts, warmth) == len(SYMBOLS) - 1


def test_looking_changes_no_vector(tmp_path: Path):
    watched, alone = Parts(tmp_path / "a"), Parts(tmp_path / "b")
    for parts in (watched, alone):
        parts.warm(*SYMBOLS)
    rounds(watched, Warmth(), 3)
    for symbol in SYMBOLS:
        vectors = [
            {k: v for k, v in parts.ask("features", symbol=symbol).items() if k != "source"}
            for parts in (watched, alone)
        ]
        assert vectors[0] == vectors[1]


def test_while_now_is_ahead_no_symbol_is_counted_as_warm_and_health_says_why(tmp_path: Path):
    parts = Parts(tmp_path, FEED_CLOCK_OFFSET="auto")
    parts.journal.open()

    def ticks_that_lead_by(ahead_s: int) -> None:
        newest_s = int(parts.clock.utc_s()) + ahead_s
        for at in range(-4, 1):
            price = 1.1001 + at * 1e-5
            parts.feed(*(tick(name, newest_s + at, price) for name in ("EURUSD", "GBPUSD")))

    def told(*, warm: bool) -> list[str]:
        parts.let_pass(3)
        assert parts.ask("features", symbol="EURUSD")["warm"] is warm
        assert parts.ask("stats")["symbols_warm"] == 2 * warm
        return [note for note in parts.ask("health")["notes"] if "5 min at most" in note]

    parts.warm()
    assert told(warm=True) == []
    ticks_that_lead_by(90)
    (note,) = told(warm=False)
    assert note.startswith("base scores are served")
    parts.let_pass(40)
    ticks_that_lead_by(60)
    assert told(warm=True) == []
