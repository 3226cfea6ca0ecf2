"""CURVE on real sockets: who is on the list gets answers, everybody else gets nothing."""

from __future__ import annotations

import signal
import time
from contextlib import closing
from pathlib import Path

import pytest
import zmq
from command import invoke
from harness import PATIENCE_S, Feed, Service, eventually, free_port, running
from serving import body, history

from protocol.client import ScorerClient
from protocol.curve import CurveKeys, KeyPair
from service.config.load import load
from service.keygen import keygen
from service.sockets.door import ANSWERS_A_TURN, KEPT_STRANGERS, Door
from service.sockets.setup import guard, scoring_socket
from service.sockets.zap import AllowList

IN_VAIN_MS = 400


class Keys:
    """A folder as `keygen` leaves it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.settings = {
            "CURVE_SERVER_SECRET_FILE": str(folder / "server.key"),
            "CURVE_CLIENTS_DIR": str(folder / "clients"),
        }

    def made(self, name: str) -> CurveKeys:
        keygen(self.folder, name)
        return self.read(name)

    def read(self, name: str) -> CurveKeys:
        return CurveKeys.read(self.folder / "server.pub", self.folder / f"{name}.key")


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    return Keys(tmp_path / "keys")


def near(address: str) -> str:
    """Where to reach from here what was bound for all."""
    return address.replace("0.0.0.0", "127.0.0.1")


def answers(address: str, curve: CurveKeys | None) -> bool:
    with ScorerClient(near(address), 10_000, curve=curve) as client:
        return client.health()["uptime_s"] >= 0


def gets_nothing(address: str, curve: CurveKeys | None, listed: CurveKeys) -> bool:
    """Whether a question stays without an answer, also while one who is listed gets his."""
    with zmq.Context() as context, context.socket(zmq.DEALER) as client:
        client.setsockopt(zmq.LINGER, 0)
        if curve:
            curve.apply(client)
        client.connect(near(address))
        client.send_multipart([b"", body("health")])
        in_vain = not client.poll(IN_VAIN_MS)
        return in_vain and answers(address, listed) and not client.poll(0)


def test_a_listed_client_is_answered_and_strangers_get_nothing(tmp_path: Path, keys: Keys):
    elite_guard = keys.made("elite_guard")
    stranger = CurveKeys(elite_guard.server_public, KeyPair(*zmq.curve_keypair()))
    wrong_server = CurveKeys(zmq.curve_keypair()[0], elite_guard.own)
    with running(tmp_path / "s", SCORE_BIND="tcp://0.0.0.0:*", **keys.settings) as service:
        assert answers(service.address, elite_guard)
        for refused in (None, stranger, wrong_server):
            assert gets_nothing(service.address, refused, elite_guard)
        with ScorerClient(near(service.address), IN_VAIN_MS, curve=stranger) as client:
            error = str(client.score("EURUSD", 70.0).error)
            assert "not on its list" in error
            # At this very address of its own machine it does ask: the bind's text decides.
            assert "where its score.bind names an address of its own machine" in error
        with ScorerClient(near(service.address), 10_000, curve=elite_guard) as client:
            reply = client.score("EURUSD", 70.0)
            assert (reply.final_score, reply.status) == (70.0, "unknown_symbol")
            handshakes = client.stats()["handshakes"]
        assert handshakes["admitted"] >= 2
        assert handshakes["refused"] >= 1
        told = [line for line in service.log if line["event"].startswith("client refused")]
        assert [line["key"] for line in told] == [stranger.own.public.decode()]


def test_a_client_is_added_and_taken_away_while_the_service_runs(tmp_path: Path, keys: Keys):
    first = keys.made("first")
    with running(tmp_path / "s", SCORE_BIND="tcp://0.0.0.0:*", **keys.settings) as service:
        assert answers(service.address, first)
        second = keys.made("second")
        eventually(lambda: not gets_nothing(service.address, second, first), "the second client")
        (keys.folder / "clients" / "first.pub").unlink()
        eventually(lambda: gets_nothing(service.address, first, second), "the first to be kept out")
        assert answers(service.address, second)
        assert [event["clients"] for event in service.events("clients_read")] == [1, 2, 1]


def test_sighup_has_the_list_read_again_and_a_broken_key_is_named(tmp_path: Path, keys: Keys):
    client = keys.made("client")
    with running(tmp_path / "s", SCORE_BIND="tcp://0.0.0.0:*", **keys.settings) as service:
        assert service.process
        # Nothing has changed, so that it is not read by itself.
        service.process.send_signal(signal.SIGHUP)
        eventually(lambda: len(service.events("clients_read")) == 2, "the list to be read again")
        (keys.folder / "clients" / "broken.pub").write_text("no key\n")
        eventually(lambda: len(service.events("clients_read")) == 3, "the broken key to be seen")
        with ScorerClient(near(service.address), 10_000, curve=client) as asking:
            assert any("broken.pub" in note for note in asking.health()["notes"])


def test_what_lets_nobody_or_anybody_in_is_refused(keys: Keys):
    """As `serve` refuses it, which asks the same."""
    keys.made("client")
    (keys.folder / "server.key").chmod(0o640)
    for values, words in (
        ({"SCORE_BIND": "tcp://0.0.0.0:*"}, ["signal-scorer keygen", "allow_insecure"]),
        ({"SCORE_BIND": "tcp://0.0.0.0:*", **keys.settings}, ["chmod 600"]),
        ({"CURVE_FEED_KEYS": '{"tcp://h:1": "bridge.pub"}'}, ["tcp://h:1"]),
    ):
        done = invoke("config", "--check", **values)
        assert done.returncode == 78
        assert all(word in done.stderr for word in words), done.stderr


def test_on_loopback_keys_are_a_choice(tmp_path: Path, keys: Keys):
    client = keys.made("client")
    with running(tmp_path / "a", **keys.settings) as service:
        assert answers(service.address, None)
    with running(tmp_path / "b", CURVE_LOOPBACK="true", **keys.settings) as service:
        assert gets_nothing(service.address, None, client)


def test_one_service_takes_plain_peers_at_its_path_and_keys_from_afar(tmp_path: Path, keys: Keys):
    client = keys.made("client")
    path = f"ipc://{tmp_path}/s.sock"
    with running(tmp_path / "s", SCORE_BIND=f"{path},tcp://0.0.0.0:*", **keys.settings) as service:
        with ScorerClient(path, 10_000) as local:
            assert local.health()["uptime_s"] >= 0
        assert gets_nothing(service.address, None, client)


def test_without_someone_to_ask_about_keys_nobody_gets_in(keys: Keys):
    client = keys.made("client")
    config = load(
        environ={f"SIGNAL_SCORER_{key}": value for key, value in keys.settings.items()}
    ).config
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    try:
        guarded = guard(config)
        _, addresses = scoring_socket(context, ("tcp://0.0.0.0:*",), guarded, [])
        peer = context.socket(zmq.DEALER)
        peer.setsockopt(zmq.IMMEDIATE, 1)
        client.apply(peer)
        peer.connect(near(addresses[0]))
        assert not peer.poll(IN_VAIN_MS, zmq.POLLOUT)
    finally:
        context.destroy(linger=0)


def test_ticks_are_only_taken_from_pushers_with_a_key(tmp_path: Path, keys: Keys):
    client = keys.made("client")
    port = free_port()
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    with running(tmp_path / "s", FEED_INGEST=f"tcp://0.0.0.0:{port}", **keys.settings) as service:
        try:
            stranger, pusher = context.socket(zmq.PUSH), context.socket(zmq.PUSH)
            client.apply(pusher)
            for socket in (stranger, pusher):
                socket.setsockopt(zmq.IMMEDIATE, 1)
                socket.connect(f"tcp://127.0.0.1:{port}")
            assert pusher.poll(PATIENCE_S * 1000, zmq.POLLOUT)
            pusher.send(history(("EURUSD",), time.time())[0])
            eventually(lambda: service.received() == 1, "the one tick")
            assert not stranger.poll(IN_VAIN_MS, zmq.POLLOUT)
        finally:
            context.destroy(linger=0)


def test_the_feed_may_be_encrypted_too(tmp_path: Path):
    public, secret = zmq.curve_keypair()
    (tmp_path / "bridge.pub").write_bytes(public)
    with (
        closing(Feed(secret)) as feed,
        closing(
            Service(
                tmp_path / "s",
                feed,
                CURVE_FEED_KEYS=f'{{"{feed.address}": "{tmp_path}/bridge.pub"}}',
            )
        ) as service,
    ):
        service.start()
        service.warm()


def test_the_command_line_shows_its_keys(tmp_path: Path, keys: Keys):
    keys.made("me")
    with running(tmp_path / "s", SCORE_BIND="tcp://0.0.0.0:*", **keys.settings) as service:
        command = ["--server-key", str(keys.folder / "server.pub")]
        command += ["--key", str(keys.folder / "me.key")]
        command += ["stats", "--timeout-ms", "10000", "--endpoint", near(service.address)]
        done = invoke(*command)
        assert done.returncode == 0, done.stderr
        assert '"admitted": 1' in done.stdout


def test_keys_are_shown_where_they_are_wanted_and_not_elsewhere(tmp_path: Path, keys: Keys):
    keys.made("me")
    given = ["--server-key", str(keys.folder / "server.pub"), "--key", str(keys.folder / "me.key")]
    bind = f"ipc://{tmp_path}/score.sock,tcp://127.0.0.1:*"
    with running(tmp_path / "s", SCORE_BIND=bind, **keys.settings) as service:
        values = {"SCORE_BIND": bind, "STATE_DIR": str(service.folder)} | keys.settings
        done = invoke(*given, "health", **values)
        assert '"mode": "live"' in done.stdout, done.stderr
        said = invoke(*given, "doctor", "--listen-s", "0.1", **values).stdout
        assert "ready, up" in said


def test_keys_are_shown_by_who_has_no_configuration_of_the_service(tmp_path: Path, keys: Keys):
    keys.made("me")
    given = ["--server-key", str(keys.folder / "server.pub"), "--key", str(keys.folder / "me.key")]
    settings = keys.settings | {"CURVE_LOOPBACK": "true"}
    with running(tmp_path / "s", SCORE_BIND="tcp://127.0.0.1:*", **settings) as service:
        done = invoke(*given, "health", SCORE_BIND=service.address)
        assert '"mode": "live"' in done.stdout, done.stderr


def test_a_command_without_keys_is_told_that_they_are_wanted(tmp_path: Path, keys: Keys):
    """It is not sent to an address that nobody configured."""
    for command in ("health", "status", "mode"):
        values = keys.settings | {"CURVE_LOOPBACK": "true"}
        done = invoke(command, SCORE_BIND="tcp://127.0.0.1:1", **values)
        assert done.returncode == 2
        assert "give --server-key and --key" in done.stderr


def test_strangers_are_answered_a_few_a_turn_and_so_many_named_once_each(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    with (
        zmq.Context() as context,
        context.socket(zmq.ROUTER) as asked,
        context.socket(zmq.DEALER) as libzmq,
    ):
        asked.bind("inproc://door")
        libzmq.connect("inproc://door")
        door = Door(asked, AllowList(tmp_path))
        strangers = [n.to_bytes(32, "big") for n in range(KEPT_STRANGERS + 10)]
        for key in (strangers[0], *strangers):
            libzmq.send_multipart([b"", b"1.0", b"7", b"", b"10.0.0.9", b"", b"CURVE", key])
        door.answer()
        assert door.counts == {"admitted": 0, "refused": ANSWERS_A_TURN}
        while sum(door.counts.values()) <= len(strangers):
            door.answer()
        answers = [libzmq.recv_multipart()[3] for _ in range(len(strangers) + 1)]
        assert answers == [b"400"] * (len(strangers) + 1)
    assert "".join(capsys.readouterr()).count("client refused") == KEPT_STRANGERS
