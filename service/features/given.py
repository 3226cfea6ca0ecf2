"""`correlation_check` and `base_score`: values that do not come from the symbol's own state."""

from service.features.constants import clip_100
from service.features.view import View


def correlation_check(view: View) -> float | None:
    """What `service.features.correlation` found for now's minute, None where it found nothing."""
    return None if view.correlation is None else clip_100(view.correlation)


def base_score(view: View) -> float | None:
    """The signal's own score, as it was sent."""
    return view.base_score
