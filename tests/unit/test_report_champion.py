"""The champion's column of the report: what is compared can be worked out again by its reader."""

from __future__ import annotations

import re
from dataclasses import replace
from html import unescape

import numpy as np
import pytest
from found_rows import FEW_TREES, N, rows_of

from training.candidate import make
from training.dataset.join import Dataset
from training.gate import Checks, Unseen, judge
from training.report.findings import find
from training.report.page import render
from training.truth_log import ReadingRules, read_truth_logs


@pytest.fixture(scope="module")
def column() -> dict[str, str]:
    """Cells by the row's label, of a champion that had seen all but the last third."""
    candidate = make(rows_of(0.3), FEW_TREES, now_s=0.0)
    walk = candidate.walk
    at = np.arange(len(walk.test)) >= 2 * len(walk.test) // 3
    odd = Unseen("20260101T000000Z-000000", at, 0.5 + 0.4 * (walk.p[at] - 0.5))
    judged = replace(candidate, verdict=judge(walk, Checks(0.0, 1e-5), odd))
    data, log = Dataset(candidate.samples, N, {}, 0, 0), read_truth_logs([], ReadingRules())
    page = unescape(render(judged, find(candidate, FEW_TREES), data, log, [], {}))
    table = page.split('<table class="metrics">')[1].split("</table>")[0]
    rows = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in table.split("</tr>")]
    return {row[0]: row[-1] for row in rows if row} | {"n": str(np.count_nonzero(at))}


def test_the_difference_to_the_champion_is_that_of_two_numbers_beside_each_other(
    column: dict[str, str],
) -> None:
    theirs, ours = map(float, re.findall(r"\d\.\d{4}", column["log loss, nats"]))
    below = float(column["the model's log loss below it, nats"])
    assert below == pytest.approx(theirs - ours, abs=1.6e-4)
    assert re.fullmatch(r"[+-]\d\.\d{3} \(candidate [+-]\d\.\d{3}\)", column[
        "R a signal of the half with the higher expected R"
    ])  # fmt: skip


def test_the_champions_column_says_of_how_many_signals_it_is(column: dict[str, str]) -> None:
    assert column[""] == f"champion, on {column['n']} signals"
    assert column["unseen signals"] == column["n"]
