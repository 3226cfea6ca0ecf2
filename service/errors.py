"""Errors that leave the service's modules: a configuration or a model that cannot be used.

Everything else travels as a value. A boundary that reads what others wrote turns whatever
goes wrong inside it into one of these, so that a caller has one thing to catch.
"""

from __future__ import annotations

import enum
import errno

from service.console import exit_codes

_PASSING = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EIO, errno.ESTALE})


def passes(error: BaseException | None) -> bool:
    """Whether it says nothing of the file: no descriptor, no memory, a disk at fault."""
    return isinstance(error, OSError) and error.errno in _PASSING


class ConfigError(Exception):
    """The configuration cannot be used. The process that meets it ends with `exit_code`."""

    @property
    def exit_code(self) -> int:
        """Another one where the machine did not let it be read: a supervisor tries again then."""
        cause: BaseException | None = self
        while cause is not None:
            if passes(cause):
                return exit_codes.NO_INPUT
            cause = cause.__cause__
        return exit_codes.CONFIG


class CommandError(Exception):
    """A command that cannot do what it should; the text says why and what to do, `exit_code`
    how the process ends."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


_REMEDIES = {
    errno.EACCES: "run this as root or as the service's user",
    errno.EPERM: "run this as root or as the service's user",
    errno.ENOSPC: "make room on that disk",
    errno.EDQUOT: "make room on that disk, or raise the user's quota",
    errno.EROFS: "the disk is read-only; have it mounted for writing",
}


def remedy(error: OSError, otherwise: str = "`signal-scorer doctor` looks closer") -> str:
    """What to do about a file that cannot be written."""
    return _REMEDIES.get(error.errno or 0, otherwise)


class RejectReason(enum.StrEnum):
    """Why a candidate model is not installed, in the order in which it is examined."""

    UNREADABLE = "unreadable"  # absent, a link, no regular file, no permission
    TOO_LARGE = "too_large"
    POINTER = "pointer"  # CURRENT.json is ill-formed
    DIGEST = "digest"  # a file is not the one that was published
    MANIFEST = "manifest"  # types, bounds, or tables that contradict each other
    FINGERPRINT = "fingerprint"  # made for other features
    ARRAYS = "arrays"  # container, names, dtypes, shapes, lengths
    STRUCTURE = "structure"  # the trees are no trees, or out of range
    GOLDEN = "golden"  # the model does not give the answers that it was published with
    LATENCY = "latency"
    INTERNAL = "internal"  # a fault of ours while looking at it


class ModelRejected(Exception):  # noqa: N818  the name that the design gives it
    """A candidate model is not to be used; what is installed goes on serving."""

    def __init__(self, reason: RejectReason, detail: str) -> None:
        super().__init__(f"{reason.value}: {detail}")
        self.reason = reason
        self.detail = detail
