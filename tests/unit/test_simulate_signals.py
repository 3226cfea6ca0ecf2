"""What the stand-in writes about its signals is what the trainer's readers believe."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path

import pytest

from protocol.ea_feed import Tick
from training.simulate.market import INSTRUMENTS
from training.simulate.signals import (
    Signal,
    completed_line,
    cost_r,
    pending_line,
    signals,
)
from training.truth_log import ReadingRules, read_truth_logs

START_S = 1_741_564_800.0


def some(n: int = 300, seed: int = 1) -> list[Signal]:
    return list(islice(signals(INSTRUMENTS, START_S, 600.0, seed), n))


def quote_of(signal: Signal) -> Tick:
    price = signal.instrument.price
    return Tick(signal.instrument.symbol, price, price * 1.0001, 0.0, START_S)


def test_ids_are_unique_and_end_in_their_second() -> None:
    found = some()
    assert len({signal.signal_id for signal in found}) == len(found)
    for signal in found:
        assert signal.signal_id.endswith(f"_{signal.generated_s:.0f}")


def test_signals_come_as_often_as_asked_for() -> None:
    found = some(2000)
    pace_s = (found[-1].generated_s - START_S) / len(found)
    assert pace_s == pytest.approx(600.0, rel=0.1)


def test_a_seed_is_a_stream_of_signals() -> None:
    assert some(seed=4) == some(seed=4)
    assert some(seed=4) != some(seed=5)


@pytest.mark.parametrize("late_s", [0.0, 1_800.0])
def test_trainer_believes_every_completed_line(tmp_path: Path, late_s: float) -> None:
    """A day of the market may last a second, so that a trade opens late by its clock."""
    log, wins = tmp_path / "truth_log.jsonl", {}
    with log.open("w") as stream:
        for signal in some():
            quote, win = quote_of(signal), signal.draw < 0.5
            ends_s = signal.generated_s + late_s + signal.runtime_s
            wins[signal.signal_id] = win
            for line in (
                pending_line(signal, quote),
                completed_line(signal, quote, win, ends_s),
            ):
                stream.write(json.dumps(line) + "\n")
    read = read_truth_logs([log], ReadingRules())
    assert read.refused == {}
    assert set(read.shapes) == {"lifecycle", "documented"}
    assert {name: outcome.win for name, outcome in read.outcomes.items()} == wins
    for signal in some():
        outcome = read.outcomes[signal.signal_id]
        ends_s = signal.generated_s + late_s + signal.runtime_s
        assert outcome.completed_s == pytest.approx(ends_s, abs=1e-3)
        assert outcome.signal.direction == signal.side


def test_cost_is_the_spread_in_units_of_the_distance_to_the_stop() -> None:
    signal = some(1)[0]
    quote = quote_of(signal)
    line = pending_line(signal, quote)
    risk = abs(line["entry_price"] - line["sl"])
    assert cost_r(signal.instrument, quote) == pytest.approx(
        (quote.ask - quote.bid) / risk, rel=0.01
    )
