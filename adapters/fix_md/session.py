"""Our side of a FIX market data session, without a socket or a clock.

    Logon (141=Y) ─► MarketDataRequest ─► W, X: read by `stream.py` ─► … ─► Logout
                          ▲                        │ a gap, books that stay in doubt
                          └── a new MDReqID ───────┘

Numbers start at 1 both ways at every Logon, and nothing is sent again: market data of the past is
of no use, so a ResendRequest is answered by a gap fill, and what we miss is subscribed to anew.
Source: FIX 4.4 volume 2 (session protocol), volume 3 (MarketDataRequest, MarketDataRequestReject).
"""

from collections import deque

from adapters.fix_md.stream import BUFFER_BYTES, allocate_memory, begin_connection
from feedhandler.core.source import Notice
from protocols.errors import RemoteProtocolError
from protocols.fix.framing import Framer
from protocols.fix.liveness import Liveness
from protocols.fix.message import FixMessage, Identity, decode, encode, encode_fields
from protocols.fix.spec import MsgType, Tag
from protocols.fix.states import LOGGED_ON, TRANSITIONS, State, Step
from protocols.fix.times import NS_PER_S, format_utc_timestamp

ALL_SYMBOLS = ("*",)
SYMBOLS_A_REQUEST_MAX = 1_000
LOGON_WAIT_NS = 10 * NS_PER_S
DOUBT_WAIT_NS = 5 * NS_PER_S
"""How long books may be in doubt before they are subscribed to again; twice as long after each time
that did not help."""
DOUBT_WAIT_MAX_NS = 60 * NS_PER_S

_MARKET_DATA_REQUEST, _MARKET_DATA_REJECT = b"V", b"Y"
_SUBSCRIBE, _UNSUBSCRIBE = 1, 2
_FULL_DEPTH = 0
_INCREMENTAL = 1
_ENTRY_TYPES = (0, 1, 2)
_NO_RELATED_SYM, _MD_REQ_ID, _SUBSCRIPTION_TYPE, _DEPTH = 146, 262, 263, 264
_UPDATE_TYPE, _NO_ENTRY_TYPES, _ENTRY_TYPE, _REJECT_REASON = 265, 267, 269, 281
_REJECTIONS = {
    _MARKET_DATA_REJECT: ("subscription_refused", _REJECT_REASON),
    MsgType.REJECT: ("feed_rejected_message", int(Tag.SESSION_REJECT_REASON)),
    MsgType.BUSINESS_MESSAGE_REJECT: ("feed_rejected_message", int(Tag.BUSINESS_REJECT_REASON)),
}


class FixSource:
    """A `feedhandler.core.source.FeedSource`."""

    buffer_bytes = BUFFER_BYTES

    def __init__(
        self,
        identity: Identity,
        symbols: tuple[str, ...],
        heartbeat_s: int,
        *,
        instruments: int,
        orders: int,
        session: str = "",
    ) -> None:
        """`symbols` ("*",) for all; memory for so many instruments and, where the feed names them,
        live orders.
        """
        self.session = session or "FIX"
        self.reason = ""
        self.state = State.DISCONNECTED
        self._identity = identity
        self._symbols = symbols
        wanted = 1 if symbols == ALL_SYMBOLS else len(symbols)
        self.memory = allocate_memory(instruments, orders, wanted)
        self.words = self.memory.words
        self._framer = Framer()
        self._liveness = Liveness(heartbeat_s)
        self._heartbeat_s = heartbeat_s
        self._outbound = bytearray()
        self._next_out = 1
        self._request_seq = 0
        self._sent_ns = 0
        self._opened_ns = 0
        self._epoch_offset_ns = 0
        self._request_count = 0
        self._requests: list[bytes] = []
        self._doubt_since_ns = 0
        self._doubt_wait_ns = DOUBT_WAIT_NS
        self._notices: deque[Notice] = deque()

    @property
    def is_open(self) -> bool:
        """Both Logons were exchanged."""
        return self.state in LOGGED_ON

    @property
    def is_closed(self) -> bool:
        """Nothing more is read: send what is queued, then close."""
        return self.state is State.CLOSING

    def connected(self, now_ns: int, epoch_ns: int) -> None:
        """Log on, from number 1."""
        self.reason = ""
        self._epoch_offset_ns = epoch_ns - now_ns
        self._framer = Framer()
        self._outbound.clear()
        self._next_out = 1
        self._request_seq = 0
        self._requests = []
        self._doubt_since_ns = 0
        self._opened_ns = now_ns
        self._liveness.open(self._heartbeat_s, now_ns)
        self._move(Step.DIALLED)
        fields = (
            (Tag.ENCRYPT_METHOD, 0),
            (Tag.HEART_BT_INT, self._heartbeat_s),
            (Tag.RESET_SEQ_NUM_FLAG, b"Y"),
        )
        self._queue(MsgType.LOGON, encode_fields(*fields), now_ns)

    def receive(self, data: bytes, now_ns: int) -> None:
        """Take the peer's Logon, and subscribe; RemoteProtocolError when it says anything else."""
        self._framer.feed(data)
        if self.state is not State.LOGON_SENT:
            return
        frame = self._framer.next_frame()
        if frame is None:
            return
        message = decode(frame)
        if message.msg_type == MsgType.LOGOUT:
            raise RemoteProtocolError(f"logon refused: {_text_of(message)}")
        if message.msg_type != MsgType.LOGON:
            raise RemoteProtocolError(f"MsgType {_shown(message.msg_type)} came before the Logon")
        if message.number(Tag.MSG_SEQ_NUM) != 1:
            raise RemoteProtocolError(
                f"the Logon has number {_shown(message.get(Tag.MSG_SEQ_NUM))}, after"
                " ResetSeqNumFlag=Y it is 1"
            )
        self._move(Step.LOGON_DONE)
        self._liveness.heard(now_ns)
        self._subscribe(now_ns)

    def take_unread(self, now_ns: int) -> bytes:  # noqa: ARG002
        """What is behind the Logon, the next number of which is 2."""
        begin_connection(self.memory, 2)
        return self._framer.take_unread()

    def heard(self, now_ns: int) -> None:
        """A sign of life of the peer."""
        if now_ns > self._liveness.received_ns:
            self._liveness.heard(now_ns)

    def told(self, message: bytes, now_ns: int) -> None:
        """Act on a message that is neither W nor X, Heartbeat nor SequenceReset."""
        fields = decode(message)
        msg_type = fields.msg_type
        if msg_type == MsgType.TEST_REQUEST:
            answer = fields.get(Tag.TEST_REQ_ID)
            body = encode_fields((Tag.TEST_REQ_ID, answer)) if answer else b""
            self._queue(MsgType.HEARTBEAT, body, now_ns)
        elif msg_type == MsgType.RESEND_REQUEST:
            self._fill_gap(fields, now_ns)
        elif msg_type == MsgType.LOGOUT:
            self._handle_logout(fields, now_ns)
        elif msg_type in _REJECTIONS:
            event, tag = _REJECTIONS[msg_type]
            about = fields.get(_MD_REQ_ID) or fields.get(Tag.REF_SEQ_NUM)
            self._note(
                "error", event, reason=_shown(fields.get(tag)), text=_text_of(fields),
                about=_shown(about),
            )  # fmt: skip
        else:
            self._note("warning", "feed_message_ignored", msg_type=_shown(msg_type))

    def note_gap(self, now_ns: int) -> None:
        """Subscribe anew: a snapshot of each book makes it sound again."""
        self._note("warning", "feed_gap", remedy="subscribing again")
        self._subscribe_again(now_ns)

    def note_doubt(self, books: int, now_ns: int) -> None:
        """Books that stay in doubt are subscribed to again."""
        if not books:
            self._doubt_since_ns = 0
            self._doubt_wait_ns = DOUBT_WAIT_NS
        elif not self._doubt_since_ns:
            self._doubt_since_ns = now_ns
        elif now_ns - self._doubt_since_ns >= self._doubt_wait_ns:
            self._note("warning", "books_in_doubt", books=books, remedy="subscribing again")
            self._doubt_wait_ns = min(2 * self._doubt_wait_ns, DOUBT_WAIT_MAX_NS)
            self._subscribe_again(now_ns)

    def data_to_send(self, now_ns: int) -> bytes:
        """Take the bytes to send now; b"" when there are none."""
        data = bytes(self._outbound)
        self._outbound.clear()
        if data:
            self._sent_ns = now_ns
        return data

    def timer_ns(self) -> int | None:
        """When to call `handle_timer` at the latest."""
        if self.state is State.LOGON_SENT:
            return self._opened_ns + LOGON_WAIT_NS
        return self._liveness.due_ns(self._sent_ns) if self.is_open else None

    def handle_timer(self, now_ns: int) -> None:
        """Heartbeats, a TestRequest to a silent peer, and the end of patience with one."""
        if self.state is State.LOGON_SENT and now_ns - self._opened_ns >= LOGON_WAIT_NS:
            self._end("no answer to the Logon")
        if not self.is_open:
            return
        liveness = self._liveness
        if liveness.is_peer_silent(now_ns):
            if liveness.test_request_ns:
                self._end("the peer was silent, and did not answer a TestRequest")
                return
            liveness.test_request_ns = now_ns
            identifier = b"%d" % self._next_out
            self._queue(MsgType.TEST_REQUEST, encode_fields((Tag.TEST_REQ_ID, identifier)), now_ns)
        elif liveness.is_heartbeat_due(self._sent_ns, now_ns):
            self._queue(MsgType.HEARTBEAT, b"", now_ns)
            self._sent_ns = now_ns

    def log_out(self, now_ns: int) -> None:
        """Say Logout; the peer answers with one."""
        if self.state is State.ACTIVE:
            self._queue(MsgType.LOGOUT, b"", now_ns)
            self._move(Step.LOGOUT_BEGUN)

    def disconnected(self) -> None:
        """The connection is gone, and with it any change of any book."""
        self._move(Step.LOST)
        begin_connection(self.memory, 1)

    def next_notice(self) -> Notice | None:
        """Oldest notice that was not taken yet, or None."""
        return self._notices.popleft() if self._notices else None

    # -- messages ---------------------------------------------------------------------------------

    def _queue(self, msg_type: bytes, body: bytes, now_ns: int, seq: int = 0) -> None:
        """Queue a message; with `seq` in the place of one that was sent before."""
        time = format_utc_timestamp(now_ns + self._epoch_offset_ns)
        orig = time if seq else b""
        self._outbound += encode(self._identity, msg_type, seq or self._next_out, time, body, orig)
        if not seq:
            self._next_out += 1

    def _subscribe(self, now_ns: int) -> None:
        self._requests = []
        for first in range(0, len(self._symbols), SYMBOLS_A_REQUEST_MAX):
            self._request_count += 1
            name = b"%s-%d" % (self._identity.sender_comp_id.encode(), self._request_count)
            self._requests.append(name)
            self._request(name, _SUBSCRIBE, first, now_ns)
        self._request_seq = self._next_out - 1
        self._doubt_since_ns = now_ns

    def _subscribe_again(self, now_ns: int) -> None:
        if self.state is not State.ACTIVE:
            return
        for i, name in enumerate(self._requests):
            self._request(name, _UNSUBSCRIBE, i * SYMBOLS_A_REQUEST_MAX, now_ns)
        self._subscribe(now_ns)

    def _request(self, name: bytes, kind: int, first: int, now_ns: int) -> None:
        """A MarketDataRequest about the symbols from number `first` on."""
        symbols = self._symbols[first : first + SYMBOLS_A_REQUEST_MAX]
        body = encode_fields(
            (_MD_REQ_ID, name),
            (_SUBSCRIPTION_TYPE, kind),
            (_DEPTH, _FULL_DEPTH),
            (_UPDATE_TYPE, _INCREMENTAL),
            (_NO_ENTRY_TYPES, len(_ENTRY_TYPES)),
            *((_ENTRY_TYPE, code) for code in _ENTRY_TYPES),
            (_NO_RELATED_SYM, len(symbols)),
            *((int(Tag.SYMBOL), symbol) for symbol in symbols),
        )
        self._queue(_MARKET_DATA_REQUEST, body, now_ns)

    def _fill_gap(self, request: FixMessage, now_ns: int) -> None:
        """Nothing is sent again. A request for market data that got lost is made anew."""
        begin = request.number(Tag.BEGIN_SEQ_NO) or 1
        if begin >= self._next_out:
            return
        fields = ((Tag.GAP_FILL_FLAG, b"Y"), (Tag.NEW_SEQ_NO, self._next_out))
        self._queue(MsgType.SEQUENCE_RESET, encode_fields(*fields), now_ns, begin)
        if begin <= self._request_seq and self.state is State.ACTIVE:
            self._subscribe(now_ns)

    def _handle_logout(self, message: FixMessage, now_ns: int) -> None:
        if self.state is State.ACTIVE:
            self._queue(MsgType.LOGOUT, b"", now_ns)
            self._end(f"the peer logged out: {_text_of(message)}")
        else:
            self._end("logged out")

    def _end(self, reason: str) -> None:
        self.reason = reason
        self._move(Step.ENDED)

    def _move(self, step: Step) -> None:
        self.state = TRANSITIONS[self.state].get(step, self.state)

    def _note(self, level: str, event: str, **fields: object) -> None:
        self._notices.append(Notice(level, event, fields))


def _shown(value: bytes) -> str:
    return value.decode("latin-1")


def _text_of(message: FixMessage) -> str:
    """What the peer says for people."""
    return _shown(message.get(Tag.TEXT)) or "without a text"
