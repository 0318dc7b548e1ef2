"""The command `feedhandler fix-echo`: options to settings, then the server until it is stopped."""

import asyncio
import signal
import sys
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from feedhandler.server.errors import ExitCode, UserError, bind_error
from protocols.errors import LocalProtocolError
from protocols.fix.message import Identity
from protocols.fix.quickfix import SessionPlan, plan_session, read_cfg
from protocols.fix.rules import SessionSettings
from protocols.fix.schedule import Schedule
from protocols.fix.versions import version_of
from tools.fix_echo.server import ECHOED_TYPES, EchoServer

app = App(name="fix-echo", help="Accept one FIX session and send every order back.")


@app.default
def fix_echo(  # noqa: PLR0913 - an option each
    *,
    port: int | None = None,
    config: Path | None = None,
    address: str = "127.0.0.1",
    begin: str = "FIX.4.4",
    appl: Annotated[str | None, Parameter(name="--appl")] = None,
    sender: str = "ISLD",
    target: str = "TW44",
    heartbeat: int = 30,
    reset_on_logon: bool = True,
    next_expected: bool = False,
    resend_chunk: int = 0,
    check_latency: bool = True,
) -> int:
    """Accept the session, answer every NewOrderSingle (D) and SecurityDefinition (d) with itself,
    until SIGTERM or SIGINT.

    An order with PossResend whose ClOrdID came before is not answered.

    Parameters
    ----------
    port
        TCP port to listen on; 0 takes a free one and prints it. Needed without `config`.
    config
        QuickFIX configuration: its first session decides everything but `port`, if that is given.
    address
        Address to listen on.
    begin
        BeginString: FIX.4.2, FIX.4.4 or FIXT.1.1.
    appl
        Application version over FIXT.1.1: FIX.5.0SP2.
    sender
        Our SenderCompID, the TargetCompID of the peer.
    target
        Our TargetCompID, the SenderCompID of the peer.
    heartbeat
        Seconds between heartbeats where the peer's Logon asks for none.
    reset_on_logon
        Start the numbers of both sides at 1 with each Logon.
    next_expected
        Exchange NextExpectedMsgSeqNum at Logon and fill gaps unasked.
    resend_chunk
        Numbers to ask for in one ResendRequest; 0 asks for all.
    check_latency
        Refuse a SendingTime that is more than two minutes off.
    """
    if config is not None:
        plan = _plan(config)
        host, port = plan.host, plan.port if port is None else port
        asyncio.run(_serve(plan.settings, plan.schedule, host, port))
        return ExitCode.OK
    if port is None:
        raise UserError("--port or --config is needed", ExitCode.USAGE)
    try:
        settings = SessionSettings(
            identity=Identity(sender, target, _begin_string(begin, appl)),
            is_initiator=False,
            application_types=ECHOED_TYPES,
            heartbeat_s=heartbeat,
            reset_on_logon=reset_on_logon,
            next_expected=next_expected,
            resend_chunk=resend_chunk,
            check_latency=check_latency,
        )
    except LocalProtocolError as error:
        raise UserError(str(error), ExitCode.USAGE) from error
    asyncio.run(_serve(settings, Schedule(), address, port))
    return ExitCode.OK


def _begin_string(begin: str, appl: str | None) -> bytes:
    """The version that both options name together."""
    version = version_of(begin.encode())
    if appl is not None and appl != version.application:
        text = f"--appl {appl}: over {begin} there is {version.application} only"
        raise UserError(text, ExitCode.USAGE)
    return version.begin_string


def _plan(path: Path) -> SessionPlan:
    """The first session of a QuickFIX configuration, as an acceptor."""
    try:
        plan = plan_session(read_cfg(path.read_text())[0], ECHOED_TYPES)
    except (LocalProtocolError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: {error}", ExitCode.CONFIG) from error
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}", ExitCode.CONFIG) from error
    if plan.settings.is_initiator:
        raise UserError(f"{path}: ConnectionType: an acceptor is needed", ExitCode.CONFIG)
    return plan


async def _serve(settings: SessionSettings, schedule: Schedule, address: str, port: int) -> None:
    """Listen, say where, and stop in an orderly way at the first signal."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    server = EchoServer(settings, _say, schedule)
    try:
        server.listen(address, port)
    except OSError as error:
        raise bind_error(error, "fix-echo", address, port) from error
    _say(f"{settings.version.name} on {address}:{server.port}")
    await server.run(stop)


def _say(line: str) -> None:
    sys.stdout.write(f"fix-echo: {line}\n")
    sys.stdout.flush()
