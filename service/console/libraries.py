"""What a command says where its libraries are not, as where the client alone was installed.

Every installation has the commands; what they need comes with the extras `service` and `training`.
"""

from __future__ import annotations

import sys
from typing import NoReturn

from service.console.exit_codes import UNAVAILABLE


def leave(command: str, extra: str, error: ImportError) -> NoReturn:
    """End the process with what is missing and where the command is to be had."""
    sys.stderr.write(
        f"{command}: {error}: {sys.prefix} may have the client only. "
        f"Where deploy/install.sh was used the command is /usr/local/bin/{command}; elsewhere "
        f"pip install '/path/to/signal-scorer[{extra}]', with Python 3.11 or newer\n"
    )
    sys.exit(UNAVAILABLE)
