"""Where the service listens, and who may talk to it."""

from __future__ import annotations

import os
import socket
import subprocess
from contextlib import closing
from pathlib import Path

import pytest
from another_user import as_nobody, as_root
from doctored import Setup, beside
from harness import Service, free_port, running
from wire import answering

from service.doctor.report import as_lines, as_object
from service.keygen import keygen

# Addresses


@pytest.mark.parametrize("host", ["127.0.0.1", "*", "0.0.0.0", "[::]"])
def test_a_port_that_another_program_has(setup: Setup, taken: int, host: str) -> None:
    setup.values["SCORE_BIND"] = f"tcp://{host}:{taken}"
    found = setup.fault("addresses", str(taken), "taken by", str(os.getpid()), ask_ms=50.0)
    assert "score.bind" in found.advice


@pytest.mark.parametrize(("other", "level"), [("::1", "ok"), ("::ffff:127.0.0.1", "fail")])
def test_a_port_that_another_program_has_at_an_address_of_ipv6(
    setup: Setup, other: str, level: str
) -> None:
    with closing(socket.socket(socket.AF_INET6, socket.SOCK_STREAM)) as taken:
        try:
            taken.bind((other, 0))
        except OSError:
            pytest.skip("there is no IPv6 here")
        taken.listen()
        address = f"tcp://0.0.0.0:{taken.getsockname()[1]}"
        setup.values |= {"SCORE_BIND": address, "SCORE_ALLOW_INSECURE": "true"}
        *_, found = setup.findings("addresses", ask_ms=50.0)
    assert (found.level, found.about) == (level, address)


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", ""])
def test_a_port_of_the_metrics_that_another_program_has(
    setup: Setup, taken: int, host: str
) -> None:
    setup.values["METRICS_BIND"] = f"{host}:{taken}"
    assert "metrics.bind" in setup.fault("addresses", str(taken), "no metrics").advice


def test_a_service_of_another_state_directory(lone: Service, tmp_path: Path) -> None:
    setup = Setup(tmp_path, SCORE_BIND=lone.address)
    found = setup.fault("addresses", "another state directory", str(lone.folder))
    assert "--config" in found.advice


def test_a_service_of_another_state_directory_that_ends_alike(setup: Setup) -> None:
    with answering(lambda _: {"state_dir": setup.state.name}) as other:
        setup.values["SCORE_BIND"] = other.address
        setup.fault("addresses", "another state directory")


def test_a_service_whose_port_is_left_to_the_system(lone: Service, tmp_path: Path) -> None:
    wildcard = beside(lone, tmp_path / "beside", SCORE_BIND="tcp://127.0.0.1:*")
    (found,) = wildcard.findings("service")
    assert (found.level, "`ready` of its log" in found.text) == ("ok", True)


def test_a_state_directory_whose_name_is_longer_than_what_is_said_of_it(tmp_path: Path) -> None:
    with running(tmp_path / "/".join(10 * ["a-name-of-25-characters-"])) as service:
        found = beside(service, tmp_path / "beside").findings("addresses", "service")
    assert {finding.level for finding in found} == {"ok"}


def test_a_running_service_that_listens_elsewhere(lone: Service, tmp_path: Path) -> None:
    other = f"tcp://127.0.0.1:{free_port()}"
    setup = beside(lone, tmp_path, SCORE_BIND=f"{lone.address},{other}")
    assert "restart" in setup.fault("addresses", other, "does not listen").advice


@pytest.mark.parametrize("host", ["*", "0.0.0.0"])
def test_a_running_service_that_listens_at_one_address_only(
    lone: Service, tmp_path: Path, host: str
) -> None:
    bind = f"tcp://{host}:{lone.address.rpartition(':')[2]}"
    setup = beside(lone, tmp_path, SCORE_BIND=bind)
    assert "restart" in setup.fault("addresses", bind, "does not listen").advice


def test_a_file_where_the_ipc_socket_belongs(setup: Setup) -> None:
    (setup.state / "score.sock").write_text("notes")
    setup.values["SCORE_BIND"] = f"ipc://{setup.state}/score.sock"
    assert "mv " in setup.fault("addresses", "score.sock", "no socket").advice


def test_an_ipc_socket_that_was_removed(open_folder: Path, tmp_path: Path) -> None:
    address = f"ipc://{open_folder}/score.sock"
    with running(tmp_path, SCORE_BIND=f"tcp://127.0.0.1:{free_port()},{address}") as service:
        (open_folder / "score.sock").unlink()
        setup = beside(service, tmp_path / "beside")
        setup.values["SCORE_BIND"] = service._values["SCORE_BIND"]
        assert "restart" in setup.fault("addresses", "score.sock", "was removed").advice


@as_root
def test_an_ipc_folder_that_the_service_may_not_write(
    served_by_nobody: Setup, open_folder: Path
) -> None:
    (open_folder / "closed").mkdir(mode=0o700)
    (open_folder / "closed" / "run").mkdir()
    served_by_nobody.values["SCORE_BIND"] = f"ipc://{open_folder}/closed/run/score.sock"
    advice = served_by_nobody.fault("addresses", "may not write").advice
    assert "systemd-tmpfiles --create /etc/tmpfiles.d/signal-scorer.conf" in advice
    subprocess.run(["sh", "-ec", advice.partition("elsewhere: ")[2]], check=True)
    assert {found.level for found in served_by_nobody.findings("addresses")} == {"ok"}


@as_root
def test_a_socket_that_is_hidden_from_who_asks_hides_no_other_address(
    served_by_nobody: Setup, open_folder: Path
) -> None:
    (open_folder / "closed").mkdir(mode=0o700)
    port = served_by_nobody.values["SCORE_BIND"]
    served_by_nobody.values["SCORE_BIND"] = f"ipc://{open_folder}/closed/score.sock,{port}"
    with as_nobody():
        hidden, free = served_by_nobody.findings("addresses")
    assert (hidden.level, hidden.text) == ("warn", "is hidden from you")
    assert (free.level, free.about) == ("ok", port)


def test_an_address_that_is_named_twice(setup: Setup) -> None:
    setup.values["FEED_INGEST"] = setup.values["SCORE_BIND"]
    assert "leave one" in setup.fault("configuration", "score.bind and feed.ingest").advice


def test_a_port_that_there_is_not(setup: Setup) -> None:
    setup.values["SCORE_BIND"] = "tcp://127.0.0.1:99999"
    assert "65535" in setup.fault("addresses", "99999").text
    setup.values["FEED_ENDPOINTS"] = "tcp://127.0.0.1:99999"
    assert "65535" in setup.fault("feed", "99999").advice


def test_metrics_at_the_scoring_address(lone: Service, tmp_path: Path) -> None:
    """Held by the running service, which gives no metrics there."""
    setup = beside(lone, tmp_path, METRICS_BIND=lone.address.removeprefix("tcp://"))
    assert "leave one" in setup.fault("configuration", "score.bind and metrics.bind").advice


def test_metrics_at_what_is_no_address(setup: Setup) -> None:
    setup.values["METRICS_BIND"] = "127.0.0.1:99999"
    assert "127.0.0.1:9461" in setup.fault("addresses", "99999").advice


def test_an_address_open_to_other_machines(setup: Setup) -> None:
    setup.values["SCORE_BIND"] = f"tcp://0.0.0.0:{free_port()}"
    assert "keygen" in setup.fault("addresses", "other machines").advice
    setup.values["SCORE_ALLOW_INSECURE"] = "true"
    assert "keygen" in setup.fault("addresses", "every machine", level="warn").advice


def test_metrics_open_to_other_machines(setup: Setup) -> None:
    setup.values["METRICS_BIND"] = f"0.0.0.0:{free_port()}"
    assert "metrics.bind" in setup.fault("addresses", "other machines", level="warn").advice


# Keys


@pytest.fixture
def guarded(setup: Setup, tmp_path: Path) -> Setup:
    made = keygen(tmp_path / "keys", "elite_guard")
    setup.values |= {
        "CURVE_SERVER_SECRET_FILE": str(made.server_secret),
        "CURVE_CLIENTS_DIR": str(made.clients_dir),
    }
    return setup


def test_keys_as_keygen_makes_them_are_fine(guarded: Setup) -> None:
    assert {finding.level for finding in guarded.findings("keys")} == {"ok"}


def test_a_secret_that_others_may_read(guarded: Setup, tmp_path: Path) -> None:
    (tmp_path / "keys" / "server.key").chmod(0o644)
    assert "chmod 600" in guarded.fault("keys", "server.key", "0644").advice


def test_an_empty_list_of_clients(guarded: Setup, tmp_path: Path) -> None:
    (tmp_path / "keys" / "clients" / "elite_guard.pub").unlink()
    assert "keygen --name" in guarded.fault("keys", "nobody is let in").advice


def test_a_clients_key_that_is_none(guarded: Setup, tmp_path: Path) -> None:
    (tmp_path / "keys" / "clients" / "broken.pub").write_text("not a key\n")
    assert "keygen" in guarded.fault("keys", "broken.pub", "no key").advice


def test_a_secret_where_a_clients_public_key_belongs(guarded: Setup, tmp_path: Path) -> None:
    secret = (tmp_path / "keys" / "elite_guard.key").read_bytes()
    (tmp_path / "keys" / "clients" / "oops.pub").write_bytes(secret)
    assert "new pair" in guarded.fault("keys", "oops.pub", "SECRET").advice


def test_a_file_whose_name_is_no_text_is_told_of(guarded: Setup, tmp_path: Path) -> None:
    (tmp_path / "keys" / "clients" / os.fsdecode(b"\xff.pub")).write_text("not a key\n")
    fault = guarded.fault("keys", "no key")
    assert "udcff.pub" in as_object([fault], 1)
    assert "udcff.pub" in "".join(as_lines(fault)).encode().decode()


def test_a_list_of_clients_that_anybody_may_add_to(guarded: Setup, tmp_path: Path) -> None:
    (tmp_path / "keys" / "clients").chmod(0o777)
    assert "chmod o-w" in guarded.fault("keys", "let himself in").advice


def test_a_clients_key_whose_name_is_a_command(guarded: Setup, tmp_path: Path) -> None:
    key = tmp_path / "keys" / "clients" / ";touch pasted #.pub"
    key.touch()
    key.chmod(0o666)
    advice = guarded.fault("keys", key.name, "let himself in").advice
    subprocess.run(["sh", "-ec", advice], check=True, cwd=tmp_path)
    assert key.stat().st_mode & 0o777 == 0o664
    assert not (tmp_path / "pasted").exists()
