"""What systemd wants to hear of a service: notifications, and how bad a line of its log is.

The rule: elsewhere it is silent. A notification is one datagram to the socket that
$NOTIFY_SOCKET names (sd_notify(3)); a line that the journal reads begins with its priority
(sd-daemon(3)), without which all are alike to `journalctl -p`.
"""

from __future__ import annotations

import os
import socket
import sys
from functools import cache

_PRIORITIES = {"critical": "<2>", "error": "<3>", "warning": "<4>", "info": "<6>", "debug": "<7>"}


def notify(state: str) -> bool:
    """Send `READY=1`, `WATCHDOG=1`, `STOPPING=1`, ...; False where nobody listens."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return False
    if address.startswith("@"):
        address = "\0" + address[1:]
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
            sender.connect(address)
            sender.sendall(state.encode())
    except OSError:
        return False
    return True


def priority(level: str) -> str:
    """What a line of this level begins with; nothing where the journal does not read stderr."""
    return _PRIORITIES.get(level, "") if _journal_reads_stderr() else ""


@cache
def _journal_reads_stderr() -> bool:
    try:
        status = os.fstat(sys.stderr.fileno())
    except (OSError, ValueError):
        return False
    # Inherited also by those whose stderr was sent elsewhere.
    return os.environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"
