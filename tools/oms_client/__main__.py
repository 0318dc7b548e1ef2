"""Command line of the sample OMS: `oms-client --host H --port P --sender OMS1 --target
FEEDHANDLER`.

Exit codes: 0 stopped by signal or by --seconds, 2 wrong usage, 69 no Logon within --connect-timeout
or store in use, 65, 73 or 77 a folder that cannot be used.
"""

import argparse
import asyncio
import json
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import NoReturn

import uvloop

from feedhandler import __version__
from feedhandler.server.errors import ExitCode, run_cli
from oms_out.config import COMP_ID, COMP_ID_RULE
from oms_out.store import StoreError
from tools.oms_client.client import ClientSettings, NeverConnectedError, OmsClient
from tools.oms_client.router import OrderRouter

EXIT_UNAVAILABLE = 69
EXCHANGE = "EXCHANGE"
"""CompID of an exchange's order entry, unless it is configured otherwise."""
_SECONDS_MAX = 10_000_000


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(ExitCode.USAGE, f"{self.prog}: error: {message}; see {self.prog} --help\n")


def _whole_number(low: int, high: int) -> Callable[[str], int]:
    """A reader of whole numbers from `low` to `high`."""

    def read(text: str) -> int:
        if not (text.isascii() and text.isdecimal() and low <= int(text) <= high):
            raise argparse.ArgumentTypeError(f"{text}: a whole number from {low} to {high}")
        return int(text)

    return read


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= _SECONDS_MAX:
        raise argparse.ArgumentTypeError(f"{text}: seconds above 0, {_SECONDS_MAX} at most")
    return value


def _comp_id(text: str) -> str:
    if not COMP_ID.fullmatch(text):
        raise argparse.ArgumentTypeError(f"{text!r}: {COMP_ID_RULE}")
    return text


def _host(text: str) -> str:
    """A name that can be looked up; whether it is found is another matter."""
    try:
        is_name = bool(text.encode("idna"))
    except UnicodeError:
        is_name = False
    if not is_name:
        raise argparse.ArgumentTypeError(f"{text!r}: no name or address of a host")
    return text


def _new_file(text: str) -> Path:
    path = Path(text)
    if not path.parent.is_dir() or path.is_dir():
        raise argparse.ArgumentTypeError(f"{text}: no such folder, or no name for a file")
    return path


def _parser() -> argparse.ArgumentParser:
    description = "A sample OMS: logs on, prints the signals, acknowledges each."
    parser = _Parser(prog="oms-client", description=description)
    parser.add_argument("--version", action="version", version=__version__)
    parser.add_argument("--host", type=_host, default="127.0.0.1", help="where the server listens")
    parser.add_argument("--port", type=_whole_number(1, 65_535), required=True, help="its FIX port")
    parser.add_argument("--sender", type=_comp_id, default="OMS1", help="our CompID")
    parser.add_argument(
        "--target", type=_comp_id, default="FEEDHANDLER", help="the server's CompID"
    )
    parser.add_argument("--store", type=Path, help="folder for numbers and sent messages")
    parser.add_argument("--report", type=_new_file, help="write counts here as JSON at the end")
    parser.add_argument("--seconds", type=_seconds, help="stop after this time")
    parser.add_argument(
        "--heartbeat", type=_whole_number(1, 86_400), default=10, help="HeartBtInt in seconds"
    )
    parser.add_argument(
        "--connect-timeout", type=_seconds, default=10.0, help="seconds, exit 69 then"
    )
    parser.add_argument("--reset-seq", action="store_true", help="both sides start at 1 again")
    parser.add_argument(
        "--exchange-port",
        type=_whole_number(1, 65_535),
        help="send each order on to an exchange's order entry, on the same host",
    )
    parser.add_argument("--quiet", action="store_true", help="do not print the signals")
    return parser


def _write_report(path: Path, report: dict[str, object]) -> None:
    """Whole or not at all: readers never see half a report."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    partial.write_text(json.dumps(report) + "\n", encoding="utf-8")
    partial.replace(path)


def _say(line: str) -> None:
    """Print a signal at once, into a pipe or file too; a reader who went away (`| head`) ends the
    printing, not the session.
    """
    try:
        sys.stdout.write(line + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        # The descriptor itself, because what is still in the buffer is flushed into it at the end.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def _router(arguments: argparse.Namespace, settings: ClientSettings) -> OrderRouter | None:
    """Who takes orders on to the exchange, where that was asked for."""
    if arguments.exchange_port is None:
        return None
    return OrderRouter(
        replace(
            settings,
            port=arguments.exchange_port,
            target=EXCHANGE,
            store_dir=settings.store_dir / "exchange",
            reset_seq=True,
        )
    )


async def _run(arguments: argparse.Namespace, store_dir: Path) -> int:
    settings = ClientSettings(
        host=arguments.host,
        port=arguments.port,
        sender=arguments.sender,
        target=arguments.target,
        store_dir=store_dir,
        heartbeat_s=arguments.heartbeat,
        reset_seq=arguments.reset_seq,
        connect_timeout_s=arguments.connect_timeout,
    )
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if arguments.seconds is not None:
        loop.call_later(arguments.seconds, stop.set)
    router = _router(arguments, settings)
    route = router.route if router is not None else None
    client = OmsClient(settings, None if arguments.quiet else _say, route)
    status = 0
    try:
        if router is None:
            await client.run(stop)
        else:
            await asyncio.gather(client.run(stop), router.run(stop))
    except NeverConnectedError as error:
        sys.stderr.write(f"oms-client: no Logon within {settings.connect_timeout_s:g} s: {error}\n")
        status = EXIT_UNAVAILABLE
    else:
        for problem in (*client.problems[-5:], *(router.problems[-5:] if router else ())):
            sys.stderr.write(f"oms-client: {problem}\n")
    finally:
        if arguments.report is not None:
            traded = {"traded": asdict(router.fills)} if router is not None else {}
            _write_report(arguments.report, {**client.report(), **traded})
        client.close()
        if router is not None:
            router.close()
    return status


def main(argv: Sequence[str] | None = None) -> int:
    """Run the client; the exit code is returned."""
    arguments = _parser().parse_args(argv)
    return run_cli(lambda: _run_client(arguments), "oms-client")


def _run_client(arguments: argparse.Namespace) -> int:
    try:
        with tempfile.TemporaryDirectory(prefix="oms-client-") as scratch:
            return uvloop.run(_run(arguments, arguments.store or Path(scratch)))
    except StoreError as error:
        sys.stderr.write(f"oms-client: {error}\n")
        return EXIT_UNAVAILABLE


if __name__ == "__main__":
    sys.exit(main())
