"""The report: one HTML page without anything outside it, for a trader and for an auditor.

It says what was read, what was refused and why, and what the model did on signals that it
had not seen. Where nothing is established it says that, with the same numbers.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from datetime import UTC, datetime

from jinja2 import Environment, PackageLoader, StrictUndefined

from training import plots
from training.candidate import Candidate
from training.dataset import Dataset
from training.history import Event
from training.truth_log import TruthLog
from training.wording import meaning, percent

_METRICS = (
    ("log_loss", "log loss, nats", "{:.4f}"),
    ("brier", "Brier score", "{:.4f}"),
    ("auc", "AUC", "{:.3f}"),
    ("win_rate_top_half", "win rate of the better-rated half", "{:.1%}"),
)
_PREDICTORS = {
    "challenger": "model, calibrated",
    "challenger_raw": "forest, uncalibrated",
    "constant": "constant (base rate of the past)",
}


def render(candidate: Candidate, data: Dataset, log: TruthLog, history: list[Event]) -> bytes:
    """The page as UTF-8. `history` holds the candidates before this one."""
    environment = Environment(
        loader=PackageLoader("training"), autoescape=True, undefined=StrictUndefined
    )
    environment.filters |= {"when": _when, "percent": percent, "meaning": meaning}
    held_out = candidate.held_out
    page = environment.get_template("report.html").render(
        made_s=candidate.made_s,
        verdict=candidate.verdict,
        samples=candidate.samples,
        held_out=held_out,
        test=held_out.test,
        data=data,
        log=log,
        rows=_rows(held_out.metrics),
        predictors=[_PREDICTORS.get(name, name) for name in held_out.metrics],
        reliability=_inline(plots.reliability(held_out.p, held_out.test.win)),
        deciles=_inline(plots.deciles(held_out.p, held_out.test.win)),
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
                if name == "constant" and key in ("auc", "win_rate_top_half")
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
