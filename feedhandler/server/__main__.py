"""The `feedhandler` command. Subcommands of other packages are found by entry point and loaded only
when they are called.
"""

import sys
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from cyclopts import App, CycloptsError

from feedhandler import __version__
from feedhandler.server.errors import ExitCode, UserError, run_cli

COMMAND_GROUP = "feedhandler.commands"

app = App(
    name="feedhandler",
    version=__version__,
    help="Market-data feed handler and signal server.",
)


@app.command
def serve(*, config: Path) -> int:
    """Run the server until SIGTERM.

    Parameters
    ----------
    config
        Configuration in TOML; see docs/configuration.md.
    """
    from feedhandler.server.app import run_server  # noqa: PLC0415 - Numba is not loaded to show help

    return run_server(config)


@app.command
def check_config(file: Path) -> int:
    """Read a configuration, compile what it names, and say what is wrong with it.

    Parameters
    ----------
    file
        Configuration in TOML.
    """
    from feedhandler.server.app import check_configuration  # noqa: PLC0415 - as above

    sys.stdout.write(check_configuration(file) + "\n")
    return ExitCode.OK


@app.command
def warmup() -> int:
    """Compile every kernel once, so that nothing compiles while the server runs."""
    from feedhandler.server.warmup import warm_up  # noqa: PLC0415 - as above

    warm_up()
    return ExitCode.OK


def _add_found_commands(arguments: list[str]) -> None:
    """Register the subcommand that is called, or all of them where their names are to be shown."""
    found = {point.name: point for point in entry_points(group=COMMAND_GROUP)}
    called = arguments[0] if arguments else ""
    if called == "--version":
        return
    names = [called] if called in found else []
    if not names and (called.startswith("-") or called not in app):
        names = sorted(found)
    for name in names:
        try:
            command: Any = found[name].load()
        except ImportError as error:
            text = f"cannot be loaded: {error}"
            if name == called:
                raise UserError(f"the command {name!r} {text}") from error
            # One broken command must not keep the help from telling of the others.
            command = App(help=text)
        app.command(command, name=name)


def _run() -> Any:
    arguments = sys.argv[1:]
    _add_found_commands(arguments)
    try:
        return app(arguments, result_action="return_value", exit_on_error=False, print_error=False)
    except CycloptsError as error:
        raise UserError(f"{error} See feedhandler --help.", ExitCode.USAGE) from None


def main() -> None:
    """Entry point."""
    sys.exit(run_cli(_run))


if __name__ == "__main__":
    main()
