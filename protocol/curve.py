"""CURVE key files: one Z85 key of 40 characters a file, after comment lines that begin with #.

A public key is in `NAME.pub`; the secret in `NAME.key` says both, since the public one follows
from it. A secret that others than its owner may read is refused: it is none any more.
"""

from __future__ import annotations

import os
import re
import stat
import struct
from pathlib import Path
from typing import NamedTuple

import zmq
from zmq.utils import z85

PUBLIC_SUFFIX = ".pub"
SECRET_SUFFIX = ".key"  # noqa: S105  the end of a file name
MAX_FILE_BYTES = 4096
_Z85_KEY = re.compile(r"[0-9A-Za-z.\-:+=^!/*?&<>()\[\]{}@%$#]{40}")

_IS_PUBLIC = re.compile(r"# CURVE key of ([\w.-]+), public", re.ASCII)
"""The comment of keygen's public files, with the name of the pair."""


class KeyFileError(ValueError):
    """A key file that cannot be used; the text says which, why and what to do."""


class KeyPair(NamedTuple):
    """Both keys of one side, as Z85."""

    public: bytes
    secret: bytes


class CurveKeys(NamedTuple):
    """What a client needs: the server's public key and its own pair.

    CurveKeys.read("server.pub", "elite_guard.key")
    """

    server_public: bytes
    own: KeyPair

    @classmethod
    def read(cls, server_public_file: str | Path, own_secret_file: str | Path) -> CurveKeys:
        """Read both files. Raises KeyFileError."""
        return cls(read_public(server_public_file), read_secret(own_secret_file))

    def apply(self, socket: zmq.Socket[bytes]) -> None:
        """Encrypt what this socket connects to from now on."""
        socket.setsockopt(zmq.CURVE_SERVERKEY, self.server_public)
        socket.setsockopt(zmq.CURVE_PUBLICKEY, self.own.public)
        socket.setsockopt(zmq.CURVE_SECRETKEY, self.own.secret)


def check_keys(keys: CurveKeys | None) -> CurveKeys | None:
    """The keys themselves. Raises ValueError for such as libzmq would refuse with the first call.

    Made by hand they may be text, as out of a store of secrets, or lack a character.
    """
    if keys is None:
        return None
    if not isinstance(keys, CurveKeys) or not isinstance(keys.own, KeyPair):
        raise ValueError("curve must be CurveKeys, for example of CurveKeys.read")
    for key in (keys.server_public, *keys.own):
        if not isinstance(key, bytes) or not _is_key(key.decode("latin-1")):
            raise ValueError(
                "curve must be CurveKeys of three keys, each 40 Z85 characters as bytes"
            )
    return keys


def read_public(path: str | Path) -> bytes:
    """The public key in a file, as Z85. Raises KeyFileError, also for a secret one's file.

    The key itself does not tell which it is; the comment that keygen writes does.
    """
    key, comments, _ = _read(Path(path))
    if any(", SECRET:" in line for line in comments):
        raise KeyFileError(
            f"{path} holds a SECRET key where a public one belongs; put the {PUBLIC_SUFFIX} file "
            "of that pair there, and make a new pair if others could read this one"
        )
    return key


def read_secret(path: str | Path) -> KeyPair:
    """The pair of a secret key's file. Raises KeyFileError, also where others may read it.

    And for a public one's file, as its comment tells: what anybody has would be the secret.
    """
    secret, comments, mode = _read(Path(path))
    public = next(filter(None, map(_IS_PUBLIC.match, comments)), None)
    if public is not None:
        raise KeyFileError(
            f"{path} holds a PUBLIC key where a secret one belongs; put {public[1]}{SECRET_SUFFIX} "
            "there, which keygen made with it"
        )
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise KeyFileError(
            f"{path} is a secret key that others may use (mode {mode & 0o777:04o}); run "
            f"`chmod 600 {path}`, and make a new key if others had access to this machine"
        )
    return KeyPair(zmq.curve_public(secret), secret)


def _read(path: Path) -> tuple[bytes, list[str], int]:
    """(key, comments, mode), the mode being that of the very file that was read."""
    try:
        with open(path, "rb", opener=_at_once) as file:
            mode = os.fstat(file.fileno()).st_mode
            content = file.read(MAX_FILE_BYTES) if stat.S_ISREG(mode) else b""
    except OSError as error:
        advice = "`signal-scorer keygen` makes keys"
        if isinstance(error, PermissionError):
            advice = "its owner is to be the user that reads it (chown)"
        raise KeyFileError(
            f"cannot read the key file {path}: {error.strerror}; {advice}"
        ) from error
    lines = [line for line in content.decode("ascii", "replace").splitlines() if line.strip()]
    # A key may begin with # as well; a comment goes on with a space.
    comments = [line for line in lines if line.startswith("# ") or line.strip() == "#"]
    keys = [line.strip() for line in lines if line not in comments]
    if len(keys) != 1 or not _is_key(keys[0]):
        raise KeyFileError(
            f"{path} holds no key: wanted is one line of 40 Z85 characters; "
            "`signal-scorer keygen` makes such files"
        )
    return keys[0].encode(), comments, mode


def _at_once(path: str, flags: int) -> int:
    """Open without waiting for whoever writes to it, should it be a pipe."""
    return os.open(path, flags | os.O_NONBLOCK)


def _is_key(text: str) -> bool:
    try:
        return _Z85_KEY.fullmatch(text) is not None and len(z85.decode(text.encode())) == 32
    except struct.error:  # five characters beyond 32 bits
        return False
