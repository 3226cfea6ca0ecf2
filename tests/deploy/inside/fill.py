"""Fills the stopped service's journal with scored signals and how they ended, with a plain edge.

fill.py JOURNAL SIGNALS
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from scored_journal import write_journal

if __name__ == "__main__":
    write_journal(Path(sys.argv[1]), int(sys.argv[2]), edge=0.3)
