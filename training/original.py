"""`original`: what an installation of the in-process scorer leaves behind, and of what use it is.

Outcomes and base scores are read as those of any truth log. Its features are not believed, and
its models are not opened: loading a pickle runs whatever it holds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from shlex import quote
from typing import NamedTuple

import numpy as np

from service.arrays import Floats
from service.files import presence
from service.files.rotated import with_rotated
from training.thresholds import FEWEST, translate
from training.truth_check import account
from training.truth_log import Outcome, ReadingRules, Signal, read_truth_logs
from training.truth_log.files import unread_beside

TRAINING_DATA = "ml_training_data.jsonl"
TRUTH_LOGS = ("truth_log.jsonl", "optimized_tracking.jsonl")
_MODELS = (".pkl", ".pickle", ".joblib")
_NOT_BELIEVED = (
    "not believed: one vector a symbol and minute stood for every signal in it, single ticks "
    "for periods, and hours were the server's"
)
_REFUSED = (
    "refused, and not opened: a pickle runs whatever it holds when it is loaded, and they were "
    "fitted to other features. The base score is served until `train` publishes a model"
)


class Left(NamedTuple):
    """The files of an installation. `training_data` comes first: see `reading_order`."""

    training_data: list[Path]
    truth_logs: list[Path]
    models: list[Path]

    @property
    def reading_order(self) -> list[Path]:
        """The training data has the base score; a log's `confidence` is what became of it."""
        return self.training_data + self.truth_logs


def find(folder: Path) -> Left:
    """What lies in an installation's folder. Raises OSError where it cannot be listed."""
    models = [path for path in sorted(folder.rglob("*")) if path.suffix in _MODELS]
    return Left(
        _there(folder / TRAINING_DATA),
        [path for name in TRUTH_LOGS for path in _there(folder / name)],
        models,
    )


def describe(folder: Path, rules: ReadingRules, threshold: float | None) -> Iterator[str]:
    """Lines for the terminal; with `threshold` on the original's score, what it becomes."""
    left = find(folder)
    places = [folder / name for name in (TRAINING_DATA, *TRUTH_LOGS)]
    left_out = [said for path in places if (said := unread_beside(path, left.reading_order))]
    if not any(left) and not left_out:
        yield f"nothing of the original lies in {folder}: no {TRAINING_DATA}, no {TRUTH_LOGS[0]}"
        return
    logs = [(path, read_truth_logs([path], rules)) for path in left.reading_order]
    for path, log in logs:
        yield from account(path.name, log)
        yield ""
    for said in left_out:
        yield f"{'left out':<12}{said}"
    both = read_truth_logs(left.reading_order, rules)
    told = read_truth_logs(left.training_data, rules).signals
    yield f"{'base score':<12}{_base_scores(told, both.outcomes)}"
    if left.training_data:
        yield f"{'features':<12}{_NOT_BELIEVED}"
    if left.models:
        names = ", ".join(str(path.relative_to(folder)) for path in left.models[:5])
        yield f"{'models':<12}{names}{', …' if len(left.models) > 5 else ''}: {_REFUSED}"
    if threshold is not None:
        shown = read_truth_logs(left.truth_logs, rules).signals
        yield f"{'threshold':<12}{translated(told, shown, threshold)}"
    # By its own name a log is found with its rotated parts, also where those alone are left.
    logged = [path for path in places if _there(path)]
    if not logged:
        return
    named = " ".join(f"--truth-log {quote(str(path.absolute()))}" for path in logged)
    yield ""
    yield f"for each run of the trainer:  sh deploy/install.sh {named}"
    yield f"for one:                      signal-scorer-train train {named}"


def translated(told: Mapping[str, Signal], shown: Mapping[str, Signal], threshold: float) -> str:
    """The threshold on the base score that passes as many as `threshold` on the original's score.

    Of signals that are in the training data (`told`, with the base score) and in a truth log
    (`shown`, whose `confidence` is what Elite Guard went on with).
    """
    scores = [
        (before.base_score, after.base_score)
        for name, before in told.items()
        if (after := shown.get(name)) is not None
        and before.base_score is not None
        and after.base_score is not None
    ]
    if len(scores) < FEWEST:
        return (
            f"{len(scores)} signals have both a base score and a `confidence` in the logs, and "
            f"{FEWEST} are needed: count what you take a week, and keep that number"
        )
    pairs: Floats = np.array(scores, dtype=np.float64)
    base, original = pairs[:, 0], pairs[:, 1]
    if np.array_equal(base, original):
        return f"{threshold:g} is on the base score already: the log's `confidence` is no other"
    found = translate(original, base, threshold)
    if found.score is None:
        return f"none of {found.n} signals reached {threshold:g} on the original's score"
    return (
        f"{threshold:g} on the original's score passed {found.wanted} of {found.n} signals; "
        f"{found.score:.1f} on the base score passes {found.passed}"
    )


def _base_scores(told: Mapping[str, Signal], outcomes: Mapping[str, Outcome]) -> str:
    """Whether the base score told winners from losers: the share won by quarter."""
    known = sorted(
        (signal.base_score, outcomes[name].win)
        for name, signal in told.items()
        if name in outcomes and signal.base_score is not None
    )
    if len(known) < FEWEST:
        return f"{len(known)} outcomes with one: too few to say what it is worth"
    quarters = np.array_split(np.array(known, dtype=np.float64), 4)
    shares = ", ".join(f"{100 * part[:, 1].mean():.0f} % to {part[-1, 0]:.1f}" for part in quarters)
    return f"won by quarter, lowest first: {shares} ({len(known)} outcomes)"


def _there(path: Path) -> list[Path]:
    return [part for part in with_rotated(path) if presence.is_file(part)]
