"""Damage in the spool costs its own rows, and a reader no more than its size."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.journal import spool as spool_file
from service.journal.spool import MAX_ROW_BYTES, Damaged, Spool, read_spool


@settings(max_examples=60)
@given(st.data())
def test_a_turned_bit_costs_its_own_row_and_is_never_believed(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    spool = Spool(tmp_path_factory.mktemp("spool") / "s")
    spool.open()
    written = [[i, "text", b"\x00\x01", 0.5, None] for i in range(4)]
    spool.append(written)
    spool.close()
    content = bytearray(spool.path.read_bytes())
    size = len(content) // 4
    at = data.draw(st.integers(0, len(content) - 1))
    content[at] ^= 1 << data.draw(st.integers(0, 7))
    spool.path.write_bytes(content)
    said = None
    try:
        found = read_spool(spool.path)
    except Damaged as error:
        found, said = error.rows, str(error)
    if said is None:  # the last one's length: it may as well have been cut short
        assert at // size == 3
    else:
        assert f"{at // size * size} is damaged" in said
    assert found == [row for row in written if row[0] != at // size]


@settings(max_examples=40)
@given(st.binary(min_size=8, max_size=5000))
def test_what_is_no_spool_is_damage_and_not_a_row_cut_short(
    tmp_path_factory: pytest.TempPathFactory, garbage: bytes
) -> None:
    path = tmp_path_factory.mktemp("spool") / "s"
    path.write_bytes(b"\xff\xff\xff\xff" + garbage)
    with pytest.raises(Damaged) as raised:
        read_spool(path)
    assert raised.value.rows == []


LONG = struct.pack("<II", 1 << 17, 0) + b"\x91"
CUT_SHORT = struct.pack("<II", MAX_ROW_BYTES, 0)


@pytest.mark.parametrize("begins", [b"", CUT_SHORT])
@pytest.mark.parametrize(
    "repeated",
    [
        pytest.param(b"\x91\0\x02\0", id="a length at every fourth byte"),
        pytest.param(LONG + struct.pack("<II", 2, zlib.crc32(b"\x91\1")) + b"\x91\1", id="series"),
    ],
)
def test_so_much_of_a_damaged_spool_is_checksummed_in_vain_and_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, begins: bytes, repeated: bytes
) -> None:
    summed_bytes = 0

    def counted(content: bytes) -> int:
        nonlocal summed_bytes
        summed_bytes += len(content)
        return crc32(content)

    crc32 = zlib.crc32
    monkeypatch.setattr(zlib, "crc32", counted)
    monkeypatch.setattr(spool_file, "MOST_IN_VAIN_BYTES", 8 << 20)
    size = 1 << 18
    (tmp_path / "s").write_bytes(begins + repeated * (size // len(repeated)))
    with pytest.raises(Damaged, match="byte 0 is damaged") as raised:
        read_spool(tmp_path / "s")
    assert summed_bytes <= (8 << 20) + MAX_ROW_BYTES + size
    assert all(row == [1] for row in raised.value.rows)
