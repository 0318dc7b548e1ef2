"""Prints docs/protocols/fix-session.md: `python -m tools.docs_fix_session`.

The states come from the session's own table, the versions and settings from theirs; a test compares
the page with what this prints.
"""

from collections.abc import Iterable, Iterator
from dataclasses import MISSING, Field, fields

from protocols.fix.dictionary.check import ValidationRules
from protocols.fix.message import Identity
from protocols.fix.rules import SessionSettings
from protocols.fix.spec import SessionRejectReason
from protocols.fix.states import MEANINGS, TRANSITIONS, State, Step
from protocols.fix.times import NS_PER_S
from protocols.fix.versions import VERSIONS, Version

_TITLE = """\
# FIX sessions

Written by `python -m tools.docs_fix_session` from `protocols/fix`; do not edit.

`protocols/fix/session.py` is the session layer of every FIX version below, acceptor and initiator,
as one state machine without socket, thread or clock: bytes and times go in, events and bytes come
out. Numbers and messages live in a store and outlive connections. To try an engine against it:

```sh
feedhandler fix-echo --port 9880
feedhandler fix-echo --port 9880 --begin FIX.4.2 --target TW42
feedhandler fix-echo --port 9880 --begin FIXT.1.1 --appl FIX.5.0SP2 --target TW50
```
"""

_EVERY_VERSION = (
    ("Logon, Logout, Heartbeat, TestRequest", "both sides; timeouts for each answer"),
    ("ResendRequest", "answered a bounded piece at a time; session messages become gap fills"),
    ("our own ResendRequest", "at once or in chunks, again without progress, given up after 5"),
    ("SequenceReset", "gap fill and reset, which lead forward only"),
    ("PossDupFlag", "what was received is left out; OrigSendingTime is checked"),
    ("PossResend", "handed over with the message; its content is the owner's to compare"),
    ("ResetSeqNumFlag", "at Logon and within the session"),
    ("ResetOnLogon, ResetOnLogout, ResetOnDisconnect", "each reset is told with its cause"),
    ("RefreshOnLogon", "always: numbers are read from the store when a connection begins"),
    ("routing fields", "115, 116, 144 and 128, 129, 145, and SubIDs, go back on rejects"),
    ("SendingTime", "within two minutes of our clock, unless switched off"),
    ("dictionary", "every field of every message, with the reason of the Reject"),
)

_DEFENCES = (
    ("Logon that drips in, or never comes", "the connection ends after `logon_timeout_ns`"),
    ("BodyLength of a gigabyte, header without end", "garbage at once; nothing is held for it"),
    ("garbage", "before the Logon: the end; later: ignored, up to one message in a row"),
    ("heartbeat flood", "a message leaves nothing behind"),
    ("resend storm over millions of numbers", "each request replaces the last; 512 a piece"),
    ("sequence jump", "one request; what is kept is bounded by messages and bytes"),
    ("count of a group of a million", "time and memory go by the fields that are there"),
    ("second connection of an identity", "refused by the acceptor; the first goes on"),
)

_QUICKFIX_NAMES = {
    "identity": "BeginString, SenderCompID, TargetCompID, SenderSubID …",
    "is_initiator": "ConnectionType",
    "heartbeat_s": "HeartBtInt",
    "validation": "ValidateFieldsOutOfOrder, ValidateFieldsHaveValues …",
    "dictionaries": "TransportDataDictionary, AppDataDictionary",
    "reset_on_logon": "ResetOnLogon",
    "reset_on_logout": "ResetOnLogout",
    "reset_on_disconnect": "ResetOnDisconnect",
    "next_expected": "EnableNextExpectedMsgSeqNum",
    "resend_chunk": "ResendRequestChunkSize",
    "check_latency": "CheckLatency",
    "check_comp_id": "CheckCompID",
    "requires_orig_sending_time": "RequiresOrigSendingTime",
    "time_decimals": "TimeStampPrecision",
    "logon_timeout_ns": "LogonTimeout",
    "logout_timeout_ns": "LogoutTimeout",
    "time_accuracy_ns": "MaxLatency",
}


def fix_session_page() -> str:
    """The whole page."""
    parts = (
        _TITLE,
        "## States\n\n" + "\n".join(_diagram()),
        "\n".join(_table(("state", "meaning"), _meanings(State))),
        "\n".join(_table(("step", "meaning"), _meanings(Step))),
        "## Versions\n\n" + "\n".join(_table(("", *_names()), _versions())),
        "In every version:\n\n" + "\n".join(_table(("what", "how"), _EVERY_VERSION)),
        "## Reasons of a Reject\n\n" + "\n".join(_table(("reason", *_names()), _reasons())),
        "A reason that a version does not number is said in Text alone.",
        "## Settings\n\n`SessionSettings`, with the key of a QuickFIX configuration where it has "
        "one:\n\n" + "\n".join(_table(("setting", "by default", "key"), _settings())),
        "Rules of `validation`, by default all that QuickFIX has on: "
        + ", ".join(f"`{item.name}`" for item in fields(ValidationRules))
        + ".",
        "## Hostile peers\n\n" + "\n".join(_table(("what comes", "what happens"), _DEFENCES)),
    )
    return "\n".join(part.rstrip("\n") + "\n" for part in parts)


def _diagram() -> Iterator[str]:
    yield "```mermaid"
    yield "stateDiagram-v2"
    yield f"    [*] --> {State.DISCONNECTED.name}"
    for state, steps in TRANSITIONS.items():
        for step, following in steps.items():
            if following is not state:
                yield f"    {state.name} --> {following.name}: {step.name}"
    yield "```"


def _meanings(kind: type[State] | type[Step]) -> Iterator[tuple[str, str]]:
    for item in kind:
        yield item.name, MEANINGS[item]


def _names() -> Iterator[str]:
    return (version.name for version in VERSIONS.values())


def _versions() -> Iterator[tuple[str, ...]]:
    def row(title: str, cells: Iterable[str]) -> tuple[str, ...]:
        return (title, *cells)

    versions: list[Version] = list(VERSIONS.values())
    yield row("application messages", (item.application for item in versions))
    yield row("ApplVerID (1128, 1137)", (item.appl_ver_id.decode() or "no" for item in versions))
    next_expected = ("yes" if item.has_next_expected else "no" for item in versions)
    yield row("NextExpectedMsgSeqNum (789)", next_expected)
    reasons = (f"0 to {item.reject_reason_max:d}" for item in versions)
    yield row("SessionRejectReason (373)", reasons)


def _reasons() -> Iterator[tuple[str, ...]]:
    for reason in SessionRejectReason:
        words = reason.name.replace("_", " ").lower()
        numbered = (reason <= item.reject_reason_max for item in VERSIONS.values())
        yield f"{reason:d} {words}", *("yes" if is_there else "no" for is_there in numbered)


def _settings() -> Iterator[tuple[str, str, str]]:
    for item in fields(SessionSettings):
        if item.init:
            yield f"`{item.name}`", _default(item), _QUICKFIX_NAMES.get(item.name, "")


def _default(item: "Field[object]") -> str:
    if item.name == "identity":
        return f"{Identity.__name__}(…)"
    if item.default_factory is not MISSING:
        return "all rules"
    if item.default is MISSING:
        return "to be given"
    if item.name.endswith("_ns") and isinstance(item.default, int):
        return f"{item.default // NS_PER_S} s"
    if isinstance(item.default, bool):
        return "yes" if item.default else "no"
    return "none" if item.default in {None, b""} else f"{item.default}"


def _table(head: Iterable[str], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    titles = tuple(head)
    yield "| " + " | ".join(titles) + " |"
    yield "|" + "---|" * len(titles)
    for row in rows:
        yield "| " + " | ".join(row) + " |"


if __name__ == "__main__":
    print(fix_session_page(), end="")
