"""`session_bonus`: which trading session it is, by the UTC hour."""

from service.features.constants import constants
from service.features.view import View

_SESSION = constants("session_bonus")
_ELSE: float = _SESSION["else"]
# first hour, last hour (inclusive), bonus; the first that holds the hour wins
_BY_HOUR: tuple[float, ...] = tuple(
    float(next((b for first, last, b in _SESSION["utc_hours"] if first <= hour <= last), _ELSE))
    for hour in range(24)
)


def session_bonus(view: View) -> float | None:
    """25 from 18 to 22 h UTC, 20 from 13 to 17 h, 15 from 8 to 12 h, else 10.

    Both hours are included. The table is the original script's, read in UTC.
    """
    return _BY_HOUR[view.now_s // 3600 % 24]
