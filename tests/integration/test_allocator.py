"""All threads of the service take their memory from one arena."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

COUNT = """
import ctypes, sys, threading
from service.allocator import one_arena

if sys.argv[1] == "one":
    one_arena()
meet = threading.Barrier(4)

def take():
    held = [bytes(5000) for _ in range(100)]
    meet.wait()

threads = [threading.Thread(target=take) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
libc = ctypes.CDLL(None)
libc.fopen.restype = ctypes.c_void_p
libc.malloc_info.argtypes = [ctypes.c_int, ctypes.c_void_p]
libc.fflush.argtypes = [ctypes.c_void_p]
file = libc.fopen(b"/dev/stdout", b"w")
libc.malloc_info(0, file)
libc.fflush(file)
"""


def arenas(how: str) -> int:
    """How many a process with four threads that want memory ends with."""
    command = [sys.executable, "-c", COUNT, how]
    environ = {key: value for key, value in os.environ.items() if "MALLOC" not in key}
    told = subprocess.run(
        command, env=environ, capture_output=True, text=True, check=True, timeout=60
    )
    return told.stdout.count("<heap nr=")


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has arenas")
def test_threads_share_one_arena_where_they_would_get_their_own() -> None:
    assert arenas("many") > 1
    assert arenas("one") == 1
