"""The report on paper: what a screen scrolls, a printer cuts off."""

from __future__ import annotations

import re
from pathlib import Path

import training


def test_what_scrolls_on_a_screen_is_printed_whole() -> None:
    page = (Path(training.__file__).parent / "templates" / "report.html").read_text()
    style = page[page.index("<style>") : page.index("</style>")]
    scrolling = set(re.findall(r"^ *(\.\w+) \{[^}]*overflow(?:-[xy])?: auto", style, re.MULTILINE))
    assert {".scroll", ".long"} <= scrolling
    found = re.search(r"@media print \{ ([^{]+) \{ ([^}]+) \} \}", style)
    assert found is not None
    assert scrolling <= set(found[1].split(", "))
    assert found[2] == "max-height: none; overflow: visible;"
    # Else a rule further down would undo it.
    assert all(found.start() > style.index(f"{name} {{") for name in scrolling)
