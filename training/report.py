"""The report: one HTML page without anything outside it, for a trader and for an auditor.

It says what was read, what was refused and why, and what the model did on signals that it
had not seen. Where nothing is established it says that, with the same numbers.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from datetime import UTC, datetime

from jinja2 import Environment, PackageLoader, StrictUndefined

from service.history import Event
from training import plots
from training.candidate import Candidate
from training.dataset import Dataset
from training.truth_log import TruthLog
from training.wording import meaning, percent

_METRICS = (
    ("log_loss", "log loss, nats", "{:.4f}"),
    ("improvement", "the model's log loss below it, nats", "{:+.4f}"),
    ("improvement_low", "at least, with 95 % confidence", "{:+.4f}"),
    ("brier", "Brier score", "{:.4f}"),
    ("auc", "AUC", "{:.3f}"),
    ("ece", "expected calibration error", "{:.3f}"),
    ("win_rate_top_half", "win rate of the better-rated half", "{:.1%}"),
    ("r_taken", "R a signal, better-rated half", "{:+.3f}"),
    ("r_all", "R a signal, all", "{:+.3f}"),
    ("n", "unseen signals", "{:.0f}"),
    ("days", "days", "{:.0f}"),
)
_NOT_OF_A_CONSTANT = ("auc", "win_rate_top_half")
_PREDICTORS = {
    "challenger": "model, as served",
    "challenger_raw": "forest, uncalibrated",
    "constant": "constant (win rate of the past)",
    "logit_base_score": "rule: base score",
    "logit_stop_spreads": "rule: stop distance in spreads",
    "champion": "champion",
}


def render(candidate: Candidate, data: Dataset, log: TruthLog, history: list[Event]) -> bytes:
    """The page as UTF-8. `history` holds the candidates before this one."""
    environment = Environment(
        loader=PackageLoader("training"), autoescape=True, undefined=StrictUndefined
    )
    environment.filters |= {"when": _when, "percent": percent, "meaning": meaning}
    walk, verdict = candidate.walk, candidate.verdict
    page = environment.get_template("report.html").render(
        made_s=candidate.made_s,
        verdict=verdict,
        samples=candidate.samples,
        walk=walk,
        test=walk.test,
        own=verdict.metrics["challenger"],
        data=data,
        log=log,
        rows=_rows(verdict.metrics),
        predictors=[_PREDICTORS.get(name, name) for name in verdict.metrics],
        reliability=_inline(plots.reliability(walk.p, walk.test.win)),
        deciles=_inline(plots.deciles(walk.p, walk.test.win)),
        importances=_inline(plots.importances(candidate.importances)),
        tried=history[:-21:-1],
    )
    return page.encode()


def _rows(metrics: Mapping[str, Mapping[str, float]]) -> list[tuple[str, list[str]]]:
    return [
        (
            label,
            [
                ""
                if key not in values or (name == "constant" and key in _NOT_OF_A_CONSTANT)
                else form.format(values[key])
                for name, values in metrics.items()
            ],
        )
        for key, label, form in _METRICS
    ]


def _inline(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode()


def _when(time_s: float) -> str:
    return f"{datetime.fromtimestamp(time_s, UTC):%Y-%m-%d %H:%M} UTC"
