"""The original's four integration steps against the real service, and what happens without it."""

from __future__ import annotations

import time
from collections import deque
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import builders
import pytest
from harness import Service, eventually, running
from original_setup import STATS, TICK
from serving import rows
from wire import free_address, nobodys_address

from protocol import compat
from protocol.compat import CryptoMLScorer, MarketFeatures, get_crypto_ml_scorer
from training.dataset.join import read_dataset
from training.dataset.join_rules import JoinRules


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """No process-wide scorer from before, none left behind."""
    monkeypatch.setattr(compat, "_process_wide", [])
    return monkeypatch


class EliteGuardWithCitadel:
    """The four steps as the original's documentation writes them."""

    def __init__(self) -> None:
        self.ml_scorer = get_crypto_ml_scorer()
        self.m1_data: dict[str, deque[dict[str, Any]]] = {}

    def process_market_data(self, symbol: str, tick_data: Any) -> None:
        self.ml_scorer.update_market_data(
            symbol,
            {
                "bid": tick_data.bid,
                "ask": tick_data.ask,
                "spread": tick_data.spread,
                "volume": tick_data.volume,
                "timestamp": tick_data.timestamp,
            },
        )

    def generate_pattern_signal(self, pattern_signal: Any) -> Any:
        timeframe_data = {
            "M1": list(self.m1_data[pattern_signal.pair])[-10:],
            "M5": [],
            "M15": [],
        }
        enhanced_score, ml_metadata = self.ml_scorer.enhance_signal_score(
            symbol=pattern_signal.pair,
            base_score=pattern_signal.confidence,
            timeframe_data=timeframe_data,
        )
        pattern_signal.confidence = enhanced_score
        pattern_signal.ml_enhanced = True
        pattern_signal.ml_metadata = ml_metadata
        return pattern_signal

    def record_signal_outcome(self, signal_id: str, outcome_data: dict[str, Any]) -> None:
        if "ml_metadata" in outcome_data:
            features_dict = outcome_data["ml_metadata"]["features"]
            features = MarketFeatures(**features_dict)
            outcome = outcome_data["outcome"] == "WIN"
            self.ml_scorer.record_signal_outcome(
                signal_id=signal_id,
                features=features,
                outcome=outcome,
                outcome_data=outcome_data,
            )


def ingest(folder: Path) -> str:
    return f"ipc://{folder}/ingest.sock"


def test_the_four_steps_run_and_the_outcome_is_found_by_its_score_id(
    tmp_path: Path, environment: pytest.MonkeyPatch
) -> None:
    with running(tmp_path, with_feed=True, FEED_INGEST=ingest(tmp_path)) as service:
        service.warm()
        builders.small_model(service.models_dir, now_s=time.time())
        eventually(lambda: serving(service), "the model")
        environment.setenv("SIGNAL_SCORER_ENDPOINT", service.address)
        environment.setenv("SIGNAL_SCORER_INGEST", ingest(tmp_path))
        guard = EliteGuardWithCitadel()
        guard.ml_scorer._client._options.budget_s = 10.0  # a busy machine, not the subject
        tick = SimpleNamespace(**TICK, timestamp=time.time())

        def accepted() -> bool:
            tick.bid, tick.timestamp = tick.bid + 1, time.time()
            guard.process_market_data("BTCUSD", tick)
            with service.client() as client:
                return bool(client.features("BTCUSD")["feed_age_s"] is not None)

        eventually(accepted, "a pushed tick")
        assert guard.ml_scorer.counts["ticks_pushed"] > 0

        bar = {"open": 1.1, "high": 1.2, "low": 1.0, "close": 1.1, "time": time.time() // 60 * 60}
        guard.m1_data["EURUSD"] = deque([bar | {"time": bar["time"] - 60 * n} for n in (3, 2, 1)])
        signal = guard.generate_pattern_signal(SimpleNamespace(pair="EURUSD", confidence=72.5))
        metadata = signal.ml_metadata
        assert metadata["status"] == "success", metadata
        assert signal.confidence == metadata["final_score"]
        assert 0 < metadata["win_probability"] < 1
        assert metadata["ml_confidence"] == 100 * metadata["win_probability"]
        assert set(metadata["model_stats"]) >= STATS

        guard.record_signal_outcome(
            "ELITE_GUARD_EURUSD_123",
            {"outcome": "WIN_TP", "runtime_seconds": 2700, "ml_metadata": metadata},
        )
        (outcome,) = rows(service.journal_path, "SELECT * FROM outcomes")
        assert outcome["score_id"] == metadata["score_id"] == metadata["features"]["score_id"]
        assert (outcome["outcome"], outcome["win"]) == ("WIN_TP", 1)
        assert (outcome["signal_id"], outcome["runtime_s"]) == ("ELITE_GUARD_EURUSD_123", 2700.0)
        samples = read_dataset(
            service.journal_path, {}, JoinRules(max_holding_s=1.0), now_s=time.time() + 1e6
        ).samples
        assert samples.win.tolist() == [True]
        guard.ml_scorer.close()


def serving(service: Service) -> bool:
    with service.client() as client:
        return client.health()["model"] is not None


def test_the_keywords_gain_the_rest(tmp_path: Path) -> None:
    with running(tmp_path, with_feed=True) as service:
        service.warm()
        trained_s = time.time() - 3600.0
        builders.small_model(service.models_dir, directed=True, now_s=trained_s)
        eventually(lambda: serving(service), "the model")
        scorer = CryptoMLScorer(service.address, timeout_ms=10_000)
        assert scorer.enhance_signal_score("EURUSD", 72.5)[1]["status"] == "no_direction"
        score, metadata = scorer.enhance_signal_score(
            "EURUSD",
            72.5,
            signal_id=4711,
            direction="buy",
            entry_price=1.1,
            stop_loss=1.098,
            take_profit=1.103,
            pattern="ORDER_BLOCK_BOUNCE",
        )
        assert metadata["status"] == "success"
        assert score == metadata["final_score"]
        assert metadata["reward_risk"] == pytest.approx(1.5)
        assert isinstance(metadata["take"], bool)
        assert service.scores()[-1]["pattern"] == "ORDER_BLOCK_BOUNCE"
        assert service.scores()[-1]["signal_id"] == "4711"
        stats = scorer.get_model_stats()
        assert set(stats) >= STATS
        assert stats["model_version"] == metadata["model_version"]
        assert (stats["model_available"], stats["sample_count"]) == (True, builders.ROWS)
        assert stats["feature_importance"] == metadata["feature_importance"]
        trained = datetime.fromisoformat(stats["trained_at"])
        assert trained.timestamp() == pytest.approx(trained_s, abs=2)
        assert stats["avg_prediction_time_ms"] > 0
        assert stats["cache_size"] == 2
        assert metadata["model_stats"]["sample_count"] is None, "nothing was said of it yet"
        newer = builders.small_model(service.models_dir, seed=1, directed=True, now_s=time.time())

        def answered() -> dict[str, Any]:
            return scorer.enhance_signal_score("EURUSD", 72.5, direction="buy")[1]["model_stats"]

        eventually(lambda: answered()["model_version"] == newer, "the next model")
        assert answered()["sample_count"] is None, "what is known is of the one before"
        scorer.get_model_stats()
        assert answered()["sample_count"] == builders.ROWS
        scorer.close()


def test_an_outcome_without_any_id_joins_where_one_score_can_be_meant(tmp_path: Path) -> None:
    with running(tmp_path) as service:
        scorer = CryptoMLScorer(service.address, timeout_ms=10_000)
        _, alone = scorer.enhance_signal_score("EURUSD", 61.5)
        _, first = scorer.enhance_signal_score("GBPUSD", 70.0)
        _, second = scorer.enhance_signal_score("GBPUSD", 70.0)

        def record(metadata: dict[str, Any]) -> None:
            features = MarketFeatures(**{**metadata["features"], "score_id": ""})
            assert scorer.record_signal_outcome("EG_1", features, True, {"outcome": "WIN"})

        record(alone)
        record(first)
        record(second)
        joined = rows(service.journal_path, "SELECT score_id FROM outcomes ORDER BY seq")
        assert [row["score_id"] for row in joined] == [alone["score_id"], None, None]
        scorer.close()


def test_without_the_service_nothing_raises_and_nothing_is_held_up() -> None:
    scorer = CryptoMLScorer(nobodys_address(), nobodys_address(), timeout_ms=20)
    for n in range(500):
        score, metadata = scorer.enhance_signal_score("EURUSD", 72.5, signal_id=str(n))
        assert score == 72.5
        assert (metadata["status"], metadata["used_base_score"]) == ("unreachable", True)
        scorer.update_market_data("EURUSD", TICK)
    features = MarketFeatures(**metadata["features"])
    assert features.score_id == ""
    assert scorer.record_signal_outcome("1", features, True, {"outcome": "WIN"}) is False
    stats = scorer.get_model_stats()
    assert stats["model_available"] is False
    assert stats["client"]["ticks_dropped"] == 500
    assert stats["outcomes_waiting"] == 1
    scorer.close()


def test_outcomes_that_could_not_be_told_are_sent_later(tmp_path: Path) -> None:
    address = free_address()
    scorer = CryptoMLScorer(address, timeout_ms=20)
    for n in range(5):
        assert not scorer.record_signal_outcome(f"EG_{n}", None, n % 2 == 0, {})
    scorer.close()  # the circuit is closed: the next call asks
    with running(tmp_path, SCORE_BIND=address) as service:
        eventually(
            lambda: (
                scorer.record_signal_outcome("EG_5", None, True, {})
                and not scorer.get_model_stats()["outcomes_waiting"]
            ),
            "all reports to be taken",
        )
        reported = rows(service.journal_path, "SELECT DISTINCT signal_id, win FROM outcomes")
        assert {(r["signal_id"], r["win"]) for r in reported} == {
            (f"EG_{n}", int(n in (0, 2, 4, 5))) for n in range(6)
        }
    scorer.close()
