"""The report: one HTML page without anything outside it, for a trader and for an auditor.

Its first screen says in words what the model adds, at which coverage, how sure, since when and
what that does not show. The rest is the same in numbers and pictures, and what was read, what
was refused and why, and every candidate that was tried.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from datetime import UTC, datetime

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from service.model.history import Event
from training.candidate import Candidate
from training.conditions import conditions
from training.dataset.join import Dataset
from training.report import stability
from training.report.answers import answers, scored_live, since
from training.report.findings import Findings
from training.report.heading import headline, verdict_in_words, whose_numbers
from training.report.plots import Picture
from training.truth_log import TruthLog
from training.wording import day, end_of, meaning, percent

MOST_TRIED = 1_000
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_CODE = re.compile(r"`([^`]+)`")
_METRICS = (
    ("log_loss", "log loss, nats", "{:.4f}"),
    ("improvement", "the model's log loss below it, nats", "{:+.4f}"),
    ("improvement_low", "at least, with 95 % confidence", "{:+.4f}"),
    ("brier", "Brier score", "{:.4f}"),
    ("auc", "AUC", "{:.3f}"),
    ("ece", "expected calibration error", "{:.3f}"),
    ("win_rate_top_half", "win rate of the half with the higher probability", "{:.1%}"),
    ("r_taken", "R a signal of the half with the higher expected R", "{:+.3f}"),
    ("r_all", "R a signal, all", "{:+.3f}"),
    ("n", "unseen signals", "{:.0f}"),
    ("days", "days", "{:.0f}"),
)
_OF_BOTH = {"log_loss": "log_loss_challenger", "r_taken": "r_challenger"}
"""What a champion's column also has of the candidate, on the champion's signals."""
_NOT_OF_A_CONSTANT = ("auc", "win_rate_top_half")
_PREDICTORS = {
    "challenger": "model, as served",
    "challenger_raw": "forest, uncalibrated",
    "constant": "constant (win rate of the past)",
    "logit_base_score": "rule: base score",
    "logit_stop_spreads": "rule: stop distance in spreads",
    "champion": "champion",
}


def render(
    candidate: Candidate,
    found: Findings,
    data: Dataset,
    log: TruthLog,
    history: list[Event],
    pictures: Mapping[str, Picture],
    *,
    publishes: bool = True,
    serving: str | None = None,
) -> str:
    """Write it. `history` holds the candidates before this one; of `pictures`, which are by the
    names that `figures` gives them, it shows those that there are.

    `publishes` says whether what passes the gate is published, `serving` is the version that
    serves when it is judged.
    """
    environment = Environment(
        loader=PackageLoader("training"), autoescape=True, undefined=StrictUndefined
    )
    environment.filters |= {
        "when": _when, "percent": percent, "meaning": meaning, "inline": _inline, "day": day,
        "end_of": end_of,
        "dates": dates_and_code, "finite": lambda value: bool(np.isfinite(value)),
    }  # fmt: skip
    walk, verdict = candidate.walk, candidate.verdict
    tried = [event for event in history if event.n is not None]
    serves = verdict.published and publishes
    return environment.get_template("report.html").render(
        made_s=candidate.made_s,
        verdict=verdict,
        headline=headline(verdict, publishes),
        in_words=verdict_in_words(candidate),
        whose="" if serves else whose_numbers(serving),
        samples=candidate.samples,
        scored_live=scored_live(candidate.samples),
        walk=walk,
        test=walk.test,
        found=found,
        answers=answers(candidate, found, history, data.silent_s, data.even_s),
        conditions=conditions(verdict.metrics),
        data=data,
        silent=since(candidate.samples, data.silent_s),
        log=log,
        rows=_rows(verdict.metrics),
        predictors=[_predictor(name, of, serves) for name, of in verdict.metrics.items()],
        pictures=pictures,
        fewest=stability.FEWEST,
        tried=tried[: -MOST_TRIED - 1 : -1],
        older=max(0, len(tried) - MOST_TRIED),
    )


def _predictor(name: str, found: Mapping[str, float], serves: bool) -> str:
    if name == "challenger" and not serves:
        return "candidate, as it would be served"
    if name == "champion" and "n" in found:
        return f"champion, on {found['n']:,.0f} signals"
    return _PREDICTORS.get(name, name)


def _rows(metrics: Mapping[str, Mapping[str, float]]) -> list[tuple[str, list[str]]]:
    return [
        (label, [_cell(name, key, form, found) for name, found in metrics.items()])
        for key, label, form in _METRICS
    ]


def _cell(name: str, key: str, form: str, found: Mapping[str, float]) -> str:
    if key not in found or (name == "constant" and key in _NOT_OF_A_CONSTANT):
        return ""
    shown, both = form.format(found[key]), _OF_BOTH.get(key, "")
    return f"{shown} (candidate {form.format(found[both])})" if both in found else shown


def _inline(svg: bytes) -> str:
    return "data:image/svg+xml;base64," + base64.b64encode(svg).decode()


def _when(time_s: float) -> str:
    return f"{datetime.fromtimestamp(time_s, UTC):%Y-%m-%d %H:%M} UTC"


def dates_and_code(text: str) -> Markup:
    """Text whose dates are not broken over two lines, `this` set as code."""
    dated = _DATE.sub(r"<span class='date'>\g<0></span>", str(escape(text)))
    return Markup(_CODE.sub(r"<code>\1</code>", dated))  # noqa: S704
