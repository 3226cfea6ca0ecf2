"""Coverage-guided fuzzing (atheris, libFuzzer) of what reads others' bytes.

    .venv/bin/python -m venv /tmp/atheris && /tmp/atheris/bin/pip install atheris
    PYTHONPATH=/tmp/atheris/lib/python3.11/site-packages .venv/bin/python \
        scripts/fuzz_coverage.py codec|feed|bundle CORPUS_DIR [-max_total_time=180 ...]

atheris is no dependency of the project. What follows the target goes to libFuzzer; a corpus
directory that is empty or new is filled with valid inputs first. The invariants: `codec` lets
only DecodeError out, whose refusal can be packed and read, what it lets in can be encoded
again, and what is read the short way means the same by the long one; `feed` never raises, and
what it yields is finite and in bounds; `bundle` lets only ModelRejected out, and a forest that
passes the check of its structure answers within 0..1 for any vector, alone and together to the
bit.
"""

# ruff: noqa: PT017, PT018  (invariants, not tests)

from __future__ import annotations

import math
import random
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import atheris

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

with atheris.instrument_imports(include=["protocol", "service", "msgpack.fallback", "zipfile"]):
    from protocol import codec, ea_feed, manifest, messages
    from service.model import bundle, forest, forest_arrays, forest_file, pointer

import numpy as np
from fuzz_inputs import feed_messages, requests

from protocol.errors import DecodeError
from protocol.limits import MAX_MESSAGE_BYTES, MAX_SYMBOL_CHARS
from service.errors import ModelRejected

CODES = {"malformed", "too_large", "unsupported_version", "unknown_op", "invalid_field"}
ROWS = np.random.default_rng(1).normal(0.0, 60.0, (8, 11))


def codec_target(data: bytes) -> None:
    quick = codec._usual_score(data)
    assert quick is None or quick == codec._any_request(data), "two ways, two meanings"
    try:
        decoded = codec.decode_request(data)
    except DecodeError as error:
        assert error.code in CODES, error.code
        refusal = messages.error_reply(
            error.code,
            error.message,
            field=error.field,
            fallback=error.fallback,
            request_id=error.request_id,
        )
        assert codec.unpack(codec.pack(refusal), max_bytes=MAX_MESSAGE_BYTES)["ok"] is False
        return
    if isinstance(decoded.request, messages.ScoreManyRequest):
        for content in decoded.request.signals:
            try:
                codec.decode_signal(content)
            except DecodeError as error:
                assert error.code == "invalid_field"
            codec.unknown_keys(content)
            codec.pack(content)
        return
    try:
        again = codec.decode_request(codec.encode_request(decoded.request, decoded.request_id))
    except ValueError as error:
        # Text may grow when it is packed, over the limit that the request just kept.
        assert "bytes" in str(error), error
        return
    assert again.request == decoded.request
    assert again.request_id == decoded.request_id


def feed_target(data: bytes) -> None:
    found = ea_feed.parse(data)
    if isinstance(found, ea_feed.Skipped):
        assert found.kind in ea_feed.SKIPPED_KINDS
    elif isinstance(found, ea_feed.Tick):
        check_tick(found)
    elif isinstance(found, ea_feed.Candle):
        check_candle(found)
    elif isinstance(found, ea_feed.Candles):
        assert len(found.candles) <= len(ea_feed.TIMEFRAMES) * ea_feed.MAX_CANDLES_PER_TIMEFRAME
        for candle in found.candles:
            check_candle(candle)
    else:
        assert 0 <= found.score <= 100 and len(found.symbol) <= MAX_SYMBOL_CHARS


def check_tick(tick: ea_feed.Tick) -> None:
    assert all(0 <= value < 1e16 for value in (tick.bid, tick.ask, tick.volume))
    assert 9e8 < tick.stamp_s < 5e9 and 0 < len(tick.symbol) <= MAX_SYMBOL_CHARS
    if tick.bid <= tick.ask:
        assert type(ea_feed.parse(ea_feed.encode_tick(tick))) is ea_feed.Tick


def check_candle(candle: ea_feed.Candle) -> None:
    assert 0 < candle.low <= min(candle.open, candle.close) <= candle.high <= 1e12
    assert math.isfinite(candle.stamp_s) and candle.timeframe in ea_feed.TIMEFRAMES


def bundle_target(data: bytes) -> None:
    if not data:
        return
    kind, content = data[0] % 4, data[1:]
    try:
        if kind == 0:
            pointer.decode_pointer(content)
        elif kind == 1:
            bundle._manifest(content, POINTER)
        elif kind == 2:
            arrays = forest_file.decode(content, nodes=5, trees=1)
            forest_arrays.check_structure(arrays, 2, 11, 100)
        else:
            walk(atheris.FuzzedDataProvider(content))
    except ModelRejected as error:
        assert str(error.reason) != "internal"


def walk(given: atheris.FuzzedDataProvider) -> None:
    """Arrays of any content; what passes the check must be walkable."""
    nodes, trees = given.ConsumeIntInRange(1, 24), given.ConsumeIntInRange(1, 4)
    depth = given.ConsumeIntInRange(0, 6)
    near = [given.ConsumeIntInRange(-1, nodes) for _ in range(nodes)]
    arrays = forest_arrays.Arrays(
        feature=np.array([given.ConsumeIntInRange(-1, 11) for _ in range(nodes)], np.int16),
        threshold=np.array(given.ConsumeFloatListInRange(nodes, -1e300, math.inf), np.float64),
        left=np.array(near, np.int32),
        probability=np.array([given.ConsumeProbability() for _ in range(nodes)]),
        roots=np.array([given.ConsumeIntInRange(-1, nodes) for _ in range(trees)], np.int32),
    )
    leaves = arrays.left == np.arange(nodes)
    if len(arrays.threshold) == nodes:
        arrays.threshold[leaves] = np.inf
    read = forest_file.decode(forest_file.encode(arrays), nodes=nodes, trees=trees)
    forest_arrays.check_structure(read, depth, 11, 100)
    many = forest.Forest(read, depth).predict_many(ROWS)
    alone = [forest.Forest(read, depth, stepping=True).predict(row) for row in ROWS]
    assert np.all((many >= 0) & (many <= 1)) and many.tolist() == alone
    for row, p in zip(ROWS, alone, strict=True):
        bias, shares = forest.Forest(read, depth).contributions(row)
        assert abs(bias + shares.sum() - p) < 1e-9


TARGETS: dict[str, Callable[[bytes], None]] = {
    "codec": codec_target,
    "feed": feed_target,
    "bundle": bundle_target,
}


def a_bundle() -> tuple[bytes, bytes, bytes]:
    """The pointer's, the manifest's and the forest's bytes of a published model."""
    import builders

    with tempfile.TemporaryDirectory(prefix="fuzz-") as place:
        version = builders.small_model(Path(place))
        names = (manifest.POINTER_NAME, f"{version}/{manifest.MANIFEST_NAME}")
        current, said = ((Path(place) / name).read_bytes() for name in names)
    stump = forest_arrays.Arrays(
        feature=np.zeros(5, np.int16),
        threshold=np.array([0.5, 0.7, np.inf, np.inf, np.inf]),
        left=np.array([1, 3, 2, 3, 4], np.int32),
        probability=np.full(5, 0.5),
        roots=np.zeros(1, np.int32),
    )
    return current, said, forest_file.encode(stump)


def fill(corpus: Path, target: str) -> None:
    """Valid inputs to begin with."""
    rng = random.Random(1)
    corpus.mkdir(parents=True, exist_ok=True)
    if any(corpus.iterdir()):
        return
    if target == "bundle":
        found = [bytes([kind]) + content for kind, content in enumerate(BUNDLE)]
        found += [bytes([3]) + rng.randbytes(200) for _ in range(50)]
    else:
        source = requests if target == "codec" else feed_messages
        found = [one for one, _ in zip(source(rng, 1.76e9), range(400), strict=False)]
    for number, content in enumerate(found):
        if len(content) < 20_000:
            (corpus / f"seed-{number}").write_bytes(content)


if __name__ == "__main__":
    if len(sys.argv) < 3 or sys.argv[1] not in TARGETS:
        raise SystemExit(__doc__)
    if sys.argv[1] == "bundle":
        BUNDLE = a_bundle()
        POINTER = pointer.decode_pointer(BUNDLE[0])
    fill(Path(sys.argv[2]), sys.argv[1])
    atheris.Setup([sys.argv[0], *sys.argv[2:]], TARGETS[sys.argv[1]])
    atheris.Fuzz()
