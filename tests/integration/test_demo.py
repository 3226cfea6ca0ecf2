"""The demo as a process, small: real service, real trainer, a real swap, and no orphans."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from harness import eventually

from service.demo import demo
from service.errors import CommandError
from service.journal.file import open_reader

LIMIT_S = 180.0


@contextmanager
def started(directory: Path, *options: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "service", "demo", "--keep", str(directory), *options]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def service_pid(directory: Path) -> int | None:
    log = directory / "service.log"
    for line in log.read_text().splitlines() if log.exists() else ():
        event = json.loads(line)
        if event.get("event") == "started":
            return int(event["pid"])
    return None


def running(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], str, Path]:
    directory = tmp_path_factory.mktemp("demo") / "files"
    facts = directory.parent / "facts.json"
    options = ["--seconds", "9", "--strength", "2.5", "--signals-a-day", "80"]
    with started(directory, *options, "--json", str(facts), "--outcome-requests") as process:
        said, _ = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 0, said
    return json.loads(facts.read_bytes()), said, directory


def test_every_request_is_answered(played: tuple[dict[str, Any], str, Path]) -> None:
    facts, _, _ = played
    assert facts["lost"] == 0
    assert facts["sent"] == facts["answered"] == sum(facts["models"].values())
    assert facts["sent"] > facts["traded"] > 100
    assert facts["ended"] == facts["traded"]
    assert set(facts["statuses"]) <= {"success", "no_model"}


def test_trainer_publishes_and_the_service_swaps(
    played: tuple[dict[str, Any], str, Path],
) -> None:
    facts, _, _ = played
    assert facts["swaps"]
    for swap in facts["swaps"]:
        assert facts["models"][swap["version"]] > 0
    published = [run for run in facts["trainings"] if run["said"].startswith("published")]
    assert len(published) == len(facts["swaps"])
    assert {run["code"] for run in facts["trainings"]} <= {0, 3}


def test_best_possible_stands_beside_the_model_and_is_not_beaten(
    played: tuple[dict[str, Any], str, Path],
) -> None:
    facts, _, _ = played
    _, taken, best, half, best_half = facts["choices"]
    assert taken["n"] == best["n"]
    assert half["expected"] <= best_half["expected"]
    loss = facts["log_loss"]
    assert loss["best"] <= loss["model"]
    assert loss["best"] < loss["constant"]


def test_the_summary_shows_all_that_was_counted(played: tuple[dict[str, Any], str, Path]) -> None:
    facts, said, _ = played
    shown = " ".join(said.partition("summary")[2].split())
    for row in rows_of(facts):
        assert row in shown, row


def rows_of(facts: dict[str, Any]) -> Iterator[str]:
    """What a reader of the summary is to find, with blanks made one."""
    yield "A simulation: market and wins are made up"
    yield "signals scored by a model n won expected by the truth R a signal"
    for one in facts["choices"]:
        shares = f"{100 * one['won']:.1f} % {100 * one['expected']:.1f} %"
        yield f"{one['name']} {one['n']} {shares} {one['mean_r']:+.3f}"
    loss = facts["log_loss"]
    yield (
        f"log loss, nats: a constant {loss['constant']:.4f}, the model {loss['model']:.4f}, "
        f"best possible {loss['best']:.4f}: "
    )
    yield f"score requests {facts['sent']:,} sent, {facts['answered']:,} answered, 0 lost"
    yield f"{facts['traded']:,} traded, {facts['sent'] - facts['traded']:,} candidates"
    yield f"outcomes {facts['ended']:,} in {facts['market_days']:.1f} market days"
    for name, ms in (("round trip", "round_trip_ms"), ("in the service", "service_ms")):
        p50, p95, p99, longest = (facts[ms][key] for key in ("p50", "p95", "p99", "longest"))
        yield f"{name} p50 {p50:.2f} ms, p95 {p95:.2f}, p99 {p99:.2f}, longest {longest:.1f}"
    yield f"usual 50 ms {facts['over_client_default']:,} would have got their base score"
    yield f"scored by base score, no model: {facts['models']['none']:,} requests"
    for swap in facts["swaps"]:
        count = facts["models"][swap["version"]]
        after = f"first {swap['delay_s']:.1f} s after it was published"
        yield f"scored by model {swap['version']}: {count:,} requests, {after}"
    for run in facts["trainings"]:
        yield f"trainer exit code {run['code']} ({'done' if run['code'] == 0 else 'rejected'}), "
    for name, path in facts["files"].items():
        yield f"{name} {path}"
    yield f"on disk {facts['bytes_on_disk'] / 1e6:.1f} MB"


def test_scores_go_by_from_base_to_final_with_their_probability(
    played: tuple[dict[str, Any], str, Path],
) -> None:
    _, said, _ = played
    assert re.search(r"scored \w+ +(BUY|SELL) +[\d.]+ -> +[\d.]+ 0\.\d{3} (take|leave)", said)


def test_files_are_there_and_agree_with_the_count(
    played: tuple[dict[str, Any], str, Path],
) -> None:
    facts, said, directory = played
    for name, path in facts["files"].items():
        assert Path(path).is_relative_to(directory), name
        assert path in said
    log = (directory / "truth_log.jsonl").read_text()
    lines = [json.loads(line) for line in log.splitlines()]
    assert sum(line["completed"] for line in lines) == facts["ended"]
    assert facts["outcome_requests"] == {"recorded": facts["ended"]}
    with closing(open_reader(directory / "journal.db")) as connection:
        # A request without a signal's id that is repeated, its reply being late, is scored anew.
        rows = connection.execute("select count(distinct request) from scores").fetchone()[0]
    assert rows == facts["sent"]


@pytest.mark.parametrize(
    ("of", "shows"),
    [
        ("models", r"\* "),
        ("weeks", r"(?s).*\ntogether +[1-9]"),
        ("thresholds", r"(?s).*\nall +[1-9]"),
    ],
)
def test_the_commands_that_it_names_work_as_they_stand(
    played: tuple[dict[str, Any], str, Path], of: str, shows: str
) -> None:
    _, said, _ = played
    start = f"look at the {of}: "
    (command,) = [line[len(start) :] for line in said.splitlines() if line.startswith(start)]
    told = subprocess.run(
        command.split(), capture_output=True, text=True, check=True, env={"PATH": "/usr/bin:/bin"}
    )
    assert re.match(shows, told.stdout)


def test_children_have_ended_in_order(played: tuple[dict[str, Any], str, Path]) -> None:
    facts, _, directory = played
    assert facts["exit_codes"]["service"] == 0
    pid = service_pid(directory)
    assert pid is not None
    assert not running(pid)


def test_interrupt_ends_all_and_still_sums_up(tmp_path: Path) -> None:
    directory = tmp_path / "files"
    with started(directory, "--seconds", "60") as process:
        eventually((directory / "truth_log.jsonl").exists, "the log", LIMIT_S)
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 130
    assert "summary, interrupted" in said
    assert "0 lost" in said
    pid = service_pid(directory)
    assert pid is not None
    assert not running(pid)


def test_killed_demo_leaves_no_service_behind(tmp_path: Path) -> None:
    directory = tmp_path / "files"
    with started(directory, "--seconds", "60") as process:
        pid = eventually(lambda: service_pid(directory), "the service", LIMIT_S)
        # Out of Ctrl-C's reach, and yet with no other claim to a processor than its client.
        assert os.getpgid(pid) != os.getpgid(process.pid)
        assert os.getsid(pid) == os.getsid(process.pid)
        os.kill(process.pid, signal.SIGKILL)
        eventually(lambda: not running(pid), "its end", LIMIT_S)


def test_directory_with_files_in_it_is_refused(tmp_path: Path) -> None:
    (tmp_path / "precious").touch()
    with started(tmp_path) as process:
        said, _ = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 2
    assert "is not empty" in said


def test_facts_that_could_not_be_written_are_refused_before_it_is_played(tmp_path: Path) -> None:
    with started(tmp_path, "--json", str(tmp_path / "nowhere" / "facts.json")) as process:
        said, _ = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 2
    assert "there is no folder" in said


def test_without_the_trainers_libraries_it_says_what_to_install() -> None:
    with pytest.raises(CommandError, match=r"no_such_library.*install") as raised:
        demo([], needed=("json", "no_such_library"))
    assert raised.value.exit_code == 69
