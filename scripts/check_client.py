"""Install the client as docs/integration.md says, into a new environment, and look at what came.

Needs a package index. Another interpreter may be named: the client keeps to Python 3.10.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BRINGS = {"signal-scorer", "pyzmq", "msgpack", "msgspec"}
USE = """
from protocol.aio import AsyncScorerClient
from protocol.compat import MarketFeatures, MLTrainingManager, get_crypto_ml_scorer
score, metadata = get_crypto_ml_scorer().enhance_signal_score("EURUSD", 72.5)
assert (score, metadata["status"]) == (72.5, "unreachable"), metadata
"""


def main() -> None:
    """Exit code 1 where anything else came with it, or it does not work."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--python", default=sys.executable)
    python = parser.parse_args().python
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([python, "-m", "venv", folder], check=True)
        its_python = f"{folder}/bin/python"
        pip = [its_python, "-m", "pip", "--disable-pip-version-check"]
        subprocess.run([*pip, "--quiet", "install", str(ROOT)], check=True)
        listed = json.loads(subprocess.check_output([*pip, "list", "--format", "json"]))
        found = {entry["name"].lower() for entry in listed} - {"pip", "setuptools"}
        print("installed:", ", ".join(sorted(found)))
        if found != BRINGS:
            sys.exit(f"expected {', '.join(sorted(BRINGS))}")
        environment = {"SIGNAL_SCORER_ENDPOINT": "tcp://127.0.0.1:1", "PATH": "/usr/bin:/bin"}
        subprocess.run([its_python, "-c", USE], check=True, cwd=folder, env=environment)
        for command in ("signal-scorer", "signal-scorer-train"):
            done = subprocess.run([f"{folder}/bin/{command}"], capture_output=True, check=False)
            if done.returncode != 69 or b"Traceback" in done.stderr:
                sys.exit(f"{command} does not say that it is not here: {done.stderr.decode()}")
        print("the drop-in answers with the base score while no service is there")


if __name__ == "__main__":
    main()
