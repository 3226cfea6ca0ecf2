"""Who is let in through CURVE: the allow-list, and the answer to each handshake.

ZAP (rfc.zeromq.org/spec/27) asks here about every key that a peer has proven to hold. Without
it CURVE only encrypts: anyone who knows the server's public key gets in. Whatever cannot be
read lets nobody in.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from zmq.utils import z85

from protocol.curve import PUBLIC_SUFFIX, KeyFileError, read_public
from service.console.printable import printable

ZAP_ADDRESS = "inproc://zeromq.zap.01"
DOMAIN = b"signal-scorer"
VERSION = b"1.0"
MAX_CLIENTS = 1024
KEY_BYTES = 32

Signature = tuple[tuple[str, int, int, int], ...]


class Admission(NamedTuple):
    """A handshake's reply frames, and for the log who came from where; `name` None: refused."""

    frames: list[bytes]
    name: str | None
    key: bytes
    address: str


class AllowList:
    """The public keys in a folder, one NAME.pub a client; `names` maps a Z85 key to NAME.

    `faults` says which files, or why the folder, could not be read; `stale` makes the next
    look read everything again. A file's name may be no text: what is said of it is printable.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.names: Mapping[bytes, str] = {}
        self.faults: tuple[str, ...] = ()
        self.stale = True
        self._signature: Signature | None = None
        self._unread: list[str] = []

    def look(self) -> bool:
        """Read the folder again where something in it changed; True where it was read.

        Who is taken off the list is kept out from the next connection on; those that stand
        are not cut.
        """
        try:
            signature = self._sign()
        except OSError as error:
            fault = printable(f"{self.folder}: {error.strerror}: no client is let in")
            news = self.stale or self.faults != (fault,)
            self.names, self.faults, self._signature, self.stale = {}, (fault,), None, False
            return news
        if not self.stale and signature == self._signature and not self._can_be_read_now():
            return False
        self.stale, self._signature = False, signature
        self._read([name for name, *_ in signature])
        return True

    def _sign(self) -> Signature:
        """What tells one state of the folder from another. Raises OSError."""
        found = []
        with os.scandir(self.folder) as entries:
            for entry in entries:
                if entry.name.endswith(PUBLIC_SUFFIX):
                    try:
                        status = entry.stat()
                    except OSError:  # a link to nowhere: reading it will say so
                        found.append((entry.name, 0, 0, 0))
                        continue
                    found.append((entry.name, status.st_ino, status.st_size, status.st_mtime_ns))
        return tuple(sorted(found))

    def _can_be_read_now(self) -> bool:
        """Whether a key is to be had that was not: a descriptor was lacking, or a right."""
        for file in self._unread:
            try:
                read_public(self.folder / file)
            except KeyFileError as error:
                if isinstance(error.__cause__, OSError):
                    continue
            return True
        return False

    def _read(self, files: list[str]) -> None:
        names: dict[bytes, str] = {}
        faults = []
        self._unread = []
        for file in files[:MAX_CLIENTS]:
            try:
                key = read_public(self.folder / file)
                names[key] = printable(file.removesuffix(PUBLIC_SUFFIX))
            except KeyFileError as error:
                faults.append(str(error))
                if isinstance(error.__cause__, OSError):
                    self._unread.append(file)
        if len(files) > MAX_CLIENTS:
            faults.append(f"{self.folder}: {len(files)} keys, {MAX_CLIENTS} at most are read")
        self.names, self.faults = names, tuple(map(printable, faults))


def verdict(request: list[bytes], names: Mapping[bytes, str]) -> Admission | None:
    """The answer to a ZAP request as a ROUTER gives it; None for what is none."""
    if len(request) < 8 or request[1] or request[2] != VERSION:
        return None
    peer, empty, version, number, _domain, address, _identity, mechanism, *credentials = request
    key, name = b"", None
    if mechanism == b"CURVE" and len(credentials) == 1 and len(credentials[0]) == KEY_BYTES:
        key = z85.encode(credentials[0])
        name = names.get(key)
    head = [peer, empty, version, number]
    if name is None:
        frames = [*head, b"400", b"this key is not on the list", b"", b""]
    else:
        frames = [*head, b"200", b"", name.encode(), b""]
    return Admission(frames, name, key, address.decode("ascii", "replace"))
