"""`sentiment_score`: the newest external opinion, fading towards neutral with its age."""

from service.features.constants import clip_100, constants
from service.features.view import View

_EXPIRES_HALF_LIVES: float = constants("sentiment_score")["expires_half_lives"]


def sentiment_score(view: View) -> float | None:
    """50 + (s - 50) * 2^(-age / half-life); missing when older than 8 half-lives."""
    sentiment = view.state.sentiment
    if sentiment is None:
        return None
    half_lives = max(view.now_s - sentiment.at_s, 0.0) / sentiment.half_life_s
    if half_lives > _EXPIRES_HALF_LIVES:
        return None
    return clip_100(50.0 + (sentiment.score - 50.0) * 2.0**-half_lives)
