"""Values that are each allowed and together say something that nobody means."""

from __future__ import annotations

from collections.abc import Iterator

from service.config_check import check_distinct
from service.doctor.finding import Finding, ok, refused, warn
from service.doctor.scene import Scene
from service.errors import ConfigError


def check(scene: Scene) -> Iterator[Finding]:
    """The file itself was read: what it cannot say has ended doctor before."""
    config, found = scene.config, 0
    weights = config.score.base_weight + config.score.model_weight
    if abs(weights - 1.0) > 1e-9:
        found += 1
        yield warn(
            "score.base_weight + score.model_weight",
            f"are {weights:g} together: final scores are not on the scale of base scores",
            "let them sum to 1",
        )
    if config.feed.stale_after_s < config.feed.silence_s:
        found += 1
        yield warn(
            "feed.stale_after_s",
            f"{config.feed.stale_after_s:g} s is less than feed.silence_s "
            f"({config.feed.silence_s:g} s): base scores are served before silence is told",
            "let stale_after_s be the longer one",
        )
    if config.model.expire_after_days == 0:
        found += 1
        yield warn(
            "model.expire_after_days",
            "0: a model that nobody reviews is served for ever",
            "35 days are five missed trainings",
        )
    paper_s, ripens_s = config.paper.max_holding_s, config.training.max_holding_s
    if config.paper.enabled and ripens_s < paper_s:
        found += 1
        yield warn(
            "training.max_holding_s",
            f"{ripens_s:g} s is less than paper.max_holding_s ({paper_s:g} s): what was scored "
            "together trains before all of it has ended, the quick stop-outs first",
            "let it be no shorter than paper.max_holding_s",
        )
    try:
        check_distinct(config)
    except ConfigError as error:
        found += 1
        yield refused("addresses", error)
    if not found:
        source = scene.config_file or "defaults and environment"
        yield ok(source, "nothing contradicts itself")
