"""Defaults < file < environment < flags, each key with its source, unknown ones refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from another_user import as_nobody, as_root
from command import invoke

from service.config.load import load
from service.config.settings import Config
from service.errors import ConfigError


def written(folder: Path, text: str) -> str:
    path = folder / "config.toml"
    path.write_text(text)
    return str(path)


def refused(environ: dict[str, str] | None = None, path: str | None = None) -> str:
    with pytest.raises(ConfigError) as caught:
        load(path, environ or {})
    assert caught.value.exit_code == 78
    return str(caught.value)


def test_without_anything_the_defaults_hold() -> None:
    sourced = load(environ={})
    assert sourced.config == Config()
    assert sourced.sources == {}


def test_each_layer_overrides_the_one_below_and_is_named(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        '[score]\nbind = ["tcp://127.0.0.1:1"]\nmode = "off"\n'
        "[feed]\nsilence_s = 5\nstale_after_s = 6\n",
    )
    environ = {"SIGNAL_SCORER_SCORE_MODE": "shadow", "SIGNAL_SCORER_FEED_SILENCE_S": "7"}
    sourced = load(path, environ, {"feed.silence_s": 8.0, "score.mode": None})
    config = sourced.config
    assert config.score.bind == ("tcp://127.0.0.1:1",)
    assert config.score.mode == "shadow"
    assert config.feed.silence_s == 8.0
    assert config.feed.stale_after_s == 6.0
    assert sourced.sources == {
        "score.bind": path,
        "score.mode": "$SIGNAL_SCORER_SCORE_MODE",
        "feed.silence_s": "flag",
        "feed.stale_after_s": path,
    }


def test_the_file_may_be_named_by_the_environment(tmp_path: Path) -> None:
    path = written(tmp_path, "[limits]\nsymbols = 3\n")
    assert load(environ={"SIGNAL_SCORER_CONFIG": path}).config.limits.symbols == 3


def test_lists_come_from_the_environment_with_commas_or_as_json() -> None:
    for text in ("tcp://a:1, tcp://b:2", '["tcp://a:1", "tcp://b:2"]'):
        config = load(environ={"SIGNAL_SCORER_FEED_ENDPOINTS": text}).config
        assert config.feed.endpoints == ("tcp://a:1", "tcp://b:2")
    assert load(environ={"SIGNAL_SCORER_FEED_ENDPOINTS": ""}).config.feed.endpoints == ()
    assert load(environ={"SIGNAL_SCORER_FEED_ENDPOINTS": "[]"}).config.feed.endpoints == ()


def test_environment_values_take_the_type_of_their_key() -> None:
    config = load(
        environ={
            "SIGNAL_SCORER_SCORE_ALLOW_INSECURE": "true",
            "SIGNAL_SCORER_FEED_CLOCK_OFFSET": "10800",
            "SIGNAL_SCORER_FEED_SYMBOL_MAP": '{"GOLD": "XAUUSD"}',
            "SIGNAL_SCORER_JOURNAL_PATH": "1234",
            "SIGNAL_SCORER_STATE_DIR": "77",
            "SIGNAL_SCORER_TRUTH_LOG_PATHS": "a.jsonl",
        }
    ).config
    assert config.score.allow_insecure is True
    assert config.feed.clock_offset == 10800.0
    assert config.feed.symbol_map == {"GOLD": "XAUUSD"}
    assert config.journal_path == Path("77/1234")
    assert config.truth_log.paths == ("a.jsonl",)
    assert load(environ={"SIGNAL_SCORER_FEED_CLOCK_OFFSET": "auto"}).config.feed.clock_offset == (
        "auto"
    )


@pytest.mark.parametrize(
    ("environ", "named"),
    [
        ({"SIGNAL_SCORER_SCORE_BIMD": "tcp://x:1"}, ["bimd", "$SIGNAL_SCORER_SCORE_BIMD"]),
        ({"SIGNAL_SCORER_SCROE_BIND": "tcp://x:1"}, ["$SIGNAL_SCORER_SCROE_BIND", "score"]),
        ({"SIGNAL_SCORER_STATE_DIR_X": "1"}, ["$SIGNAL_SCORER_STATE_DIR_X"]),
        (
            {"SIGNAL_SCORER_LIMITS_SYMBOLS": "0"},
            ["limits.symbols", "$SIGNAL_SCORER_LIMITS_SYMBOLS"],
        ),
        ({"SIGNAL_SCORER_LIMITS_SYMBOLS": "many"}, ["limits.symbols"]),
        ({"SIGNAL_SCORER_SCORE_MODE": "dead"}, ["score.mode"]),
        ({"SIGNAL_SCORER_FEED_SILENCE_S": "NaN"}, ["feed.silence_s"]),
        ({"SIGNAL_SCORER_FEED_CLOCK_OFFSET": "nan"}, ["feed.clock_offset"]),
        ({"SIGNAL_SCORER_SCORE_BIND": "[1]"}, ["score.bind", "$SIGNAL_SCORER_SCORE_BIND"]),
    ],
)
def test_a_wrong_setting_is_refused_by_name(environ: dict[str, str], named: list[str]) -> None:
    text = refused(environ)
    assert all(part in text for part in named), text


@pytest.mark.parametrize(
    "text",
    [
        'symbol_suffixes = ["", ".pro"]',
        'symbol_suffixes = [".pro", ""]',
        'symbol_map = {"X" = ""}',
        'symbol_map = {"" = "X"}',
    ],
)
def test_a_suffix_or_a_name_that_is_empty_is_refused(tmp_path: Path, text: str) -> None:
    """An empty suffix fits each name, and what stood before it was empty: one symbol of all."""
    path = written(tmp_path, f"[feed]\n{text}\n")
    said = refused(path=path)
    assert f"feed.{text.partition(' ')[0]}" in said
    assert said.endswith(
        f"(set by {path}); leave the empty one out: a name that no suffix and no "
        "map fits stays as it is"
    )


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[score]\nbimd = 1\n", "bimd"),
        ("[scroe]\nbind = []\n", "scroe"),
        ("[scroe]\n", "scroe"),
        ("score = 5\n", "score"),
        ("[score\n", "TOML"),
        ("a = " + "[" * 10_000, "TOML"),
        ("a = " + "9" * 5_000, "TOML"),
        ("[feed]\nsilence_s = -1\n", "feed.silence_s"),
    ],
)
def test_a_wrong_file_is_refused_by_name(tmp_path: Path, text: str, named: str) -> None:
    assert named in refused(path=written(tmp_path, text))


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ('state_dir = "a\\u0000b"\n', "state_dir"),
        ('[truth_log]\npaths = ["a", "a\\u0000b"]\n', "truth_log.paths"),
        ('[curve.feed_keys]\n"ipc://a\\u0000" = "key"\n', "curve.feed_keys"),
    ],
)
def test_a_nul_is_refused_by_the_name_of_its_key(tmp_path: Path, text: str, key: str) -> None:
    path = written(tmp_path, text)
    assert refused(path=path).startswith(f"{key} (set by {path}) has a NUL")


@pytest.mark.parametrize(
    ("text", "key", "why"),
    [
        ('[journal]\npath = "/"\n', "journal.path", "is /, a folder"),
        ('[journal]\npath = ""\n', "journal.path", "is var, a folder"),
        ('[journal]\npath = "models"\n', "journal.path", "is var/models, a folder"),
        ('[journal]\npath = "../"\n', "journal.path", "is var/.., a folder"),
        (f'state_dir = "/{"a" * 256}/b"\n', "state_dir", "a name of more than 255 bytes"),
        (f'[model]\ndirectory = "{"ä" * 128}"\n', "model.directory", "of more than 255 bytes"),
        (f'[journal]\npath = "{"a" * 256}"\n', "journal.path", "a name of more than 249 bytes"),
        (f'[journal]\npath = "{"a" * 250}"\n', "journal.path", "a name of more than 249 bytes"),
        (f'[record]\ndirectory = "{"a" * 256}"\n', "record.directory", "more than 255 bytes"),
        (f'[truth_log]\npaths = ["b", "{"a" * 256}"]\n', "truth_log.paths", "than 255 bytes"),
        (f'[monitor]\ntextfile = "{"a" * 238}"\n', "monitor.textfile", "more than 237 bytes"),
    ],
)
def test_a_path_at_which_nothing_can_be_made_is_refused(
    tmp_path: Path, text: str, key: str, why: str
) -> None:
    path = written(tmp_path, text)
    said = refused(path=path)
    assert said.startswith(f"{key} (set by {path})"), said
    assert why in said
    for command in ("doctor", "journal tail"):  # which came first to it
        done = invoke(*command.split(), "--config", path)
        assert "Traceback" not in done.stderr
        assert key in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("text", "key", "taken"),
    [
        (
            'training.textfile = "a.prom"\nmonitor.textfile = "./a.prom"',
            "monitor.textfile",
            "train",
        ),
        ('training.textfile = "journal.db"', "training.textfile", "journal.path"),
        ('monitor.textfile = "models"', "monitor.textfile", "a folder"),
        ('monitor.state = "../var/journal.db"', "monitor.state", "journal.path"),
        ('monitor.state = "a"\nmonitor.textfile = "a"', "monitor.state", "monitor.textfile"),
    ],
)
def test_what_would_be_written_over_something_else_of_ours_is_refused(
    tmp_path: Path, text: str, key: str, taken: str
) -> None:
    said = refused(path=written(tmp_path, text))
    assert said.startswith(f"{key} (set by ")
    assert taken in said
    assert "; name a" in said, "no advice"


def test_a_file_that_a_program_on_windows_saved_is_read_or_said_to_be_no_utf_8(
    tmp_path: Path,
) -> None:
    path = tmp_path / "config.toml"
    text = "[score]\r\nmode = 'shadow'\r\n"
    path.write_bytes(text.encode("utf-8-sig"))
    assert load(str(path), {}).config.score.mode == "shadow"
    path.write_bytes(text.encode("utf-16"))
    assert refused(path=str(path)).endswith("save it as UTF-8")


@pytest.mark.parametrize("key", ["[journal]\npath", "[record]\ndirectory"])
@pytest.mark.parametrize("command", ["status", "journal stats", "doctor", "config --check"])
def test_a_home_that_nobody_has_is_refused(tmp_path: Path, command: str, key: str) -> None:
    path = written(tmp_path, f'{key} = "~nobody_at_all/journal.db"\n')
    done = invoke(*command.split(), "--config", path)
    assert done.returncode == (1 if command == "doctor" else 78)
    assert "~nobody_at_all/journal.db" in done.stdout + done.stderr
    assert "write them from / on" in done.stdout + done.stderr


def test_a_word_that_is_none_of_its_key_is_refused_with_those_that_are(tmp_path: Path) -> None:
    text = refused(path=written(tmp_path, "[score]\nmode = 'dead'\n"))
    assert text.endswith("; it can be live, shadow, off")


def test_a_clock_offset_in_words_is_refused_with_what_is_wanted() -> None:
    text = refused({"SIGNAL_SCORER_FEED_CLOCK_OFFSET": "3h"})
    assert text.endswith("; it can be auto, or seconds: 10800 for three hours")


@pytest.mark.parametrize("word", ["no", "False", "0"])
def test_a_switch_in_other_words_is_refused_with_those_that_are_wanted(word: str) -> None:
    text = refused({"SIGNAL_SCORER_PAPER_ENABLED": word})
    assert text.endswith("(set by $SIGNAL_SCORER_PAPER_ENABLED); write true or false")


@pytest.mark.parametrize("key", ["STATE_DIR", "MODEL_DIRECTORY"])
@pytest.mark.parametrize("blank", ["", " "])
def test_a_folder_of_a_blank_name_is_refused(key: str, blank: str) -> None:
    """The one that the command was given in would become it."""
    text = refused({f"SIGNAL_SCORER_{key}": blank})
    assert f"(set by $SIGNAL_SCORER_{key}) is blank; name a folder" in text


@as_root
def test_a_file_that_this_user_may_not_read_is_told_what_mends_it(tmp_path: Path) -> None:
    path = written(tmp_path, "")
    Path(path).chmod(0o600)
    with as_nobody():
        text = refused(path=path)
    assert "Permission denied" in text
    assert "chmod g+r" in text


def test_what_a_refusal_advises_is_not_refused_itself(tmp_path: Path) -> None:
    path = written(tmp_path, "[feed]\nsilence_s = -1\n")
    advised = refused(path=path).partition("`signal-scorer ")[2].partition("`")[0]
    done = invoke(*advised.split(), CONFIG=path)
    assert done.returncode == 0
    assert "silence_s = 30.0  # default" in done.stdout


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[score]\nbind = "tcp://127.0.0.1:1"\n', 'write it as a list: bind = ["..."]'),
        ('[feed]\nsymbol_suffixes = ".m"\n', 'write it as a list: symbol_suffixes = ["..."]'),
        ("[scor]\nbind = []\n", "field `scor` (set by PATH)"),
        ("[scor]\n", "field `scor` (set by PATH)"),
    ],
)
def test_a_list_that_is_none_and_a_section_that_is_none_are_named(
    tmp_path: Path, text: str, words: str
) -> None:
    path = written(tmp_path, text)
    assert words.replace("PATH", path) in refused(path=path)


def test_a_list_of_a_variable_is_advised_as_a_variable_takes_it() -> None:
    text = refused({"SIGNAL_SCORER_SCORE_BIND": "[tcp://127.0.0.1:1]"})
    assert text.endswith('; write it as a list: ["..."]')


def test_a_table_that_is_none_is_refused_whoever_adds_to_it(tmp_path: Path) -> None:
    path = written(tmp_path, "score = 5\n")
    assert "score" in refused({"SIGNAL_SCORER_SCORE_MODE": "off"}, path)


def test_a_file_that_is_named_must_be_there(tmp_path: Path) -> None:
    assert "cannot read" in refused(path=str(tmp_path / "absent.toml"))


def test_a_file_without_an_end_is_refused_as_too_long() -> None:
    with pytest.raises(ConfigError, match=r"/dev/zero has more than 1,048,576 bytes"):
        load("/dev/zero", {})


def test_the_commands_own_variable_is_no_setting() -> None:
    assert load(environ={"SIGNAL_SCORER_ENDPOINT": "tcp://x:1"}).config == Config()


def test_systemd_directories_move_the_files() -> None:
    sourced = load(
        environ={"STATE_DIRECTORY": "/s/scorer:/s/other", "RUNTIME_DIRECTORY": "/r/scorer"}
    )
    config = sourced.config
    assert config.models_dir == Path("/s/scorer/models")
    assert config.journal_path == Path("/s/scorer/journal.db")
    assert config.score.bind == ("tcp://127.0.0.1:5561", "ipc:///r/scorer/score.sock")
    assert sourced.sources["state_dir"] == "$STATE_DIRECTORY"
    assert sourced.sources["score.bind"] == "$RUNTIME_DIRECTORY"


def test_an_absolute_path_stays_where_it_is() -> None:
    config = load(environ={"SIGNAL_SCORER_JOURNAL_PATH": "/data/j.db"}).config
    assert config.journal_path == Path("/data/j.db")
