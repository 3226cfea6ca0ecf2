"""Every bound of the wire in one place, so that both ends refuse at the same size."""

from __future__ import annotations

PROTOCOL_VERSION = 1

MAX_BODY_BYTES = 256 * 1024
"""A larger request gets `too_large`; a larger feed frame is skipped and counted."""

MAX_MESSAGE_BYTES = 1024 * 1024
"""MAXMSGSIZE of the sockets: beyond it libzmq drops the connection without a word."""

MAX_STRING = 1024
MAX_ARRAY = 256
MAX_MAP = 128
MAX_DEPTH = 6
MAX_ID_CHARS = 64
MAX_IGNORED_KEYS = 16

MAX_SIGNALS = 256
MAX_CANDLES = 60
MAX_SYMBOL_CHARS = 32
MAX_PATH_CHARS = 200
"""Of a path in a reply: its end, where it is longer."""
