"""What an OMS is promised, the fields that carry it, and what the publisher reports about itself.

- Every signal becomes one FIX message for every session on the allow list, connected or not. It has
  the session's next sequence number and is kept before it is sent (in the store, or in a slot of
  the mapped file beside it), so that an OMS that was away sees the gap at its next Logon, asks with
  a ResendRequest, and gets it marked PossDupFlag=Y. Numbers and messages survive a crash of the
  server.
- A signal has one id in ClOrdID (D and q) and SignalId (all kinds), counted from 1 over all kinds.
  No id comes twice, whatever resets the sequence numbers; after a power cut some are left out.
- Prices are exact decimals, never rounded. Times are UTC; the nanosecond tags count from the epoch.
- An OMS that does not read is cut off when its queue is full; nothing is lost, it reconnects and
  asks.

Message D (NewOrderSingle), an order that a pattern proposes:
    11 ClOrdID = signal id, 55 Symbol, 54 Side (1 buy, 2 sell), 60 TransactTime = when the signal
    arose, 38 OrderQty, 40 OrdType = 2 (limit), 44 Price, then the tags of `SignalTag`.
Message f (SecurityStatus), the level changed that circuit breakers hold an instrument to:
    55 Symbol, 326 SecurityTradingStatus (2 halt, 3 resume, 23 fast market: orders leave marked, or
    none but what reduces risk, as Level says), 60 TransactTime, then the tags of `SignalTag`.
Message q (OrderMassCancelRequest), with a halt: take back what came of our signals:
    11 ClOrdID = signal id, 530 MassCancelRequestType = 1 (of a security), 55 Symbol,
    60 TransactTime, then the tags of `SignalTag`.

Either side checks the other's messages by `VALIDATION`.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol

from protocols.fix.dictionary.check import ValidationRules

VALIDATION_KEYS = {"ValidateUserDefinedFields": False, "AllowUnknownMsgFields": True}
"""The dictionary of FIX 4.4 holds, but a message may carry fields beyond it: those of `SignalTag`,
and whatever an OMS adds to its reports. As QuickFIX's keys.
"""

VALIDATION = ValidationRules(validate_user_defined_fields=False, allow_unknown_message_fields=True)
"""The same for the client's side."""


class SignalTag(IntEnum):
    """User-defined fields (FIX 4.4 volume 1: 5000 to 9999), those up to LEVEL in all messages, in
    this order.
    """

    SIGNAL_ID = 5001
    """Id of the signal, from 1, over all kinds."""
    SOURCE_NAME = 5002
    """Name of the pattern or breaker in the configuration."""
    FEED_SEQ = 5003
    """Sequence number of the feed message that caused it."""
    RX_TIME_NS = 5004
    """Kernel's receive stamp of that message, ns since the epoch."""
    EXCH_TIME_NS = 5005
    """Exchange's stamp of that message, ns since midnight of the venue."""
    SIGNAL_TIME_NS = 5006
    """When the signal arose, ns since the epoch."""
    LEVEL = 5007
    """Level of the circuit breakers: 0 normal, 1 caution, 2 restricted, 3 halted. Of an order, the
    one that it was marked with."""
    CONFIDENCE_BPS = 5008
    """How sure the pattern is, up to 10,000. This and what follows: in orders."""
    VALUE_0 = 5009
    """What the pattern saw, as it documents its values; integers."""
    VALUE_1 = 5010
    VALUE_2 = 5011
    LEGS = 5012
    """Symbols that the pattern looked at, up to 8 of them, with blanks between; Symbol first."""


class OmsMetrics(Protocol):
    """Where counts go; must not block. The names are those of `OmsCount` and `OmsGauge`."""

    def count(self, name: str, amount: int = 1) -> None:
        """Add to a counter."""

    def gauge(self, name: str, value: int) -> None:
        """Set a gauge."""

    def record_signal_latency(self, latency_ns: int) -> None:
        """From the kernel's receive stamp to right after the first `send` of a signal."""


class OmsCount:
    """Names of the counters."""

    SIGNALS_PUBLISHED = "oms_signals_published"
    """Signals taken from the ring and numbered for the sessions."""
    SIGNALS_UNMEASURED = "oms_signals_unmeasured"
    """Signals without a latency: nobody was logged on, or the connection went before they left."""
    SIGNALS_UNSTORED = "oms_signals_unstored"
    """Signals that a session lost because its store could not be written (disk full)."""
    SIGNALS_MALFORMED = "oms_signals_malformed"
    """Rows that name no known kind, side, level, source or symbol; nothing is sent for them."""
    MESSAGES_SENT = "oms_messages_sent"
    """Signals given to a connection when they arose."""
    MESSAGES_REPLAYED = "oms_messages_replayed"
    """Signals sent again because an OMS asked."""
    EXECUTION_REPORTS = "oms_execution_reports"
    """ExecutionReports received."""
    CONNECTIONS_REFUSED = "oms_connections_refused"
    """Connections closed before a Logon: garbage, none in time, identity unknown or taken."""
    CONNECTIONS_CUT = "oms_connections_cut"
    """Sessions ended without a Logout of both sides."""
    LOGONS = "oms_logons"
    """Logons accepted."""
    REJECTS = "oms_rejects"
    """Rejects sent or received."""
    GARBLED = "oms_garbled_messages"
    """Runs of bytes on a session that were no valid message."""


class OmsGauge:
    """Names of the gauges."""

    SESSIONS_ACTIVE = "oms_sessions_active"
    """Sessions that are logged on."""


@dataclass(frozen=True, slots=True)
class SessionStatus:
    """One session as an administrator sees it."""

    target_comp_id: str
    state: str
    next_outgoing: int
    next_incoming: int
    queued_bytes: int
    execution_reports: int
    acknowledged: int
    """Distinct signal ids for which an ExecutionReport came."""
