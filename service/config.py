"""One TOML file, typed and bounded: defaults < file < environment < flags.

Every default works on a laptop without root; systemd's $STATE_DIRECTORY and
$RUNTIME_DIRECTORY move the files where it wants them. An unknown key is refused, since a
typing error that is silently ignored is found in production.
"""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from service.errors import ConfigError

PREFIX = "SIGNAL_SCORER_"

Seconds = Annotated[float, Meta(gt=0, le=31_536_000)]
Count = Annotated[int, Meta(ge=1, le=10_000_000)]
Fraction = Annotated[float, Meta(ge=0, le=1)]


class Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of the file."""


class ScoreSection(Section, frozen=True, kw_only=True):
    """`[score]`: the scoring socket and the blend. Weights sum to what the caller wants."""

    bind: tuple[str, ...] = ("tcp://127.0.0.1:5561",)
    allow_insecure: bool = False
    mode: Literal["live", "shadow", "off"] = "live"
    base_weight: Annotated[float, Meta(ge=0, le=1)] = 0.4
    model_weight: Annotated[float, Meta(ge=0, le=1)] = 0.6
    session_bonus_weight: Annotated[float, Meta(ge=0, le=4)] = 1.0
    take_margin_r: Annotated[float, Meta(ge=-10, le=10)] = 0.0
    retry_window_s: Seconds = 60.0


class FeedSection(Section, frozen=True, kw_only=True):
    """`[feed]`: where ticks come from and how they are read."""

    endpoints: tuple[str, ...] = ("tcp://127.0.0.1:5560",)
    ingest: str = ""
    volume: Literal["last_deal", "deal"] = "last_deal"
    clock_offset: Literal["auto"] | Annotated[float, Meta(ge=-50_400, le=50_400)] = "auto"
    configured_offset_s: Annotated[float, Meta(ge=-50_400, le=50_400)] = 0.0
    silence_s: Seconds = 30.0
    stale_after_s: Seconds = 120.0
    symbol_suffixes: tuple[str, ...] = ()
    symbol_map: dict[str, str] = {}


class ModelSection(Section, frozen=True, kw_only=True):
    """`[model]`: where published models lie and how old one may get (0: any age)."""

    directory: str = "models"
    poll_s: Seconds = 1.0
    expire_after_days: Annotated[float, Meta(ge=0, le=3650)] = 35.0
    max_file_bytes: Annotated[int, Meta(ge=1024, le=1 << 30)] = 64 * 1024 * 1024
    max_nodes: Count = 2_000_000


class JournalSection(Section, frozen=True, kw_only=True):
    """`[journal]`: the SQLite file; relative paths lie in the state directory."""

    path: str = "journal.db"


class MetricsSection(Section, frozen=True, kw_only=True):
    """`[metrics]`: where Prometheus scrapes; empty for nowhere."""

    bind: str = "127.0.0.1:9461"


class LimitsSection(Section, frozen=True, kw_only=True):
    """`[limits]`: the bound of every queue and table."""

    symbols: Count = 512
    symbol_idle_s: Seconds = 3600.0
    waiting_requests: Count = 1024
    requests_per_cycle: Count = 64
    ticks_per_cycle: Count = 256
    remembered_replies: Count = 8192
    faults_per_minute: Count = 10


class LogSection(Section, frozen=True, kw_only=True):
    """`[log]`: JSON under systemd, readable on a terminal, unless said otherwise."""

    format: Literal["auto", "json", "console"] = "auto"
    level: Literal["debug", "info", "warning", "error"] = "info"


class TrainingSection(Section, frozen=True, kw_only=True):
    """`[training]`: read by the trainer only; here so that one file configures both."""

    min_samples: Count = 100
    min_new: Annotated[int, Meta(ge=0, le=10_000_000)] = 100
    max_missing: Annotated[int, Meta(ge=0, le=10)] = 3
    keep_models: Count = 5


class TruthLogSection(Section, frozen=True, kw_only=True):
    """`[truth_log]`: the caller's outcome logs, and the zone of their naive stamps."""

    paths: tuple[str, ...] = ()
    timezone: str = "UTC"


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole file. `state_dir` is where relative paths lie."""

    state_dir: str = "var"
    score: ScoreSection = ScoreSection()
    feed: FeedSection = FeedSection()
    model: ModelSection = ModelSection()
    journal: JournalSection = JournalSection()
    metrics: MetricsSection = MetricsSection()
    limits: LimitsSection = LimitsSection()
    log: LogSection = LogSection()
    training: TrainingSection = TrainingSection()
    truth_log: TruthLogSection = TruthLogSection()

    def path(self, name: str) -> Path:
        """`name` as a path, in the state directory unless it is absolute."""
        return Path(self.state_dir).expanduser() / Path(name).expanduser()

    @property
    def models_dir(self) -> Path:
        """The directory that holds CURRENT.json and the bundles."""
        return self.path(self.model.directory)

    @property
    def journal_path(self) -> Path:
        """The SQLite file."""
        return self.path(self.journal.path)


_SECTIONS = tuple(name for name in Config.__struct_fields__ if name != "state_dir")
_OTHER_VARIABLES = frozenset((f"{PREFIX}CONFIG", f"{PREFIX}ENDPOINT"))
"""Read elsewhere: where this file lies, and where the commands find the service."""


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
    file = path or environ.get(f"{PREFIX}CONFIG")
    if file:
        for key, value in _flatten(_read(file)):
            _put(tree, sources, key, value, file)
    for name, text in sorted(environ.items()):
        named = _key_of(name)
        if named:
            _put(tree, sources, named, _value_of(text, named), f"${name}")
    for key, flag in (flags or {}).items():
        if flag is not None:
            _put(tree, sources, key, flag, "flag")
    try:
        return Sourced(msgspec.convert(tree, type=Config), sources)
    except msgspec.ValidationError as error:
        raise ConfigError(_advice(str(error), sources)) from None


def _read(path: str) -> dict[str, Any]:
    try:
        return tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}; is the path right?") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
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
    target[name] = value
    sources[key] = source


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
    source = sources.get(f"{key}.{unknown}".strip(".") if unknown else key)
    hint = f" (set by {source})" if source else ""
    return f"configuration: {text}{hint}; `signal-scorer config` shows all keys and defaults"
