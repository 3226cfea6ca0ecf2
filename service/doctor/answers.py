"""Base scores among the answers, where they are too many and nobody chose them.

The rule: what counts is the last day's, as far as the journal has it; since a start of weeks ago
too much was answered for today's fault to show.
"""

from __future__ import annotations

from collections.abc import Iterator

from service.doctor.scene import Running, Scene
from service.journal.file import irregular
from service.journal.reading import JournalUnreadable, reading
from service.spans import DAY_S

AS_IT_SHOULD_BE = frozenset({"success", "shadow", "off", "no_model", "expired_model"})
"""Statuses that are chosen or normal, or that the model's check tells of."""
FEW, SHARE = 5, 0.2
"""What the alert ScorerBaseScores passes over of a day's answers."""
START_S = 25 * 60.0 / SHARE
"""Until then a start may have answered more than that share while its symbols warmed up."""
# Of the day's answers the newest, in some 25 ms. A turned bit may have made anything of a value.
_STATUSES = """
    SELECT status, count(*)
    FROM (SELECT status, scored_at FROM scores ORDER BY seq DESC LIMIT 10000)
    WHERE scored_at > ? AND scored_at <= ? AND typeof(scored_at) = 'real'
        AND typeof(status) = 'text'
    GROUP BY status
"""


def base_scores(scene: Scene) -> Iterator[tuple[str, str]]:
    """Each status that tells of something wrong and of which there are many, and how to say so."""
    if scene.running is None:
        return
    late = _of_the_day(scene, scene.running)
    counts = late or _since_the_start(scene.running.stats["scores"])
    normal = AS_IT_SHOULD_BE
    if scene.running.health["uptime_s"] < START_S:
        normal |= {"warming_up"}
    total = sum(counts.values())
    of = f"the last {total} answers" if late else f"{total} answers since its start"
    for status, count in sorted(counts.items()):
        if status not in normal and count > max(FEW, SHARE * total):
            yield status, f"{count} of {of} are base scores: {status}"


def _since_the_start(scores: dict[str, int]) -> dict[str, int]:
    return {
        name.removeprefix("status_"): count
        for name, count in scores.items()
        if name.startswith("status_")
    }


def _of_the_day(scene: Scene, running: Running) -> dict[str, int]:
    """Empty where it has not run for a day, or the journal has none or cannot be written to."""
    if running.health["uptime_s"] < DAY_S or running.stats["journal"]["fault"]:
        return {}
    path = scene.config.journal_path
    try:
        if irregular(path) is not None:
            return {}
        with reading(path) as connection:
            found = connection.execute(_STATUSES, (scene.now_s - DAY_S, scene.now_s)).fetchall()
    except (JournalUnreadable, OSError):
        return {}
    return dict(found)
