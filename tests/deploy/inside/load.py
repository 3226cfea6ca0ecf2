"""Elite Guard under way: asks by ipc without pause until SIGTERM, then says how it went (JSON).

load.py TAG BUDGET_MS
"""

from __future__ import annotations

import faulthandler
import itertools
import json
import signal
import sys
import time
from collections import Counter
from types import FrameType

from protocol.client import ScorerClient

ENDPOINT = "ipc:///run/signal-scorer/score.sock"
EVERY_S = 0.02
TRY_MS = 500
"""One that met the old process is asked again of the new one after this long."""


class Stop:
    """True once SIGTERM came."""

    def __init__(self) -> None:
        self.came = False
        signal.signal(signal.SIGTERM, self._on_signal)

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self.came = True


def main() -> None:
    """Ask, count, print."""
    tag, budget_ms = sys.argv[1], float(sys.argv[2])
    stop = Stop()
    faulthandler.register(signal.SIGUSR1, all_threads=True)
    statuses: Counter[str] = Counter()
    took_ms: list[float] = []
    with ScorerClient(ENDPOINT, budget_ms, retries=int(budget_ms / TRY_MS)) as scorer:
        for number in itertools.count():
            if stop.came:
                break
            started_s = time.monotonic()
            reply = scorer.score("EURUSD", 70.0, signal_id=f"{tag}_{number}", direction="BUY")
            took_ms.append((time.monotonic() - started_s) * 1000)
            statuses[reply.status] += 1
            time.sleep(EVERY_S)
    took_ms.sort()
    said = {
        "asked": len(took_ms),
        "statuses": dict(statuses),
        "median_ms": round(took_ms[len(took_ms) // 2], 1),
        "slowest_ms": round(took_ms[-1]),
    }
    print(json.dumps(said))


if __name__ == "__main__":
    main()
