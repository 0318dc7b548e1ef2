"""The `exchange` command."""

import sys
from pathlib import Path
from typing import Annotated, Any

import msgspec
import uvloop
from cyclopts import App, CycloptsError, Parameter
from cyclopts.validators import Number

from feedhandler import __version__
from feedhandler.server.configfile import check_writable, load_config
from feedhandler.server.errors import ExitCode, UserError, run_cli
from tools.exchange.config import ExchangeConfig
from tools.exchange.day import NS_PER_S, SESSION_S_MAX
from tools.exchange.generate import generate_file
from tools.exchange.layout import FlowSettings
from tools.exchange.runner import run_exchange
from tools.exchange.symbols import SYMBOLS_MAX
from tools.exchange.tape import load_tape

app = App(
    name="exchange",
    version=__version__,
    help="A synthetic exchange: ITCH 5.0 over MoldUDP64, re-requests, GLIMPSE; or to a file.",
)


@app.command
def run(
    *,
    config: Path,
    tape: Path | None = None,
    wait: Annotated[bool, Parameter(negative="")] = False,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Run a session until its end, or SIGTERM.

    Parameters
    ----------
    config
        TOML file; see `tools/exchange/README.md`.
    tape
        Send this session, which `exchange generate` wrote, at the rate of the configuration.
    wait
        Send heartbeats alone until a line comes on standard input, or its end.
    json
        Print the report as one JSON object on the last line.
    """
    settings = load_config(config, ExchangeConfig)
    check_writable(settings.status_file, "status_file")
    check_writable(settings.report_file)
    made = load_tape(tape) if tape is not None else None
    report, faults = uvloop.run(run_exchange(settings, is_waiting=wait, tape=made))
    _print_result(report, as_json=json)
    if faults:
        raise UserError("; ".join(faults), ExitCode.CANNOT_WRITE)


@app.command
def generate(
    *,
    messages: Annotated[int, Parameter(validator=Number(gte=1, lte=SESSION_S_MAX * NS_PER_S))],
    out: Path,
    seed: Annotated[int, Parameter(validator=Number(gte=0))] = 1,
    symbols: Annotated[int, Parameter(validator=Number(gte=1, lte=SYMBOLS_MAX))] = 100,
    simulated_rate: Annotated[int, Parameter(validator=Number(gte=1, lte=NS_PER_S))] = 100_000,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Write a whole session to a BinaryFILE, and what it holds to FILE.truth.json.

    Parameters
    ----------
    messages
        Messages in all, the administrative ones included.
    out
        File to write; compressed when its name ends in .gz.
    seed
        The same seed gives the same bytes.
    symbols
        Number of instruments.
    simulated_rate
        Messages in a second of the session's clock.
    json
        Print the truth as one JSON object on the last line.
    """
    check_writable(str(out), "--out")
    settings = FlowSettings(seed, symbols, simulated_rate, messages)
    _print_result(generate_file(settings, out), as_json=json)


def _print_result(result: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print(msgspec.json.encode(result).decode())
        return
    for name, value in result.items():
        if isinstance(value, dict):
            print(f"{name}: " + "  ".join(f"{key} {number}" for key, number in value.items()))
        else:
            print(f"{name}: {value}")


def _run_command() -> int:
    try:
        app(sys.argv[1:], exit_on_error=False, print_error=False)
    except CycloptsError as error:
        raise UserError(f"{error} See exchange --help.", ExitCode.USAGE) from None
    return int(ExitCode.OK)


def main() -> None:
    """Entry point: exits 0, 2 for wrong usage, 71 for a taken port, 73 for a report or status that
    could not be written at the end, 78 for a bad configuration.
    """
    sys.exit(run_cli(_run_command, "exchange"))


if __name__ == "__main__":
    main()
