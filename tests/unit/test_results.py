"""What the trader is shown of signals taken and rejected."""

from __future__ import annotations

import numpy as np
import pytest
from sample_rows import sample_rows
from signal_weeks import MONDAY_S, WEEKS, advice_of, lines, weeks_of_signals

from training.bound import DAY_S
from training.dataset.answered import Advice
from training.dataset.samples import Samples
from training.gain import WEEK_S, group
from training.results import advised, describe, verdict


def test_a_line_for_each_week_and_one_for_all() -> None:
    samples = weeks_of_signals(600, edge=0.2)
    shown = lines(samples, advice_of(samples))
    dates = [line[:10] for line in shown if line.startswith("2025")]
    assert dates == ["2025-09-15", "2025-09-22", "2025-09-29"]
    assert all(len(line) <= 80 for line in shown)
    (total,) = (line.split() for line in shown if line.startswith("together"))
    taken = int((samples.x[:, 8] > 50).sum())
    # n, won, interval and R of each of the three groups.
    assert [total[1], total[5], total[9]] == ["600", str(taken), str(600 - taken)]


def test_what_was_backfilled_is_in_no_line() -> None:
    backfilled = np.arange(600) % 2 == 0
    samples = weeks_of_signals(600, edge=0.2, backfilled=backfilled)
    live = samples.take(~backfilled)
    assert lines(samples, advice_of(live)) == lines(live, advice_of(live))
    alone = lines(samples.take(backfilled), {})
    assert alone == ["no outcome of a scored signal yet; `status` shows why"]


def test_an_edge_is_established_and_nothing_is_not() -> None:
    clear = weeks_of_signals(600, edge=0.2)
    assert any(line.startswith("Established: the") for line in lines(clear, advice_of(clear)))
    nothing = weeks_of_signals(600, edge=0.0)
    assert any(line.startswith("Not established") for line in lines(nothing, advice_of(nothing)))


def test_taking_the_wrong_ones_is_called_worse() -> None:
    wrong = weeks_of_signals(600, edge=-0.2)
    assert any(line.startswith("Worse: the") for line in lines(wrong, advice_of(wrong)))


def test_few_signals_establish_nothing_however_they_went() -> None:
    samples = weeks_of_signals(60, edge=0.5)
    shown = lines(samples, advice_of(samples))
    assert any("60 signals of 21 days, and 100 of 5" in line for line in shown)


def test_the_first_day_has_no_interval() -> None:
    first = sample_rows(20, every_s=600.0, reward_risk=np.full(20, 1.5), cost_r=np.zeros(20))
    said = " ".join(" ".join(lines(first, advice_of(first))).split())
    assert said.count("20 signals of 1 day, and 100 of 5") == 2
    assert said.count("(one day has no interval)") == 3


def test_what_rounds_to_no_difference_has_no_sign() -> None:
    at = np.arange(20) % 4
    alike = sample_rows(20, every_s=600.0, win=at < 2, realised_r=np.where(at % 2, 0.5, 0.504))
    advice = {str(i): Advice("m", i % 2 == 1) for i in range(20)}
    assert "+0.00 R (" in " ".join(lines(alike, advice))


def test_signals_without_advice_count_among_all_and_in_no_claim() -> None:
    samples = weeks_of_signals(600, edge=0.2)
    advice = advice_of(samples)
    for score_id in samples.score_id[:200].tolist():
        advice[score_id] = Advice(None, None)
    shown = " ".join(" ".join(lines(samples, advice)).split())
    assert "200 of 600 signals carry no advice" in shown
    assert "all 400 advised on" in shown


def test_where_all_were_taken_there_is_nothing_to_compare() -> None:
    samples = weeks_of_signals(300, edge=0.0)
    advice = {i: Advice("m", True) for i in samples.score_id.tolist()}
    shown = lines(samples, advice)
    assert any("would have taken all of the 300 signals" in line for line in shown)


def test_only_the_weeks_asked_for_are_shown() -> None:
    samples = weeks_of_signals(600, edge=0.2)
    shown = lines(samples, advice_of(samples), weeks=1)
    assert [line[:10] for line in shown if line.startswith("2025")] == ["2025-09-29"]


def test_where_signals_run_for_days_several_days_count_as_one() -> None:
    samples = weeks_of_signals(600, edge=0.2)
    now_s = MONDAY_S + WEEKS * WEEK_S - 1.0
    advice = advice_of(samples)
    shown = list(describe(samples, advice, weeks=12, now_s=now_s, holding_s=3 * DAY_S))
    assert "signals may run for 72 hours, so 6.0 days count as one below" in shown
    # Three weeks are four stretches of six days.
    assert any(line.startswith("Not established: 600 signals of 4 days") for line in shown)
    short = describe(samples, advice, weeks=12, now_s=now_s, holding_s=7500.0)
    assert list(short) == lines(samples, advice)


def test_old_outcomes_are_shown_with_how_old_they_are() -> None:
    samples = weeks_of_signals(30, edge=0.0)
    shown = list(describe(samples, {}, weeks=2, now_s=MONDAY_S + 99 * WEEK_S))
    assert "the newest signal with an outcome that counts is of 2025-10-05" in shown[0]
    dates = [line[:10] for line in shown if line.startswith("2025")]
    assert dates == ["2025-09-22", "2025-09-29"]


def test_without_outcomes_it_says_where_to_look() -> None:
    none = weeks_of_signals(30, edge=0.0).take(np.zeros(30, dtype=bool))
    (line,) = describe(none, {}, weeks=2, now_s=MONDAY_S)
    assert "`status` shows why" in line


def test_results_are_net_of_costs_and_weighed() -> None:
    samples = sample_rows(
        2,
        win=np.array([True, False]),
        weight=np.array([1.0, 3.0]),
        reward_risk=np.full(2, 2.0),
        cost_r=np.full(2, 0.1),
    )
    found = group(samples, np.ones(2, dtype=bool))
    assert found.won == pytest.approx(0.25)
    assert found.r == pytest.approx((1.9 - 3 * 1.1) / 4)
    assert found.low < 0.25 < found.high


def test_losses_alone_are_no_result_where_the_reward_of_wins_is_unknown() -> None:
    samples = weeks_of_signals(600, edge=0.2)  # no reward and risk at all
    shown = lines(samples, advice_of(samples))
    assert not any("R a signal" in line for line in shown)
    assert np.isnan(group(samples, np.ones(600, dtype=bool)).r)


def test_few_taken_establish_nothing_and_it_says_what_would() -> None:
    samples = weeks_of_signals(600, edge=0.0)
    lucky = set(samples.score_id[samples.win][:40].tolist())
    advice = {i: Advice("m", i in lucky) for i in samples.score_id.tolist()}
    shown = " ".join(" ".join(lines(samples, advice)).split())
    assert "Established" not in shown
    assert "50 taken and 50 not are the least" in shown
    assert "the smaller part counts for 40" in shown


def test_one_too_few_is_not_rounded_to_enough() -> None:
    samples = weeks_of_signals(600, edge=0.0, weight=np.full(600, 0.99))
    first = set(samples.score_id[:50].tolist())
    advice = {i: Advice("m", i in first) for i in samples.score_id.tolist()}
    shown = " ".join(" ".join(lines(samples, advice)).split())
    assert "50 taken and 50 not are the least" in shown
    assert "the smaller part counts for 49," in shown


def test_signals_without_an_outcome_are_said_under_what_the_others_made() -> None:
    samples = weeks_of_signals(600, edge=0.2)
    now_s = MONDAY_S + WEEKS * WEEK_S - 1.0
    silent_s = [MONDAY_S - 1.0, *(MONDAY_S + 3600.0 * np.arange(70))]
    shown = list(describe(samples, advice_of(samples), weeks=3, now_s=now_s, silent_s=silent_s))
    more = "70 more signals of these weeks have no outcome that is believed"
    assert any(line.startswith(more) for line in shown)
    told = describe(samples, advice_of(samples), weeks=3, now_s=now_s)
    assert not any("no outcome" in line for line in told)


@pytest.mark.parametrize("later_s", [0.0, 5 * WEEK_S])
def test_signals_without_an_outcome_after_all_that_have_one_are_said_too(later_s: float) -> None:
    """Reports that stop when it goes badly are the newest ones."""
    samples = weeks_of_signals(600, edge=0.2)
    newest_s = float(samples.time_s[-1])
    silent_s = [MONDAY_S, *(newest_s + 1.0 + later_s + 60.0 * np.arange(70))]
    now_s = newest_s + later_s + 2 * DAY_S
    for times in ({"silent_s": silent_s}, {"even_s": silent_s}):
        shown = describe(samples, advice_of(samples), weeks=3, now_s=now_s, **times)
        said = " ".join(" ".join(shown).split())
        more = "71 more signals of these weeks and since, 70 of them newer than all that count,"
        end = "have no outcome that is believed" if "silent_s" in times else "ended at break-even"
        assert f"{more} {end}" in said


@pytest.mark.parametrize(("late", "said"), [(6, False), (7, True)])
def test_signals_that_run_for_longer_than_configured_are_said(late: int, said: bool) -> None:
    samples = weeks_of_signals(600, edge=0.0)
    end_s = samples.time_s + np.where(np.arange(600) < late, 1200.0, 1000.0)
    rows = weeks_of_signals(600, edge=0.0, end_s=end_s)
    now_s = MONDAY_S + WEEKS * WEEK_S
    shown = list(describe(rows, advice_of(rows), weeks=3, now_s=now_s, holding_s=1000.0))
    assert any(line.startswith(f"{late} of 600 signals ran for longer") for line in shown) == said
    # Overlap is counted up to that time; stamps of another zone look the same.
    for words in ("counted once, they are fewer than said", "truth_log.timezone"):
        assert (words in " ".join(" ".join(shown).split())) == said


def test_more_r_by_reward_alone_is_said_to_take_no_model() -> None:
    reward = np.where(np.arange(400) % 2, 3.0, 1.0)
    rows = weeks_of_signals(400, edge=0.0, reward_risk=reward, cost_r=np.full(400, 0.05))
    takes = zip(rows.score_id.tolist(), (reward > 2.0).tolist(), strict=True)
    blind = {name: Advice("m", take) for name, take in takes}
    said = lines(rows, blind)
    assert any(line.startswith("Not established: the 200 taken won") for line in said)
    assert any(line.startswith("Established: the 200 taken made") for line in said)
    assert "More R without more wins may be the better reward" in " ".join(said)
    knows = weeks_of_signals(1200, edge=0.2)
    assert "More R" not in " ".join(lines(knows, advice_of(knows)))


def rising(seed: int) -> tuple[Samples, dict[str, Advice]]:
    """Eight weeks of which more and more win, and more and more are taken, but by lot."""
    rng = np.random.default_rng(seed)
    n, span_s = 800, 8 * WEEK_S
    time_s = MONDAY_S + np.sort(rng.random(n)) * span_s
    share = np.floor(8 * (time_s - MONDAY_S) / span_s) / 7
    win, takes = rng.random(n) < 0.35 + 0.3 * share, rng.random(n) < 0.2 + 0.6 * share
    rows = sample_rows(n, win=win, time_s=time_s, end_s=time_s + 60.0)
    ids = rows.score_id.tolist()
    return rows, {ids[i]: Advice(f"m{share[i]:.1f}", bool(takes[i])) for i in range(n)}


def test_more_taken_while_more_win_is_no_gain() -> None:
    found = []
    for seed in range(100):
        samples, advice = rising(seed)
        found.append(list(verdict(samples, *advised(samples, advice))))
    # 5 % of 100 and two standard deviations of that.
    assert sum(any(line.startswith("Established") for line in shown) for shown in found) <= 9
    assert sum(any(line.startswith("Worse") for line in shown) for shown in found) <= 9


def test_weeks_of_which_all_or_nothing_was_taken_compare_nothing() -> None:
    samples = weeks_of_signals(600, edge=0.2)
    advice = advice_of(samples)
    for number, score_id in enumerate(samples.score_id.tolist()):
        if number >= 200:  # the second week and the third
            advice[score_id] = Advice("m", number < 400)
    shown = " ".join(" ".join(lines(samples, advice)).split())
    assert "all 200 advised on, weighted to the same weeks" in shown
    assert "400 more lie in weeks of which it took all or nothing" in shown
    for score_id in samples.score_id[:200].tolist():
        advice[score_id] = Advice("m", False)
    shown = " ".join(" ".join(lines(samples, advice)).split())
    assert "in each week the model would have taken all or none of the 600 signals" in shown


def far_and_near(
    n: int, far_won: float, *, takes_far: bool
) -> tuple[np.ndarray, Samples, dict[str, Advice]]:
    """Rewards of 3 and 1 R in turn, with `far_won` (0..1) of the former and half of the latter won.

    None wins by luck; one of the two kinds is taken.
    """
    far = np.arange(n) % 2 > 0
    reward, turn = np.where(far, 3.0, 1.0), np.arange(n) // 2
    share = np.where(far, far_won, 0.5)
    win = share * (turn + 1) // 1 > share * turn // 1
    rows = weeks_of_signals(n, edge=0.0, reward_risk=reward, win=win)
    names = zip(rows.score_id.tolist(), far.tolist(), strict=True)
    return reward, rows, {name: Advice("m", each == takes_far) for name, each in names}


@pytest.mark.parametrize("far_won", [0.24, 0.1])
def test_fewer_wins_with_less_r_are_not_laid_to_the_reward(far_won: float) -> None:
    _, rows, advice = far_and_near(900, far_won, takes_far=True)
    shown = lines(rows, advice)
    assert any(line.startswith("Worse: the ") for line in shown)
    assert not any("Fewer wins" in line for line in shown)


@pytest.mark.parametrize(
    ("takes_far", "said"),
    [(True, "Fewer wins but not less R"), (False, "More wins without an established gain")],
)
def test_wins_that_the_reward_alone_makes_are_said_to_be_that(takes_far: bool, said: str) -> None:
    n = 900
    reward, rows, advice = far_and_near(n, 0.26, takes_far=takes_far)
    win = rows.win
    shown = lines(rows, advice)
    assert any(line.startswith(said) for line in shown)
    assert any(line.startswith("Worse" if takes_far else "Established") for line in shown)
    near = np.where(reward > 2.0, 1.5001, 1.5) if takes_far else np.where(reward > 2.0, 1.5, 1.5001)
    alike = weeks_of_signals(n, edge=0.0, reward_risk=near, win=win)
    assert not any(line.startswith(said) for line in lines(alike, advice))


def test_a_reward_that_is_higher_in_other_weeks_explains_no_fewer_wins() -> None:
    n = 1200
    rng = np.random.default_rng(5)
    week = np.arange(n) * WEEKS // n
    takes = rng.random(n) < np.array([0.2, 0.5, 0.8])[week]
    rows = weeks_of_signals(
        n,
        edge=0.0,
        reward_risk=1.0 + week,
        win=rng.random(n) < np.where(takes, 0.4, 0.6),
        realised_r=np.where(np.arange(n) % 2, 1.0, -1.0) + 0.1 * takes,
    )
    names = zip(rows.score_id.tolist(), takes.tolist(), strict=True)
    shown = lines(rows, {name: Advice("m", take) for name, take in names})
    assert any(line.startswith("Worse: the ") for line in shown)
    assert not any("Fewer wins" in line for line in shown)


@pytest.mark.parametrize(("won", "said"), [(True, " 100 99-100"), (False, "   0    0-0")])
def test_the_interval_of_wins_alone_stays_in_its_column(won: bool, said: str) -> None:
    rows = weeks_of_signals(2400, edge=0.0, win=np.full(2400, won))
    shown = lines(rows, advice_of(rows))
    assert any(line.startswith(f"together    2400{said}") for line in shown)
    assert not any("-0-" in line for line in shown)


@pytest.mark.parametrize(
    ("r", "said"), [(9.99, " +9.99"), (34.69, " +34.7"), (-134.69, "  -135"), (999.9, " +1000")]
)
def test_a_large_r_does_not_run_into_the_interval(r: float, said: str) -> None:
    rows = weeks_of_signals(900, edge=0.0, realised_r=np.full(900, r), win=np.full(900, r > 0))
    shown = lines(rows, advice_of(rows))
    (total,) = (line for line in shown if line.startswith("together"))
    assert all(total[10 + 23 * cell : 33 + 23 * cell].endswith(said) for cell in range(3))
    assert max(map(len, shown)) <= 80
