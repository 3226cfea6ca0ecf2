"""When the alert program is told, and what."""

from __future__ import annotations

from pathlib import Path

from service.alerting import CheckResult
from service.config.settings import AlertsSection
from training.monitor.alerts import MAX_TEXT, State, news, read_state, told, write_state

HOUR = AlertsSection(command=("x",), min_interval_s=3600.0)
FINE = CheckResult("win_rate", "fine", "as promised")
WARNED = CheckResult("win_rate", "warning", "a little low")
LOW = CheckResult("win_rate", "alert", "low")
FEW = CheckResult("win_rate", "unknown", "too few")
LOST = CheckResult("calibration", "alert", "lost")


def test_what_is_fine_and_was_fine_is_no_news() -> None:
    assert news(State(), [FINE], HOUR, now_s=1e9, model="m") is None


def test_the_first_alert_is_told_at_once_and_only_once() -> None:
    alert = news(State(), [LOW, FINE], HOUR, now_s=1e9, model="m")
    assert alert is not None
    assert (alert.event, alert.findings, alert.recovered) == ("degraded", (LOW,), ())
    assert "alert win rate: low" in alert.text
    assert news(told(alert, State()), [LOW], HOUR, now_s=1e9 + 1e6, model="m") is None


def test_an_alert_of_another_model_is_news_though_it_is_the_same_one() -> None:
    """As after a rollback to a model that is no better: else nobody hears of it again."""
    state = State({"calibration": "alert"}, 1e9, "bad")
    assert news(state, [LOST], HOUR, now_s=1e9 + 3599, model="back") is None
    alert = news(state, [LOST], HOUR, now_s=1e9 + 3600, model="back")
    assert alert is not None
    assert (alert.event, alert.model, alert.findings) == ("changed", "back", (LOST,))
    assert news(told(alert, state), [LOST], HOUR, now_s=1e9 + 1e6, model="back") is None
    assert news(State({}, 1e9, "bad"), [FINE], HOUR, now_s=1e9 + 3600, model="back") is None


def test_recovery_is_told() -> None:
    state = State({"win_rate": "alert"}, 1e9)
    alert = news(state, [FINE], HOUR, now_s=1e9 + 7200, model="m")
    assert alert is not None
    assert (alert.event, alert.findings, alert.recovered) == ("recovered", (), ("win_rate",))
    assert "no longer wrong: win rate" in alert.text
    assert told(alert, state).told == {}


def test_what_cannot_be_judged_any_more_has_not_recovered() -> None:
    """An alert that went out with its evidence, as of a month without outcomes."""
    state = State({"win_rate": "alert", "calibration": "alert"}, 1e9, "m")
    later_s = 1e9 + 7200
    assert news(state, [FEW, LOST], HOUR, now_s=later_s, model="m") is None
    alert = news(state, [FEW], HOUR, now_s=later_s, model="m")
    assert alert is not None
    assert (alert.event, alert.recovered) == ("changed", ("calibration",))
    assert "not to be judged now: win rate" in alert.text
    state = told(alert, state)
    assert state.told == {"win_rate": "alert"}
    alert = news(state, [FINE], HOUR, now_s=later_s + 7200, model="m")
    assert alert is not None
    assert (alert.event, alert.recovered) == ("recovered", ("win_rate",))


def test_another_model_has_not_recovered_before_it_is_known_to_answer_and_judged() -> None:
    state = State({"win_rate": "alert"}, 1e9, "bad")
    unasked = CheckResult("model", "unknown", "not asked yet")
    for findings in ([FEW], [FINE, unasked]):
        assert news(state, findings, HOUR, now_s=1e9 + 7200, model="next") is None
    alert = news(state, [FINE], HOUR, now_s=1e9 + 7200, model="next")
    assert alert is not None
    assert (alert.event, alert.recovered) == ("recovered", ("win_rate",))
    # What was wrong with the one before is over where another thing is wrong with this one.
    alert = news(state, [FEW, LOST], HOUR, now_s=1e9 + 7200, model="next")
    assert alert is not None
    assert (alert.event, alert.recovered) == ("changed", ("win_rate",))
    assert news(told(alert, state), [LOW, LOST], HOUR, now_s=1e9 + 1e5, model="next") is not None


def test_a_change_within_the_interval_is_told_after_it_as_things_stand_then() -> None:
    state = State({"win_rate": "alert"}, 1e9)
    assert news(state, [LOST], HOUR, now_s=1e9 + 3599, model="m") is None
    late = news(state, [LOST], HOUR, now_s=1e9 + 3600, model="m")
    assert late is not None
    assert (late.event, late.recovered) == ("changed", ("win_rate",))


def test_what_comes_back_to_what_was_told_within_the_interval_was_never_news() -> None:
    state = State({"win_rate": "alert"}, 1e9)
    assert news(state, [FINE], HOUR, now_s=1e9 + 60, model="m") is None
    assert news(state, [LOW], HOUR, now_s=1e9 + 9999, model="m") is None


def test_a_clock_set_back_does_not_silence() -> None:
    state = State({"win_rate": "alert"}, 2e9)
    assert news(state, [LOST], HOUR, now_s=1e9, model="m") is not None


def test_what_is_urgent_does_not_wait() -> None:
    gone = CheckResult("rollback", "alert", "rolled back")
    state = State({"win_rate": "alert"}, 1e9)
    alert = news(state, [LOW, gone], HOUR, now_s=1e9 + 1, model="m", urgent=True)
    assert alert is not None
    assert told(alert, state).told == {"win_rate": "alert"}


def test_warnings_are_told_only_where_wanted() -> None:
    assert news(State(), [WARNED], HOUR, now_s=1e9, model="m") is None
    both = AlertsSection(command=("x",), warnings=True)
    assert news(State(), [WARNED], both, now_s=1e9, model="m") is not None


def test_a_warning_that_becomes_an_alert_is_news() -> None:
    both = AlertsSection(command=("x",), warnings=True)
    state = State({"win_rate": "warning"}, 0.0)
    alert = news(state, [LOW], both, now_s=1e9, model="m")
    assert alert is not None
    assert (alert.event, alert.recovered) == ("changed", ())


def test_a_text_fits_a_telephone() -> None:
    endless = CheckResult("calibration", "alert", "x" * 9999)
    alert = news(State(), [endless], HOUR, now_s=1e9, model=None)
    assert alert is not None
    assert len(alert.text) == MAX_TEXT


def test_a_state_is_read_as_written_and_a_damaged_one_is_empty(tmp_path: Path) -> None:
    path = tmp_path / "new" / "monitor.json"
    assert read_state(path) == State()
    write_state(path, State({"a": "alert"}, 5.0))
    assert read_state(path) == State({"a": "alert"}, 5.0)
    assert [p.name for p in path.parent.iterdir()] == ["monitor.json"]
    path.write_bytes(b"\xff{")
    assert read_state(path) == State()
