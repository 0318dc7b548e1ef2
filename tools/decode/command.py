"""The command `feedhandler decode`: what is in a file or capture, message by message."""

import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Parameter

from feedhandler.server.errors import DataError, ExitCode, UserError
from protocols.binaryfile.reader import DataFileError
from tools.decode.job import Job
from tools.decode.render import json_line, text_line
from tools.decode.selection import Wanted
from tools.decode.sniff import HEAD_BYTES, Framing, Protocol, sniff
from tools.decode.sources import STANDARD_INPUT, Source, open_source

PORT_MAX = 65_535
LOCATE_MAX = 65_535
_FRAMINGS: dict[Protocol, tuple[Framing, ...]] = {
    "itch50": ("binaryfile", "soupbintcp"),
    "ouch42": ("soupbintcp",),
    "fix": ("stream", "lines"),
}

app = App(name="decode", help="Print any supported file or capture message by message.")


@app.default
def decode(  # noqa: PLR0913 - each is an option of the command
    file: Annotated[Path, Parameter(allow_leading_hyphen=True)],
    *,
    as_json: Annotated[bool, Parameter(name="--json", negative=())] = False,
    types: Annotated[list[str] | None, Parameter(name="--type", negative=())] = None,
    symbol: str | None = None,
    locate: int | None = None,
    limit: int | None = None,
    port: int | None = None,
    protocol: Literal["auto", "itch50", "ouch42", "fix"] = "auto",
    framing: Literal["auto", "binaryfile", "soupbintcp", "stream", "lines"] = "auto",
) -> int:
    """Print FILE one message a line; on standard error, how many there were and what was none.

    Parameters
    ----------
    file
        BinaryFILE or SoupBinTCP stream of ITCH, SoupBinTCP stream of OUCH, FIX stream or log, pcap
        or pcapng with MoldUDP64, SoupBinTCP or FIX; each may be compressed with gzip or zstd; - is
        standard input.
    as_json
        One JSON object a message instead of columns.
    types
        Only messages of these types, by letter or name; several with commas.
    symbol
        Only messages about this symbol.
    locate
        Only ITCH messages with this stock locate.
    limit
        End after so many lines.
    port
        Of a capture, only datagrams to this port and connections that have it on either side.
    protocol
        What the messages are; auto finds out.
    framing
        How they lie in a plain file: behind their lengths (binaryfile), as SoupBinTCP packets, as
        a stream of FIX, or as lines of a FIX log; auto finds out.
    """
    if str(file).startswith("-") and file != STANDARD_INPUT:
        raise UserError(f"Unknown option: {file}. See feedhandler decode --help.", ExitCode.USAGE)
    _check_range("--locate", locate, 0, LOCATE_MAX)
    _check_range("--port", port, 1, PORT_MAX)
    _check_range("--limit", limit, 1, None)
    wanted = Wanted(_split(types or ()), symbol, locate)
    said_protocol = None if protocol == "auto" else protocol
    said_framing = None if framing == "auto" else framing
    if said_protocol and said_framing and said_framing not in _FRAMINGS[said_protocol]:
        known = ", ".join(_FRAMINGS[said_protocol])
        text = f"--framing {framing}: {protocol} comes as {known}"
        raise UserError(text, ExitCode.USAGE)
    try:
        source = open_source(file, port)
        found_protocol, found_framing = _find_out(source, said_protocol, said_framing)
    except DataFileError as error:
        raise DataError(str(error)) from None
    if port is not None and not source.is_capture:
        raise UserError(f"--port {port}: {file} is no capture", ExitCode.USAGE)
    render = json_line if as_json else text_line
    job = Job(source, found_protocol, found_framing, wanted, render)
    return _run(job, limit)


def _run(job: Job, limit: int | None) -> int:
    """Write the lines, then the counts, then what is wrong with the file."""
    try:
        for batch in job.batches(limit):
            sys.stdout.buffer.write(batch)
            sys.stdout.buffer.flush()
    except BrokenPipeError:
        # The reader has seen enough (`| head`). What Python has not written goes nowhere at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.OK
    counts = {"messages": job.messages, "shown": job.shown, **dict(sorted(job.counts().items()))}
    sys.stderr.write(", ".join(f"{name} {count}" for name, count in counts.items()) + "\n")
    if job.fault is not None:
        raise DataError(str(job.fault))
    return ExitCode.OK


def _find_out(
    source: Source, protocol: Protocol | None, framing: Framing | None
) -> tuple[Protocol | None, Framing | None]:
    """Protocol and framing of a file as far as the user did not say them; those of a capture's
    flows are found flow by flow.
    """
    if source.is_capture:
        if framing is not None:
            text = f"--framing {framing}: {source.path} is a capture, which has its own"
            raise UserError(text, ExitCode.USAGE)
        return protocol, None
    if framing is not None:
        if protocol is None and framing in _FRAMINGS["fix"]:
            protocol = "fix"
        return protocol, framing
    found = sniff(source.head, protocol)
    if found is None:
        reason = (
            "no capture, and its first bytes are no whole messages of ITCH behind their lengths,"
            f" no SoupBinTCP, and no FIX (looked at {min(len(source.head), HEAD_BYTES)} bytes);"
            " if you know better, say --framing"
        )
        raise DataFileError(source.path, 0, reason)
    return found


def _check_range(option: str, value: int | None, lowest: int, highest: int | None) -> None:
    if value is not None and (value < lowest or (highest is not None and value > highest)):
        bound = f"from {lowest} on" if highest is None else f"{lowest} to {highest}"
        raise UserError(f"{option} {value}: choose a number {bound}", ExitCode.USAGE)


def _split(texts: Iterable[str]) -> frozenset[str]:
    return frozenset(part for text in texts for part in text.split(",") if part)
