"""`status`: the same facts once, with what the trainer said last; also where no service runs."""

from __future__ import annotations

from collections.abc import Iterator

from rich.text import Text

from service.config.settings import Config
from service.console import words
from service.errors import ModelRejected, remedy
from service.journal.file import size_of
from service.model.history import HISTORY_NAME, last_trained, read_history
from service.model.pointer import read_pointer
from service.top import blocks
from service.top.look import Look
from service.top.trend import Trend


def lines(look: Look, config: Config, endpoint: str, width: int) -> Iterator[Text]:
    """One screen of text."""
    yield blocks.title(look, endpoint, width)
    yield from blocks.complaints(look)
    trend = Trend()
    yield from (line for line in blocks.feed(look, trend, config) if "-/s" not in line.plain)
    yield from (line for line in blocks.scoring(look, trend) if "-/s" not in line.plain)
    if look.stats is None:
        yield from _from_files(config)
    else:
        yield from blocks.model(look, config)
        yield from blocks.journal(look)
    yield from _last_score(look)
    if look.open_positions is not None:
        positions = words.counted(look.open_positions, "position")
        yield blocks.named("paper").append(f" {positions} open")
    if not look.elsewhere:
        yield from _last_verdict(config)


def _from_files(config: Config) -> Iterator[Text]:
    """What a start would find."""
    line = blocks.named("model")
    try:
        found = read_pointer(config.models_dir)
        yield line.append(f" {found.version} is published" if found else " none is published")
    except ModelRejected as error:
        yield line.append(f" {error}", blocks.BAD)
    path = config.journal_path
    size = size_of(path)  # 0 where nobody knows; the next line says why
    yield blocks.named("journal").append(f" {path}, {words.amount(size)}" if size else f" {path}")


def _last_verdict(config: Config) -> Iterator[Text]:
    line = blocks.named("trainer")
    try:
        (config.models_dir / HISTORY_NAME).stat()
    except PermissionError as error:
        yield line.append(f" {error.filename}: {error.strerror}; {remedy(error)}", blocks.WATCH)
        return
    except OSError:
        pass  # it never ran
    last = last_trained(read_history(config.models_dir))
    if last is None:
        yield line.append(" no verdict yet", blocks.DIM)
        return
    yield line.append(f" {words.stamp(last.at)[:16]} UTC: {last.event} on {last.n:,} samples")
    yield Text(f"{'':9} {last.why}", blocks.DIM)


def _last_score(look: Look) -> Iterator[Text]:
    line = blocks.named("last")
    if look.journal_trouble:
        yield line.append(f" {look.journal_trouble}", blocks.WATCH)
    elif look.scores:
        one = look.scores[0]
        yield line.append(
            f" score {words.stamp(one['scored_at'])} UTC: {one['symbol']} {one['base_score']:g} -> "
            f"{one['final_score']:.1f}, {one['status']}"
        )
    else:
        yield line.append(" no score yet", blocks.DIM)
