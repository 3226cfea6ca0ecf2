"""The truth logs of `install.sh --truth-log`: what the trainer's units see in place of the
configured ones, read from the drop-in that the script writes for them.
"""

from __future__ import annotations

import re
from pathlib import Path

DROP_IN = Path("/etc/systemd/system/signal-scorer-train.service.d/truth-log.conf")
INSTALLED = Path("/etc/signal-scorer/config.toml")


def shown_logs(config_file: Path | None, drop_in: Path = DROP_IN) -> list[tuple[Path, Path]]:
    """Each log where it lies, with what is shown to the units: its folder or the log alone.

    None for another configuration than the installed one.
    """
    if config_file != INSTALLED:
        return []
    try:
        text = drop_in.read_text()
    except (OSError, UnicodeDecodeError):
        return []
    logs = re.findall(r"^Environment=SIGNAL_SCORER_TRUTH_LOG_PATHS=(.+)$", text, re.M)
    binds = re.findall(r"^BindReadOnlyPaths=-?([^:\n]+):(.+)$", text, re.M)
    return [_behind(Path(log), binds) for log in ",".join(logs[-1:]).split(",") if log]


def _behind(log: Path, binds: list[tuple[str, str]]) -> tuple[Path, Path]:
    """Where a log that the units see lies in truth, and which path is shown to them."""
    for source, target in binds:
        if log.is_relative_to(target):
            return Path(source) / log.relative_to(target), Path(source)
    return log, log
