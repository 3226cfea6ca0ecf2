"""Errors that cross the package's boundary. Inside, values travel instead."""

from __future__ import annotations


class DecodeError(ValueError):
    """Bytes that are no message of this protocol.

    `code` is one of the refusal codes of the wire (`malformed`, `invalid_field`, ...),
    `field` names the offending key where there is one, and `fallback` carries the base
    score when it could be understood in spite of the error.
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        field: str | None = None,
        fallback: float | None = None,
        request_id: str | int | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.field = field
        self.fallback = fallback
        self.request_id = request_id
