"""What `score` prints of a reply."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from played import Played
from serving import START_S, published_model

from protocol.messages import ScoreReply
from service.commands.shown import show_score
from service.model.model import Model

TERMS = {"reward_risk": 1.5, "cost_r": 0.05}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return published_model(tmp_path_factory.mktemp("models"), START_S)


def shown(capsys: pytest.CaptureFixture[str], reply: dict[str, Any]) -> str:
    """The text that is printed, its lines joined."""
    own = {key: value for key, value in reply.items() if key in ScoreReply.__struct_fields__}
    show_score(msgspec.convert(own, ScoreReply), as_json=False)
    return " ".join(capsys.readouterr().out.split())


def test_the_models_answer_is_shown_with_what_follows_from_it(
    model: Model, capsys: pytest.CaptureFixture[str]
) -> None:
    reply = Played(model).score(**TERMS, explain=True)
    said = shown(capsys, reply)
    final, p = reply["final_score"], reply["win_probability"]
    assert f"EURUSD BUY base 75 -> final {final:.1f} (success, model {model.version})" in said
    low, high = reply["win_probability_low"], reply["win_probability_high"]
    assert f"win probability {p:.3f} ({low:.3f} to {high:.3f}), raw " in said
    take = "yes" if reply["take"] else "no"
    assert f"expected {reply['expected_r']:+.3f} R, break-even 0.420, take: {take}" in said
    assert f"{reply['explanation']['contributions']['tf_alignment']:+.4f}" in said
    assert "in shadow" not in said


def test_in_shadow_the_base_score_comes_first_and_then_what_the_model_says(
    model: Model, capsys: pytest.CaptureFixture[str]
) -> None:
    reply = Played(model, SCORE_MODE="shadow").score(**TERMS)
    said = shown(capsys, reply)
    assert "base 75 -> final 75.0 (shadow, base score)" in said
    assert f"in shadow the model says {reply['shadow']['final_score']:.1f}: win prob" in said
    assert f"expected {reply['shadow']['expected_r']:+.3f} R" in said


@pytest.mark.parametrize("name", ["symbol", "score_id", "model_version", "error"])
def test_what_a_service_says_is_neither_markup_nor_control_codes(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    reply = Played(None).score() | {"used_base_score": name != "model_version"}
    assert "[/b] [red] :x: ?[2J" in shown(capsys, reply | {name: "[/b] [red] :x: \x1b[2J"})
