"""Nothing is ever unpickled in the service: a witness inside the real process, and its sources.

numpy itself imports pickle, so that the module is there proves nothing. What is asked instead:
did the interpreter ever resolve a name for an unpickler (its audit hook says so), is any
library loaded that would, and does any line of ours call for it?
"""

from __future__ import annotations

import ast
import io
import json
import os
import pickle
import signal
from pathlib import Path

import builders
import numpy as np
import pytest
from harness import Service, eventually, running
from seals import seal

from protocol.manifest import FOREST_NAME

ROOT = Path(__file__).resolve().parents[2]

WITNESS = """
import atexit, json, os, sys
seen = []
sys.addaudithook(lambda event, args: seen.append(event) if event.startswith("pickle.") else None)

@atexit.register
def tell():
    with open(os.environ["WITNESS"], "w") as file:
        json.dump({"events": seen, "modules": sorted(sys.modules)}, file)
"""


class Bomb:
    """Unpickled, it would write a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return Path.touch, (self.path,)


@pytest.fixture
def witness(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "witness"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(WITNESS)
    monkeypatch.setenv("PYTHONPATH", str(folder))
    monkeypatch.setenv("WITNESS", str(folder / "testimony.json"))
    return folder / "testimony.json"


def plant(models_dir: Path, content: bytes) -> None:
    """Put other bytes in place of the current forest, with every digest right."""
    bundle = models_dir / builders.pointer_of(models_dir).version
    (bundle / FOREST_NAME).write_bytes(content)
    seal(models_dir)


def with_objects(bomb: Bomb) -> bytes:
    file = io.BytesIO()
    names = ("feature", "threshold", "left", "probability", "roots")
    np.savez(file, **{name: np.array([bomb] * 3, object) for name in names})
    return file.getvalue()


def rejections(service: Service) -> list[dict[str, object]]:
    return service.events("model_rejected")


def test_a_serving_process_never_unpickles_whatever_it_is_given(tmp_path: Path, witness: Path):
    bomb = Bomb(tmp_path / "executed")
    folder = tmp_path / "state"
    version = builders.small_model(folder / "models")
    with running(
        folder,
        with_feed=True,
        MODEL_EXPIRE_AFTER_DAYS="0",
        RECORD_ENABLED="true",
        METRICS_BIND="127.0.0.1:0",
    ) as service:
        service.warm()
        assert service.process is not None
        with service.client() as client:
            assert client.score("EURUSD", 70.0, explain=True).model_version == version
            for count, hostile in enumerate((with_objects(bomb), pickle.dumps(bomb)), start=1):
                # In one piece for the watch, which tries what it refused again when a file changes.
                service.process.send_signal(signal.SIGSTOP)
                os.waitid(os.P_PID, service.process.pid, os.WSTOPPED)  # the thread that watches too
                plant(service.models_dir, hostile)
                service.process.send_signal(signal.SIGCONT)
                eventually(lambda n=count: len(rejections(service)) >= n, "the refusal")
            assert client.score("EURUSD", 70.0).model_version == version
            assert client.outcome("WIN_TP", signal_id="a")["recorded"]
            client.stats()
        assert [event["reason"] for event in rejections(service)] == ["arrays", "arrays"]
        assert service.terminate()[0] == 0
    testimony = json.loads(witness.read_text())
    assert testimony["events"] == []
    assert not bomb.path.exists()
    loaded = {name.split(".")[0] for name in testimony["modules"]}
    assert {"service", "numpy", "zmq", "prometheus_client"} <= loaded
    assert not loaded & {
        *("sklearn", "joblib", "pandas", "scipy", "skops", "dill", "cloudpickle", "shelve"),
        *("yaml", "training", "multiprocessing"),
    }


def test_the_witness_would_notice(tmp_path: Path):
    seen: list[str] = []
    import sys

    listening = True
    sys.addaudithook(lambda event, _: seen.append(event) if listening else None)
    pickle.loads(pickle.dumps(Bomb(tmp_path / "executed")))
    listening = False
    assert "pickle.find_class" in seen
    assert (tmp_path / "executed").exists()


def calls(tree: ast.AST) -> list[tuple[str, ast.Call]]:
    return [
        (node.func.attr if isinstance(node.func, ast.Attribute) else node.func.id, node)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute | ast.Name)
    ]


def sources() -> list[Path]:
    return [*(ROOT / "service").rglob("*.py"), *(ROOT / "protocol").rglob("*.py")]


@pytest.mark.parametrize("path", sources(), ids=lambda path: path.stem)
def test_no_line_of_ours_runs_what_it_reads(path: Path):
    tree = ast.parse(path.read_text())
    for name, call in calls(tree):
        assert name not in {"eval", "exec", "compile", "__import__", "find_class"} or (
            name == "compile" and ast.unparse(call.func) == "re.compile"
        ), ast.unparse(call)
        assert name not in {"import_module", "read_pickle", "Unpickler", "fromregex"}
        for keyword in call.keywords:
            if keyword.arg == "allow_pickle":
                assert ast.unparse(keyword.value) == "False", ast.unparse(call)
        if ast.unparse(call.func) in {"np.load", "np.save", "np.savez", "npy.read_array"}:
            assert "allow_pickle" in {keyword.arg for keyword in call.keywords}, ast.unparse(call)


def test_the_feed_and_the_wire_know_no_types_of_python():
    """msgpack's extension hook and msgspec's decoders stay what they are by default."""
    for path in sources():
        for name, call in calls(ast.parse(path.read_text())):
            if name in {"unpackb", "Unpacker", "Decoder", "decode"}:
                hooks = {keyword.arg for keyword in call.keywords}
                assert not hooks & {"ext_hook", "object_hook", "object_pairs_hook", "dec_hook"}
