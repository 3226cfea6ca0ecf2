"""What ended on paper before a gap in the feed is no sample: only quick ends are known of then."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from journals import Journal
from scored_journal import START_S, outcome_row, score_row, vectors

from service.config.settings import PaperSection
from service.journal.records import OutcomeRow, ScoreRow
from service.paper.positions import Paper
from service.paper.result import Ended
from service.paper.result import outcome_row as paper_row
from training.dataset.join import Dataset, read_dataset
from training.dataset.join_rules import JoinRules
from training.dataset.journals import BACKFILLED
from training.truth_log import Outcome, Signal

HOLDING_S = 7500.0
RULES = JoinRules(max_holding_s=HOLDING_S)
DAY_S, DAYS = 86_400.0, 12
OPEN_S = 20 * 3600.0
TICK_S, SIGNAL_S = 10.0, 300.0
NOW_S = START_S + 1e7
X = vectors(1)[0]
RISK, SPREAD = 1e-3, 1e-5

Read = Callable[..., Dataset]


def write(path: Path, rows: Iterable[ScoreRow | OutcomeRow]) -> None:
    with closing(Journal(path)) as journal:
        assert all(written.journalled for written in journal.write(list(rows)))


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Write rows with the service's own writer and read them as the trainer does."""

    def read_rows(
        rows: Iterable[ScoreRow | OutcomeRow],
        reported: dict[str, Outcome] | None = None,
        *,
        backfilled: bool = False,
        rules: JoinRules = RULES,
    ) -> Dataset:
        path, made = tmp_path / "journal.db", tmp_path / "backfill.db"
        backfills = [made] if backfilled else []
        if backfilled:
            write(path, [signal(99, 0.0, signal_id="A_TEST_1")])
            with closing(Journal(made)) as journal:
                journal.set_setting(BACKFILLED, "ticks")
        write(made if backfilled else path, rows)
        data = read_dataset(path, reported or {}, rules, now_s=NOW_S, backfills=backfills)
        assert data.scored == len(data.samples) + sum(data.excluded.values())
        return data

    return read_rows


def signal(i: int, after_s: float, price: float = 1.1, **changes: Any) -> ScoreRow:
    """A buy at START_S + `after_s`, its stop 1 R and its target 2 R away."""
    time_s = START_S + after_s
    values = {"symbol": "EURUSD", "scored_at": time_s, "event_time": time_s, "entry_price": price}
    values |= {"stop_loss": price - RISK, "take_profit": price + 2 * RISK, "reward_risk": 2.0}
    return score_row(i, X, **(values | changes))


def ends(paper: Paper, scores: list[ScoreRow], ticks: Iterable[tuple[float, float]]) -> list[Ended]:
    """What becomes of the signals on the ticks (time, bid), both in order of time."""
    waiting = iter([*scores, None])
    due = next(waiting)
    for time_s, bid in ticks:
        while due is not None and due.event_time < time_s:
            paper.follow(due, due.symbol)
            due = next(waiting)
        book = paper.books.get("EURUSD")
        if book is not None:
            book.on_tick(time_s, bid, bid + SPREAD)
    return list(paper.ended.values())


def test_before_a_daily_gap_those_kept_win_as_often_as_all_would_have(read: Read) -> None:
    rng = np.random.default_rng(0)
    times = START_S + np.arange(0.0, DAYS * DAY_S + 1.0, TICK_S)
    bids = 1.1 + np.cumsum(rng.normal(0.0, 0.07 * RISK, len(times)))
    path = list(zip(times.tolist(), bids.tolist(), strict=True))
    open_at = (times - START_S) % DAY_S < OPEN_S
    asked_s = np.arange(5.0, DAYS * DAY_S, SIGNAL_S)
    asked_s = asked_s[asked_s % DAY_S < OPEN_S]
    scores = [
        signal(i, float(after_s), float(bids[int(after_s // TICK_S)]))
        for i, after_s in enumerate(asked_s)
    ]
    seen = [tick for tick, at in zip(path, open_at, strict=True) if at]
    known = ends(Paper(PaperSection()), scores, seen)
    truth = {
        end.position.score_id: end.win
        for end in ends(Paper(PaperSection(max_gap_s=1e6)), scores, path)
    }
    samples = read([*scores, *(paper_row(end, end.at_s) for end in known)]).samples
    assert len(truth) == len(scores)
    of_day = {row.score_id: (row.event_time - START_S) % DAY_S for row in scores}
    kept: dict[float, list[bool]] = defaultdict(list)
    for score_id, win in zip(samples.score_id, samples.win, strict=True):
        kept[of_day[score_id]].append(bool(win))
    would: dict[float, list[bool | None]] = defaultdict(list)
    for score_id, won in truth.items():
        would[of_day[score_id]].append(won)
    assert would.keys() >= kept.keys()
    for slot, wins in kept.items():
        assert np.mean(wins) == pytest.approx(np.mean(would[slot]), abs=1e-9), slot / 3600.0
    shares = [len(wins) / DAYS for wins in kept.values()]
    # And no more is left out than may not have been over: 7,500 s of 20 hours.
    assert len(shares) == (OPEN_S - HOLDING_S) / SIGNAL_S
    assert min(shares) == 1.0


def ended(i: int, after_s: float, **changes: Any) -> OutcomeRow:
    """A paper outcome of signal i that ended at START_S + `after_s`, a loss."""
    values = {"score_id": f"score-{i:x}", "signal_id": None, "source": "paper", "win": False}
    values |= {"outcome": "LOSS_SL", "realised_r": -1.0, "runtime_s": after_s}
    values |= {"closed_at": START_S + after_s, "received_at": START_S + after_s}
    return outcome_row(i, False, **(values | changes))


IN_SIGHT_UNTIL_S = 1000.0
VOID: dict[str, Any] = {"outcome": "VOID", "win": None, "realised_r": None, "runtime_s": None}
LOST = [signal(0, 900.0), ended(0, IN_SIGHT_UNTIL_S, opened_at=START_S + 901.0, **VOID)]


@pytest.mark.parametrize("backfilled", [False, True])
@pytest.mark.parametrize(
    ("after_s", "symbol", "kept"),
    [
        (IN_SIGHT_UNTIL_S - HOLDING_S, "EURUSD", True),
        (IN_SIGHT_UNTIL_S - HOLDING_S + 1.0, "EURUSD", False),
        (IN_SIGHT_UNTIL_S, "EURUSD", False),
        (IN_SIGHT_UNTIL_S + 1.0, "EURUSD", True),
        (IN_SIGHT_UNTIL_S - 200.0, "GBPUSD", True),
    ],
)
def test_only_who_may_have_run_when_sight_was_lost_is_left_out(
    read: Read, after_s: float, symbol: str, kept: bool, backfilled: bool
) -> None:
    rows = [*LOST, signal(1, after_s, symbol=symbol), ended(1, after_s + 60.0)]
    data = read(rows, backfilled=backfilled)
    assert data.excluded.get("neighbour_void", 0) == (not kept)
    assert len(data.samples) == kept


def test_who_is_left_out_however_it_ended_hides_no_outcome(read: Read) -> None:
    data = read([*LOST, signal(1, 300.0), ended(1, 400.0)])
    assert data.silent_s == (START_S + 900.0,)


@pytest.mark.parametrize(
    ("ticks", "counted", "lost"),
    [
        # Filled, and then no tick for 300 s and more.
        ([(901.0, 1.1), (1000.0, 1.1), (1301.0, 1.1)], "void_gap", True),
        # Never filled: it was scored in the gap.
        ([(890.0, 1.1), (1201.0, 1.1)], "void_gap", True),
        # The first quote lay beyond its stop: no order could have been placed.
        ([(890.0, 1.1), (901.0, 1.09)], "void_missed", False),
        # Another terminal took the symbol over, after the last of these.
        ([(901.0, 1.1), (1000.0, 1.1)], "void_reset", True),
    ],
)
def test_of_what_the_service_calls_void_only_a_missed_entry_cut_nobody_else_short(
    read: Read, ticks: list[tuple[float, float]], counted: str, lost: bool
) -> None:
    scores = [signal(1, 300.0), signal(0, 900.0)]
    paper = Paper(PaperSection())
    stopped = [(301.0, 1.1), (600.0, 1.09)]
    ends(paper, scores, [(START_S + after_s, bid) for after_s, bid in [*stopped, *ticks]])
    paper.void("EURUSD")
    assert paper.counts == {"followed": 2, "loss_sl": 1, counted: 1}
    data = read([*scores, *(paper_row(end, end.at_s) for end in paper.ended.values())])
    assert data.excluded == {"void": 1} | ({"neighbour_void": 1} if lost else {})


@pytest.mark.parametrize("prefer", ["paper", "reported"])
@pytest.mark.parametrize("followed", [True, False])
def test_who_reports_an_end_saw_it_whatever_was_lost(
    read: Read, prefer: str, followed: bool
) -> None:
    report = Outcome(Signal("SIG_1"), True, word="WIN", completed_s=START_S + 5000.0)
    rows = [*LOST, signal(1, 300.0), *([ended(1, 400.0)] if followed else [])]
    data = read(rows, {"SIG_1": report}, rules=JoinRules(prefer=prefer))  # type: ignore[arg-type]
    assert data.excluded == {"void": 1}
    assert data.samples.label_source.tolist() == ["truth_log"]
    assert data.samples.win.tolist() == [True]
    assert data.differ == followed


def test_a_gap_of_one_replica_is_none_where_another_saw_the_end(read: Read) -> None:
    again = signal(2, 900.5, signal_id="SIG_0")
    data = read([*LOST, again, ended(2, 2000.0), signal(1, 300.0), ended(1, 400.0)])
    assert data.excluded == {"later_revision": 1}
    assert len(data.samples) == 2
