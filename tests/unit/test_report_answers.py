"""What the report says first: the words around numbers that are known."""

from __future__ import annotations

from typing import Any

import pytest
from found_rows import Judged
from found_rows import unpriced as unpriced_judged

from training.dataset.join import Dataset
from training.gain import Gain
from training.report.answers import answers
from training.report.page import dates_and_code, render
from training.truth_log import ReadingRules, read_truth_logs

SURE = Gain(0.6, 0.5, 0.05, 0.15, n=120, days=9, fewer=60.0, rarer=0.5)


@pytest.fixture(scope="module")
def unpriced() -> Judged:
    return unpriced_judged()


def added(judged: Judged, wins: Gain, by_r: Gain) -> tuple[str, ...]:
    """What it adds, of a better half with these gains."""
    candidate, found = judged
    told = [part._replace(more_wins=wins) for part in found.told]
    return answers(candidate, found._replace(told=told, above_terms=by_r), [])[0].text


@pytest.mark.parametrize(
    ("short", "said"),
    [
        ({"n": 99}, "from 99 signals, and 100 are the least."),
        ({"days": 4}, "from signals of 4 separate stretches of time, and 5 are the least."),
        ({"days": 1}, "from signals of 1 separate stretch of time, and 5 are the least."),
        (
            {"fewer": 49.9},
            "but what sets the two apart counts for 49 signals, and 50 are the least.",
        ),
        (
            {"fewer": 1.2},
            "but what sets the two apart counts for 1 signal, and 50 are the least.",
        ),
        (
            {"rarer": 0.16},
            "counts for 60 signals, 9 of them of the rarer end, and 10 are the least.",
        ),
        (  # what just reaches a limit does not miss it
            {"n": 100, "days": 5, "fewer": 50.0, "rarer": 0.19},
            "counts for 50 signals, 9 of them of the rarer end, and 10 are the least.",
        ),
    ],
)
def test_a_gain_of_too_few_names_the_limit_that_it_misses(
    unpriced: Judged, short: dict[str, Any], said: str
) -> None:
    few = SURE._replace(**short)
    for text in added(unpriced, few, few):
        assert text.startswith("Nothing established: ")
        assert text.endswith(said)
        assert text.count("the least") == 1


def test_an_interval_that_ends_beside_0_is_not_said_to_end_at_0(unpriced: Judged) -> None:
    for low, high, said in (
        (0.004, 0.14, "(just above 0 to +0.14)"),
        (-0.14, -0.0004, "(-0.14 to just below 0)"),
        (-0.0004, 0.005, "(just below 0 to +0.01)"),
        (0.0, 0.0, "(0.00 to 0.00)"),
        (-1.2e-14, -1.1e-14, "(0.00 to 0.00)"),
    ):
        assert said in added(unpriced, SURE, SURE._replace(low=low, high=high))[1]
    (wins, _) = added(unpriced, SURE._replace(low=0.0004), SURE)
    assert "(90 % interval just above 0 to +15.0)" in wins


def test_nor_does_it_in_a_table_of_the_page(unpriced: Judged) -> None:
    candidate, found = unpriced
    narrow = SURE._replace(low=0.0004)
    told = [
        part._replace(low=-0.004, group=part.group._replace(r=0.07), more_wins=narrow)
        for part in found.told
    ]
    data = Dataset(candidate.samples, 250, {}, 0, 0)
    log = read_truth_logs([], ReadingRules())
    page = render(candidate, found._replace(told=told), data, log, [], {})
    assert "<small>just above 0 to +15.0</small>" in page
    assert "<small>just below 0 to " in page


def test_small_parts_are_named_symbols_apart_from_patterns(unpriced: Judged) -> None:
    candidate, found = unpriced
    part = found.parts["symbol"][0]._replace(n=50, gain=None)
    symbols = [part._replace(name=f"S{at}") for at in range(5)]
    patterns = [part._replace(name="ORDER_BLOCK_BOUNCE")]
    both = found._replace(parts=found.parts | {"symbol": symbols, "pattern": patterns})
    said = answers(candidate, both, [])[4].text
    few = "fewer than 100 signals each."
    assert f"Anything of S0, S1, S2, S3 and 1 more, or of Order block bounce alone: {few}" in said
    alone = both._replace(parts=both.parts | {"symbol": []})
    assert f"Anything of Order block bounce alone: {few}" in answers(candidate, alone, [])[4].text


def test_a_word_of_the_protocol_is_set_as_code() -> None:
    assert dates_and_code("`take` <b>") == "<code>take</code> &lt;b&gt;"
    assert dates_and_code("a ` b") == "a ` b"
