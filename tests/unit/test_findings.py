"""What the report claims: each number against a definition or a truth that is known."""

from __future__ import annotations

import re
from dataclasses import replace

import matplotlib
import msgspec
import numpy as np
import pytest
from found_rows import FEW_TREES, MOMENTUM, QUICK, Judged, N, rows_of, truth
from found_rows import unpriced as unpriced_judged
from hypothesis import given, settings
from hypothesis import strategies as st
from sample_rows import sample_rows

from protocol.schema import FEATURE_COUNT
from training.bound import DAY_S, Mean, clustered
from training.candidate import Candidate, make
from training.dataset.join import Dataset
from training.dataset.join_rules import JoinRules
from training.dataset.samples import Samples
from training.gain import difference, gain
from training.measure import net_r
from training.report.answers import answers
from training.report.coverage import above_terms, better_half, deciles, rating, taken
from training.report.figures import figures
from training.report.findings import Findings, find
from training.report.learning import learning_curve, sizes
from training.report.page import render
from training.report.permutation import permutation_importance
from training.report.stability import FEWEST, stability
from training.truth_log import ReadingRules, read_truth_logs
from training.walk_forward import Fit, walk_forward
from training.wording import plain


def knows(edge: float) -> Fit:
    def predict(x: np.ndarray) -> np.ndarray:
        return 0.5 + edge * np.where(x[:, MOMENTUM] > 50, 1.0, -1.0)

    return lambda _part: predict


def test_the_better_half_wins_by_what_was_planted() -> None:
    rows = rows_of(0.2)
    half = taken(truth(rows, 0.2), truth(rows, 0.2), rows, 0.5)
    assert half.more_wins is not None
    assert half.more_wins.low < 0.2 < half.more_wins.high
    assert half.group.n == N // 2
    # E[R] = 1.5 p - (1 - p) - 0.05
    best = np.sort(2.5 * truth(rows, 0.2) - 1.05)[N // 2 :]
    assert half.promised_r == pytest.approx(best.mean())
    assert half.low < half.group.r < half.high
    assert half.low < 0.7 < half.high


def test_all_are_no_gain_over_all() -> None:
    rows = rows_of(0.2)
    assert taken(truth(rows, 0.2), truth(rows, 0.2), rows, 1.0).more_wins is None


def test_deciles_hold_every_signal_once_and_rise_with_an_edge() -> None:
    rows = rows_of(0.2)
    p = truth(rows, 0.2) + 1e-6 * np.arange(N)
    found = deciles(p, p, rows)
    assert sum(tenth.taken.group.n for tenth in found) == N
    assert found[0].taken.group.won < 0.45 < 0.55 < found[-1].taken.group.won
    assert found[0].promised == pytest.approx(0.3, abs=1e-2)


def test_signals_without_reward_are_rated_by_win_probability() -> None:
    rows = rows_of(0.2, reward_risk=np.full(N, np.nan))
    assert not rating(truth(rows, 0.2), rows).by_r
    found = taken(truth(rows, 0.2), truth(rows, 0.2), rows, 0.5)
    assert np.isnan([found.group.r, found.promised_r, found.low]).all()
    assert above_terms(truth(rows, 0.2), rows) is None


@settings(max_examples=100)
@given(st.lists(st.sampled_from([0.0, 0.5, 1.0, 1.5]), min_size=1, max_size=40))
def test_half_of_the_signals_are_the_better_half_however_they_tie(scores: list[float]) -> None:
    values = np.array(scores)
    part = better_half(values)
    assert part.sum() == pytest.approx(len(values) / 2)
    assert ((part >= 0.0) & (part <= 1.0)).all()
    # The better are never less in it than the worse.
    assert (np.diff(part[np.argsort(values, kind="stable")]) >= 0.0).all()


def test_a_high_reward_is_no_work_of_the_model() -> None:
    paid = np.where(np.arange(N) % 2 == 0, 3.0, 1.0)
    rows = rows_of(0.0, reward_risk=paid)
    nothing = above_terms(np.full(N, 0.5), rows)
    assert nothing is not None
    assert (nothing.low, nothing.high) == (pytest.approx(0.0), pytest.approx(0.0))
    assert nothing.taken > 0.5
    knowing = rows_of(0.3, reward_risk=paid)
    found = above_terms(truth(knowing, 0.3), knowing)
    assert found is not None
    assert found.low > 0.0


def test_a_difference_is_that_of_two_means_and_its_interval_holds_it() -> None:
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(100):
        values = rng.normal(0.3, 1.0, N)
        first, second = rng.random(N), rng.random(N)
        found = difference(values, np.ones(N), first, second, rows_of(0.0).time_s)
        assert found.taken == pytest.approx(np.average(values, weights=first))
        assert found.all == pytest.approx(np.average(values, weights=second))
        held += found.low < 0.0 < found.high
    # 90 of 100 nominal; fewer than 80 happens once in 500.
    assert held >= 80


def test_a_gain_within_one_week_is_the_difference_to_everything() -> None:
    rows = rows_of(0.2)
    at = truth(rows, 0.2) > 0.5
    win, time_s = rows.win.astype(float), 4 * DAY_S + rows.time_s / 4.0
    found = gain(win, rows.weight, at, time_s)
    everything = difference(win, rows.weight, at.astype(float), np.ones(N), time_s)
    assert found == pytest.approx(everything)


def test_only_the_feature_that_tells_has_importance() -> None:
    rows = rows_of(0.3)
    walk = walk_forward(rows, knows(0.3), QUICK)
    heard: list[tuple[int, int]] = []
    found = permutation_importance(walk, progress=lambda done, total: heard.append((done, total)))
    assert found["momentum_strength"].low > 0.05
    others = [mean.value for name, mean in found.items() if name != "momentum_strength"]
    assert others == [0.0] * (FEATURE_COUNT - 1)
    assert heard[-1] == (len(walk.folds), len(walk.folds))


def test_the_folds_cover_the_tested_rows_and_answer_as_they_did() -> None:
    walk = walk_forward(rows_of(0.3), knows(0.3), QUICK)
    covered = np.concatenate([np.arange(len(walk.test))[fold.rows] for fold in walk.folds])
    assert covered.tolist() == list(range(len(walk.test)))
    for fold in walk.folds:
        said = fold.curve.served(fold.predict(walk.test.x[fold.rows]))
        assert said.tolist() == walk.p[fold.rows].tolist()


def test_the_learning_curve_is_measured_on_one_later_third() -> None:
    asked: list[tuple[int, float]] = []

    def fit(part: Samples):  # type: ignore[no-untyped-def]
        asked.append((len(part), float(part.end_s.max())))
        return knows(0.3)(part)

    rows = rows_of(0.3)
    points = learning_curve(rows, fit, QUICK)
    assert [point.n for point in points] == [n for n, _ in asked]
    assert all(end_s < rows.time_s[2 * N // 3] for _, end_s in asked)
    assert len({point.gain for point in points}) == 1  # one who knows needs no samples
    assert points[0].gain.low > 0.2
    assert points[0].gain.n == N // 3


def test_a_learning_curve_beside_many_backfilled_signals_learns_from_the_newest() -> None:
    backfilled = np.arange(N) < 900
    rows = rows_of(0.3, backfilled=backfilled, every_s=120 * DAY_S / N)
    points = learning_curve(rows, knows(0.3), QUICK)
    assert points[-1].n > 1000
    assert points[-1].gain.n == 100


@pytest.mark.parametrize(
    ("most", "due"), [(49, []), (50, [50]), (1600, [50, 100, 200, 400, 800, 1600])]
)
def test_sizes_double_from_fifty(most: int, due: list[int]) -> None:
    assert sizes(most) == due


def test_too_few_make_no_learning_curve() -> None:
    rows = rows_of(0.3).take(slice(0, 60))
    assert learning_curve(rows, knows(0.3), QUICK) == []


def test_every_signal_is_in_one_part_of_each_kind() -> None:
    rng = np.random.default_rng(0)
    symbol = np.array([f"S{k}" for k in rng.geometric(0.05, N)])
    rows = replace(rows_of(0.2), symbol=symbol, pattern=np.where(symbol == "S1", "", "A_B"))
    found = stability(truth(rows, 0.2), rows)
    for parts in found.values():
        assert sum(part.n for part in parts) == N
    assert len(found["symbol"]) == 13
    assert found["symbol"][-1].name.endswith(" others")
    assert all(part.n >= FEWEST for part in found["symbol"][:-1])
    assert {part.name for part in found["pattern"]} == {"A_B", "no pattern"}
    sessions = {part.name: part.n for part in found["session"]}
    hours = rows.time_s // 3600 % 24
    assert sessions["08 to 12 h, London"] == np.count_nonzero((hours >= 8) & (hours <= 12))


def test_a_part_of_two_days_has_no_interval_to_speak_of() -> None:
    rows = rows_of(0.2)
    two_days = rows.take(rows.time_s < 2 * DAY_S)
    week = stability(truth(two_days, 0.2), two_days)["week"]
    assert [part.bounded for part in week] == [None]


def test_where_signals_run_for_days_every_interval_is_by_what_the_gate_counts() -> None:
    joining = JoinRules(max_holding_s=1.5 * DAY_S)
    settings = msgspec.structs.replace(FEW_TREES, min_new=100, joining=joining)
    candidate = make(rows_of(0.3, every_s=50 * DAY_S / N), settings, now_s=0.0)
    found, walk = find(candidate, settings), candidate.walk
    stretches = len(np.unique(walk.clusters))
    assert 2 * stretches < len(np.unique(walk.groups))
    gains = [found.above_terms, found.half.more_wins]
    gains += [part.gain for name in ("symbol", "pattern") for part in found.parts[name]]
    assert {made.days for made in gains if made is not None} == {stretches}
    tenth = found.deciles[0].taken.more_wins
    assert tenth is not None
    assert tenth.days <= stretches  # those of the weeks that it lies in
    assert max(part.gain.days for part in found.parts["week"] if part.gain is not None) <= 4
    assert {point.gain.days for point in found.learning} == {6}
    made = clustered(net_r(walk.test), walk.test.weight, walk.clusters)
    assert (found.all.low, found.all.high) == (pytest.approx(made.low), pytest.approx(made.high))
    data = Dataset(candidate.samples, N, {}, 0, 0)
    page = render(candidate, found, data, read_truth_logs([], ReadingRules()), [], {})
    assert "signals may run for\n36 hours, so 3.0 days count as one" in page


@pytest.fixture(scope="module")
def unpriced() -> Judged:
    return unpriced_judged()


def test_the_report_speaks_of_wins_only_without_reward_and_reads_no_name_as_markup(
    unpriced: Judged,
) -> None:
    candidate, found = unpriced
    data = Dataset(candidate.samples, 250, {}, 0, 0)
    drawn = {name: draw() for name, draw in figures(found).items()}
    text = render(candidate, found, data, read_truth_logs([], ReadingRules()), [], drawn)
    assert "Reward and risk are not known" in text
    assert "unknown</td>" in text
    assert {"reward", "coverage"}.isdisjoint(drawn)
    assert "nan" not in re.sub(r"base64,[^\"]*", "", text).lower().replace("finance", "")
    assert "<script" not in text
    assert not any(b"<script" in one.light for one in drawn.values())


def test_a_share_of_wins_beside_backfilled_signals_is_followed_by_that_of_the_live(
    unpriced: Judged,
) -> None:
    candidate, found = unpriced
    backfilled = np.arange(250) < 130
    samples = replace(candidate.samples, backfilled=backfilled)
    said = f"; 120 of them scored live, of which {100 * samples.win[130:].mean():.1f} % won"
    log = read_truth_logs([], ReadingRules())

    def pages(of: Candidate) -> tuple[str, str]:
        page = render(of, found, Dataset(of.samples, 250, {}, 0, 0), log, [], {})
        return page, answers(of, found, [])[3].text[0]

    whole, since = pages(replace(candidate, samples=samples))
    assert f"effective n 250{said}</td>" in whole
    assert since.endswith(f"learned from all 250 since 1970-01-01{said}.")
    assert all("scored live" not in text for text in pages(candidate))


def test_the_numbers_below_what_it_looks_at_leave_each_other_room(unpriced: Judged) -> None:
    _, found = unpriced
    for nats in (2e-2, 1e-5, 3e-6):
        alike = dict.fromkeys(found.importance, Mean(-nats / 4.0, nats / 2.0, 50))
        drawn = figures(found._replace(importance=alike))["importance"]().light
        assert 3 <= drawn.count(b'id="xtick_') <= 6


@pytest.fixture(scope="module")
def priced() -> Findings:
    """What is found of signals whose reward and cost are known."""
    return find(make(rows_of(0.3), FEW_TREES, now_s=0.0), FEW_TREES)


@pytest.mark.parametrize("span_r", [0.04, 0.1, 0.9, 2.0, 3.5, 9.0])
def test_an_axis_names_its_ticks_as_they_lie(priced: Findings, span_r: float) -> None:
    tenths = [
        tenth._replace(
            taken=tenth.taken._replace(
                group=tenth.taken.group._replace(r=r), low=r - 0.01, high=r + 0.01, promised_r=r
            )
        )
        for tenth, r in zip(priced.deciles, np.linspace(-0.4, 0.6, 10) * span_r, strict=True)
    ]
    with matplotlib.rc_context({"svg.fonttype": "none"}):  # letters, not their outlines
        drawn = figures(priced._replace(deciles=tenths))["reward"]().light.decode()
    ticks = [float(label) for label in re.findall(r">([-+0-9.]+) R</text>", drawn)]
    assert len(ticks) > 3
    assert np.ptp(np.diff(ticks)) == pytest.approx(0.0, abs=1e-9)


def test_a_symbol_is_written_as_it_is_and_a_long_name_leaves_room(priced: Findings) -> None:
    symbol = priced.parts["symbol"][0]._replace(name="US_TECH100.cash")
    patterns = [symbol._replace(name=f"{'LIQUIDITY_' * 6}{at}") for at in (1, 2)]
    parts = priced.parts | {"symbol": [symbol], "pattern": patterns}
    with matplotlib.rc_context({"svg.fonttype": "none"}):
        drawn = figures(priced._replace(parts=parts))["parts"]().light.decode()
    names = re.findall(r">([^<>]+), [0-9,]+</text>", drawn)
    assert names[-1] == "US_TECH100.cash"
    assert max(map(len, names)) <= 30
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    ("cost_r", "said"),
    [
        (9.0, "It expected no signal to pay its costs, so break-even rules all out."),
        (np.where(np.arange(N) == N - 9, 0.0, 9.0), "made -1.00 R each on too few days to say how"),
    ],
)
def test_few_signals_or_none_that_would_pay_are_said_to_be_so(
    cost_r: float | np.ndarray, said: str
) -> None:
    rows = rows_of(0.0, cost_r=np.full(N, cost_r), win=np.arange(N) % 3 > 0)
    candidate = make(rows, FEW_TREES, now_s=0.0)
    coverage = answers(candidate, find(candidate, FEW_TREES), [])[1]
    assert said in coverage.text[0]


@pytest.mark.parametrize("unknown", [0, 4])
def test_a_half_of_the_signals_whose_r_is_known_is_not_called_that_half(unknown: int) -> None:
    known = np.arange(N) % 4 > 0 if unknown else np.ones(N, dtype=np.bool_)
    candidate = make(rows_of(0.2, reward_risk=np.where(known, 1.5, np.nan)), FEW_TREES, now_s=0.0)
    found = find(candidate, FEW_TREES)
    _, by_r = answers(candidate, found, [])[0].text
    n = np.count_nonzero(np.isfinite(candidate.walk.test.reward_risk))
    whole = "after costs that half made"
    part = f"the better half of those whose R is known ({n} are in weeks"
    assert (whole in by_r.lower(), part in by_r) == (not unknown, bool(unknown))


def test_signals_without_an_outcome_are_said_to_be_missing(unpriced: Judged) -> None:
    candidate, found = unpriced
    first_s = float(candidate.samples.time_s[0])
    silent_s = [first_s - 1.0, *(first_s + 60.0 * np.arange(70))]
    more = "70 more signals since the first it learned from, which have no outcome that is believed"
    said = answers(candidate, found, [], silent_s)[4].text
    assert any(text.startswith(more) for text in said)
    assert not any("no outcome" in text for text in answers(candidate, found, [])[4].text)


def test_a_model_that_rates_all_alike_is_said_to_add_nothing(unpriced: Judged) -> None:
    candidate, found = unpriced
    first = answers(candidate, found._replace(alike=True), [])[0]
    assert first.text == ("Nothing: it gives every signal the same win probability.",)


def test_a_gain_of_few_signals_is_not_established_whatever_its_interval(unpriced: Judged) -> None:
    candidate, found = unpriced
    made = found.half.more_wins
    assert made is not None
    for fewer, word in ((60.0, "The half"), (40.0, "Nothing established")):
        clear = made._replace(low=0.1, n=120, days=9, fewer=fewer, rarer=0.5)
        told = [part._replace(more_wins=clear) for part in found.told]
        assert answers(candidate, found._replace(told=told), [])[0].text[0].startswith(word)


def test_a_gain_within_a_single_stretch_has_no_interval_to_be_told(unpriced: Judged) -> None:
    candidate, found = unpriced
    made = found.half.more_wins
    assert made is not None
    endless = made._replace(low=-np.inf, high=np.inf, days=1)
    told = [part._replace(more_wins=endless) for part in found.told]
    text = answers(candidate, found._replace(told=told, above_terms=endless), [])[0].text
    assert len(text) == 2
    for line in text:
        assert "inf" not in line
        assert "on too few days to say how surely" in line


def test_of_five_tested_signals_there_is_a_better_half_too() -> None:
    candidate = make(sample_rows(57, every_s=DAY_S), FEW_TREES, now_s=0.0)
    found = find(candidate, FEW_TREES)
    assert (found.half.group.n, found.all.group.n) == (2, 5)
    assert len(answers(candidate, found, [])) == 5


def test_what_no_page_can_show_is_not_in_a_name():
    assert plain("ORDER_\x01BLOCK") == "Order ?block"
    assert plain("gold\x00") == "gold?"
