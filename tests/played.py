"""An engine that tests feed and ask, without sockets and on a clock that they turn."""

from __future__ import annotations

from typing import Any

import msgpack
import msgspec
from serving import START_S, history, settings

from protocol import messages
from service.engine import Answer, Engine
from service.model.model import Model


class Played:
    """An engine with one feed, on a clock that is a number."""

    def __init__(self, model: Model | None = None, *, warm: bool = True, **values: str) -> None:
        self.engine = Engine(settings(**values), "run")
        self.endpoint = self.engine.endpoint("feed", volume_is_deal=False)
        self.now_s = START_S
        self.engine.install(model)
        if warm:
            self.feed(*history(("EURUSD", "GBPUSD"), START_S))

    def feed(self, *frames: bytes) -> None:
        for frame in frames:
            self.engine.on_frame(self.endpoint, frame, self.now_s)

    def ask(self, request: messages.Request, waited_s: float = 0.0, **envelope: Any) -> Answer:
        content = msgspec.to_builtins(request) | {"v": 1, "op": request.op} | envelope
        answer = self.engine.on_request(request, msgpack.packb(content), self.now_s, waited_s)
        if isinstance(answer.reply, bytes):
            assert answer.row is None or answer.row.reply == answer.reply
            return msgspec.structs.replace(answer, reply=msgpack.unpackb(answer.reply))
        return answer

    def score(self, waited_s: float = 0.0, **signal: Any) -> dict[str, Any]:
        content = {"symbol": "EURUSD", "base_score": 75.0, "direction": "BUY"} | signal
        request = msgspec.convert(content, messages.ScoreRequest)
        return self.ask(request, waited_s).reply

    def features(self, symbol: str = "EURUSD", **fields: Any) -> dict[str, Any]:
        return self.ask(messages.FeaturesRequest(symbol=symbol, **fields)).reply

    def sentiment(self, symbol: str, score: float, half_life_s: float = 3600.0) -> None:
        self.ask(messages.SentimentRequest(symbol=symbol, score=score, half_life_s=half_life_s))
