"""`truth check`: what the readers make of truth logs, as text for a person."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from training.truth_log import ReadingRules, Reason, TruthLog, read_truth_logs
from training.wording import behind, meaning


def check(paths: Iterable[Path], rules: ReadingRules) -> Iterator[str]:
    """Account of each file, and of all together where there are several."""
    files = list(paths)
    for path in files:
        yield from account(path.name, read_truth_logs([path], rules))
        yield ""
    if len(files) > 1:
        # Read anew as one log: lines of one signal may lie in different files.
        yield from account("all together", read_truth_logs(files, rules))


def account(name: str, log: TruthLog) -> Iterator[str]:
    """Shapes, usable outcomes and refused lines by reason; every line once."""
    shapes = ", ".join(f"{shape} {count}" for shape, count in log.shapes.items())
    yield f"{name}: {log.lines} lines about {len(log.signals)} signals"
    yield f"  shapes            {shapes or 'none'}"
    yield f"  usable outcomes   {len(log.outcomes)}" + (
        f" ({log.won} won, {len(log.outcomes) - log.won} lost)" if log.outcomes else ""
    )
    yield f"  signal lines      {log.signal_lines}"
    yield f"  refused lines     {sum(log.refused.values())}"
    width = max((len(reason) for reason in log.refused), default=0)
    for reason, count in log.refused.items():
        yield from behind(f"    {reason.value:<{width}}  {count:>7}  ", meaning(reason))
    if log.waiting:
        yield f"  waiting           {log.waiting} (a last line without its end: read next time)"
    if log.blank:
        yield f"  blank             {log.blank}"
    for problem in log.problems:
        yield from behind("  not read to the end: ", problem)
    yield from behind("  ", _verdict(log))


def _verdict(log: TruthLog) -> str:
    if log.outcomes:
        return f"{len(log.outcomes)} of {len(log.signals)} signals have an outcome to train on."
    claims = {r: n for r, n in log.refused.items() if r not in (Reason.NOTE, Reason.TEST)}
    if not claims:
        return "Not one usable outcome: none is reported here."
    main = max(claims, key=claims.__getitem__)
    return f"Not one usable outcome here ({main.value}): {meaning(main)}."
