"""The alerts as files: each is explained, each has a case, and promtool reads them.

Whether the cases come out as they say is `make test-alerts`: promtool takes most of a minute.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import get_args

import pytest

from protocol.messages import Status
from service.errors import RejectReason

ROOT = Path(__file__).resolve().parents[2]
PROMETHEUS = ROOT / "deploy" / "prometheus"
RULES = (PROMETHEUS / "alerts.yml").read_text()
TESTS = "".join(path.read_text() for path in PROMETHEUS.glob("*_test.yml"))
RUNBOOK = (ROOT / "docs" / "runbook.md").read_text()
ALERTS = re.findall(r"^ +- alert: (\w+)$", RULES, re.M)
REASONS = {
    "ScorerModelRefused": {reason.value for reason in RejectReason},
    "ScorerBaseScores": set(get_args(Status)),
    "ScorerModelDegraded": {"calibration", "win_rate", "model", "rollback"},
}
"""What the points of an entry are sorted by."""


def test_every_alert_has_an_entry_in_the_runbook_and_no_entry_is_left_over() -> None:
    assert len(ALERTS) > 30
    assert len(set(ALERTS)) == len(ALERTS)
    assert sorted(re.findall(r"^### (\w+)$", RUNBOOK, re.M)) == sorted(ALERTS)


@pytest.mark.parametrize("alert", REASONS)
def test_the_reasons_that_the_runbook_tells_apart_are_there(alert: str) -> None:
    entry = RUNBOOK.split(f"### {alert}\n")[1].split("\n#")[0]
    heads = re.findall(r"^- ((?:`\w+`(?:, | or )?)+)", entry, re.M)
    named = {reason for head in heads for reason in re.findall(r"`(\w+)`", head)}
    assert named
    assert named <= REASONS[alert]
    assert named == REASONS[alert] or "\n- Any other" in entry


@pytest.mark.parametrize("alert", ALERTS)
def test_an_alert_says_how_bad_it_is_and_where_to_read_on(alert: str) -> None:
    rule = RULES.split(f"- alert: {alert}\n")[1].split("- alert: ")[0]
    assert re.search(r"severity: (critical|warning|info)\b", rule)
    assert f"runbook: docs/runbook.md#{alert.lower()}\n" in rule
    assert re.search(r"summary: \S", rule)
    assert re.search(r"description: \S", rule)


@pytest.mark.parametrize("alert", ALERTS)
def test_an_alert_is_seen_to_fire_and_to_keep_quiet(alert: str) -> None:
    fires = re.findall(rf"ALERTS{{alertname=\"{alert}\",alertstate=\"firing\",", TESTS)
    quiet = re.findall(rf"{{expr: 'ALERTS{{alertname=\"{alert}\",alertstate=\"firing\"}}'", TESTS)
    assert fires
    assert quiet


def test_every_metric_that_is_asked_for_is_documented() -> None:
    documents = (ROOT / "docs" / "metrics.md").read_text()
    monitoring = (ROOT / "docs" / "monitoring.md").read_text()
    asked = set(re.findall(r"\bsignal_scorer_(\w+)", RULES))
    for name in asked:
        plain = re.sub(r"_(bucket|count|sum)$", "", name)
        short = re.sub(r"^(monitor|train)_", "", plain)
        where = documents if short == plain else monitoring
        assert f"`{short}`" in where, name


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_promtool_can_read_them() -> None:
    check = ["promtool", "check", "config", "prometheus.yml"]
    done = subprocess.run(check, cwd=PROMETHEUS, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
