"""A configuration on disk in which tests seed what `doctor` has to find."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path
from typing import Any

from harness import Service, free_port
from journals import stored

from service.config.load import load
from service.doctor import clock
from service.doctor import examine as examining
from service.doctor.finding import Finding
from service.doctor.scene import look_around
from service.journal.records import EventRow, ScoreRow

DAY_S = 86_400.0
MONDAY_S = 1_757_944_800.0


def kept_right(scene: Any) -> Any:
    """The clock's check where the machine of the test may be kept right by nothing."""
    return clock.check(scene, lambda: True)


class Setup:
    """A configuration on disk, healthy unless a test seeds a fault."""

    def __init__(self, folder: Path, **values: str) -> None:
        self.state = folder / "state"
        self.models = self.state / "models"
        self.journal = self.state / "journal.db"
        self.state.mkdir(parents=True)
        self.values = {
            "STATE_DIR": str(self.state),
            "SCORE_BIND": f"tcp://127.0.0.1:{free_port()}",
            "METRICS_BIND": "",
            "FEED_ENDPOINTS": "[]",
            "FEED_CLOCK_OFFSET": "0",
        } | values

    @property
    def environ(self) -> dict[str, str]:
        return {f"SIGNAL_SCORER_{key}": value for key, value in self.values.items()}

    def findings(self, *checks: str, now_s: float | None = None, **options: Any) -> list[Finding]:
        """What the named checks find, or all."""
        sourced = load(environ=self.environ)
        options = {
            "listen_s": 0.4,
            "ask_ms": 2000.0,
            "now_s": time.time() if now_s is None else now_s,
        } | options
        scene = look_around(sourced, **options)
        wanted = [
            (name, kept_right if name == "clock" else check)
            for name, check in examining.CHECKS
            if not checks or name in checks
        ]
        assert len(wanted) >= len(checks)
        return list(examining.examine(scene, wanted))

    def fault(self, check: str, *words: str, level: str = "fail", **options: Any) -> Finding:
        """The finding that says all the words, with advice."""
        found = self.findings(check, **options)
        bad = [finding for finding in found if finding.level != "ok"]
        for finding in bad:
            said = f"{finding.about} {finding.text}"
            if finding.level == level and all(word in said for word in words):
                assert len(finding.advice) > 10
                return finding
        raise AssertionError(f"nothing says {words}: {found}")

    def write_journal(self, *rows: EventRow | ScoreRow) -> None:
        stored(self.journal, rows)


def beside(service: Service, tmp_path: Path, **values: str) -> Setup:
    """The configuration of a running service."""
    values = {"STATE_DIR": str(service.folder), "SCORE_BIND": service.address} | values
    return Setup(tmp_path, **values)


def snapshot(folder: Path) -> dict[str, tuple[int, int, int, bytes]]:
    """Everything in a folder: mode, owner, time and content."""
    found = {}
    for path in sorted(folder.rglob("*")):
        status = path.lstat()
        content = path.read_bytes() if path.is_file() else b""
        digest = hashlib.sha256(content).digest()
        found[str(path)] = (status.st_mode, status.st_uid, status.st_mtime_ns, digest)
    return found
