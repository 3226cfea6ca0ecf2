"""Loads the configuration: defaults < TOML file < environment < flags, each key with its source.

systemd's $STATE_DIRECTORY and $RUNTIME_DIRECTORY move the files where it wants them.
"""

from __future__ import annotations

import codecs
import json
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import msgspec

from service.config.settings import Config, ScoreSection
from service.errors import ConfigError

PREFIX = "SIGNAL_SCORER_"
LONGEST_BYTES = 2**20
"""Of the file."""
LONGEST_NAME_BYTES = 255
"""Of one folder or file, on every disk of Linux."""

_SECTIONS = tuple(name for name in Config.__struct_fields__ if name != "state_dir")
_OTHER_VARIABLES = frozenset(
    PREFIX + name for name in ("CONFIG", "ENDPOINT", "INGEST", "KEY", "SERVER_KEY", "TRAINER")
)
"""Read elsewhere: where this file lies, and where commands and callers find the service."""


class Sourced(msgspec.Struct, frozen=True):
    """The configuration, and for each dotted key that is not a default its source."""

    config: Config
    sources: dict[str, str]


def load(
    path: str | None = None,
    environ: Mapping[str, str] | None = None,
    flags: Mapping[str, Any] | None = None,
) -> Sourced:
    """The effective configuration. Raises ConfigError naming the key and what to do.

    `path` defaults to $SIGNAL_SCORER_CONFIG; a file that is named must exist. `flags` maps
    dotted keys (`score.bind`) to values; None leaves the key alone.
    """
    environ = os.environ if environ is None else environ
    tree: dict[str, Any] = {}
    sources: dict[str, str] = {}
    state_directory = environ.get("STATE_DIRECTORY")
    if state_directory:
        _put(tree, sources, "state_dir", state_directory.split(":")[0], "$STATE_DIRECTORY")
    runtime_directory = environ.get("RUNTIME_DIRECTORY")
    if runtime_directory:
        local = f"ipc://{runtime_directory.split(':')[0]}/score.sock"
        _put(tree, sources, "score.bind", [*ScoreSection().bind, local], "$RUNTIME_DIRECTORY")
    file = config_file(path, environ)
    if file:
        for key, value in _flatten(_read(file)):
            _put(tree, sources, key, value, str(file))
    for name, text in sorted(environ.items()):
        named = _key_of(name)
        if named:
            _put(tree, sources, named, _value_of(text, named), f"${name}")
    for key, flag in (flags or {}).items():
        if flag is not None:
            _put(tree, sources, key, flag, "flag")
    try:
        config = msgspec.convert(tree, type=Config)
    except msgspec.ValidationError as error:
        raise ConfigError(_advice(str(error), sources)) from None
    _check_paths(config, sources)
    _check_places(config, sources)
    return Sourced(config, sources)


def config_file(path: str | None, environ: Mapping[str, str] | None = None) -> Path | None:
    """The file that is read: the one that is named, else $SIGNAL_SCORER_CONFIG's, else none."""
    environ = os.environ if environ is None else environ
    file = path or environ.get(f"{PREFIX}CONFIG")
    return Path(file) if file else None


def _read(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            content = file.read(LONGEST_BYTES + 1)
        if len(content) > LONGEST_BYTES:
            raise ConfigError(
                f"{path} has more than {LONGEST_BYTES:,} bytes, as no configuration has; is the "
                "path right?"
            )
        # As programs on Windows begin a file, which their editors do not show.
        return tomllib.loads(content.removeprefix(codecs.BOM_UTF8).decode())
    except OSError as error:
        advice = "is the path right?"
        if isinstance(error, PermissionError):
            advice = "this user is to be of its group, which may read it: chgrp and chmod g+r"
        raise ConfigError(f"cannot read {path}: {error.strerror}; {advice}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not valid TOML: {error}; save it as UTF-8") from None
    except (ValueError, RecursionError) as error:  # also of what tomllib cannot take
        raise ConfigError(f"{path} is not valid TOML: {error}") from None


def _flatten(tree: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    pairs: list[tuple[str, Any]] = []
    for key, value in tree.items():
        # symbol_map is itself a table: a value, not a section.
        if isinstance(value, dict) and value and not prefix:
            pairs += _flatten(value, f"{key}.")
        else:
            pairs.append((prefix + key, value))
    return pairs


def _put(tree: dict[str, Any], sources: dict[str, str], key: str, value: Any, source: str) -> None:
    section, _, name = key.rpartition(".")
    target = tree.setdefault(section, {}) if section else tree
    if not isinstance(target, dict):
        raise ConfigError(f"{section} is a table, but {sources.get(section)} sets it to {target!r}")
    if _has_nul(value):
        raise ConfigError(
            f"{key} (set by {source}) has a NUL, which no path and no address can have"
        )
    target[name] = value
    sources[key] = source


def _has_nul(value: Any) -> bool:
    if isinstance(value, str):
        return "\0" in value
    if isinstance(value, dict):
        return any(map(_has_nul, (*value, *value.values())))
    return isinstance(value, list) and any(map(_has_nul, value))


def _check_paths(config: Config, sources: dict[str, str]) -> None:
    """Refuse what nothing can be made at: each command would end there in words of its own.

    Nor what is blank, as a variable in a compose file may be: it would be the folder that a command
    was given in.
    """
    for key, name in (("state_dir", config.state_dir), ("model.directory", config.model.directory)):
        if not name.strip():
            raise ConfigError(
                f"{key} (set by {sources.get(key, 'default')}) is blank; name a folder, or leave "
                "it out"
            )
    # With the most that the name of a file beside it has on top.
    paths = [
        ("state_dir", config.path("."), ""),
        ("model.directory", config.models_dir, ""),
        ("journal.path", config.journal_path, "-spool"),
        ("record.directory", config.path(config.record.directory), ""),
        *(("truth_log.paths", Path(path), "") for path in config.truth_log.paths),
        ("monitor.textfile", Path(config.monitor.textfile), "..incoming-1234567"),
    ]
    for key, path, beside in paths:
        names = (*path.parts, path.name + beside)
        if any(len(os.fsencode(name)) > LONGEST_NAME_BYTES for name in names):
            raise ConfigError(
                f"{key} (set by {sources.get(key, 'default')}) has a name of more than "
                f"{LONGEST_NAME_BYTES - len(beside)} bytes, which no disk takes"
                f"{' with what is written beside it' if beside else ''}; shorten it"
            )


def _check_places(config: Config, sources: dict[str, str]) -> None:
    """Refuse a file of ours that would replace another one, or stand where a folder is wanted."""
    files = {
        "journal.path": config.journal.path,
        "training.textfile": config.training.textfile,
        "monitor.textfile": config.monitor.textfile,
        "monitor.state": config.monitor.state,
    }
    folders = [Path(os.path.abspath(path)) for path in (config.path("."), config.models_dir)]  # noqa: PTH100  by its text
    taken: dict[Path, str] = {}
    for key, name in files.items():
        if not name and key != "journal.path":
            continue
        path = Path(os.path.abspath(config.path(name)))  # noqa: PTH100
        head = f"{key} (set by {sources.get(key, 'default')}) is {config.path(name)}, "
        if any(path in (folder, *folder.parents) for folder in folders):
            raise ConfigError(f"{head}a folder; name a file in it, or another")
        if path in taken:
            raise ConfigError(f"{head}the file of {taken[path]} too; name another")
        taken[path] = key


def _key_of(name: str) -> str | None:
    """SIGNAL_SCORER_FEED_SILENCE_S -> feed.silence_s; None for what is not ours."""
    if not name.startswith(PREFIX) or name in _OTHER_VARIABLES:
        return None
    rest = name[len(PREFIX) :].lower()
    if rest == "state_dir":
        return rest
    for section in _SECTIONS:
        if rest.startswith(section + "_"):
            return f"{section}.{rest[len(section) + 1 :]}"
    raise ConfigError(f"${name} names no section; known are {', '.join(_SECTIONS)}")


def _value_of(text: str, key: str) -> Any:
    """An environment value: JSON where it is JSON, comma separated where a list is wanted."""
    section, _, name = key.rpartition(".")
    if not section:
        return text
    owner = next(f for f in msgspec.structs.fields(Config) if f.name == section)
    wanted = {f.name: f.default for f in msgspec.structs.fields(type(owner.default))}.get(name)
    if isinstance(wanted, tuple) and not text.startswith("["):
        return [part.strip() for part in text.split(",") if part.strip()]
    if isinstance(wanted, str):
        try:
            return float(text) if name == "clock_offset" else text
        except ValueError:
            return text
    try:
        return json.loads(text)
    except ValueError:
        return text


def _advice(text: str, sources: dict[str, str]) -> str:
    key = text.rpartition("`$.")[2].rstrip("`").partition("[")[0] if "`$." in text else ""
    unknown = text.partition("unknown field `")[2].partition("`")[0]
    source = _source(f"{key}.{unknown}".strip(".") if unknown else key, sources)
    hint = f" (set by {source})" if source else ""
    choices = _choices(key) if text.startswith("Invalid enum") else ()
    if choices:
        return f"configuration: {text}{hint}; it can be {', '.join(choices)}"
    if key == "feed.clock_offset":
        return f"configuration: {text}{hint}; it can be auto, or seconds: 10800 for three hours"
    if key in ("feed.symbol_suffixes", "feed.symbol_map") and "length" in text:
        return (
            f"configuration: {text}{hint}; leave the empty one out: a name that no suffix and no "
            "map fits stays as it is"
        )
    if text.startswith("Expected `bool`,"):
        return f"configuration: {text}{hint}; write true or false"
    if text.startswith("Expected `array`,"):
        line = "" if (source or "").startswith("$") else f"{key.rpartition('.')[2]} = "
        return f'configuration: {text}{hint}; write it as a list: {line}["..."]'
    # The file that is refused would be refused here too.
    defaults = "`signal-scorer config --config /dev/null` shows all keys and defaults"
    return f"configuration: {text}{hint}; {defaults}"


def _source(key: str, sources: dict[str, str]) -> str | None:
    """What set a key or, of a section, its first key."""
    of_section = (source for name, source in sources.items() if name.startswith(f"{key}."))
    return sources.get(key) or next(of_section, None)


def _choices(key: str) -> tuple[str, ...]:
    """The words that a key can be; none where it is no choice of words alone."""
    section, _, name = key.partition(".")
    table = type(getattr(Config(), section, None))
    if not issubclass(table, msgspec.Struct):
        return ()
    kind = next((f.type for f in msgspec.structs.fields(table) if f.name == name), None)
    return get_args(kind) if get_origin(kind) is Literal else ()
