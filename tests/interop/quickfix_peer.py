"""QuickFIX as one end of a session, told what to do on standard input; what happens is printed.

Runs in an environment of its own, which has QuickFIX and nothing of this project. Commands, a line
each:

    send N FIRST    send N orders with ClOrdIDs FIRST, FIRST + 1, …
    skip N          leave out the next N of our numbers: the peer sees a gap
    expect N        expect N as the peer's next number: we see a gap, or the peer one too low
    logout          log out
    quit            stop and exit

Events are JSON objects, a line each: logon, logout, app_in (with ClOrdID, PossDupFlag, MsgSeqNum),
admin_in and admin_out (MsgType and the fields that tests look at), error.
"""

import argparse
import json
import sys
import threading
import time
from pathlib import Path

import quickfix as fix

SOH = "\x01"
WATCHED = {34: "seq", 7: "begin", 16: "end", 36: "new_seq", 123: "gap_fill", 58: "text", 43: "dup",
           371: "ref_tag", 373: "reason", 789: "next_expected"}  # fmt: skip
PRINTING = threading.Lock()


def say(event: str, **details: object) -> None:
    with PRINTING:
        sys.stdout.write(json.dumps({"event": event, **details}) + "\n")
        sys.stdout.flush()


def fields_of(message: fix.Message) -> dict[int, str]:
    pairs = (part.partition("=") for part in message.toString().split(SOH) if part)
    return {int(tag): value for tag, _, value in pairs}


def watched(message: fix.Message) -> dict[str, str]:
    found = fields_of(message)
    return {"type": found[35]} | {name: found[tag] for tag, name in WATCHED.items() if tag in found}


class Peer(fix.Application):
    """Prints every callback."""

    def __init__(self) -> None:
        super().__init__()
        self.session: fix.SessionID | None = None

    def onCreate(self, session: fix.SessionID) -> None:  # noqa: N802
        self.session = session

    def onLogon(self, _session: fix.SessionID) -> None:  # noqa: N802
        say("logon")

    def onLogout(self, _session: fix.SessionID) -> None:  # noqa: N802
        say("logout")

    def toAdmin(self, message: fix.Message, _session: fix.SessionID) -> None:  # noqa: N802
        say("admin_out", **watched(message))

    def fromAdmin(self, message: fix.Message, _session: fix.SessionID) -> None:  # noqa: N802
        say("admin_in", **watched(message))

    def toApp(self, message: fix.Message, _session: fix.SessionID) -> None:  # noqa: N802
        """Nothing is said of what the tests asked for themselves."""

    def fromApp(self, message: fix.Message, _session: fix.SessionID) -> None:  # noqa: N802
        say("app_in", id=fields_of(message).get(11, ""), **watched(message))


def order(begin_string: str, number: int) -> fix.Message:
    message = fix.Message()
    header = message.getHeader()
    header.setField(fix.BeginString(begin_string))
    header.setField(fix.MsgType("D"))
    for tag, value in ((11, f"Q{number}"), (21, "1"), (55, "ZVZZT"), (54, "1"), (38, "100"),
                       (40, "2"), (44, "10.5"), (59, "0")):  # fmt: skip
        message.setField(tag, value)
    message.setField(60, time.strftime("%Y%m%d-%H:%M:%S", time.gmtime()))
    return message


def settings_text(arguments: argparse.Namespace) -> str:
    share = Path(sys.prefix) / "share" / "quickfix"
    version = arguments.begin
    is_fixt = version == "FIXT.1.1"
    dictionaries = (
        f"TransportDataDictionary={share}/FIXT11.xml\nAppDataDictionary={share}/FIX50SP2.xml\n"
        "DefaultApplVerID=FIX.5.0SP2\n"
        if is_fixt
        else f"DataDictionary={share}/{version.replace('.', '')}.xml\n"
    )
    ends = (
        f"ConnectionType=acceptor\nSocketAcceptPort={arguments.port}\nSocketReuseAddress=Y\n"
        if arguments.role == "acceptor"
        else "ConnectionType=initiator\nSocketConnectHost=127.0.0.1\n"
        f"SocketConnectPort={arguments.port}\nReconnectInterval=1\nHeartBtInt=30\n"
    )
    return (
        f"[DEFAULT]\n{ends}FileStorePath={arguments.store}\nStartTime=00:00:00\nEndTime=00:00:00\n"
        "UseDataDictionary=Y\nTimeStampPrecision=3\n"
        f"[SESSION]\nBeginString={version}\nSenderCompID={arguments.sender}\n"
        f"TargetCompID={arguments.target}\n{dictionaries}"
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--role", choices=("acceptor", "initiator"), required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--begin", default="FIX.4.4")
    parser.add_argument("--sender", default="QUICK")
    parser.add_argument("--target", default="OURS")
    parser.add_argument("--store", type=Path, required=True)
    arguments = parser.parse_args()
    arguments.store.mkdir(parents=True, exist_ok=True)
    configuration = arguments.store / "session.cfg"
    configuration.write_text(settings_text(arguments))
    settings = fix.SessionSettings(str(configuration))
    peer = Peer()
    store, logs = fix.FileStoreFactory(settings), fix.FileLogFactory(str(arguments.store))
    kind = fix.SocketAcceptor if arguments.role == "acceptor" else fix.SocketInitiator
    engine = kind(peer, store, settings, logs)
    engine.start()
    say("started")
    for line in sys.stdin:
        name, *numbers = line.split()
        values = [int(number) for number in numbers]
        session = fix.Session.lookupSession(peer.session)
        if name == "send":
            for number in range(values[1], values[1] + values[0]):
                fix.Session.sendToTarget(order(arguments.begin, number), peer.session)
        elif name == "skip":
            session.setNextSenderMsgSeqNum(session.getExpectedSenderNum() + values[0])
        elif name == "expect":
            session.setNextTargetMsgSeqNum(values[0])
        elif name == "logout":
            session.logout("told to")
        elif name == "quit":
            break
        say("done", command=line.strip())
    engine.stop()
    say("stopped")


if __name__ == "__main__":
    main()
