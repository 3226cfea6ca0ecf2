"""The pictures of docs/trader.md: the report in a browser, the commands in a terminal.

    python scripts/trader_pictures.py    (make docs-trader; wants chromium and tmux)

The report is opened by Chromium in its sizes and colours, the commands run in a tmux of 80
columns; what stands on that screen is drawn as it is.
"""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image, ImageChops
from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text
from trader_example import run

ROOT = Path(__file__).resolve().parents[1]
IMAGES = ROOT / "docs" / "images"
TRAINER = Path(sys.executable).with_name("signal-scorer-train")
# One of them shows it.
PLACE = Path("/tmp/example")
COLUMNS = 80
# Smaller ones Chromium does not make.
NARROWEST_WINDOW = 500
# No page is as high; what is empty below one is cut off.
HIGHEST, MARGIN = 12_000, 48
COLOUR = re.compile(r"\x1b\[[0-9;]*m")
PROMPT = re.compile(r"\n\$$")
HALF_WAY = re.compile(r"windows.* 1[0-9]/")
COMMANDS = {"status": "status", "results": "results --weeks 5", "thresholds": "thresholds"}
PAGE = """<!doctype html><style>{stylesheet}
html {{ background: {background}; }} body {{ margin: 14px 16px; }}
pre {{ margin: 0; font: 15px/1.3 'DejaVu Sans Mono', monospace; color: {foreground}; }}
</style><pre>{code}</pre>"""


def screenshot(
    page: Path, name: str, width: int, height: int = HIGHEST, *, dark: bool = False
) -> None:
    """One PNG of the top of a page or of all of it, in few colours.

    A phone's width too, by a frame.
    """
    target = IMAGES / f"{name}.png"
    with tempfile.TemporaryDirectory() as scratch:
        if width < NARROWEST_WINDOW:
            frame = Path(scratch) / "frame.html"
            frame.write_text(
                f"<!doctype html><body style='margin:0'><iframe src='{page.as_uri()}' "
                f"width={width} height={height} style='border:0'></iframe>"
            )
            page = frame
        command = [
            "chromium", "--headless", "--no-sandbox", "--disable-gpu",
            "--disable-background-networking", "--hide-scrollbars", f"--user-data-dir={scratch}/p",
            f"--blink-settings=preferredColorScheme={0 if dark else 1}",
            f"--window-size={max(width, NARROWEST_WINDOW)},{max(height, NARROWEST_WINDOW)}",
            f"--screenshot={target}", page.as_uri(),
        ]  # fmt: skip
        subprocess.run(command, check=True, capture_output=True, timeout=120)
    with Image.open(target) as picture:
        whole = picture.convert("RGB")
    if height == HIGHEST:
        height = end_of(whole) + MARGIN
    few = whole.crop((0, 0, width, height)).quantize(128)
    few.save(target, optimize=True)
    print(f"{target.relative_to(ROOT)}: {width} x {height}, {target.stat().st_size / 1024:.0f} KiB")


def end_of(picture: Image.Image) -> int:
    """Where a page ends (pixels from the top): below it all is as its last corner. ValueError."""
    empty = Image.new("RGB", picture.size, picture.getpixel((0, picture.height - 1)))
    found = ImageChops.difference(picture, empty).getbbox()
    if found is None or found[3] + MARGIN > picture.height:
        raise ValueError(f"a page is not between 0 and {picture.height - MARGIN} pixels high")
    return found[3]


def on_terminal(place: Path, command: str, *, until: re.Pattern[str]) -> str:
    """What a terminal shows, with its colours, as soon as it shows `until`."""
    tmux = ["tmux", "-L", f"trader-{place.name}"]
    size = ["-x", str(COLUMNS), "-y", "40"]
    shell = "env PS1='$ ' bash --norc --noprofile"
    subprocess.run([*tmux, "new-session", "-d", *size, shell], cwd=place, check=True)
    try:
        subprocess.run([*tmux, "send-keys", f"clear; {command}", "Enter"], check=True)
        deadline, shown = time.monotonic() + 120.0, ""
        while not until.search(COLOUR.sub("", shown)):
            if time.monotonic() > deadline:
                raise TimeoutError(f"{command} showed {shown}")
            time.sleep(0.1)
            shown = subprocess.run(
                [*tmux, "capture-pane", "-p", "-e"], check=True, capture_output=True, text=True
            ).stdout.rstrip()
    finally:
        subprocess.run([*tmux, "kill-server"], check=True)
    return shown.removesuffix("$").rstrip()


def draw(shown: str, name: str, place: Path) -> None:
    """A terminal's screen as a PNG."""
    console = Console(record=True, width=COLUMNS, file=(place / "unused").open("w"))
    console.print(Text.from_ansi(shown))
    page = place / f"{name}.html"
    page.write_text(console.export_html(theme=MONOKAI, code_format=PAGE))
    screenshot(page, name, 770, 34 + round(19.6 * (shown.count("\n") + 1)))


def main() -> None:
    """All pictures anew."""
    shutil.rmtree(PLACE, ignore_errors=True)
    edge, nothing, again = PLACE, PLACE / "nothing", PLACE / "again"
    for place in (edge, nothing):
        run(place, nothing=place is nothing)
    page = edge / "models" / "last-report.html"
    screenshot(page, "report", 1280, 800)
    screenshot(page, "report-dark", 1280, 800, dark=True)
    screenshot(page, "report-whole", 1280)
    screenshot(page, "report-phone", 390, 1100)
    screenshot(page, "report-phone-dark", 390, 1100, dark=True)
    screenshot(nothing / "models" / "last-report.html", "report-nothing", 1280, 820)
    trainer = shlex.quote(str(TRAINER))
    for name, command in COMMANDS.items():
        typed = f"{trainer} {command} --journal journal.db --models models"
        shown = on_terminal(edge, typed, until=PROMPT)
        draw(f"$ signal-scorer-train {command}\n{shown}", f"terminal-{name}", edge)
    shutil.copytree(edge / "models", again)
    typed = f"{trainer} train --force --jobs 2 --journal journal.db --models again"
    shown = on_terminal(edge, typed, until=HALF_WAY)
    draw(f"$ signal-scorer-train train --force\n{shown}", "terminal-train", edge)
    shutil.rmtree(PLACE)


if __name__ == "__main__":
    main()
