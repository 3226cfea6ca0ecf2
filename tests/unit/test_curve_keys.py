"""Key files: what is taken as a key, and what is refused with advice."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import zmq
from another_user import as_nobody, as_root
from hypothesis import given
from hypothesis import strategies as st
from zmq.utils import z85

from protocol.aio import AsyncScorerClient
from protocol.client import ScorerClient
from protocol.curve import CurveKeys, KeyFileError, KeyPair, read_public, read_secret
from protocol.tick_push import TickPush
from service.keygen import keygen


def written(path: Path, content: bytes, mode: int = 0o600) -> Path:
    path.write_bytes(content)
    path.chmod(mode)
    return path


def test_a_secret_file_gives_both_keys_and_comments_do_not_count(tmp_path: Path):
    public, secret = zmq.curve_keypair()
    path = written(tmp_path / "a.key", b"# a comment\n#\n\n" + secret + b"\n")
    assert read_secret(path) == (public, secret)


def test_a_client_reads_its_two_files(tmp_path: Path):
    server, _ = zmq.curve_keypair()
    own = zmq.curve_keypair()
    keys = CurveKeys.read(
        written(tmp_path / "server.pub", server, 0o644), written(tmp_path / "a.key", own[1])
    )
    assert keys.server_public == server
    assert keys.own == own


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644, 0o610])
def test_a_secret_that_others_may_use_is_refused_with_advice(tmp_path: Path, mode: int):
    path = written(tmp_path / "a.key", zmq.curve_keypair()[1], mode)
    with pytest.raises(KeyFileError, match=r"chmod 600 .*a\.key"):
        read_secret(path)


@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_a_secret_of_its_owner_alone_is_taken(tmp_path: Path, mode: int):
    public, secret = zmq.curve_keypair()
    assert read_secret(written(tmp_path / "a.key", secret, mode)).public == public


@as_root
def test_a_secret_of_another_user_is_not_to_be_made_anew(open_folder: Path):
    path = written(open_folder / "a.key", zmq.curve_keypair()[1])
    with as_nobody(), pytest.raises(KeyFileError, match=r"Permission denied; .*chown"):
        read_secret(path)


def test_public_keys_may_be_read_by_all(tmp_path: Path):
    public, _ = zmq.curve_keypair()
    assert read_public(written(tmp_path / "a.pub", public + b"\r\n", 0o644)) == public


def test_a_secret_keys_file_is_no_public_key(tmp_path: Path):
    made = keygen(tmp_path, "SECRET")
    assert made.client_secret
    assert made.client_public
    oops = written(tmp_path / "oops.pub", made.client_secret.read_bytes(), 0o644)
    with pytest.raises(KeyFileError, match=r"oops\.pub holds a SECRET key"):
        read_public(oops)
    # A client may be called so.
    assert read_public(made.client_public) == read_secret(made.client_secret).public


@pytest.mark.parametrize("mode", [0o600, 0o644])
def test_a_public_keys_file_is_no_secret_whoever_may_read_it(tmp_path: Path, mode: int):
    """Nobody is told to close the list's own file, after which it would be taken as a secret."""
    made = keygen(tmp_path, "public")
    assert made.client_public
    for public, meant in ((made.server_public, "server.key"), (made.client_public, "public.key")):
        oops = written(tmp_path / "oops.key", public.read_bytes(), mode)
        with pytest.raises(KeyFileError, match=rf"oops\.key holds a PUBLIC key .*; put {meant}"):
            read_secret(oops)


A_KEY = b"rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7"
"""Out of the Z85 specification (ZeroMQ RFC 32): the same for each process that collects tests."""


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"# only a comment\n",
        b"x" * 39,
        b"x" * 41,
        b"#" * 40,  # more than 32 bits in five characters
        b"x" * 39 + b"\\",
        A_KEY + b"\n" + A_KEY,
        b"\xff" * 40,
        b"\n" * 10_000 + A_KEY,
    ],
)
def test_what_is_no_single_key_is_refused_by_name(tmp_path: Path, content: bytes):
    with pytest.raises(KeyFileError, match=r"a\.pub holds no key"):
        read_public(written(tmp_path / "a.pub", content))


def test_a_missing_file_a_folder_and_a_pipe_are_refused(tmp_path: Path):
    with pytest.raises(KeyFileError, match="keygen"):
        read_public(tmp_path / "absent.pub")
    with pytest.raises(KeyFileError):
        read_public(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(KeyFileError):
        read_public(tmp_path / "pipe")


@given(st.binary(min_size=32, max_size=32).map(z85.encode))
def test_a_file_of_any_secret_key_gives_its_pair(
    tmp_path_factory: pytest.TempPathFactory, secret: bytes
):
    path = written(tmp_path_factory.getbasetemp() / "any.key", secret)
    assert read_secret(path) == (zmq.curve_public(secret), secret)


PUBLIC, SECRET = A_KEY, b"D:)Q[IlAW!ahhC2ac:9*A}h:p?([4%wOTJ%JR%cs"
"""Out of ZeroMQ's own documentation, like the one above."""


@pytest.mark.parametrize(
    "keys",
    [
        CurveKeys(PUBLIC.decode(), KeyPair(PUBLIC, SECRET)),  # type: ignore[arg-type]
        CurveKeys(PUBLIC, KeyPair(PUBLIC.decode(), SECRET.decode())),  # type: ignore[arg-type]
        CurveKeys(PUBLIC, KeyPair(PUBLIC[1:], SECRET)),
        CurveKeys(PUBLIC, KeyPair(PUBLIC, SECRET + b"\n")),
        CurveKeys(PUBLIC, KeyPair(PUBLIC, b"#" * 40)),
        CurveKeys(b"\xff" * 40, KeyPair(PUBLIC, SECRET)),
        CurveKeys(PUBLIC, SECRET),  # type: ignore[arg-type]
        (PUBLIC, (PUBLIC, SECRET)),
        "server.pub",
    ],
)
def test_keys_made_by_hand_that_are_none_are_refused_at_once(keys: Any):
    for user in (ScorerClient, AsyncScorerClient, TickPush):
        with pytest.raises(ValueError, match="curve must be"):
            user("tcp://127.0.0.1:1", curve=keys)


def test_keys_made_by_hand_are_taken():
    keys = CurveKeys(PUBLIC, KeyPair(PUBLIC, SECRET))
    with ScorerClient("tcp://127.0.0.1:1", 5, curve=keys) as client:
        assert client.score("EURUSD", 50.0).status == "unreachable"
    assert TickPush("tcp://127.0.0.1:1", keys).push(b"a tick") is False
