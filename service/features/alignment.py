"""`tf_alignment`: whether M1, M5 and M15 move the same way, and whether it is the signal's."""

from service.features.view import View


def tf_alignment(view: View) -> float | None:
    """With a direction d 50 + 50 * mean(d * s), without 100 * abs(mean(s)).

    s is +1, 0 or -1 per timeframe: the sign of close - close three bars earlier, 0 within
    0.1 * ATR(M1) * sqrt(minutes of the timeframe).
    """
    mean_sign = view.bars.mean_sign
    if mean_sign is None:
        return None
    if view.direction:
        return 50.0 + 50.0 * view.direction * mean_sign
    return 100.0 * abs(mean_sign)
