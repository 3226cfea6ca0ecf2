"""The allow-list and the verdict on each handshake: whatever is odd lets nobody in."""

from __future__ import annotations

import os
from pathlib import Path

import zmq
from another_user import as_no_root
from hypothesis import given
from hypothesis import strategies as st
from zmq.utils import z85

from service.sockets.zap import MAX_CLIENTS, AllowList, verdict

KEY, _ = zmq.curve_keypair()
NAMES = {KEY: "elite_guard"}


def asking(
    *credentials: bytes, mechanism: bytes = b"CURVE", version: bytes = b"1.0"
) -> list[bytes]:
    head = [b"peer", b"", version, b"7", b"signal-scorer", b"10.0.0.9", b"identity"]
    return [*head, mechanism, *credentials]


def test_a_listed_key_is_let_in_under_its_name_and_its_request_number():
    found = verdict(asking(z85.decode(KEY)), NAMES)
    assert found is not None
    assert found.frames == [b"peer", b"", b"1.0", b"7", b"200", b"", b"elite_guard", b""]
    assert (found.name, found.key, found.address) == ("elite_guard", KEY, "10.0.0.9")


def test_any_other_key_mechanism_or_number_of_credentials_is_refused():
    stranger = zmq.curve_keypair()[0]
    known = z85.decode(KEY)
    for request in (
        asking(z85.decode(stranger)),
        asking(known, mechanism=b"NULL"),
        asking(mechanism=b"NULL"),
        asking(b"user", b"password", mechanism=b"PLAIN"),
        asking(known, known),
        asking(),
        asking(known[:31]),
        asking(KEY),  # as text instead of 32 bytes
    ):
        found = verdict(request, NAMES)
        assert found is not None
        assert found.frames[4] == b"400"
        assert found.name is None


def test_what_is_no_zap_request_gets_no_answer():
    assert verdict(asking(z85.decode(KEY), version=b"2.0"), NAMES) is None
    assert verdict([b"peer", b""], NAMES) is None
    assert verdict([b"peer", b"no delimiter", *asking()[2:]], NAMES) is None


@given(st.lists(st.binary(max_size=40), max_size=12))
def test_nothing_that_is_sent_raises_and_nothing_odd_is_let_in(frames: list[bytes]):
    found = verdict(frames, NAMES)
    assert found is None or found.name is None


def add(folder: Path, name: str) -> bytes:
    public, _ = zmq.curve_keypair()
    (folder / f"{name}.pub").write_bytes(public)
    return public


def test_a_file_whose_name_is_no_text_lets_in_and_can_be_told_of(tmp_path: Path):
    public = zmq.curve_keypair()[0]
    (tmp_path / os.fsdecode(b"\xff.pub")).write_bytes(public)
    (tmp_path / os.fsdecode(b"\xfe.pub")).write_text("no key")
    allowed = AllowList(tmp_path)
    allowed.look()
    found = verdict(asking(z85.decode(public)), allowed.names)
    assert found is not None
    assert found.frames[4:] == [b"200", b"", b"?", b""]
    assert [fault.encode().startswith(bytes(tmp_path)) for fault in allowed.faults] == [True]


def test_a_folder_is_read_when_it_changes_and_only_then(tmp_path: Path):
    allowed = AllowList(tmp_path)
    first = add(tmp_path, "first")
    assert allowed.look()
    assert not allowed.look()
    second = add(tmp_path, "second")
    (tmp_path / "notes.txt").write_text("no key, no matter")
    assert allowed.look()
    assert allowed.names == {first: "first", second: "second"}
    (tmp_path / "first.pub").unlink()
    assert allowed.look()
    assert set(allowed.names.values()) == {"second"}
    assert not allowed.look()
    allowed.stale = True
    assert allowed.look()


def test_a_key_that_cannot_be_read_is_named_and_the_others_hold(tmp_path: Path):
    good = add(tmp_path, "good")
    (tmp_path / "bad.pub").write_text("nonsense")
    (tmp_path / "lost.pub").symlink_to("nowhere")
    allowed = AllowList(tmp_path)
    assert allowed.look()
    assert allowed.names == {good: "good"}
    assert [Path(fault.split()[0]).name for fault in allowed.faults if "bad" in fault] == [
        "bad.pub"
    ]
    assert any("lost.pub" in fault for fault in allowed.faults)


def test_without_its_folder_nobody_is_let_in_and_that_is_told_once(tmp_path: Path):
    folder = tmp_path / "clients"
    allowed = AllowList(folder)
    assert allowed.look()
    assert not allowed.look()
    assert allowed.names == {}
    assert "no client is let in" in allowed.faults[0]
    folder.mkdir()
    assert allowed.look()
    assert allowed.faults == ()
    add(folder, "client")
    assert allowed.look()
    assert len(allowed.names) == 1


def test_a_folder_that_is_taken_away_lets_nobody_in_any_more(tmp_path: Path):
    folder = tmp_path / "clients"
    folder.mkdir()
    key = add(folder, "client")
    allowed = AllowList(folder)
    allowed.look()
    assert allowed.names == {key: "client"}
    folder.rename(tmp_path / "elsewhere")
    assert allowed.look()
    assert allowed.names == {}


def test_a_key_that_is_replaced_under_its_name_lets_in_the_new_one_only(tmp_path: Path):
    add(tmp_path, "client")
    allowed = AllowList(tmp_path)
    allowed.look()
    new = add(tmp_path, "client")
    # A file's time moves in ticks of the kernel: within one the two would look alike.
    os.utime(tmp_path / "client.pub", (1.0, 1.0))
    assert allowed.look()
    assert allowed.names == {new: "client"}


def test_a_key_that_could_not_be_read_is_let_in_once_it_can(open_folder: Path):
    key = add(open_folder, "client")
    (open_folder / "client.pub").chmod(0)
    allowed = AllowList(open_folder)
    with as_no_root():
        assert allowed.look()
        assert (allowed.names, len(allowed.faults)) == ({}, 1)
        assert not allowed.look()
    (open_folder / "client.pub").chmod(0o644)
    with as_no_root():
        assert allowed.look()
    assert (allowed.names, allowed.faults) == ({key: "client"}, ())


def test_the_list_is_bounded(tmp_path: Path):
    key = zmq.curve_keypair()[0]
    for number in range(MAX_CLIENTS):
        (tmp_path / f"{number:05d}.pub").write_bytes(key)
    add(tmp_path, f"{MAX_CLIENTS:05d}")
    allowed = AllowList(tmp_path)
    assert allowed.look()
    assert set(allowed.names) == {key}
    assert f"{MAX_CLIENTS} at most" in allowed.faults[0]
