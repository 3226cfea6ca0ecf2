"""Fixtures that every test may use."""

from __future__ import annotations

import gc
import shutil
import signal
import sys
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

sys.path.insert(0, str(Path(__file__).parent))

from journals import closed_behind

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


# A machine with other work may take any time over an example.
settings.register_profile("busy", deadline=None)
settings.load_profile("busy")

# What a shell starts in the background ignores Ctrl-C, and so would all that tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """What is collected stays to the end: to go over it again and again took a third of it."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.fixture(scope="module", autouse=True)
def _journals_of_the_module() -> Iterator[None]:
    """Those that its fixtures opened."""
    with closed_behind():
        yield


@pytest.fixture(autouse=True)
def _journals_of_the_test() -> Iterator[None]:
    with closed_behind():
        yield


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of recorded feeds, markets and truth logs; skips where there is none."""
    if not SHARED_DATA.is_dir():
        pytest.skip("recorded market data are not beside this checkout (../shared/data)")
    return SHARED_DATA


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user may pass through; pytest's own is for one."""
    folder = Path(tempfile.mkdtemp(prefix="open-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)
