"""`keygen`: key pairs for the service and its clients, laid out as the configuration wants them.

Nothing that is there is overwritten: a lost secret cannot be had again.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import NamedTuple

import zmq

from protocol.curve import PUBLIC_SUFFIX, SECRET_SUFFIX, KeyFileError, read_secret
from service.console import exit_codes
from service.errors import CommandError, remedy
from service.files import presence

SERVER = "server"
CLIENTS_DIR = "clients"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


class Made(NamedTuple):
    """What lies in a folder now; `new_server` tells whether its pair was made this time."""

    server_secret: Path
    server_public: Path
    new_server: bool
    clients_dir: Path
    client_secret: Path | None
    client_public: Path | None


def keygen(folder: Path, name: str | None) -> Made:
    """Make the server's pair where there is none, and a client's where one is named.

    `server.key`, `server.pub`, `NAME.key` lie in the folder and `NAME.pub` in its `clients`.
    Raises CommandError.
    """
    if name is not None and (name == SERVER or not _NAME.fullmatch(name)):
        raise CommandError(
            f"{name!r} is no name for a client: letters, digits, _, - and ., and not {SERVER!r}",
            exit_codes.USAGE,
        )
    secret, public = folder / f"{SERVER}{SECRET_SUFFIX}", folder / f"{SERVER}{PUBLIC_SUFFIX}"
    clients = folder / CLIENTS_DIR
    try:
        for wanted in (folder, clients):
            _make_folder(wanted)
        new_server = not os.path.lexists(secret)
        if new_server:
            _write_pair(secret, public, SERVER)
        elif not presence.exists(public):
            # The secret says both.
            _write(public, read_secret(secret).public, 0o644, f"{SERVER}, public")
        if name is None:
            return Made(secret, public, new_server, clients, None, None)
        own = folder / f"{name}{SECRET_SUFFIX}", clients / f"{name}{PUBLIC_SUFFIX}"
        _write_pair(*own, name)
    except FileExistsError as error:
        raise CommandError(
            f"{error.filename} is there already and is not overwritten; choose another name, "
            "or remove the old pair if nothing uses it any more",
            exit_codes.CANT_CREATE,
        ) from None
    except OSError as error:
        raise CommandError(
            f"cannot write keys to {folder}: {error.strerror}; "
            f"{remedy(error, 'name another folder')}",
            exit_codes.CANT_CREATE,
        ) from None
    except KeyFileError as error:
        raise CommandError(str(error), exit_codes.CANT_CREATE) from None
    return Made(secret, public, new_server, clients, *own)


def next_steps(made: Made) -> list[str]:
    """What was made, and what to do with it, for people."""
    state = "made" if made.new_server else "was there"
    lines = [
        f"{made.server_secret}  secret of the service ({state}): stays on this machine",
        f"{made.server_public}  public key of the service: clients need it",
    ]
    if made.client_secret is not None:
        lines += [
            f"{made.client_secret}  secret of the client: move it to the client's machine",
            f"{made.client_public}  lets that client in: stays here, may be copied",
        ]
    lines += [
        "",
        "Next, in the configuration of the service, where it is not there yet; then restart it:",
        "  [curve]",
        f'  server_secret_file = "{made.server_secret.absolute()}"',
        f'  clients_dir = "{made.clients_dir.absolute()}"',
        "  # loopback = true: clients at 127.0.0.1 are to show keys too",
        f"Its user is to read the secret: chown scorer {made.server_secret.absolute()}",
        "Clients of other machines also need an address in score.bind that they reach, and of",
        "systemd to be let in: IPAddressAllow= by systemctl edit signal-scorer (docs/security.md).",
        "",
    ]
    if made.client_secret is None:
        folder = made.server_secret.parent
        return [*lines, f"Then a pair for each client: signal-scorer keygen --name CLIENT {folder}"]
    server, own = made.server_public.name, made.client_secret.name
    return [
        *lines,
        f"On the client's machine, with {server} beside its secret:",
        f"  export SIGNAL_SCORER_SERVER_KEY={server} SIGNAL_SCORER_KEY={own}",
        "      for protocol.compat and for commands: signal-scorer health --endpoint tcp://HOST:5561",
        "      (not where score.bind names 127.0.0.1 and loopback is not true: no keys are asked)",
        f'  ScorerClient("tcp://HOST:5561", curve=CurveKeys.read("{server}", "{own}"))',
        "      from protocol.client and protocol.curve",
        "  other languages: CURVE_SERVERKEY and the two others of libzmq (docs/protocol.md)",
        "A running service sees a new client within a second.",
    ]


def _make_folder(path: Path) -> None:
    """The service's user has to pass through it; the secrets have their own mode."""
    if not presence.is_dir(path):
        path.mkdir(parents=True)
        path.chmod(0o755)


def _write_pair(secret_file: Path, public_file: Path, name: str) -> None:
    if os.path.lexists(public_file):
        raise FileExistsError(17, "exists", str(public_file))
    public, secret = zmq.curve_keypair()
    _write(secret_file, secret, 0o600, f"{name}, SECRET: for its owner alone")
    try:
        _write(public_file, public, 0o644, f"{name}, public")
    except OSError:
        secret_file.unlink()
        raise


def _write(path: Path, key: bytes, mode: int, comment: str) -> None:
    """A new file with this very mode, whatever the umask, on disk when this returns; or none."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
    descriptor = os.open(path, flags, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(f"# CURVE key of {comment}\n".encode() + key + b"\n")
            file.flush()
            os.fchmod(descriptor, mode)
            os.fsync(descriptor)
    except OSError:
        # Half a key would be in the way of a whole one: nothing is overwritten.
        path.unlink()
        raise
