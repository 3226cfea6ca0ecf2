"""The page of a candidate, whether it was published or not."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

from builders import pointer_of
from scored_journal import START_S, write_journal
from trained import good_and_not_published, history, run

from service.model.pointer import read_pointer
from training.models.publish import append_history
from training.settings import Settings
from training.train import train


def test_report_is_one_page_that_needs_nothing_else(trained: Path) -> None:
    page = (trained / "models" / pointer_of(trained / "models").version / "report.html").read_text()
    assert "Published." in page
    # Each picture for a light page and for a dark one.
    assert page.count("data:image/svg+xml;base64,") == 2 * 8
    assert not re.findall(r'(?:src|srcset|href)="(?!data:)', page)
    assert "<script" not in page
    assert not re.search(r"@import|url\(", page)


def test_the_report_answers_in_words_first(trained: Path) -> None:
    page = (trained / "models" / "last-report.html").read_text()
    text = " ".join(re.sub(r"<style>.*?</style>|<[^>]*>", " ", page, flags=re.DOTALL).split())
    asked = ["What does it add?", "At which coverage?", "How sure is that?", "Since when?"]
    places = [text.index(question) for question in [*asked, "What does it not show?", "In pictur"]]
    assert places == sorted(places)
    assert re.search(
        r"won [0-9.]+ %, all [0-9]+ signals, weighted to the same weeks, won [0-9.]+ %: "
        r"\+[0-9.]+ points",
        text,
    )
    assert "Every condition of the gate holds" in text
    assert "It is the first candidate here" in text
    assert "does not hold" not in text
    assert not re.search(r"[0-9]%", text), "a blank stands before each percent sign"


def test_the_report_of_nothing_says_so_and_names_what_failed(tmp_path: Path) -> None:
    write_journal(tmp_path / "journal.db", 400, edge=0.0)
    (tmp_path / "models").mkdir()
    # Of a journal that was longer, in the words of an older trainer: all are new.
    append_history(tmp_path / "models", {"event": "rejected", "at": START_S, "n": 1000})
    result = run(tmp_path, "train")
    assert result.exit_code == 3, result.output
    assert "400 samples are fewer than the 1000 of the last run" in result.stderr
    assert read_pointer(tmp_path / "models") is None
    event = history(tmp_path / "models")[-1]
    assert (event["event"], event["n"]) == ("rejected", 400)
    assert event["verdict"]["metrics"]["constant"]["log_loss"] > 0  # type: ignore[index]
    page = (tmp_path / "models" / "last-report.html").read_text()
    assert "Not published: not established." in page
    assert "Nothing established: the half" in page
    assert page.count("does not hold") == len(event["verdict"]["failed"])  # type: ignore[index]
    assert "It is the 2nd candidate here, 1 before it was rejected" in page


def test_the_report_of_what_the_service_would_refuse_does_not_call_it_published(
    edge: Path,
) -> None:
    settings = Settings(journal=edge / "journal.db", models=edge / "models")
    run = train(settings, now_s=4.05e9)  # no manifest may be of the year 2098
    assert (run.result, run.version) == ("rejected", None)
    assert "the service would refuse it" in run.text
    good_and_not_published(edge / "models" / "last-report.html")


def test_an_evaluation_publishes_and_records_nothing(edge: Path) -> None:
    page, pictures = edge / "pages" / "evaluation.html", edge / "pictures"
    places = ("--report", str(page), "--pictures", str(pictures))
    result = run(edge, "evaluate", *places)
    assert result.exit_code == 0
    assert "would be published" in result.output
    good_and_not_published(page)
    assert not (edge / "models").exists()
    files = sorted(pictures.iterdir())
    assert "coverage.svg" in {path.name for path in files}
    assert {ElementTree.parse(path).getroot().tag for path in files} == {
        "{http://www.w3.org/2000/svg}svg"
    }
