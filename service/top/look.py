"""One look at a service: what it says of itself, and what its journal holds."""

from __future__ import annotations

import sqlite3
import time
from typing import Any, NamedTuple

import msgspec

from protocol.client import ScorerClient, ScorerRefused, ScorerUnavailable
from service.config.settings import Config
from service.journal.reading import (
    JournalUnreadable,
    lacking,
    newest,
    positions,
    reading,
    spooled,
)
from service.journal.records import PaperRow, ScoreRow
from service.spans import DAY_S
from service.top.answers import health_of, stats_of

MOST_ROWS = 200
MOST_ENDED = 2000


class Ended(NamedTuple):
    """Paper positions that ended within a day: how many, of these won, their mean R."""

    n: int = 0
    won: int = 0
    mean_r: float = 0.0


class Look(NamedTuple):
    """What was seen at `at_s` (UTC). `health` and `stats` are None where no service answered,
    and `trouble` says why; `journal_trouble` says why rows are lacking, and then nobody knows how
    many positions are open. `elsewhere` is the state directory of a service that keeps another
    than ours."""

    at_s: float
    health: dict[str, Any] | None = None
    stats: dict[str, Any] | None = None
    trouble: str = ""
    scores: tuple[dict[str, Any], ...] = ()
    positions: tuple[dict[str, Any], ...] = ()
    open_positions: int | None = None
    ended: Ended = Ended()
    journal_trouble: str = ""
    elsewhere: str = ""


class Source:
    """Where looks come from. The journal is read for a moment at a time."""

    def __init__(self, client: ScorerClient, endpoint: str, config: Config) -> None:
        self.endpoint = endpoint
        self._config = config
        self._client = client

    def look(self) -> Look:
        """Ask and read; never raises for a service or a journal that is not there."""
        seen = Look(time.time())
        try:
            health, stats = health_of(self._client), stats_of(self._client)
        except (ScorerUnavailable, ScorerRefused) as error:
            return self._rows(seen._replace(trouble=str(error)))
        seen = seen._replace(health=health, stats=stats)
        if stats.get("state_dir") == self._config.told_state_dir:
            return self._rows(seen)
        elsewhere = str(stats.get("state_dir"))
        trouble = f"its journal is in {elsewhere}: name its configuration with --config"
        return seen._replace(elsewhere=elsewhere, journal_trouble=trouble)

    def _rows(self, seen: Look) -> Look:
        path = self._config.journal_path
        try:
            waiting = spooled(path)
            with reading(path) as connection:
                (count,) = connection.execute("SELECT count(*) FROM paper").fetchone()
                scores = newest(connection, "scores", MOST_ROWS) + lacking(connection, waiting)
                return seen._replace(
                    scores=tuple(filter(_is_score, (row.columns for row in reversed(scores)))),
                    positions=tuple(filter(_is_position, positions(connection, MOST_ROWS))),
                    open_positions=count,
                    ended=_ended(connection, seen.at_s - DAY_S),
                )
        except JournalUnreadable as error:
            return seen._replace(journal_trouble=str(error))


def _is_score(columns: dict[str, Any]) -> bool:
    """Whether a row has the types of one; a damaged one cannot be drawn."""
    take = columns["take"]
    return _is(columns | {"take": None if take is None else bool(take)}, ScoreRow)


def _is_position(columns: dict[str, Any]) -> bool:
    return _is(columns, PaperRow)


def _is(columns: dict[str, Any], kind: type[ScoreRow | PaperRow]) -> bool:
    try:
        msgspec.convert(columns, kind)
    except (msgspec.MsgspecError, ValueError):
        return False
    return True


def _ended(connection: sqlite3.Connection, since_s: float) -> Ended:
    n, won, mean_r = connection.execute(
        "SELECT count(*), coalesce(sum(win), 0), coalesce(avg(realised_r), 0.0) FROM"
        " (SELECT * FROM outcomes ORDER BY seq DESC LIMIT ?)"
        " WHERE source = 'paper' AND win IS NOT NULL AND received_at >= ?",
        (MOST_ENDED, since_s),
    ).fetchone()
    return Ended(int(n), int(won), float(mean_r))
