"""`feedhandler replay`: a BinaryFILE, pcap or pcapng through the engine's kernels."""

import sys
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import msgspec
from cyclopts import App, Parameter
from rich.console import Console
from rich.table import Table

from feedhandler.core.limits import SHARDS_MAX
from feedhandler.server.config import ServerConfig, Topology
from feedhandler.server.configfile import load_config
from feedhandler.server.errors import ConfigError, DataError, ExitCode, UserError
from protocols.binaryfile.reader import DataFileError
from tools.output import open_output
from tools.replay.outcome import Outcome
from tools.replay.pace import SPEED_MAX, Pace
from tools.replay.replay import Replay
from tools.replay.sniff import sniff_recording

app = App(
    name="replay",
    help="Replay a BinaryFILE, capture or FIX file (packed or not) through the engine.",
)

_SPEED_DIGITS_MAX = 32
_SHOWN_MAX = 40


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Outputs:
    """Files to write.

    Parameters
    ----------
    bbo
        CSV of every change of a best price or its quantity.
    book
        CSV of the final books, best level first.
    signals
        CSV of every signal.
    """

    bbo: Path | None = None
    book: Path | None = None
    signals: Path | None = None


_NO_OUTPUTS = Outputs()


@app.default
def replay(
    file: Path,
    *,
    speed: str = "max",
    shards: int = 1,
    topology: Topology | None = None,
    config: Path | None = None,
    outputs: Outputs = _NO_OUTPUTS,
    as_json: Annotated[bool, Parameter(name="--json", negative=())] = False,
) -> int:
    """Replay FILE and report what was in it.

    Parameters
    ----------
    file
        BinaryFILE, pcap or pcapng of MoldUDP64, SoupBinTCP or FIX market data, or a stream or log
        of FIX; each may be compressed with gzip or zstd.
    speed
        `max`, or a whole multiple of the recorded pace, 1,000,000 at most.
    shards
        How many threads share the instruments, each with books of the configured sizes; the
        results are those of one.
    topology
        `inline`, or `pipelined`: a second thread for the breakers and patterns of each shard; the
        results are the same. As configured when it is not given.
    config
        A server's configuration: sizes, priorities, breakers and patterns. Without it only books
        and ticks are made.
    as_json
        Print one JSON object on the last line.
    """
    pace = _parse_speed(speed)
    if not 1 <= shards <= SHARDS_MAX:
        reason = f"--shards is a number from 1 to {SHARDS_MAX}, not {shards}"
        raise UserError(reason, ExitCode.USAGE)
    _check_outputs(file, outputs)
    settings = load_config(config, ServerConfig) if config else None
    try:
        kind = sniff_recording(file)
        with ExitStack() as stack:
            bbo_file, book_file, signals_file = (
                stack.enter_context(open_output(path)) if path else None
                for path in (outputs.bbo, outputs.book, outputs.signals)
            )
            player = Replay(
                settings,
                bbo_file,
                pace,
                shards=shards,
                topology=topology or (settings.engine.topology if settings else "inline"),
                signals=signals_file,
            )
            outcome = player.run(file, kind)
            if book_file:
                player.write_book(book_file)
    except DataFileError as error:
        raise DataError(str(error)) from None
    _report(outcome, as_json=as_json)
    _complain(outcome)
    return ExitCode.OK


def _parse_speed(speed: str) -> Pace | None:
    if speed == "max":
        return None
    # isdecimal alone takes the digits of every script, int alone thousands of them.
    is_number = speed.isascii() and speed.isdecimal() and len(speed) <= _SPEED_DIGITS_MAX
    if is_number and 1 <= int(speed) <= SPEED_MAX:
        return Pace(int(speed))
    shown = speed if len(speed) <= _SHOWN_MAX else f"{speed[:_SHOWN_MAX]}…"
    raise UserError(
        f"--speed is 'max' or a whole number from 1 to {SPEED_MAX}, not {shown!r}", ExitCode.USAGE
    )


def _check_outputs(file: Path, outputs: Outputs) -> None:
    """Refuse to write over the input, or two outputs into one file."""
    taken = {file.resolve(): "the file to replay"}
    for name, path in asdict(outputs).items():
        if path is None:
            continue
        option = f"--{name}"
        other = taken.setdefault(path.resolve(), f"that of {option}")
        if other != f"that of {option}":
            raise UserError(f"{option} {path} is {other}: choose another file", ExitCode.USAGE)


def _report(outcome: Outcome, *, as_json: bool) -> None:
    result = outcome.as_json()
    if as_json:
        sys.stdout.write(msgspec.json.encode(result).decode() + "\n")
        return
    table = Table("what", "value", title="replay", show_header=False)
    # What FIX holds has a row each, as other things have.
    for name, value in (result | result.pop("fix", {})).items():
        table.add_row(name.replace("_", " "), _shown(value))
    Console().print(table)


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return "  ".join(f"{key} {count:,}" for key, count in value.items())
    if isinstance(value, list):
        return "  ".join(f"{each:,}" for each in value)
    return f"{value:,}" if isinstance(value, int) else str(value)


def _complain(outcome: Outcome) -> None:
    """Raise for what makes the report one of a part of the file only."""
    if outcome.fault is not None:
        is_part = outcome.messages > outcome.not_understood
        rest = "; what came before it was replayed" if is_part else ""
        raise DataError(f"{outcome.fault}{rest}")
    if outcome.fix:
        _complain_of_fix(outcome.fix)
    if outcome.not_stored:
        raise ConfigError(
            f"{outcome.not_stored} orders did not fit the books, which are wrong from there on: "
            "raise engine.orders, overflow_orders, level_blocks and level_arena in --config"
        )


def _complain_of_fix(fix: dict[str, Any]) -> None:
    """Raise for market data that no book has, although the file is sound."""
    if fix["price_ranges"]:
        raise DataError(
            f"the prices of {fix['price_ranges']} symbols are too fine and too high for one book:"
            " those beyond 2,147,483,647 steps are missing"
        )
    for trouble, setting in (("symbols_full", "instruments"), ("ids_full", "orders")):
        count = fix["troubles"].get(trouble, 0)
        if count:
            raise ConfigError(
                f"{count} entries found no room ({trouble}), and the books lack what they say:"
                f" raise engine.{setting} in --config"
            )
