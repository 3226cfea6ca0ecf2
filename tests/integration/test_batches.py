"""Signals that are answered together get what each would have got alone, to the bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from serving import START_S, Parts, body, published_model

from service.model.model import Model

SYMBOLS = ("EURUSD", "GBPUSD", "XAUUSD")

signals = st.fixed_dictionaries(
    {"symbol": st.sampled_from((*SYMBOLS, "NEVER")), "base_score": st.floats(0, 100)},
    optional={
        "signal_id": st.sampled_from(("a", "b", "c")),
        "direction": st.sampled_from(("BUY", "SELL")),
        "sentiment": st.floats(0, 100),
        "explain": st.booleans(),
    },
)


def serving(folder: Path, model: Model) -> Parts:
    """Warm, with the model; two of them are alike."""
    parts = Parts(folder)
    parts.warm(*SYMBOLS)
    parts.engine.install(model)
    return parts


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return published_model(tmp_path_factory.mktemp("models"), START_S)


@settings(max_examples=25)
@given(st.lists(signals, min_size=1, max_size=18))
def test_together_or_alone_the_answers_and_the_rows_are_the_same(
    tmp_path_factory: pytest.TempPathFactory, model: Model, batch: list[dict[str, Any]]
) -> None:
    folder = tmp_path_factory.mktemp("batches")
    bodies = [body("score", **signal) for signal in batch]
    together, alone, many = (
        serving(folder / name, model) for name in ("together", "alone", "many")
    )
    replies = together.answer(*bodies)
    assert replies == [alone.answer(one)[0] for one in bodies]
    assert together.rows() == alone.rows()
    scores = many.ask("score_many", signals=batch)["scores"]
    named = ("v", "id", "prediction_time_ms")
    assert scores == [{k: v for k, v in one.items() if k not in named} for one in replies]


def test_the_same_signal_twice_in_a_batch_is_scored_once(tmp_path: Path, model: Model) -> None:
    parts = serving(tmp_path, model)
    signal = {"symbol": "EURUSD", "base_score": 70.0, "signal_id": "twice"}
    others = [{"symbol": "GBPUSD", "base_score": float(n)} for n in range(6)]
    scores = parts.ask("score_many", signals=[signal, *others, signal])["scores"]
    assert scores[0] == scores[-1]
    assert len(parts.rows()) == 1 + len(others)
    assert parts.engine.counts["retry"] == 1


def test_a_batch_works_out_each_vector_and_answer_once(tmp_path: Path, model: Model) -> None:
    parts = serving(tmp_path, model)
    batch = [
        {"symbol": symbol, "base_score": float(base), "direction": "BUY"}
        for base in range(10)
        for symbol in SYMBOLS[:2]
    ]
    parts.ask("score_many", signals=batch)
    counts = parts.engine.counts
    assert (counts["vector_miss"], counts["vector_hit"]) == (2, 18)
    assert (counts["model_miss"], counts["model_hit"]) == (20, 0)


def test_a_symbol_at_fault_costs_its_own_signals_of_a_large_batch_only(
    tmp_path: Path, model: Model
) -> None:
    parts = serving(tmp_path, model)
    parts.engine.intake.feeds["GBPUSD"].kept = None  # type: ignore[assignment]
    batch = [{"symbol": SYMBOLS[n % 3], "base_score": float(n)} for n in range(9)]
    scores = parts.ask("score_many", signals=batch)["scores"]
    assert [one["ok"] for one in scores] == [n % 3 != 1 for n in range(9)]
    assert {one["error"]["code"] for one in scores[1::3]} == {"internal"}
    assert parts.vitals.requests["apart"] == 1
    # An alert asks for these, and some client may ask in batches alone.
    assert parts.vitals.answered["score", "internal"] == 3
    parts.ask("score_many", signals=[{"symbol": "EURUSD", "base_score": "high"}])
    assert parts.vitals.answered["unknown", "invalid_field"] == 1
