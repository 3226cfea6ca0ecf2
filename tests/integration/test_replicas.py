"""Two services on one feed behind the shipped proxy: what holds, and what does not."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from builders import small_model
from harness import Feed, Service, eventually
from serving import history

from protocol.client import ScorerClient
from training.dataset.answered import advice_by_score
from training.dataset.join import Dataset, read_dataset
from training.dataset.join_rules import JoinRules

ROOT = Path(__file__).resolve().parents[2]
SIGNALS = 20


class Replicas(NamedTuple):
    """Two services and the address of the proxy before them."""

    services: list[Service]
    address: str

    @property
    def journals(self) -> list[Path]:
        return [service.journal_path for service in self.services]


@pytest.fixture(scope="module")
def replicas(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replicas]:
    """The tests follow one another: each tells its signals by ids of its own."""
    tmp_path = tmp_path_factory.mktemp("replicas")
    small_model(tmp_path / "models", now_s=time.time())
    feed = Feed()
    values = {"MODEL_DIRECTORY": str(tmp_path / "models")}
    services = [Service(tmp_path / name, feed, **values).start() for name in ("a", "b")]
    front = f"ipc://{tmp_path}/front"
    command = [sys.executable, str(ROOT / "deploy" / "proxy.py"), front]
    proxy = subprocess.Popen([*command, *(service.address for service in services)])
    try:
        feed.send(*history(("EURUSD", "GBPUSD"), time.time()))
        for service in services:
            with service.client() as client:
                eventually(lambda c=client: c.stats()["symbols_warm"] == 2, "warmth")
        with ScorerClient(front, 10_000) as client:
            eventually(lambda: uptimes(client) == 2, "both to be behind the proxy")
        yield Replicas(services, front)
    finally:
        proxy.kill()
        proxy.wait()
        for service in services:
            service.close()
        feed.close()


def uptimes(client: ScorerClient) -> int:
    """How many services answer in two requests."""
    return len({client.stats()["state_dir"] for _ in range(2)})


def timers(port: int) -> list[tuple[bool, str]]:
    """Of each connection over this port whether this is its end, and its timer; 02: keepalive."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    of = f":{port:04X}"
    ours = (row for row in rows if row[3] == "01" and of in row[1] + row[2])
    return [(row[1].endswith(of), row[5].partition(":")[0]) for row in ours]


def joined(replicas: Replicas, scored: int) -> Dataset:
    """What the trainer makes of both journals, with so many scores, as if a day had passed."""

    def read() -> Dataset | None:
        data = read_dataset(replicas.journals, {}, JoinRules(), now_s=time.time() + 86_400.0)
        return data if data.scored == scored else None

    # A score is kept before its reply, and in its table within a second.
    return eventually(read, f"{scored} scores")


def test_requests_are_shared_out_and_together_the_journals_train(replicas: Replicas) -> None:
    with ScorerClient(replicas.address, 10_000) as client:
        first = [client.score("EURUSD", 60.0 + n, signal_id=f"R{n}") for n in range(SIGNALS)]
        # One request more, so that each of the signals comes to the other service.
        client.health()
        again = [client.score("EURUSD", 60.0 + n, signal_id=f"R{n}") for n in range(SIGNALS)]
        reported = [
            client.outcome("WIN_TP", signal_id=f"R{n}", runtime_seconds=60) for n in range(SIGNALS)
        ]
    assert {reply.status for reply in first + again} == {"success"}
    # What does not hold: a retry that goes elsewhere is scored anew, under another id. The same
    # model on the same feed says the same.
    assert all(one.score_id != other.score_id for one, other in zip(first, again, strict=True))
    for one, other in zip(first, again, strict=True):
        assert one.final_score == pytest.approx(other.final_score, abs=1.0)
    assert all(answer["recorded"] and answer["matched"] for answer in reported)
    data = joined(replicas, 2 * SIGNALS)
    advices = [advice_by_score(journal) for journal in replicas.journals]
    assert [len(found) for found in advices] == [SIGNALS, SIGNALS]
    assert data.excluded["later_revision"] == SIGNALS
    assert data.unmatched == 0


def test_a_peer_that_vanished_is_noticed_by_the_kernel_on_either_side(replicas: Replicas) -> None:
    # The clients reach the proxy by a path: between it and the services there is TCP.
    for service in replicas.services:
        port = int(service.address.rpartition(":")[2])
        eventually(lambda p=port: sorted(timers(p)) == [(False, "02"), (True, "02")], "keepalive")


def test_an_outcome_that_came_to_the_other_service_is_joined_by_the_trainer(
    replicas: Replicas,
) -> None:
    before = joined(replicas, 2 * SIGNALS)
    with ScorerClient(replicas.address, 10_000) as client:
        # One score, then its outcome: in turn they go to different services.
        answers = []
        for number in range(SIGNALS):
            client.score("EURUSD", 60.0 + number, signal_id=f"O{number}")
            answers.append(client.outcome("WIN_TP", signal_id=f"O{number}", runtime_seconds=60))
    assert all(answer["recorded"] for answer in answers)
    assert not any(answer["matched"] for answer in answers)
    after = joined(replicas, 3 * SIGNALS)
    assert after.unmatched == 0
    assert after.excluded == before.excluded
    assert len(after.samples) == len(before.samples) + SIGNALS


def test_a_sentiment_through_the_proxy_reaches_one_service(replicas: Replicas) -> None:
    with ScorerClient(replicas.address, 10_000) as client:
        client.sentiment("*", 90.0)
    lacking = []
    for service in replicas.services:
        with service.client() as client:
            lacking.append("sentiment_score" in client.score("EURUSD", 60.0).missing)
    assert sorted(lacking) == [False, True]


def test_a_service_that_is_killed_costs_what_it_was_just_asked(replicas: Replicas) -> None:
    with ScorerClient(replicas.address, 2_000) as client:
        assert client.score("EURUSD", 70.0).status == "success"
        replicas.services[0].kill()
        statuses = [client.score("EURUSD", 70.0 + n / 10).status for n in range(SIGNALS)]
        assert statuses.count("success") >= SIGNALS - 1, statuses
        replicas.services[0].start()
        eventually(lambda: uptimes(client) == 2, "the other to be asked again")
