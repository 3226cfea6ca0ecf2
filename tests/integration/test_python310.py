"""The client's side on the oldest Python that it promises, where one with its libraries is found.

`PYTHON310` names the interpreter; otherwise `python3.10` is looked for on the PATH. Nothing
is installed by the test.
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from harness import running

from protocol.schema import FINGERPRINT

ROOT = Path(__file__).resolve().parents[2]
MODULES = sorted(path.stem for path in (ROOT / "protocol").glob("*.py") if path.stem != "__init__")

CONVERSATION = """
import asyncio, sys, typing
from protocol import schema
from protocol.aio import AsyncScorerClient
from protocol.client import ScorerClient
from protocol.compat import CryptoMLScorer, MarketFeatures

assert sys.version_info[:2] == (3, 10)
assert "signal" in typing.get_type_hints(ScorerClient.score)
address, fingerprint = sys.argv[1:]
assert schema.FINGERPRINT == fingerprint
candles = {"M1": [{"open": 1.0, "high": 1.0, "low": 1.0, "close": 1.0, "time": 1.7e9}]}
with ScorerClient(address, 10_000) as client:
    reply = client.score("EURUSD", 61.5, signal_id="a", timeframe_data=candles)
    assert reply.final_score == 61.5
    assert client.outcome("WIN", signal_id="a")["matched"]
    assert [r.final_score for r in client.score_many([{"symbol": "A", "base_score": 1}])] == [1.0]

async def ask():
    async with AsyncScorerClient(address, 10_000) as client:
        return await asyncio.gather(*[client.score("EURUSD", float(n)) for n in range(40)])

assert [reply.final_score for reply in asyncio.run(ask())] == [float(n) for n in range(40)]

async def away():
    async with AsyncScorerClient("tcp://127.0.0.1:1", 30) as client:
        return [(await client.score("EURUSD", 5.0)).status for _ in range(9)]

assert asyncio.run(away()) == ["unreachable"] * 9
scorer = CryptoMLScorer(address, timeout_ms=10_000)
score, metadata = scorer.enhance_signal_score("EURUSD", 70.0)
assert (score, metadata["status"]) == (70.0, "unknown_symbol")
features = MarketFeatures(**metadata["features"])
assert scorer.record_signal_outcome("EG_1", features, True, {"outcome": "WIN_TP"})
scorer.update_market_data("EURUSD", {"bid": 1.0, "ask": 1.1})
assert scorer.get_model_stats()["model_available"] is False
scorer.close()
"""


@functools.cache
def interpreter() -> str | None:
    """A Python 3.10 that has what the client needs."""
    for candidate in (os.environ.get("PYTHON310"), shutil.which("python3.10")):
        if candidate and ran(candidate, "import zmq, msgpack, msgspec").returncode == 0:
            return candidate
    return None


def ran(python: str, code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [python, "-W", "error", "-c", code, *arguments],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.fixture
def python310() -> str:
    found = interpreter()
    if found is None:
        pytest.skip("no python3.10 with pyzmq, msgpack and msgspec; name one in $PYTHON310")
    return found


def test_every_module_of_the_protocol_imports(python310: str) -> None:
    done = ran(python310, "\n".join(f"import protocol.{name}" for name in MODULES))
    assert (done.returncode, done.stderr) == (0, "")


def test_all_clients_talk_to_the_service(python310: str, tmp_path: Path) -> None:
    with running(tmp_path) as service:
        done = ran(python310, CONVERSATION, service.address, FINGERPRINT)
    assert (done.returncode, done.stderr) == (0, "")
