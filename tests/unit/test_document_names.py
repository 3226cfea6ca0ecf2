"""What the documents name exists: links, anchors, make targets, options, keys, files."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import click
import documents
import msgspec
import pytest
from documents import IN_STATS, LANGUAGES, PROGRAM, ROOT, Block, Document, Span
from elsewhere import ELSEWHERE, NOWHERE, elsewhere, programs_of, targets
from scene import PROGRAMS

from service.config import load as config
from service.config.settings import Config
from service.model.bundle import DEFAULT_LIMITS, MAX_MANIFEST_BYTES

SECTIONS = {
    field.name: type(field.default).__struct_fields__
    for field in msgspec.structs.fields(Config)
    if field.name != "state_dir"
}
FOLDERS = ("protocol/", "service/", "training/", "tests/", "scripts/", "deploy/", "docs/")
FILES = (".py", ".md", ".db", ".json", ".jsonl", ".toml", ".service", ".timer", ".sh", ".yml")

named = pytest.mark.parametrize("one", documents.documents(), ids=documents.names())


def where(one: Block | Span) -> str:
    return f"{one.document}:{one.line}"


@named
def test_a_block_says_what_it_is_and_commands_stand_where_they_are_executed(one: Document) -> None:
    for block in one.blocks:
        assert block.language in LANGUAGES, f"{where(block)}: a block of {block.language!r}"
    assert not documents.stray_commands(one)


def test_a_command_outside_of_the_blocks_that_are_executed_is_found() -> None:
    for text in ("    signal-scorer health\n", "```text\n.venv/bin/signal-scorer health\n```\n"):
        assert documents.stray_commands(documents.parse("x.md", f"# X\n\n{text}"))
    fine = documents.parse("x.md", "```console\n$ signal-scorer \\\n  health  # now\nready\n```\n")
    assert [command.text for command in fine.commands()] == ["signal-scorer    health"]
    assert not documents.stray_commands(fine)


@named
def test_every_link_leads_somewhere(one: Document) -> None:
    for line, link in one.links:
        if link.startswith(("http://", "https://")):
            continue
        path, _, anchor = link.partition("#")
        file = (ROOT / one.name).parent / path if path else ROOT / one.name
        assert file.exists(), f"{one.name}:{line}: {link}"
        assert file.resolve().is_relative_to(ROOT), f"{one.name}:{line}: {link}"
        if anchor:
            there = documents.document(str(file.resolve().relative_to(ROOT)))
            assert anchor in there.anchors, f"{one.name}:{line}: no heading for {link}"


def test_every_document_is_reached_from_the_index() -> None:
    index = documents.document("docs/README.md")
    linked = {f"docs/{link}" for _, link in index.links if "/" not in link}
    there = {name for name in documents.names() if name.startswith("docs/")}
    assert linked | {"docs/README.md"} == there


@named
def test_every_program_within_a_sentence_is_one_of_ours_or_listed(one: Document) -> None:
    for span in one.spans:
        if PROGRAM.match(span.text):
            check_program(span)
        elif span.text.startswith("--"):
            option = re.split(r"[ =]", span.text)[0]
            assert option in options(), f"{where(span)}: no program has {option}"


def check_program(span: Span) -> None:
    words = span.text.split()
    name = words[0].removeprefix(".venv/bin/")
    if name in PROGRAMS:
        parse(PROGRAMS[name], words[1:], where(span))
    elif name == "make" and len(words) > 1:
        assert {word for word in words[1:] if "=" not in word} <= targets(), where(span)
    elif len(words) > 1:
        assert elsewhere(span.text), (
            f"{where(span)}: {span.text} is given nowhere; see elsewhere.py"
        )


def parse(program: click.Command, words: list[str], told: str) -> None:
    """Take the words apart as the program would; what a sentence leaves out may be missing."""
    context = click.Context(program, info_name="it")
    while isinstance(program, click.Group) and words:
        if words[0].startswith("-"):
            return
        found = program.get_command(context, words[0])
        assert found is not None, f"{told}: there is no command {words[0]}"
        program, words = found, words[1:]
    if isinstance(program, click.Group) or any("|" in word for word in words):
        return
    parser = program.make_parser(context)
    try:
        given, _, _ = parser.parse_args(words)
    except click.UsageError as error:
        raise AssertionError(f"{told}: {error.format_message()}") from None
    for parameter in program.params:
        value = given.get(parameter.name or "")
        if isinstance(parameter.type, click.Choice) and isinstance(value, str):
            parameter.type.convert(value, parameter, context)


@cache
def options() -> frozenset[str]:
    """All options of our command lines and scripts."""
    found: set[str] = set()
    for program in PROGRAMS.values():
        for command in commands_below(program):
            for parameter in command.params:
                found.update(parameter.opts + parameter.secondary_opts)
    texts = [*(ROOT / "scripts").glob("*"), *ROOT.glob("training/simulate/*.py")]
    texts += [*ROOT.glob("service/demo.py"), *ROOT.glob("deploy/**/*.sh")]
    for path in texts:
        if path.is_file():
            found.update(re.findall(r"--[a-z][a-z\-.]+", path.read_text("utf-8")))
    return frozenset(found)


def commands_below(program: click.Command) -> Iterator[click.Command]:
    yield program
    if isinstance(program, click.Group):
        for command in program.commands.values():
            yield from commands_below(command)


@named
def test_every_make_target_and_file_exists(one: Document) -> None:
    for span in one.spans:
        path = span.text.split(":")[0]
        if span.text.startswith(FOLDERS) and " " not in span.text:
            there = list(ROOT.glob(path.rstrip("/")))
            assert there, f"{where(span)}: there is no {path}"


def test_all_commands_stand_in_the_table_of_operations() -> None:
    tables = documents.document("docs/operations.md").tables("## All commands")
    for program, rows in zip(("signal-scorer", "signal-scorer-train"), tables, strict=True):
        given = [name for row in rows for name in row[0].split(", ")]
        commands = PROGRAMS[program]
        assert isinstance(commands, click.Group)
        assert sorted(name.split()[0] for name in given) == sorted(commands.commands)


def test_every_option_of_an_installation_is_explained() -> None:
    told = documents.document("docs/install.md").section("## What to tell it")
    usage = (ROOT / "deploy" / "install.sh").read_text("utf-8").partition("\nTEXT\n")[0]
    there = set(re.findall(r"^  (--[a-z-]+)", usage, re.M)) - {"--uninstall"}
    cells = re.findall(r"^\| (`--.+?) \|", told, re.M)
    assert {option for cell in cells for option in re.findall(r"--[a-z-]+", cell)} == there


def test_the_map_names_modules_that_are_there() -> None:
    told = documents.document("ARCHITECTURE.md").section("## Code map")
    packages = [ROOT / name for name in ("protocol", "service", "training")]
    paths = [path for package in packages for path in package.rglob("*.py")]
    there = {
        path.relative_to(package.parent).with_suffix("").as_posix()
        for package in packages
        for path in paths
        if path.is_relative_to(package)
    }
    there |= {name.removesuffix("/__init__") for name in there}
    for name in re.findall(r"`([a-z_]+(?:/[a-z_]*)?)`", told):
        if name not in ("deploy/", "tests/deploy/"):
            end = "/" + name.rstrip("/")
            assert any(f"/{one}".endswith(end) for one in there), f"there is no {name}"


@named
def test_every_key_of_the_configuration_exists(one: Document, tmp_path: Path) -> None:
    for span in one.spans:
        key = re.match(r"([a-z_]+)\.([a-z_0-9]+)(?=$| )", span.text)
        if key and key[1] in SECTIONS and not span.text.endswith(FILES):
            known = {*SECTIONS[key[1]], *IN_STATS.get(key[1], ())}
            assert key[2] in known, f"{where(span)}: there is no {key[0]}"
    for variable in set(re.findall(r"(?<!_)SIGNAL_SCORER_[A-Z_]+[A-Z]", one.text)):
        if variable not in config._OTHER_VARIABLES:
            section, _, name = str(config._key_of(variable)).rpartition(".")
            assert not section or name in SECTIONS[section], f"{one.name}: {variable}"
    for block in one.blocks:
        if block.language == "toml":
            file = tmp_path / "config.toml"
            file.write_text(block.text, "utf-8")
            assert tomllib.loads(block.text)
            config.load(str(file), environ={})


def test_the_limits_that_are_told_are_the_ones_that_hold() -> None:
    units = {"": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
    [table] = documents.document("docs/operations.md").tables("## Capacity and limits")
    told = {}
    for bound, default, _ in table:
        key = re.search(r"([a-z_]+)\.([a-z_]+)$", bound)
        if key:
            number, unit = re.findall(r"^([\d,]+) ?([KMG]iB|)", default)[0]
            told[key[1], key[2]] = int(number.replace(",", "")) * units[unit]
    assert len(told) == 5
    for (section, name), limit in told.items():
        assert getattr(getattr(Config(), section), name) == limit, name
    fixed = {bound: default for bound, default, _ in table}
    largest = f"{DEFAULT_LIMITS.file_bytes >> 20} MiB; a manifest {MAX_MANIFEST_BYTES >> 20} MiB"
    assert fixed["a model's file"] == largest
    assert fixed["the nodes of all its trees"] == f"{DEFAULT_LIMITS.nodes:,}"


def test_a_default_that_a_sentence_gives_behind_its_key_is_the_one_that_holds() -> None:
    told = set()
    for one in documents.documents():
        for section, name, text, unit in re.findall(
            r"`([a-z_]+)\.([a-z_0-9]+)`\s\((\d[\d,.]*)(?: (s|us|MiB))?(?:\)|,\s|\sby default)",
            one.text,
        ):
            default = getattr(getattr(Config(), section), name)
            scale = 1 << 20 if unit == "MiB" else 1
            given = text if isinstance(default, str) else float(text.replace(",", "")) * scale
            assert given == default, f"{one.name}: {section}.{name} ({text})"
            told.add(f"{section}.{name}")
    assert {"limits.symbol_idle_s", "feed.silence_s", "limits.symbols", "score.ipc_mode"} <= told
    assert {"training.min_samples", "training.min_new", "training.keep_models"} <= told
    assert {"monitor.warn_points", "limits.waiting_requests", "record.segment_bytes"} <= told
    assert {"score.base_weight", "score.model_weight", "score.session_bonus_weight"} <= told
    assert {"score.take_margin_r", "score.spin_us", "feed.stale_after_s"} <= told
    assert {"paper.max_holding_s", "paper.max_gap_s", "training.max_holding_s"} <= told
    assert {"model.expire_after_days", "limits.faults_per_minute"} <= told
    assert {"monitor.win_rate_days", "alerts.min_interval_s", "alerts.timeout_s"} <= told


def test_a_default_at_the_end_of_an_options_help_is_the_one_that_holds() -> None:
    told = set()
    for option in (o for c in commands_below(PROGRAMS["signal-scorer-train"]) for o in c.params):
        given = re.search(r"\(([^ )]+)(?: s)?\)\.$", getattr(option, "help", None) or "")
        for section in (Config().training, Config().truth_log):
            if given and option.name in section.__struct_fields__:
                default = getattr(section, option.name)
                assert type(default)(given[1]) == default, option.name
                told.add(option.name)
    keys = {"min_new", "min_samples", "max_holding_s", "max_watch_delay_s", "labels", "timezone"}
    assert told == keys


def test_what_is_given_elsewhere_is_in_a_document_and_is_given_there() -> None:
    texts = [command.text for one in documents.documents() for command in one.commands()]
    texts += [span.text for one in documents.documents() for span in one.spans]
    for entry in ELSEWHERE:
        assert any(re.match(entry.command, text) for text in texts), f"{entry.command}: unused"
        assert entry.as_ in programs_of(entry.runs_in), f"{entry.runs_in} does not give it"
    assert NOWHERE.keys() <= set(texts)
    for text in texts:
        entry = elsewhere(text)
        if entry and not entry.as_ and text not in NOWHERE:
            assert text in programs_of(entry.runs_in), f"{entry.runs_in} does not give {text}"


def test_the_make_targets_say_what_they_are_for() -> None:
    described = re.findall(r"^# make ([^\n]+)", (ROOT / "Makefile").read_text("utf-8"), re.M)
    listed = {word for line in described for word in re.findall(r"[a-z0-9\-]+", line)}
    hidden = {"clean", "lint"}
    for target in targets() - hidden:
        assert target in listed or f"-{target.rpartition('-')[2]}" in listed, target
