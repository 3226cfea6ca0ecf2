"""`signal-scorer`: the command line of the service. The commands are in `service.commands`."""

from __future__ import annotations

import sys

from service.console import libraries, streams

try:
    streams.open_closed()
    import click

    from service import systemd
    from service.commands import asking, journal, keeping, replaying, running, watching
    from service.commands.root import cli
    from service.console.printable import printable
except ImportError as missing:
    libraries.leave("signal-scorer", "service", missing)

__all__ = ["asking", "cli", "journal", "keeping", "main", "replaying", "running", "watching"]


def main() -> None:
    """Run the command line; known errors end with one line and their exit code."""
    try:
        cli(standalone_mode=True)
    except ImportError as missing:
        libraries.leave("signal-scorer", "service", missing)
    except Exception as error:
        code = getattr(error, "exit_code", None)
        if code is None:
            raise
        text = printable(str(error))  # paths in it may be named by others
        click.echo(f"{systemd.priority('error')}signal-scorer: {text}", err=True)
        sys.exit(code)


if __name__ == "__main__":
    main()
