"""Configuration of the OMS side; an unknown key or a wrong value is an error that names it."""

import ipaddress
import re
from dataclasses import replace
from typing import Literal

import msgspec

from oms_out.contract import VALIDATION_KEYS
from protocols.errors import LocalProtocolError
from protocols.fix.quickfix import SessionPlan, Value, plan_session
from protocols.fix.spec import MsgType

_FROM_AN_OMS = frozenset({MsgType.EXECUTION_REPORT, MsgType.BUSINESS_MESSAGE_REJECT})
_OURS_TO_SAY = {
    "BeginString": "signals are FIX.4.4",
    "ConnectionType": "OMS clients dial",
    "DefaultApplVerID": "signals are FIX.4.4",
    "FileStorePath": "say store_dir in [oms]",
    "ReconnectInterval": "OMS clients dial",
    "SenderCompID": "say sender_comp_id in [oms]",
    "SocketAcceptAddress": "say address in [oms]",
    "SocketAcceptPort": "say port in [oms]",
    "SocketConnectHost": "OMS clients dial",
    "SocketConnectPort": "OMS clients dial",
    "TargetCompID": "say allowed in [oms]",
}
COMP_ID = re.compile(r"[!-<>-~]{1,64}")
COMP_ID_RULE = "1 to 64 printable ASCII characters without blank or '='"
_PORT_MAX = 65_535


def check_ipv4(name: str, address: str) -> None:
    """ValueError, naming the key, for anything but an IPv4 address; "" would be every interface."""
    try:
        ipaddress.IPv4Address(address)
    except ValueError:
        raise ValueError(f"{name}: {address!r} is no IPv4 address") from None


class OmsConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """FIX acceptor for OMS clients.

    `session` has more settings of every session, under QuickFIX's key names.
    `port` 0 lets the system choose. `allowed` lists the CompIDs that may log on, each of which gets
    every signal. `heartbeat_s` is the interval for a peer whose Logon names none. `fsync` makes
    each stored batch survive a power cut too.
    `send_from` "hot": the thread that makes a signal sends it where the socket takes it at once;
    "loop": the event loop sends everything, as it does with `fsync`.
    """

    store_dir: str
    allowed: tuple[str, ...]
    address: str = "127.0.0.1"
    port: int = 0
    sender_comp_id: str = "FEEDHANDLER"
    heartbeat_s: int = 30
    logon_timeout_s: int = 5
    logout_timeout_s: int = 2
    max_pending_connections: int = 64
    pre_logon_cap_bytes: int = 4_096
    outbound_cap_bytes: int = 4 * 1024 * 1024
    message_cap_bytes: int = 65_536
    fsync: bool = False
    send_from: Literal["hot", "loop"] = "hot"
    session: dict[str, str | int | bool] = {}

    @property
    def is_sent_hot(self) -> bool:
        """Whether signals may leave before they are in the store: not when that means a disk."""
        return self.send_from == "hot" and not self.fsync

    def session_plan(self, comp_id: str) -> SessionPlan:
        """The session with this OMS: what the keys of `session` say over our own."""
        ours: dict[str, Value] = {
            "SenderCompID": self.sender_comp_id,
            "TargetCompID": comp_id,
            "HeartBtInt": self.heartbeat_s,
            "LogonTimeout": self.logon_timeout_s,
            "LogoutTimeout": self.logout_timeout_s,
            **VALIDATION_KEYS,
        }
        plan = plan_session({**ours, **self.session}, _FROM_AN_OMS)
        settings = replace(plan.settings, message_bytes_max=self.message_cap_bytes)
        return plan._replace(settings=settings)

    def __post_init__(self) -> None:
        """Refuse what could not work, by name."""
        for comp_id in (self.sender_comp_id, *self.allowed):
            if not COMP_ID.fullmatch(comp_id):
                raise ValueError(f"CompID {comp_id!r}: {COMP_ID_RULE}")
        check_ipv4("address", self.address)
        for name in sorted(self.session.keys() & _OURS_TO_SAY):
            raise ValueError(f"session.{name}: not a key of this table, {_OURS_TO_SAY[name]}")
        try:
            self.session_plan(self.sender_comp_id)
        except LocalProtocolError as error:
            raise ValueError(f"session: {error}") from None
        if not self.allowed:
            raise ValueError("allowed: name at least one CompID that may log on")
        if len(set(self.allowed)) != len(self.allowed):
            raise ValueError("allowed: a CompID occurs twice")
        if not 0 <= self.port <= _PORT_MAX:
            raise ValueError(f"port: {self.port} is not in 0..{_PORT_MAX}")
        positive = (
            "heartbeat_s",
            "logon_timeout_s",
            "logout_timeout_s",
            "max_pending_connections",
            "pre_logon_cap_bytes",
            "outbound_cap_bytes",
            "message_cap_bytes",
        )
        for name in positive:
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: {getattr(self, name)} is below 1")
