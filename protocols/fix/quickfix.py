"""Session settings under QuickFIX's key names, from a table or the text of a QuickFIX `.cfg`.

Whoever moves here keeps the configuration: `[DEFAULT]` and `[SESSION]` sections of `Key=Value`
lines, or the same keys in a TOML table. A key that is not in the table below is an error that names
the nearest one; nothing is ignored in silence. Source: QuickFIX's documentation of its
configuration (key names and meanings), QuickFIX/J's for the keys marked so.
"""

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from protocols.errors import LocalProtocolError
from protocols.fix.dictionary.check import ValidationRules
from protocols.fix.message import Identity
from protocols.fix.rules import SessionSettings
from protocols.fix.schedule import Schedule, parse_day, parse_time
from protocols.fix.times import NS_PER_S
from protocols.fix.versions import version_of

Value = str | int | bool
_PORT_MAX = 65_535
_SECONDS_MAX = 86_400
_COUNT_MAX = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Key:
    """One key: how its text is read, its default (as text, "" for none), and what it means."""

    name: str
    kind: str
    default: str
    note: str


KEYS = (
    Key("ConnectionType", "connection", "", "acceptor or initiator"),
    Key("BeginString", "text", "FIX.4.4", "FIX.4.2, FIX.4.4 or FIXT.1.1"),
    Key("DefaultApplVerID", "text", "", "over FIXT.1.1: FIX.5.0SP2, or its number 9"),
    Key("SenderCompID", "text", "", "our CompID"),
    Key("TargetCompID", "text", "", "the peer's CompID"),
    Key("SocketAcceptAddress", "text", "127.0.0.1", "acceptor: address (QuickFIX/J)"),
    Key("SocketAcceptPort", "port", "", "acceptor: port"),
    Key("SocketConnectHost", "text", "", "initiator: host"),
    Key("SocketConnectPort", "port", "", "initiator: port"),
    Key("ReconnectInterval", "seconds", "30", "initiator: seconds between attempts"),
    Key("HeartBtInt", "seconds", "30", "seconds between heartbeats"),
    Key("LogonTimeout", "seconds", "10", "seconds to wait for a Logon"),
    Key("LogoutTimeout", "seconds", "2", "seconds to wait for a Logout"),
    Key("StartTime", "time", "", "time of day at which the session opens"),
    Key("EndTime", "time", "", "time of day at which it closes"),
    Key("StartDay", "day", "", "day on which a weekly session opens"),
    Key("EndDay", "day", "", "day on which it closes"),
    Key("Weekdays", "days", "", "days on which a daily session opens, by commas"),
    Key("TimeZone", "zone", "UTC", "zone of these times, as America/New_York (QuickFIX/J)"),
    Key("NonStopSession", "flag", "N", "always open, whatever the times say"),
    Key("ResetOnLogon", "flag", "N", "numbers start at 1 with each Logon"),
    Key("ResetOnLogout", "flag", "N", "numbers start at 1 after Logouts"),
    Key("ResetOnDisconnect", "flag", "N", "numbers start at 1 after each connection"),
    Key("CheckCompID", "flag", "Y", "CompIDs of each message are those of the session"),
    Key("CheckLatency", "flag", "Y", "SendingTime is near our clock"),
    Key("MaxLatency", "seconds", "120", "how near, in seconds"),
    Key("RequiresOrigSendingTime", "flag", "Y", "a possible duplicate has its first time"),
    Key("SendNextExpectedMsgSeqNum", "flag", "N", "tag 789 at Logon fills gaps"),
    Key("EnableNextExpectedMsgSeqNum", "flag", "N", "the same (QuickFIX/J)"),
    Key("ResendRequestChunkSize", "count", "0", "numbers in a ResendRequest, 0: all (QuickFIX/J)"),
    Key("TimestampPrecision", "decimals", "3", "decimals of SendingTime, 0 to 9"),
    Key("ValidateFieldsOutOfOrder", "flag", "Y", "header, body, trailer in this order"),
    Key("ValidateFieldsHaveValues", "flag", "Y", "no field is empty"),
    Key("ValidateUserDefinedFields", "flag", "Y", "tags from 5000 on are in the dictionary"),
    Key("ValidateUnorderedGroupFields", "flag", "Y", "order within groups (QuickFIX/J)"),
    Key(
        "AllowUnknownMsgFields", "flag", "N", "fields that a message does not have are let through"
    ),
    Key("FileStorePath", "text", "", "folder of the session's store"),
)
"""Every key that is understood."""

BY_NAME: Mapping[str, Key] = {key.name: key for key in KEYS}


class SessionPlan(NamedTuple):
    """What the keys of a session say: the session, when it is open, and where; `port` 0 and empty
    texts where nothing is said.
    """

    settings: SessionSettings
    schedule: Schedule
    host: str
    port: int
    store_path: str
    reconnect_s: int


def read_cfg(text: str) -> list[dict[str, Value]]:
    """The sessions of a QuickFIX configuration, each with the defaults above it.

    Raises:
        LocalProtocolError: a line that is none, a key outside of a section, no session; it names
            the line.
    """
    defaults: dict[str, Value] = {}
    sessions: list[dict[str, Value]] = []
    section: dict[str, Value] | None = None
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        if line.upper() == "[DEFAULT]":
            section = defaults
        elif line.upper() == "[SESSION]":
            section = dict(defaults)
            sessions.append(section)
        elif line.startswith("["):
            raise LocalProtocolError(f"line {number}: section {line}; [DEFAULT] or [SESSION]")
        elif "=" not in line:
            raise LocalProtocolError(f"line {number}: {line!r} is no Key=Value")
        elif section is None:
            raise LocalProtocolError(f"line {number}: {line!r} stands before any section")
        else:
            name, _, value = line.partition("=")
            section[name.strip()] = value.strip()
    if not sessions:
        raise LocalProtocolError("no [SESSION] section")
    return sessions


def plan_session(given: Mapping[str, Value], application_types: frozenset[bytes]) -> SessionPlan:
    """The session that these keys describe.

    Raises:
        LocalProtocolError: an unknown key, a value of the wrong kind, or keys that contradict each
            other; it names the key.
    """
    keys = _Keys(given)
    is_initiator = keys.text("ConnectionType") == "initiator"
    version = version_of(keys.text("BeginString").encode())
    wanted = keys.text("DefaultApplVerID")
    if wanted and wanted not in {version.application, version.appl_ver_id.decode()}:
        raise LocalProtocolError(
            f"DefaultApplVerID: {wanted!r}; {version.name} carries {version.application} here"
        )
    settings = SessionSettings(
        identity=Identity(
            keys.required("SenderCompID"), keys.required("TargetCompID"), version.begin_string
        ),
        is_initiator=is_initiator,
        application_types=application_types,
        heartbeat_s=keys.number("HeartBtInt"),
        validation=ValidationRules(
            validate_fields_out_of_order=keys.flag("ValidateFieldsOutOfOrder"),
            validate_fields_have_values=keys.flag("ValidateFieldsHaveValues"),
            validate_user_defined_fields=keys.flag("ValidateUserDefinedFields"),
            validate_unordered_group_fields=keys.flag("ValidateUnorderedGroupFields"),
            allow_unknown_message_fields=keys.flag("AllowUnknownMsgFields"),
        ),
        reset_on_logon=keys.flag("ResetOnLogon"),
        reset_on_logout=keys.flag("ResetOnLogout"),
        reset_on_disconnect=keys.flag("ResetOnDisconnect"),
        next_expected=(
            keys.flag("SendNextExpectedMsgSeqNum") or keys.flag("EnableNextExpectedMsgSeqNum")
        ),
        resend_chunk=keys.number("ResendRequestChunkSize"),
        check_latency=keys.flag("CheckLatency"),
        check_comp_id=keys.flag("CheckCompID"),
        requires_orig_sending_time=keys.flag("RequiresOrigSendingTime"),
        time_decimals=keys.number("TimestampPrecision"),
        logon_timeout_ns=keys.number("LogonTimeout") * NS_PER_S,
        logout_timeout_ns=keys.number("LogoutTimeout") * NS_PER_S,
        time_accuracy_ns=keys.number("MaxLatency") * NS_PER_S,
    )
    ends = ("SocketConnectHost", "SocketConnectPort")
    host, port = ends if is_initiator else ("SocketAcceptAddress", "SocketAcceptPort")
    return SessionPlan(
        settings,
        _schedule(keys),
        keys.text(host),
        keys.number(port),
        keys.text("FileStorePath"),
        keys.number("ReconnectInterval"),
    )


class _Keys:
    """The given keys over their defaults, each read by its kind when it is asked for."""

    def __init__(self, given: Mapping[str, Value]) -> None:
        for name in given:
            if name not in BY_NAME:
                near = difflib.get_close_matches(name, BY_NAME, 1)
                hint = f"; {near[0]}?" if near else ""
                raise LocalProtocolError(f"unknown key {name}{hint}")
        self._texts = {key.name: key.default for key in KEYS}
        self._texts |= {name: _as_text(value) for name, value in given.items()}
        for key in KEYS:
            text = self._texts[key.name]
            if text and key.kind in _CHECKS:
                self._read(key.name, _CHECKS[key.kind])

    def _read(self, name: str, check: Callable[[str], object]) -> None:
        try:
            check(self._texts[name])
        except LocalProtocolError as error:
            raise LocalProtocolError(f"{name}: {error}") from None

    def text(self, name: str) -> str:
        """As it was given."""
        return self._texts[name]

    def required(self, name: str) -> str:
        """As it was given; it has to be."""
        if not self._texts[name]:
            raise LocalProtocolError(f"{name} is missing")
        return self._texts[name]

    def flag(self, name: str) -> bool:
        """Y or N."""
        return _flag(self._texts[name])

    def number(self, name: str) -> int:
        """A whole number, 0 where nothing is given."""
        return int(self._texts[name] or 0)


def _as_text(value: Value) -> str:
    """TOML's true and 30 are QuickFIX's Y and 30."""
    if isinstance(value, bool):
        return "Y" if value else "N"
    return str(value)


def _flag(text: str) -> bool:
    if text.upper() not in {"Y", "N"}:
        raise LocalProtocolError(f"{text!r} is neither Y nor N")
    return text.upper() == "Y"


def _whole(low: int, high: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not (text.isascii() and text.isdecimal() and len(text) <= len(str(high))):
            raise LocalProtocolError(f"{text!r} is no whole number")
        if not low <= int(text) <= high:
            raise LocalProtocolError(f"{text} is not in {low:,}..{high:,}")
        return int(text)

    return read


def _connection(text: str) -> str:
    if text not in {"acceptor", "initiator"}:
        raise LocalProtocolError(f"{text!r} is neither acceptor nor initiator")
    return text


def _days(text: str) -> frozenset[int]:
    return frozenset(parse_day(part) for part in text.split(","))


def _zone(text: str) -> ZoneInfo:
    try:
        return ZoneInfo(text)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise LocalProtocolError(f"{text!r} is no time zone, such as America/New_York") from None


_CHECKS: Mapping[str, Callable[[str], object]] = {
    "connection": _connection,
    "flag": _flag,
    "port": _whole(0, _PORT_MAX),
    "seconds": _whole(0, _SECONDS_MAX),
    "count": _whole(0, _COUNT_MAX),
    "decimals": _whole(0, 9),
    "time": parse_time,
    "day": parse_day,
    "days": _days,
    "zone": _zone,
}


def _schedule(keys: _Keys) -> Schedule:
    """When the session is open; Schedule itself says which of the keys belong together."""
    if keys.flag("NonStopSession"):
        return Schedule()
    start, end = keys.text("StartTime"), keys.text("EndTime")
    start_day, end_day = keys.text("StartDay"), keys.text("EndDay")
    days = keys.text("Weekdays")
    return Schedule(
        parse_time(start) if start else None,
        parse_time(end) if end else None,
        parse_day(start_day) if start_day else None,
        parse_day(end_day) if end_day else None,
        _days(days) if days else frozenset(range(7)),
        _zone(keys.text("TimeZone")),
    )
