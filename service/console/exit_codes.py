"""What the exit codes of both command lines mean: the one table that help and documents show."""

from __future__ import annotations

from collections.abc import Mapping

OK = 0
NOT_SO = 1
USAGE = 2
REJECTED = 3
NOT_ENOUGH = 4
DEGRADED = 5
NO_INPUT = 66  # from here on those of sysexits.h
UNAVAILABLE = 69
SOFTWARE = 70
NO_MEMORY = 71
CANT_CREATE = 73
TRY_LATER = 75
CONFIG = 78
INTERRUPTED = 130

SCORER: Mapping[int, str] = {
    OK: "done; ready; nothing is wrong",
    NOT_SO: "not ready; doctor found a fault; a replay that does not add up; a mode not followed",
    USAGE: "wrong usage, or a request that the service refuses",
    NO_INPUT: "a file that cannot be read, or is not what it should be; a backup that lacks the "
    "journal or the models",
    UNAVAILABLE: "no service answers, its address cannot be had, or libraries are missing",
    SOFTWARE: "too many faults in a minute: the supervisor should start it again",
    CANT_CREATE: "a file that cannot be made, or that is there already",
    TRY_LATER: "in use: a service, a trainer or a restore is at work on these files; an outcome "
    "that was not kept: send it again",
    CONFIG: "the configuration cannot be used",
    INTERRUPTED: "the demo was interrupted",
}
"""Of `signal-scorer`."""

TRAINER: Mapping[int, str] = {
    OK: "done, or nothing to do",
    NOT_SO: "a version, or any model, that is not there or cannot be served",
    USAGE: "wrong usage",
    REJECTED: "the candidate was rejected (routine)",
    NOT_ENOUGH: "not enough samples yet (routine)",
    DEGRADED: "the monitor has an alert (routine)",
    NO_INPUT: "a file that cannot be read, or is not what it should be",
    UNAVAILABLE: "no Dask scheduler or worker answers, or it is another version, or libraries are "
    "missing",
    NO_MEMORY: "more memory is needed than it may have",
    CANT_CREATE: "models, history, a report or a backfill's result cannot be written or looked at",
    TRY_LATER: "another trainer is at work",
    CONFIG: "the configuration or the journal cannot be used",
    INTERRUPTED: "interrupted by Ctrl-C: nothing was changed",
}
"""Of `signal-scorer-train`."""


def epilog(meanings: Mapping[int, str]) -> str:
    """The table for a command's help; \\b keeps click from rewrapping it."""
    lines = [f"  {code:>3}  {meaning}" for code, meaning in meanings.items()]
    return "\n".join(["\b", "Exit codes:", *lines])
