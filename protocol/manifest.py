"""What the trainer promises about a model: the pointer `CURRENT.json` and `manifest.json`.

The rule: what was decoded into these types can be relied on. msgspec checks types and bounds,
`__post_init__` what several fields owe each other (also in values that are built, not read).
Times are UTC epoch seconds.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

FORMAT_VERSION: Final = 1
POINTER_NAME = "CURRENT.json"
MANIFEST_NAME = "manifest.json"
FOREST_NAME = "forest.npz"
REPORT_NAME = "report.html"

MIN_GOLDEN_ROWS = 32
GOLDEN_TOLERANCE = 1e-9
# The forest's probability is clipped to CLIP..1 - CLIP before its logit is taken.
CLIP = 1e-6

Unit = Annotated[float, Meta(ge=0.0, le=1.0)]
Number = Annotated[float, Meta(ge=-1e9, le=1e9)]
Time = Annotated[float, Meta(ge=0.0, le=4e9)]
Count = Annotated[int, Meta(ge=0, le=10**9)]
Text = Annotated[str, Meta(max_length=2000)]
Name = Annotated[str, Meta(pattern=r"\A[a-z][a-z0-9_]{0,63}\Z")]
Sha256 = Annotated[str, Meta(pattern=r"\A[0-9a-f]{64}\Z")]
Fingerprint = Annotated[str, Meta(pattern=r"\A[0-9a-f]{16}\Z")]
# Also the name of a directory: nothing that could lead out of it.
Version = Annotated[str, Meta(pattern=r"\A[0-9]{8}T[0-9]{6}Z-[0-9a-f]{6}\Z")]
FileName = Annotated[str, Meta(pattern=r"\A[a-z0-9][a-z0-9_-]{0,63}\.[a-z0-9]{1,8}\Z")]
Quantiles = Annotated[tuple[Number, ...], Meta(min_length=9, max_length=9)]
Table = Annotated[tuple[Unit, ...], Meta(max_length=256)]


class Strict(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An immutable record that knows all of its keys."""


class Pointer(Strict, frozen=True):
    """`CURRENT.json`: which model is served. A bundle never changes, so its review is here.

    `published_at` is when the pointer moved to it, `reviewed_at` when the run began that judged
    it last. `pinned` keeps a publication from displacing it.
    """

    version: Version
    manifest_sha256: Sha256
    manifest_size: Annotated[int, Meta(ge=1, le=1 << 31)]
    published_at: Time
    why: Text
    reviewed_at: Time
    previous: Version | None = None
    pinned: bool = False


class FileEntry(Strict, frozen=True):
    """A file of the bundle, by content."""

    sha256: Sha256
    size: Annotated[int, Meta(ge=0, le=1 << 31)]


class ForestParameters(Strict, frozen=True):
    """How the forest was grown, and the extent of its arrays (`depth` levels below a root)."""

    trees: Annotated[int, Meta(ge=1, le=10_000)]
    depth: Annotated[int, Meta(ge=0, le=64)]
    nodes: Annotated[int, Meta(ge=1, le=10**8)]
    min_samples_leaf: Annotated[int, Meta(ge=1, le=10**9)]
    max_features: Annotated[int, Meta(ge=1, le=1000)]
    seed: Annotated[int, Meta(ge=0, le=1 << 32)]


class Calibration(Strict, frozen=True):
    """From the forest's probability `raw` to the one that is served, `p`, with its interval.

    platt:    calibrated = sigmoid(slope * logit(clip(raw, CLIP, 1 - CLIP)) + intercept)
    isotonic: calibrated = `values` interpolated linearly over `points` at raw
    then      p = base_rate + shrink_weight * (calibrated - base_rate)
    and       `low`, `high` interpolated linearly over `at` at raw, widened to hold p.

    Outside of a table its end value holds. `coverage` is the interval's nominal one,
    `method` where it comes from.
    """

    kind: Literal["platt", "isotonic"]
    base_rate: Unit
    shrink_weight: Unit
    at: Table
    low: Table
    high: Table
    coverage: Unit
    method: Name
    slope: Annotated[float, Meta(ge=0.0, le=1e3)] = 1.0
    intercept: Annotated[float, Meta(ge=-1e3, le=1e3)] = 0.0
    points: Table = ()
    values: Table = ()

    def __post_init__(self) -> None:
        if not len(self.at) == len(self.low) == len(self.high) >= 2:
            raise ValueError("at, low and high must have the same length, at least 2")
        if len(self.points) != len(self.values) or (self.kind == "isotonic") != (
            len(self.points) >= 2
        ):
            raise ValueError("points and values belong to isotonic, two or more of each")
        if not (_rising(self.at, strict=True) and _rising(self.points, strict=True)):
            raise ValueError("at and points must rise")
        if not all(_rising(table) for table in (self.low, self.high, self.values)):
            raise ValueError("low, high and values must not fall")
        if any(low > high for low, high in zip(self.low, self.high, strict=True)):
            raise ValueError("low must not exceed high")


class Samples(Strict, frozen=True):
    """What the model was trained on.

    Scored from `first_s` to `last_s`; the last of them had ended by `ended_s`. `base_rate` is the
    share of wins of those scored live, `n_effective` how many these are, overlapping ones counted
    once.
    """

    first_s: Time
    last_s: Time
    n: Count
    n_effective: Annotated[float, Meta(ge=0.0, le=1e9)]
    base_rate: Unit
    ended_s: Time | None = None


class Verdict(Strict, frozen=True):
    """The gate's word: `metrics` by predictor (challenger, champion, constant, logit_...).

    `improvement` is by how many nats a signal the challenger's log loss lies below the
    predictor's, `improvement_low` its one-sided 95 % bound by days. `failed` names each
    condition that did not hold.
    """

    published: bool
    reason: Text
    metrics: dict[Name, dict[Name, Number]]
    failed: tuple[Text, ...] = ()


class Reference(Strict, frozen=True):
    """The nine deciles of each feature and of the served probability, for drift."""

    features: dict[Name, Quantiles]
    probability: Quantiles

    def __post_init__(self) -> None:
        if not all(_rising(row) for row in (*self.features.values(), self.probability)):
            raise ValueError("deciles must not fall")


class GoldenRow(Strict, frozen=True):
    """A vector, and what the model said of it when it was published."""

    features: tuple[Number, ...]
    raw: Unit
    calibrated: Unit
    served: Unit


class Manifest(Strict, frozen=True):
    """Everything about a model that is not an array.

    `directed` says that it was trained on signals with a direction, and is not to be asked
    about others. `importances` are by feature and add up to 1 (0 for a forest of leaves).
    """

    format_version: Literal[1]
    model_version: Version
    parent: Version | None
    created_at: Time
    feature_names: Annotated[tuple[Name, ...], Meta(min_length=1, max_length=256)]
    schema_version: Annotated[int, Meta(ge=1, le=10**6)]
    fingerprint: Fingerprint
    directed: bool
    forest: ForestParameters
    calibration: Calibration
    importances: dict[Name, Unit]
    samples: Samples
    verdict: Verdict
    reference: Reference
    golden: Annotated[
        tuple[GoldenRow, ...],
        Meta(min_length=MIN_GOLDEN_ROWS, max_length=1024),
    ]
    break_even: Text
    libraries: Annotated[dict[Text, Text], Meta(max_length=64)]
    files: Annotated[dict[FileName, FileEntry], Meta(max_length=16)]

    def __post_init__(self) -> None:
        names = set(self.feature_names)
        if len(names) != len(self.feature_names):
            raise ValueError("a feature is named twice")
        if set(self.importances) != names or set(self.reference.features) != names:
            raise ValueError("importances and reference deciles must be by feature, each once")
        if any(len(row.features) != len(self.feature_names) for row in self.golden):
            raise ValueError("a golden row has another length than the features")
        if FOREST_NAME not in self.files or MANIFEST_NAME in self.files:
            raise ValueError(f"files must name {FOREST_NAME} and not the manifest itself")


def _rising(table: tuple[float, ...], *, strict: bool = False) -> bool:
    return all(a < b if strict else a <= b for a, b in pairwise(table))
