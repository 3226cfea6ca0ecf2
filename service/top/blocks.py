"""The parts of the screen, each a few lines; what is wrong is red and stands first."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.text import Text

from service.config.settings import Config
from service.console import words
from service.model.pointer import REVIEW_DUE
from service.spans import DAY_S
from service.top.look import Look
from service.top.trend import Trend, refusals

GOOD, WATCH, BAD, DIM, HEAD = "green", "yellow", "bold red", "dim", "bold cyan"
SPARK = 24
NAME_WIDTH = 9
WITH_VERSION = 100


def title(look: Look, endpoint: str, width: int) -> Text:
    """One line: ready or not, mode, since when, the time."""
    line = Text("signal-scorer  ", "bold")
    if look.health is None:
        line.append("NO ANSWER", BAD).append(f" at {endpoint}")
    else:
        ready = look.health["ready"]
        line.append("READY" if ready else "NOT READY", f"bold {GOOD}" if ready else BAD)
        mode = look.health["mode"]
        line.append(f"  {mode}", GOOD if mode == "live" else WATCH)
        line.append(f"  up {words.span(look.health['uptime_s'])}")
        line.append(f"  {endpoint}", DIM)
        if width >= WITH_VERSION:
            line.append(f"  version {look.health['versions']['service']}", DIM)
    time = f"{words.clock(look.at_s)} UTC"
    line.truncate(width - len(time) - 1, overflow="ellipsis")
    line.append(" " * (width - len(time) - len(line)))
    return line.append(time)


def complaints(look: Look) -> Iterator[Text]:
    """Why it is not ready, then what else it wants to have said."""
    if look.health is None:
        yield Text(f"  {look.trouble}", BAD)
        yield Text("  signal-scorer doctor says what is wrong", DIM)
        return
    for reason in look.health["reasons"]:
        yield Text(f"  ! {reason}", BAD)
    for note in look.health["notes"]:
        yield Text(f"  - {note}", WATCH)


def feed(look: Look, trend: Trend, config: Config) -> Iterator[Text]:
    """A line for each endpoint, then what comes of their messages."""
    if look.stats is None:
        return
    stats = look.stats
    for number, endpoint in enumerate(stats["feed"]["endpoints"]):
        line = named("feed" if not number else "").append(f"{endpoint['name']:<26}")
        age_s = endpoint["age_s"]
        if age_s is None:
            yield line.append(" never heard", BAD)
            continue
        line.append(f" {words.span(age_s):>7} ago", BAD if age_s > config.feed.silence_s else GOOD)
        line.append(f"  {words.offset(endpoint['clock_offset_s'])} ")
        state = endpoint["clock_state"]
        yield line.append(state, DIM if state in ("live", "configured") else WATCH)
    line = named("ticks").append(f"{words.rate(trend.ticks.now):>10} ")
    line.append(trend.ticks.line(SPARK), GOOD)
    lag_s = stats["feed"]["lag_s"]
    if lag_s is not None:
        line.append(f"  lag {words.span(lag_s)}", WATCH if lag_s > 10 else "")
    refused = refusals(stats)
    if refused:
        worst = max(refused, key=lambda name: refused[name])
        line.append(f"  refused {sum(refused.values()):,}, most {worst}", WATCH)
    yield line
    warm, symbols = stats["symbols_warm"], stats["symbols"]
    style = GOOD if warm == symbols else WATCH
    yield named("symbols").append(f"{symbols:>10} known, ").append(f"{warm} warm", style)


def scoring(look: Look, trend: Trend) -> Iterator[Text]:
    """How many, how fast, with what outcome."""
    if look.stats is None:
        return
    stats = look.stats
    line = named("scores").append(f"{words.rate(trend.scores.now):>10} ")
    yield line.append(trend.scores.line(SPARK), GOOD)
    latency = stats["latency_ms"]
    line = named("latency")
    for name in ("p50", "p95", "p99"):
        value = f"{latency[name]:.2f}" if name in latency else "-"
        line.append(f" {name} ", DIM).append(value)
    yield line.append(" ms").append(f"  longest stall {stats['longest_turn_ms']:.0f} ms", DIM)
    statuses = {name[7:]: n for name, n in stats["scores"].items() if name.startswith("status_")}
    line = named("answers")
    for name, n in sorted(statuses.items(), key=lambda item: -item[1]):
        line.append(f" {name} ", DIM).append(f"{n:,}", GOOD if name == "success" else "")
    yield line if statuses else line.append(" none yet", DIM)


def model(look: Look, config: Config) -> Iterator[Text]:
    """Which, how old, when it ends, and whether the signals are still like its own."""
    if look.stats is None:
        return
    found, drift = look.stats["model"], look.stats["drift"]
    if found is None:
        yield named("model").append(" none: base scores are served", WATCH)
        return
    line = named("model").append(f" {found['version']}", "bold")
    line.append(f"  {words.span(found['age_s'])} old, {found['samples']:,} samples")
    limit = config.model.expire_after_days
    if limit:
        left_s = limit * DAY_S - found["reviewed_age_s"]
        due = (1.0 - REVIEW_DUE) * limit * DAY_S
        text = f"  expires in {words.span(left_s)}" if left_s > 0 else "  expired"
        line.append(text, BAD if left_s <= 0 else WATCH if left_s < due else DIM)
    yield line
    line = named("drift").append(f" {drift['signals']:,} signals")
    if drift["drifting"]:
        yield line.append(f"  {len(drift['drifting'])} drift: ", BAD).append(
            ", ".join(drift["drifting"]), WATCH
        )
        return
    worst = _nearest(drift["features"])
    if worst is None:
        yield line.append("  too few to judge", DIM)
    else:
        name, one = worst
        line.append("  none drifts", GOOD)
        yield line.append(f"; nearest {name} {one['psi']:.2f} of {one['limit']:.2f}", DIM)


def drift_table(look: Look, width: int) -> Iterator[Text]:
    """A bar for each feature, where there is room: its index against its limit."""
    features = {} if look.stats is None else look.stats["drift"]["features"]
    room = max(width - 40, 8)
    for name, one in sorted(features.items(), key=lambda item: -item[1]["psi"]):
        share = min(one["psi"] / one["limit"], 1.0) if one["limit"] else 0.0
        style = BAD if one["drifting"] else WATCH if share > 0.7 else GOOD
        line = Text(f"  {name:<20} {one['psi']:6.3f} ")
        line.append("━" * round(share * room), style)
        yield line.append("─" * (room - round(share * room)), DIM)


def journal(look: Look) -> Iterator[Text]:
    """Size and faults."""
    if look.stats is None:
        return
    about = look.stats["journal"]
    line = named("journal").append(f" {words.amount(about['size_bytes'])}")
    if about["fault"]:
        line.append(f"  failing: {about['fault']}", BAD)
    for key, name in (("errors", "errors"), ("unwritten", "answers not kept")):
        if about[key]:
            line.append(f"  {about[key]:,} {name}", WATCH)
    yield line


def scores(look: Look, rows: int) -> Iterator[Text]:
    """The newest scores, newest first."""
    yield rule("last scores", look.journal_trouble)
    for one in look.scores[: max(rows, 0)]:
        line = Text(f" {words.clock(one['scored_at'])} ", DIM)
        line.append(f"{str(one['symbol'])[:9]:<9} {words.side(one['direction']):<4} ")
        line.append(f"{one['base_score']:5.1f} -> ").append(f"{one['final_score']:5.1f}", "bold")
        p = one["win_probability"]
        line.append("        " if p is None else f"  p {p:.2f}")
        take = one["take"]
        line.append(
            "  -    " if take is None else "  take " if take else "  leave",
            DIM if take is None else GOOD if take else WATCH,
        )
        status = str(one["status"])
        line.append(f" {status:<14}", GOOD if status == "success" else WATCH)
        yield line.append(f" {one['pattern'] or ''}", DIM)


def paper(look: Look, rows: int) -> Iterator[Text]:
    """Open paper positions and how they stand, those with a fill first, then the newest."""
    line = rule("paper positions", "")
    if look.open_positions is not None:
        line.append(f": {look.open_positions:,} open")
    ended = look.ended
    if ended.n:
        share = f"{100.0 * ended.won / ended.n:.0f} % won, {ended.mean_r:+.2f} R each"
        line.append(f"  {ended.n:,} ended within a day: {share}", DIM)
    yield line
    for one in look.positions[: max(rows, 0)]:
        line = Text(f" {words.clock(one['event_time'])} ", DIM)
        line.append(f"{str(one['symbol'])[:9]:<9} {words.side(one['direction']):<4} ")
        r = _standing(one)
        if r is None:
            line.append("  waits for its first tick", DIM)
        else:
            line.append(f"{r:+6.2f} R", GOOD if r > 0 else WATCH)
            line.append(f"  {words.price(one['opened_price']):>9} -> ")
            line.append(f"{words.price(one['last_price']):<9}")
            left_s = one["deadline"] - one["last_time"]
            line.append(f"  {words.span(left_s)} left" if left_s > 0 else "  over", DIM)
        yield line


def rule(name: str, trouble: str) -> Text:
    """A heading; `trouble` says why nothing stands below it."""
    line = Text(name, HEAD)
    return line.append(f"  {trouble}", WATCH) if trouble else line


def _standing(position: dict[str, Any]) -> float | None:
    """How many R it is worth now: as the distance from entry to stop counts."""
    opened, last, risk = position["opened_price"], position["last_price"], position["risk"]
    if opened is None or last is None or not risk:
        return None
    return float(position["direction"] * (last - opened) / risk)


def _nearest(features: dict[str, Any]) -> tuple[str, dict[str, Any]] | None:
    judged = [item for item in features.items() if item[1]["limit"]]
    return max(judged, key=lambda item: item[1]["psi"] / item[1]["limit"], default=None)


def named(name: str) -> Text:
    """The beginning of a line of facts."""
    return Text(f"{name:<{NAME_WIDTH}}", HEAD)
