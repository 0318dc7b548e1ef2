"""`feedhandler replay`: a BinaryFILE, pcap or pcapng through the engine's kernels."""

import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import msgspec
from cyclopts import App, Parameter
from rich.console import Console
from rich.table import Table

from feedhandler.server.config import ServerConfig
from feedhandler.server.configfile import load_config
from feedhandler.server.errors import DataError, ExitCode, UserError
from protocols.binaryfile.reader import DataFileError
from tools.replay.replay import Outcome, Replay

app = App(name="replay", help="Replay a BinaryFILE (.gz too), pcap or pcapng through the engine.")


@app.default
def replay(
    file: Path,
    *,
    speed: str = "max",
    config: Path | None = None,
    bbo: Path | None = None,
    book: Path | None = None,
    as_json: Annotated[bool, Parameter(name="--json", negative=())] = False,
) -> int:
    """Replay FILE and report what was in it.

    Parameters
    ----------
    file
        BinaryFILE, pcap or pcapng; each may be compressed with gzip.
    speed
        `max`, or a whole multiple of the recorded pace.
    config
        A server's configuration: sizes, priorities, breakers and patterns. Without it only books and ticks are made.
    bbo
        CSV of every change of a best price or its quantity.
    book
        CSV of the final books, best level first.
    as_json
        Print one JSON object on the last line.
    """
    if speed != "max" and not (speed.isdecimal() and int(speed) > 0):
        raise UserError(f"--speed is 'max' or a whole number above 0, not {speed!r}", ExitCode.USAGE)
    settings = load_config(config, ServerConfig) if config else None
    try:
        with ExitStack() as stack:
            bbo_file = stack.enter_context(bbo.open("wb")) if bbo else None
            player = Replay(settings, bbo_file, None if speed == "max" else int(speed))
            outcome = player.run(file)
            if book:
                player.write_book(book)
    except DataFileError as error:
        raise DataError(str(error)) from None
    _report(outcome, as_json=as_json)
    if outcome.fault is not None:
        raise DataError(f"{outcome.fault}; what came before it was replayed")
    return ExitCode.OK


def _report(outcome: Outcome, *, as_json: bool) -> None:
    result = outcome.as_json()
    if as_json:
        sys.stdout.write(msgspec.json.encode(result).decode() + "\n")
        return
    table = Table("what", "value", title="replay", show_header=False)
    for name, value in result.items():
        shown = (
            "  ".join(f"{key} {count:,}" for key, count in value.items())
            if isinstance(value, dict)
            else f"{value:,}" if isinstance(value, int) else str(value)
        )
        table.add_row(name.replace("_", " "), shown)
    Console().print(table)
