"""The types and bounds of the configuration, which `load` reads.

Every default works on a laptop without root: sockets on loopback, files under `state_dir`.
An unknown key is refused, since a typing error that is silently ignored is found in
production.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from protocol.limits import MAX_PATH_CHARS
from service.errors import ConfigError

Seconds = Annotated[float, Meta(gt=0, le=31_536_000)]
Count = Annotated[int, Meta(ge=1, le=10_000_000)]
Name = Annotated[str, Meta(min_length=1)]


class Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of the file."""


class ScoreSection(Section, frozen=True, kw_only=True):
    """`[score]`: the scoring socket and the blend. Weights sum to what the caller wants.

    For `spin_us` after an answer the loop looks for the next request instead of sleeping.
    """

    bind: Annotated[tuple[str, ...], Meta(min_length=1)] = ("tcp://127.0.0.1:5561",)
    allow_insecure: bool = False
    ipc_mode: Annotated[str, Meta(pattern=r"\A0?[0-7]{3}\Z")] = "0660"
    mode: Literal["live", "shadow", "off"] = "live"
    base_weight: Annotated[float, Meta(ge=0, le=1)] = 0.4
    model_weight: Annotated[float, Meta(ge=0, le=1)] = 0.6
    session_bonus_weight: Annotated[float, Meta(ge=0, le=4)] = 1.0
    take_margin_r: Annotated[float, Meta(ge=-10, le=10)] = 0.0
    retry_window_s: Seconds = 60.0
    spin_us: Annotated[float, Meta(ge=0, le=1000)] = 200.0


class CurveSection(Section, frozen=True, kw_only=True):
    """`[curve]`: encryption and who is let in; `signal-scorer keygen` makes the files.

    With `server_secret_file` set, every TCP bind beyond loopback is encrypted (with `loopback`
    those on it too) and takes only clients whose key lies in `clients_dir` as NAME.pub.
    `feed_keys` maps a feed endpoint to the file of its server's public key; there we show
    `feed_secret_file`, or a passing key where none is set.
    """

    server_secret_file: str = ""
    clients_dir: str = "clients"
    loopback: bool = False
    feed_keys: dict[str, str] = {}
    feed_secret_file: str = ""


class FeedSection(Section, frozen=True, kw_only=True):
    """`[feed]`: where ticks come from and how they are read."""

    endpoints: tuple[str, ...] = ("tcp://127.0.0.1:5560",)
    ingest: str = ""
    volume: Literal["last_deal", "deal"] = "last_deal"
    clock_offset: Literal["auto"] | Annotated[float, Meta(ge=-50_400, le=50_400)] = "auto"
    configured_offset_s: Annotated[float, Meta(ge=-50_400, le=50_400)] = 0.0
    silence_s: Seconds = 30.0
    stale_after_s: Seconds = 120.0
    symbol_suffixes: tuple[Name, ...] = ()
    symbol_map: dict[Name, Name] = {}


class ModelSection(Section, frozen=True, kw_only=True):
    """`[model]`: where published models lie and how old one may get (0: any age)."""

    directory: str = "models"
    poll_s: Seconds = 1.0
    expire_after_days: Annotated[float, Meta(ge=0, le=3650)] = 35.0


class JournalSection(Section, frozen=True, kw_only=True):
    """`[journal]`: the SQLite file; relative paths lie in the state directory."""

    path: str = "journal.db"


class RecordSection(Section, frozen=True, kw_only=True):
    """`[record]`: every input of the engine in segments, to be run again offline.

    `segment_bytes` counts uncompressed bytes, `keep_bytes` the files of earlier segments. A run
    that fills these alone is recorded no further.
    """

    enabled: bool = False
    directory: str = "segments"
    segment_bytes: Annotated[int, Meta(ge=1 << 20, le=1 << 34)] = 1 << 28
    keep_bytes: Annotated[int, Meta(ge=1 << 20, le=1 << 44)] = 1 << 32


class PaperSection(Section, frozen=True, kw_only=True):
    """`[paper]`: scored signals followed on the own feed to target, stop or holding time.

    More than `max_positions` at once are not followed, and counted. A path that was not seen
    for longer than `max_gap_s` gives no outcome (in a week of FX ticks only the daily break
    and the weekend are that long).
    """

    enabled: bool = True
    max_positions: Count = 4096
    max_holding_s: Seconds = 7500.0
    max_gap_s: Seconds = 300.0


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
    faults_per_minute: Annotated[int, Meta(ge=1, le=100)] = 10


class LogSection(Section, frozen=True, kw_only=True):
    """`[log]`: JSON under systemd, readable on a terminal, unless said otherwise."""

    format: Literal["auto", "json", "console"] = "auto"
    level: Literal["debug", "info", "warning", "error"] = "info"


class TrainingSection(Section, frozen=True, kw_only=True):
    """`[training]`: read by the trainer only; here so that one file configures both.

    `journals` are read beside the own one: those of replicas.
    `textfile` is for Prometheus' node exporter: when `train` ran last, and how it ended.
    `backfills` are files that `backfill` made: their signals train and never evaluate.
    """

    min_samples: Count = 100
    min_new: Annotated[int, Meta(ge=0, le=10_000_000)] = 100
    max_missing: Annotated[int, Meta(ge=0, le=10)] = 3
    keep_models: Count = 5
    max_holding_s: Seconds = 7500.0
    labels: Literal["paper", "reported"] = "paper"
    journals: tuple[str, ...] = ()
    textfile: str = ""
    backfills: tuple[str, ...] = ()


class TruthLogSection(Section, frozen=True, kw_only=True):
    """`[truth_log]`: the caller's outcome logs, and the zone of their naive stamps."""

    paths: tuple[str, ...] = ()
    timezone: str = "UTC"
    max_watch_delay_s: Annotated[float, Meta(ge=0, le=31_536_000)] = 60.0


class MonitorSection(Section, frozen=True, kw_only=True):
    """`[monitor]`: the served model against its promise; read by the trainer only.

    With `rollback` a model whose live loss is significantly worse than the previous one's or a
    constant's is replaced by the previous one. `textfile` is for Prometheus' node exporter.
    `state` remembers what the alert command was told; beside the models directory by default.
    """

    rollback: bool = False
    win_rate_days: Annotated[float, Meta(ge=1, le=3650)] = 30.0
    warn_points: Annotated[float, Meta(ge=0, le=100)] = 5.0
    textfile: str = ""
    state: str = ""


class AlertsSection(Section, frozen=True, kw_only=True):
    """`[alerts]`: a program that is told of changes, as JSON on its stdin; never through a shell.

    Run when what is wrong changes and when all is well again, at most once in
    `min_interval_s`; what changed meanwhile is told afterwards. With `warnings` of those too.
    """

    command: tuple[str, ...] = ()
    warnings: bool = False
    min_interval_s: Annotated[float, Meta(ge=0, le=31_536_000)] = 3600.0
    timeout_s: Seconds = 30.0


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole file. `state_dir` is where relative paths lie."""

    state_dir: str = "var"
    score: ScoreSection = ScoreSection()
    curve: CurveSection = CurveSection()
    feed: FeedSection = FeedSection()
    model: ModelSection = ModelSection()
    journal: JournalSection = JournalSection()
    record: RecordSection = RecordSection()
    paper: PaperSection = PaperSection()
    metrics: MetricsSection = MetricsSection()
    limits: LimitsSection = LimitsSection()
    log: LogSection = LogSection()
    training: TrainingSection = TrainingSection()
    truth_log: TruthLogSection = TruthLogSection()
    monitor: MonitorSection = MonitorSection()
    alerts: AlertsSection = AlertsSection()

    def path(self, name: str) -> Path:
        """`name` as a path, in the state directory unless it is absolute. Raises ConfigError."""
        try:
            return Path(self.state_dir).expanduser() / Path(name).expanduser()
        except RuntimeError:
            raise ConfigError(
                f"configuration: a path begins with ~, and nobody knows which folder that is: "
                f"state_dir is {self.state_dir}, the path in it {name}; write them from / on"
            ) from None

    @property
    def told_state_dir(self) -> str:
        """The state directory as `stats` tells it: by this a client knows whose service answers."""
        return str(self.path(".").absolute())[-MAX_PATH_CHARS:]

    @property
    def models_dir(self) -> Path:
        """The directory that holds CURRENT.json and the bundles."""
        return self.path(self.model.directory)

    @property
    def journal_path(self) -> Path:
        """The SQLite file."""
        return self.path(self.journal.path)
