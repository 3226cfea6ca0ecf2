"""`keygen` on real folders: modes whatever the umask, nothing overwritten, a next step."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from command import invoke
from harness import full_at

from protocol.curve import CurveKeys, read_public, read_secret
from service.errors import CommandError
from service.keygen import keygen


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_secrets_are_their_owners_and_publics_everybodys(tmp_path: Path, umask: int):
    before = os.umask(umask)
    try:
        made = keygen(tmp_path / "keys", "elite_guard")
    finally:
        os.umask(before)
    assert made.client_secret
    assert made.client_public
    assert [mode(path) for path in (made.server_secret, made.client_secret)] == [0o600, 0o600]
    assert [mode(path) for path in (made.server_public, made.client_public)] == [0o644, 0o644]
    assert mode(made.clients_dir) == 0o755


def test_the_halves_belong_together_and_lie_where_the_configuration_wants_them(tmp_path: Path):
    made = keygen(tmp_path, "elite_guard")
    assert made.client_secret
    assert made.client_public
    assert read_secret(made.server_secret).public == read_public(made.server_public)
    keys = CurveKeys.read(made.server_public, made.client_secret)
    assert keys.own.public == read_public(made.client_public)
    assert made.client_public == tmp_path / "clients" / "elite_guard.pub"


def test_a_second_client_keeps_the_servers_pair(tmp_path: Path):
    first = keygen(tmp_path, "a")
    secret = first.server_secret.read_bytes()
    second = keygen(tmp_path, "b")
    assert first.new_server
    assert not second.new_server
    assert second.server_secret.read_bytes() == secret
    second.server_public.unlink()
    keygen(tmp_path, None)
    assert read_public(second.server_public) == read_secret(second.server_secret).public


def test_nothing_is_overwritten(tmp_path: Path):
    made = keygen(tmp_path, "a")
    files = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(CommandError, match="not overwritten"):
        keygen(tmp_path, "a")
    assert made.client_public
    made.client_public.unlink()
    with pytest.raises(CommandError, match=r"a\.key is there"):
        keygen(tmp_path, "a")
    assert all(path.read_bytes() == files[path] for path in files if path.exists())


@pytest.mark.parametrize("name", ["", "../a", "a/b", ".hidden", "server", "a" * 65, "a b"])
def test_a_name_that_is_no_file_name_is_refused(tmp_path: Path, name: str):
    with pytest.raises(CommandError, match="no name for a client"):
        keygen(tmp_path, name)
    assert list(tmp_path.iterdir()) == []


def test_of_the_command_such_a_name_is_wrong_usage(tmp_path: Path):
    assert invoke("keygen", "--name", "../a", str(tmp_path)).returncode == 2


def test_the_command_says_what_to_do_next_and_a_second_time_why_not(tmp_path: Path):
    done = invoke("keygen", "--name", "elite_guard", str(tmp_path))
    assert done.returncode == 0
    assert f'server_secret_file = "{tmp_path}/server.key"' in done.stdout
    assert 'CurveKeys.read("server.pub", "elite_guard.key")' in done.stdout
    # The service has no keys before it is started anew, and other machines no way in.
    for word in ("restart", "score.bind", "IPAddressAllow", "SIGNAL_SCORER_SERVER_KEY", "CURVE_SE"):
        assert word in done.stdout
    again = invoke("keygen", "--name", "elite_guard", str(tmp_path))
    assert again.returncode == 73
    assert "not overwritten" in again.stderr


@pytest.mark.parametrize("size", [0, 50, 80])
def test_a_full_disk_leaves_no_part_of_a_pair_in_the_way_of_the_next(tmp_path: Path, size: int):
    with full_at(size), pytest.raises(CommandError, match="cannot write keys"):
        keygen(tmp_path, "a")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    made = keygen(tmp_path, "a")
    assert made.client_secret
    assert CurveKeys.read(made.server_public, made.client_secret)


def test_a_clients_secret_without_its_public_key_is_none(tmp_path: Path):
    keygen(tmp_path, None)
    clients = tmp_path / "clients"
    clients.rmdir()
    clients.symlink_to("/proc")  # where no file can be made
    with pytest.raises(CommandError, match="cannot write keys"):
        keygen(tmp_path, "a")
    clients.unlink()
    assert keygen(tmp_path, "a").client_secret == tmp_path / "a.key"
