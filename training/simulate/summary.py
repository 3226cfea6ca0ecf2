"""The facts of a demo as people read them; what it is not is said first."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

from training.simulate.elite_guard import TIMEOUT_MS
from training.simulate.facts import CLIENT_DEFAULT_MS, Choice, Facts, Percentiles

EXPLANATION = (
    "A simulation: market and wins are made up, by a function that docs/demo.md states. So the "
    "best possible is known. It shows that the parts work together, not that a real market can "
    "be predicted."
)


def show(facts: Facts, console: Console) -> None:
    """Print the summary."""
    console.rule("summary, interrupted" if facts.interrupted else "summary")
    console.print(EXPLANATION, style="dim")
    console.print()
    if facts.choices:
        console.print(_comparison(facts))
        _log_loss(facts, console)
    elif not facts.trainings:
        console.print("No model was trained yet, so there is nothing to compare.")
    else:
        console.print(f"No model was published. The trainer said: {facts.trainings[-1].said}")
        if facts.strength == 0:
            console.print("With --strength 0 there is nothing to learn: that is the right answer.")
    console.print()
    console.print(_counts(facts))
    console.print(_files(facts))
    if {"models", "journal", "truth log"} <= facts.files.keys():
        # As it lies beside this Python, which `make run` puts on nobody's path; each in one line,
        # to be copied.
        trainer = Path(sys.executable).with_name("signal-scorer-train")
        models, journal, log = (facts.files[name] for name in ("models", "journal", "truth log"))
        place = ["--models", models]
        kept = ["--journal", journal, "--truth-log", log]
        for what, command in (
            ("models", [trainer, "models", *place]),
            ("weeks", [trainer, "results", *place, *kept]),
            ("thresholds", [trainer, "thresholds", *place, "--journal", journal]),
        ):
            asked = shlex.join(map(str, command))
            console.print(f"look at the {what}: {asked}", soft_wrap=True, markup=False)


def _comparison(facts: Facts) -> Table:
    table = Table("signals scored by a model", box=None, pad_edge=False)
    for heading in ("n", "won", "expected by the truth", "R a signal"):
        table.add_column(heading, justify="right")
    for choice in facts.choices:
        table.add_row(choice.name, *_numbers(choice))
    return table


def _numbers(choice: Choice) -> tuple[str, ...]:
    if choice.won is None or choice.expected is None or choice.mean_r is None:
        return str(choice.n), "", "", ""
    return (
        str(choice.n),
        f"{100 * choice.won:.1f} %",
        f"{100 * choice.expected:.1f} %",
        f"{choice.mean_r:+.3f}",
    )


def _log_loss(facts: Facts, console: Console) -> None:
    loss = facts.log_loss
    if loss is None:
        console.print("Too few of them have ended to say what the model is worth.")
        return
    share = "" if loss.share is None else f": {100 * loss.share:.0f} % of what can be known"
    console.print(
        f"log loss, nats: a constant {loss.constant:.4f}, the model {loss.model:.4f}, "
        f"best possible {loss.best:.4f}{share}"
    )


def _counts(facts: Facts) -> Table:
    table = Table.grid(padding=(0, 2))
    candidates = facts.sent - facts.traded - facts.lost
    table.add_row(
        "score requests",
        f"{facts.sent:,} sent, {facts.answered:,} answered, {facts.lost} lost "
        f"({facts.traded:,} traded, {candidates:,} candidates)",
    )
    table.add_row(
        "outcomes",
        f"{facts.ended:,} in {facts.market_days:.1f} market days, {facts.frames:,} frames",
    )
    table.add_row("round trip", _latency(facts.round_trip_ms, facts.over_client_default))
    table.add_row("in the service", _latency(facts.service_ms))
    for version, count in facts.models.items():
        name = "base score, no model" if version == "none" else f"model {version}"
        table.add_row("scored by", f"{name}: {count:,} requests{_swap(facts, version)}")
    for training in facts.trainings:
        verdict = {0: "done", 3: "rejected", 4: "not enough samples"}.get(training.code, "failed")
        table.add_row("trainer", f"exit code {training.code} ({verdict}), {training.seconds:.1f} s")
    return table


def _latency(latency: Percentiles | None, over_default: int | None = None) -> str:
    if latency is None:
        return "nothing was asked"
    text = (
        f"p50 {latency.p50:.2f} ms, p95 {latency.p95:.2f}, p99 {latency.p99:.2f}, "
        f"longest {latency.longest:.1f}"
    )
    if over_default is None:
        return text
    return (
        f"{text}; asked with a budget of {TIMEOUT_MS / 1000:g} s: with the client's usual "
        f"{CLIENT_DEFAULT_MS:.0f} ms {over_default:,} would have got their base score"
    )


def _swap(facts: Facts, version: str) -> str:
    swap = next((swap for swap in facts.swaps if swap.version == version), None)
    return "" if swap is None else f", first {swap.delay_s:.1f} s after it was published"


def _files(facts: Facts) -> Table:
    table = Table.grid(padding=(0, 2))
    for name, path in facts.files.items():
        table.add_row(name, path)
    table.add_row("on disk", f"{facts.bytes_on_disk / 1e6:.1f} MB; delete the directory when done")
    return table
