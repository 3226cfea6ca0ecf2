"""A page or a file of metrics is the new one or the old one, whoever else is at work there."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from training.replacing import replace


def test_a_link_that_waits_in_the_folder_leads_it_nowhere(tmp_path: Path) -> None:
    """Root may write where another user plants one."""
    others, page = tmp_path / "others", tmp_path / "scorer.prom"
    others.write_text("another's")
    others.chmod(0o600)
    (tmp_path / ".scorer.prom.tmp").symlink_to(others)
    replace(page, b"ours", 0o644)
    assert (others.read_text(), others.stat().st_mode & 0o777) == ("another's", 0o600)
    assert (page.is_symlink(), page.read_bytes()) == (False, b"ours")
    assert page.stat().st_mode & 0o777 == 0o644


def test_two_who_write_the_same_file_are_not_in_each_others_way(tmp_path: Path) -> None:
    page = tmp_path / "scorer.prom"
    contents = (b"a" * 5_000, b"b" * 70_000)

    def write(content: bytes) -> None:
        for _ in range(1_000):
            replace(page, content)
            assert page.read_bytes() in contents

    with ThreadPoolExecutor(2) as both:
        list(both.map(write, contents))
    assert [path.name for path in tmp_path.iterdir()] == [page.name]
