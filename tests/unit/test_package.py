"""What the distribution promises: three names, a light client, a service without pickles."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
import tarfile
import typing
import zipfile
from pathlib import Path

import pytest
import yaml

from protocol import messages
from protocol.aio import AsyncScorerClient
from protocol.client import ScorerClient
from protocol.compat import CryptoMLScorer, MarketFeatures, MLTrainingManager
from service.config import load as config

ROOT = Path(__file__).resolve().parents[2]


def modules_after(statement: str) -> set[str]:
    """Top-level modules that a fresh interpreter holds after one statement."""
    code = f"{statement}\nimport sys; print(*{{name.split('.')[0] for name in sys.modules}})"
    done = subprocess.run(
        [sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


def test_the_client_pulls_in_three_libraries_only():
    ours = modules_after("import protocol.client, protocol.manifest, protocol.ea_feed")
    third_party = {"numpy", "structlog", "click", "rich", "sklearn", "joblib", "service"}
    assert {"zmq", "msgpack", "msgspec"} <= ours
    assert not ours & third_party


def test_a_service_without_metrics_loads_no_library_for_them():
    assert "prometheus_client" not in modules_after("import service.serve")


def test_who_checks_types_is_told_of_a_misspelt_or_mistyped_keyword(tmp_path: Path):
    program = tmp_path / "engine.py"
    program.write_text(
        """\
from enum import Enum
from typing import Any
from protocol.aio import AsyncScorerClient
from protocol.client import ScorerClient
from protocol.compat import CryptoMLScorer

class Word(Enum):
    BUY = "BUY"
    WIN = "WIN_TP"

def drop_in(scorer: CryptoMLScorer) -> bool:
    scorer.enhance_signal_score("EURUSD", 72.5, direction=Word.BUY, pattern=Word.BUY)
    return scorer.record_signal_outcome("EG_1", None, Word.WIN)

def ask(scorer: ScorerClient, signal: dict[str, Any]) -> bool | None:
    scorer.score("EURUSD", 72.5, directoin="BUY")
    scorer.score("EURUSD", 72.5, entry_price="1.1")
    return scorer.score("EURUSD", 72.5, direction="BUY", entry_price=1.1, **signal).take

async def ask_too(scorer: AsyncScorerClient) -> float:
    return (await scorer.score("EURUSD", 72.5, direction="buy")).final_score
"""
    )
    options = ["--strict", "--config-file=", "--cache-dir=/dev/null"]
    done = subprocess.run(
        [sys.executable, "-m", "mypy", *options, "--python-version=3.10", str(program)],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    found = re.findall(r":(\d+): error: .*?\"(directoin|entry_price|direction)\"", done.stdout)
    assert found == [("16", "directoin"), ("17", "entry_price"), ("21", "direction")], done.stdout
    assert "Found 3 errors in 1 file" in done.stdout


def test_types_know_every_keyword_of_a_signal():
    fields = set(messages.Signal.__struct_fields__) - {"symbol", "base_score"}
    assert set(messages.Keywords.__annotations__) == fields


@pytest.mark.parametrize(
    "kind", [ScorerClient, AsyncScorerClient, CryptoMLScorer, MLTrainingManager, MarketFeatures]
)
def test_the_types_of_a_call_can_be_looked_up_while_a_program_runs(kind: type):
    for call in filter(inspect.isfunction, vars(kind).values()):
        typing.get_type_hints(call)


@pytest.mark.parametrize(
    ("module", "command", "extra"),
    [("service", "signal-scorer", "service"), ("training", "signal-scorer-train", "training")],
)
def test_where_the_client_alone_is_a_command_says_so(module: str, command: str, extra: str):
    # Without site-packages, as in an environment that has none of the service's libraries.
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from {module}.__main__ import main"
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 69, done.stderr
    (said,) = done.stderr.splitlines()
    assert said.startswith(f"{command}: No module named 'click'")
    assert f"/usr/local/bin/{command}" in said
    assert f"signal-scorer[{extra}]" in said


def built(target: str, folder: Path) -> Path:
    """The distribution of this kind, made there."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (path,) = folder.iterdir()
    return path


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    return zipfile.ZipFile(built("wheel", tmp_path_factory.mktemp("wheel")))


def test_an_archive_of_the_source_holds_what_installs_it(tmp_path: Path):
    with tarfile.open(built("sdist", tmp_path)) as archive:
        names = ["/".join(name.split("/")[1:]) for name in archive.getnames()]
    script = (ROOT / "deploy/install.sh").read_text("utf-8")
    (digested,) = re.findall(r"find (\S.*) -type f", script)
    read = {*digested.split(), *re.findall(r"\$project/([\w./]+)", script)}
    read |= {f"deploy/{path}" for path in re.findall(r'\$here"?/([\w./-]+)', script)}
    read |= {"Dockerfile", ".dockerignore", "Makefile", "scripts", "docs/install.md"}
    assert {"requirements/build.txt", "deploy/systemd/", "deploy/alert/"} <= read
    for path in read:
        assert any(f"{name}/".startswith(f"{path.rstrip('/')}/") for name in names), path


def test_the_wheel_owns_three_names_and_nothing_else(wheel: zipfile.ZipFile):
    tops = {name.split("/")[0] for name in wheel.namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == {
        "protocol",
        "service",
        "training",
    }


def test_the_wheel_carries_types_and_templates_and_cannot_be_uploaded(wheel: zipfile.ZipFile):
    names = wheel.namelist()
    assert {"protocol/py.typed", "service/py.typed", "training/py.typed"} <= set(names)
    assert any(name.startswith("training/templates/") for name in names)
    metadata = wheel.read(next(n for n in names if n.endswith("/METADATA"))).decode()
    assert "Private :: Do Not Upload" in metadata


def test_lock_files_name_no_address_and_hash_everything():
    for path in (ROOT / "requirements").glob("*.txt"):
        text = path.read_text()
        assert "://" not in text
        assert not {"--index-url", "--extra-index-url", "--find-links"} & set(text.split())
        blocks = re.split(r"\n(?=\S)", text.strip())
        assert len(blocks) > 3
        for block in blocks:
            assert re.match(r"[a-z0-9-]+==", block), block
            assert "--hash=sha256:" in block, block


def test_the_version_is_said_once():
    import tomllib

    import protocol

    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert project["version"] == protocol.__version__


def test_only_the_container_that_serves_is_asked_whether_it_serves():
    compose = yaml.safe_load((ROOT / "deploy/compose.yaml").read_text("utf-8"))
    checked = [
        name
        for name, one in compose["services"].items()
        if not one.get("healthcheck", {}).get("disable")  # the image's own is inherited
    ]
    assert checked == ["scorer"]


def test_both_containers_have_every_setting_of_the_one_that_serves():
    compose = yaml.safe_load((ROOT / "deploy/compose.yaml").read_text("utf-8"))
    settings = compose["x-settings"]
    assert settings
    for one in compose["services"].values():
        assert settings.items() <= one["environment"].items()
    assert compose["services"]["scorer"]["environment"] == settings


def test_what_compose_offers_instead_of_a_line_says_so():
    lines = (ROOT / "deploy/compose.yaml").read_text("utf-8").splitlines()
    keys = [re.match(r" *(# )?(SIGNAL_SCORER_[A-Z_]+): ", line) for line in lines]
    said = {found[2] for found in keys if found and not found[1]}
    instead = [at for at, found in enumerate(keys) if found and found[1] and found[2] in said]
    assert instead
    for at in instead:  # a key that stands there twice is refused
        assert keys[at - 2][2] == keys[at][2]
        assert "nstead of the line above" in lines[at - 1]


def test_what_compose_sets_and_what_it_offers_in_comments_can_be_set():
    text = (ROOT / "deploy/compose.yaml").read_text("utf-8")
    offered = dict(re.findall(r"^ *(?:# )?(SIGNAL_SCORER_[A-Z_]+): (\S+)$", text, re.M))
    told = config.load(environ=offered).config
    assert told.score.bind[1].startswith("ipc:///run/signal-scorer/")
    assert told.alerts.command == ("/alert/tell",)
