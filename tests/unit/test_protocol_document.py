"""docs/protocol.md says what the code does: tables, limits, golden bytes."""

from __future__ import annotations

import inspect
import re
from typing import Any, get_args

import msgpack
import msgspec
import pytest
from wire_document import DOCUMENT, Golden, golden

from protocol import codec, ea_feed, limits, messages
from service import responder, scoring, server
from service.config import settings
from service.features import bars
from service.feed import intake, terminals
from service.journal import outcome_table
from service.sockets import setup
from training.truth_log import words

REQUESTS = [one for one in golden() if one.title.startswith("Request")]
REPLIES = [one for one in golden() if one.title.startswith("Reply")]


def named(pairs: list[Golden]) -> Any:
    return pytest.mark.parametrize("one", pairs, ids=[one.title for one in pairs])


@named(golden())
def test_both_forms_of_a_golden_message_are_the_same(one: Golden) -> None:
    assert msgpack.packb(one.content) == one.body
    assert msgpack.unpackb(one.body) == one.content


@named(REQUESTS)
def test_a_golden_request_is_what_our_client_sends_and_our_server_reads(one: Golden) -> None:
    decoded = codec.decode_request(one.body)
    assert decoded.ignored == ()
    assert decoded.request_id == one.content["id"]
    assert codec.encode_request(decoded.request, decoded.request_id) == one.body


def test_every_operation_has_a_golden_request_and_a_section() -> None:
    assert {one.content["op"] for one in REQUESTS} == set(messages.REQUESTS)
    headings = re.findall(r"^### `(\w+)`$", DOCUMENT.text, re.M)
    assert headings == list(messages.REQUESTS)


@named([one for one in REPLIES if "status" in one.content])
def test_a_golden_score_is_read_by_our_client_with_nothing_left_over(one: Golden) -> None:
    reply = msgspec.convert(codec.unpack(one.body), messages.ScoreReply)
    known = {*messages.ScoreReply.__struct_fields__, "v", "id", "ok"}
    assert set(one.content) <= known
    for key in one.content.keys() & known - {"v", "id", "ok", "missing", "explanation"}:
        assert getattr(reply, key) == one.content[key], key


@named([one for one in REPLIES if not one.content["ok"]])
def test_a_golden_refusal_is_what_our_server_writes(one: Golden) -> None:
    error = one.content["error"]
    assert one.content == messages.error_reply(
        error["code"],
        error["message"],
        field=error.get("field"),
        fallback=one.content["fallback"],
        request_id=one.content["id"],
    )


@pytest.mark.parametrize("op", [op for op in messages.REQUESTS if op not in ("health", "stats")])
def test_the_table_of_an_operation_names_its_fields_and_which_are_required(op: str) -> None:
    rows = DOCUMENT.tables(f"### `{op}`")[0]
    fields = {field.name: field for field in msgspec.structs.fields(messages.REQUESTS[op])}
    assert [row[0] for row in rows] == list(fields)
    for name, _, need, _ in rows:
        assert (need == "required") == fields[name].required, name


def test_the_tables_of_candles_and_replies_name_their_fields() -> None:
    _, candle, reply, statuses = DOCUMENT.tables("### `score`")
    assert [row[0] for row in candle] == list(messages.Bar.__struct_fields__)
    ours = [name for name in messages.ScoreReply.__struct_fields__ if name != "ignored"]
    assert {row[0] for row in reply} == set(ours)
    assert {row[0] for row in statuses} == set(get_args(messages.Status))
    view = next(row[3] for row in reply if row[0] == "shadow")
    assert view.partition("as ")[2].split(", ") == list(messages.ModelView.__struct_fields__)


def test_defaults_of_a_reply_are_the_documents() -> None:
    written = {None: "nil", "": '""', True: "true", "live": "live", "none": "none"}
    for field in msgspec.structs.fields(messages.ScoreReply):
        if field.name == "ignored":
            continue
        row = next(r for r in DOCUMENT.tables("### `score`")[2] if r[0] == field.name)
        if field.required:
            assert row[2] == "", field.name
        elif field.default_factory is not msgspec.NODEFAULT:
            assert row[2] in ("{}", "[]"), field.name
        else:
            value = field.default
            assert row[2] == ("[]" if value == () else written[value]), field.name


def test_the_statuses_stand_in_the_order_of_the_code() -> None:
    source = inspect.getsource(scoring.base_score_reason)
    order = re.findall(r'return "(\w+)"', source)
    assert len(order) == 8
    documented = [row[0] for row in DOCUMENT.tables("### `score`")[3]]
    assert [status for status in documented if status in order] == order


def test_the_limits_are_the_codes() -> None:
    said = {row[0]: int(row[1].split()[0]) for row in DOCUMENT.tables("## Bodies")[0]}
    assert said == {
        "request": limits.MAX_BODY_BYTES,
        "frame at any socket (MAXMSGSIZE)": limits.MAX_MESSAGE_BYTES,
        "string": limits.MAX_STRING,
        "array": limits.MAX_ARRAY,
        "map": limits.MAX_MAP,
        "nesting": limits.MAX_DEPTH,
        "id": limits.MAX_ID_CHARS,
        "symbol": limits.MAX_SYMBOL_CHARS,
        "signals of a score_many": limits.MAX_SIGNALS,
        "candles of a timeframe": limits.MAX_CANDLES,
        "unknown keys that are named in ignored": limits.MAX_IGNORED_KEYS,
    }


def test_the_words_of_an_outcome_are_those_that_the_trainer_knows() -> None:
    meaning = next(row[3] for row in DOCUMENT.tables("### `outcome`")[0] if row[0] == "outcome")
    wins, losses, ends = [True] * 3, [False] * 3, [None] * 4
    said = [word.replace("…", "BY_HAND") for word in re.findall(r"\b[A-Z_]{3,}…?", meaning)]
    assert set(said[:6]) == messages.WINS | messages.LOSSES
    assert [words.result(word.lower()) for word in said] == wins + losses + ends
    assert [words.result(word, None, -3.0) for word in said] == wins + losses + [False] * 4


def test_the_reach_of_an_outcome_without_an_id_is_the_codes() -> None:
    before_s, after_s = outcome_table.MEANT_WITHIN_S, outcome_table.CLOCKS_DIFFER_S
    told = " ".join(DOCUMENT.section("### `outcome`").split())
    assert f"from {before_s:g} s before `scored_at` to {after_s:g} s after it" in told
    assert f"no more than {outcome_table.MOST_CANDIDATES:,} scores lie in that time" in told


def test_the_retry_window_is_the_one_that_holds() -> None:
    window_s = settings.ScoreSection().retry_window_s
    assert f"retry window ({window_s:g} s by default)" in DOCUMENT.text


def test_the_bounds_and_kinds_of_the_feed_are_the_codes() -> None:
    told = " ".join(DOCUMENT.section("## The feed, and ticks by push").split())
    assert f"of more than {ea_feed.MAX_CANDLES_PER_TIMEFRAME} the last count" in told
    assert f"`too_large` (above {limits.MAX_BODY_BYTES} bytes)" in told
    assert f"`feed.silence_s` ({settings.FeedSection().silence_s:g} s)" in told
    assert f"begins anew there, after {intake.RESTART_AFTER_LATE} ticks" in told
    assert f"none of this one for {terminals.DROPPED_AFTER_S:g} s" in told
    skipped = told.partition("under `feed.skipped`")[2].partition(". ")[0]
    kinds = set(re.findall(r"`(\w+)`", skipped))
    assert kinds == {"garbage", "too_large", "other", "heartbeat"} <= ea_feed.SKIPPED_KINDS


def test_the_fates_of_the_feeds_candles_are_the_codes() -> None:
    makers = (bars.candle_refusal, intake.Intake.add_bar, intake.Intake._candle)
    sources = "".join(map(inspect.getsource, makers))
    fates = {f"candle_{fate}" for fate in re.findall(r'return "(\w+)"', sources)}
    told = DOCUMENT.section("## The feed, and ticks by push").partition("`stats` counts")[2]
    assert set(re.findall(r"`(candle_\w+)`", told)) == {*fates, "candle_none"}


def test_every_code_that_the_service_can_send_is_in_the_table() -> None:
    _, codes = DOCUMENT.tables("## Errors")
    documented = {row[0] for row in codes}
    sources = "".join(map(inspect.getsource, (codec, responder, server, setup)))
    for code in documented:
        assert f'"{code}"' in sources, code
    sent = set(re.findall(r'(?:DecodeError|error_reply)\(\s*"(\w+)"', sources))
    assert sent <= documented
    assert {"malformed", "too_large"} <= sent
