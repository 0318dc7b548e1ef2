"""FIX 4.4 session, acceptor and initiator in one state machine, without socket, thread or clock.

Bytes come in by `receive`, facts come out by `next_event` (ask until None), bytes go out by
`data_to_send`. A session outlives its connections: `connected` starts one, `disconnected` ends it,
numbers and messages stay in the store. Source: FIX 4.4 volume 2 (session protocol) and its appendix
of session test cases. Times are ns since the epoch.
"""

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from enum import Enum, auto

from protocols.errors import LocalProtocolError
from protocols.fix.events import (
    ApplicationMessage,
    Disconnect,
    Event,
    GapDetected,
    LoggedOn,
    MessageRejected,
    RejectSent,
    ReplayAsked,
    SequenceReset,
)
from protocols.fix.framing import Framer
from protocols.fix.inbound import Inbound
from protocols.fix.message import Fault, FixMessage, decode, encode_fields, find_fault
from protocols.fix.outbound import Outbound
from protocols.fix.rules import (
    SessionSettings,
    find_first_message_fault,
    find_header_fault,
    find_logon_conflict,
    is_reset,
    too_low_text,
)
from protocols.fix.spec import (
    STANDARD_TYPES,
    UNSUPPORTED_MESSAGE_TYPE,
    MsgType,
    SessionRejectReason,
    Tag,
)
from protocols.fix.store import MessageStore
from protocols.fix.times import NS_PER_S


class State(Enum):
    """Where a connection stands."""

    DISCONNECTED = auto()
    AWAITING_LOGON = auto()
    LOGON_SENT = auto()
    ACTIVE = auto()
    LOGOUT_SENT = auto()
    CLOSING = auto()


class Step(Enum):
    """What moves a session from one state to another."""

    ACCEPTED = auto()
    DIALLED = auto()
    LOGON_DONE = auto()
    LOGOUT_BEGUN = auto()
    ENDED = auto()
    LOST = auto()


TRANSITIONS: Mapping[State, Mapping[Step, State]] = {
    State.DISCONNECTED: {
        Step.ACCEPTED: State.AWAITING_LOGON,
        Step.DIALLED: State.LOGON_SENT,
        Step.LOST: State.DISCONNECTED,
    },
    State.AWAITING_LOGON: {
        Step.LOGON_DONE: State.ACTIVE,
        Step.ENDED: State.CLOSING,
        Step.LOST: State.DISCONNECTED,
    },
    State.LOGON_SENT: {
        Step.LOGON_DONE: State.ACTIVE,
        Step.ENDED: State.CLOSING,
        Step.LOST: State.DISCONNECTED,
    },
    State.ACTIVE: {
        Step.LOGOUT_BEGUN: State.LOGOUT_SENT,
        Step.ENDED: State.CLOSING,
        Step.LOST: State.DISCONNECTED,
    },
    State.LOGOUT_SENT: {Step.ENDED: State.CLOSING, Step.LOST: State.DISCONNECTED},
    State.CLOSING: {Step.LOST: State.DISCONNECTED},
}

_LOGGED_ON = frozenset({State.ACTIVE, State.LOGOUT_SENT})
_RESEND_ATTEMPTS_MAX = 5


class FixSession:
    """One FIX session; see the module for the verbs.

    Public counters: `poss_dup_suppressed_count` (repeats of what was already received),
    `framer.garbled_count`.
    """

    def __init__(self, settings: SessionSettings, store: MessageStore) -> None:
        """A session that is not connected."""
        self.settings = settings
        self.store = store
        self.state = State.DISCONNECTED
        self.framer = Framer(settings.message_bytes_max)
        self.inbound = Inbound(store, settings.kept_messages_max)
        self.outbound = Outbound(settings.identity, store)
        self.poss_dup_suppressed_count = 0
        self.heartbeat_s = settings.heartbeat_s
        self._events: deque[Event] = deque()
        self._now_ns = 0
        self._state_since_ns = 0
        self._last_received_ns = 0
        self._test_request_ns = 0
        self._handlers: Mapping[bytes, Callable[[FixMessage, int], None]] = {
            MsgType.HEARTBEAT: self._on_heartbeat,
            MsgType.TEST_REQUEST: self._on_test_request,
            MsgType.RESEND_REQUEST: self._on_resend_request,
            MsgType.REJECT: self._on_reject,
            MsgType.SEQUENCE_RESET: self._on_gap_fill,
            MsgType.LOGON: self._on_second_logon,
        }

    # -- connection ---------------------------------------------------------------------------

    @property
    def is_logged_on(self) -> bool:
        """True between Logon and the end of the connection, while application messages flow."""
        return self.state is State.ACTIVE

    def connected(self, now_ns: int) -> None:
        """A connection exists; an initiator says Logon, an acceptor waits for it."""
        self._step(Step.DIALLED if self.settings.is_initiator else Step.ACCEPTED, now_ns)
        self.framer.clear()
        self._events.clear()
        self._last_received_ns, self._test_request_ns = now_ns, 0
        self.heartbeat_s = self.settings.heartbeat_s
        if self.settings.is_initiator and self.settings.reset_on_logon:
            self.store.reset()
        self.inbound.open()
        self.outbound.open(now_ns)
        if self.settings.is_initiator:
            self._send_logon(self.heartbeat_s, is_reset=self.settings.reset_on_logon)

    def disconnected(self, now_ns: int) -> None:
        """The connection is gone, whoever ended it."""
        self._step(Step.LOST, now_ns)
        self.outbound.clear()

    # -- the five verbs -----------------------------------------------------------------------

    def receive(self, data: bytes, now_ns: int) -> None:
        """Bytes from the peer; they are looked at when `next_event` is called."""
        self._now_ns = now_ns
        self.framer.feed(data)

    def next_event(self) -> Event | None:
        """The next fact, or None when more bytes are needed. Asking again says that the last
        message was dealt with.
        """
        self.inbound.commit()
        while not self._events and self.state not in {State.DISCONNECTED, State.CLOSING}:
            kept = self.inbound.take_kept()
            if kept is not None:
                self._on_sequenced(kept, self.inbound.expected)
                continue
            frame = self.framer.next_frame()
            if frame is not None:
                self._on_frame(frame)
            elif not self._has_too_much_garbage():
                return None
        return self._events.popleft() if self._events else None

    def data_to_send(self, now_ns: int) -> bytes:
        """Bytes for the peer, a bounded piece at a time; empty when there are none now."""
        return self.outbound.take(now_ns)

    def timer_ns(self) -> int | None:
        """When `handle_timer` is due, None when nothing is awaited."""
        settings = self.settings
        if self.state in {State.AWAITING_LOGON, State.LOGON_SENT}:
            return self._state_since_ns + settings.logon_timeout_ns
        if self.state is State.LOGOUT_SENT:
            return self._state_since_ns + settings.logout_timeout_ns
        if self.state is not State.ACTIVE:
            return None
        due = []
        if self.heartbeat_s:
            silence_ns = self._silence_ns()
            if not self._test_request_ns:
                due.append(self.outbound.last_sent_ns + self.heartbeat_s * NS_PER_S)
            due.append((self._test_request_ns or self._last_received_ns) + silence_ns)
        if self.inbound.gap_end:
            due.append(self.inbound.asked_ns + settings.resend_timeout_ns)
        return min(due, default=None)

    def handle_timer(self, now_ns: int) -> None:
        """Do what is due: heartbeat, test request, another resend request, or give the peer up."""
        self._now_ns = now_ns
        self._follow_clock_back(now_ns)
        due_ns, inbound = self.timer_ns(), self.inbound
        if due_ns is None or now_ns < due_ns:
            return
        if self.state is not State.ACTIVE:
            self._end(f"no answer in time while {self.state.name}", was_clean=False)
            return
        if self.heartbeat_s and not self._check_silence(now_ns):
            return
        if inbound.gap_end and now_ns >= inbound.asked_ns + self.settings.resend_timeout_ns:
            self._ask_again()
        heartbeat_ns = self.heartbeat_s * NS_PER_S
        # While a test request is open nothing more is said: its answer or the end comes next.
        is_waiting = self._test_request_ns != 0
        if heartbeat_ns and not is_waiting and now_ns >= self.outbound.last_sent_ns + heartbeat_ns:
            self.outbound.send_admin(MsgType.HEARTBEAT, b"", now_ns)

    # -- sending ------------------------------------------------------------------------------

    def send(self, messages: Iterable[tuple[bytes, bytes]], now_ns: int) -> int:
        """Number and keep (msg_type, body) pairs, and queue them when logged on; the first number.

        A peer that is away sees the gap at its next Logon and asks for them.
        """
        return self.outbound.send_application(messages, now_ns)

    def logout(self, text: str, now_ns: int) -> None:
        """Say Logout and wait for the answer; LocalProtocolError when nobody is logged on."""
        if self.state is not State.ACTIVE:
            raise LocalProtocolError(f"logout while {self.state.name}; it needs an ACTIVE session")
        self._now_ns = now_ns
        self._begin_logout(text)

    # -- inbound: header ----------------------------------------------------------------------

    def _on_frame(self, frame: bytes) -> None:
        message = decode(frame)
        self._last_received_ns, self._test_request_ns = self._now_ns, 0
        if self.state not in _LOGGED_ON:
            self._on_first_message(message)
            return
        if message.get(Tag.BEGIN_STRING) != self.settings.identity.begin_string:
            self._begin_logout("Incorrect BeginString")
            return
        seq = message.number(Tag.MSG_SEQ_NUM)
        if seq is None:
            self._end_with_logout("MsgSeqNum missing or no number")
            return
        if not self._check_header(message, seq):
            return
        if message.msg_type == MsgType.LOGOUT:
            self._on_logout(message, seq)
        elif is_reset(message):
            self._on_sequence_reset(message, seq)
        elif message.msg_type == MsgType.LOGON and message.flag(Tag.RESET_SEQ_NUM_FLAG):
            self._on_reset_logon(message, seq)
        elif seq > self.inbound.expected:
            self._on_too_high(message, seq)
        elif seq < self.inbound.expected:
            self._on_too_low(message, seq)
        else:
            self._on_sequenced(message, seq)

    def _check_header(self, message: FixMessage, seq: int) -> bool:
        """CompIDs and times; a wrong one is rejected and ends the session."""
        fault = find_header_fault(message, self.settings, self._now_ns)
        if fault is None:
            return True
        if seq == self.inbound.expected:
            self._advance(seq + 1)
        self._reject(message, seq, fault)
        self._begin_logout(fault.text)
        return False

    def _on_too_high(self, message: FixMessage, seq: int) -> None:
        """A gap: ask for it once, keep the message; a resend request is answered now, or two gaps
        would wait for each other.
        """
        if message.msg_type == MsgType.RESEND_REQUEST:
            if find_fault(message) is None:
                self._on_resend_request(message, seq)
        else:
            self.inbound.keep(seq, message)
        if not self.inbound.gap_end:
            self._ask_for_gap(seq - 1)

    def _on_too_low(self, message: FixMessage, seq: int) -> None:
        """A repeat when the peer says so, the end otherwise.

        A resend request is answered whatever its number: it asks for help with numbers.
        """
        if message.msg_type == MsgType.RESEND_REQUEST and find_fault(message) is None:
            self._on_resend_request(message, seq)
        elif not message.flag(Tag.POSS_DUP_FLAG):
            self._end_with_logout(too_low_text(self.inbound.expected, seq))
        elif not message.get(Tag.ORIG_SENDING_TIME) and message.msg_type != MsgType.SEQUENCE_RESET:
            self._reject_missing_original(message, seq)
        else:
            self.poss_dup_suppressed_count += 1

    def _reject_missing_original(self, message: FixMessage, seq: int) -> None:
        tag = Tag.ORIG_SENDING_TIME
        text = f"required tag {int(tag)} missing"
        self._reject(message, seq, Fault(SessionRejectReason.REQUIRED_TAG_MISSING, tag, text))

    def _on_sequenced(self, message: FixMessage, seq: int) -> None:
        """The message that was expected: check its fields, then let its type decide."""
        if message.msg_type != MsgType.SEQUENCE_RESET:
            self._advance(seq + 1)
            if message.flag(Tag.POSS_DUP_FLAG) and not message.get(Tag.ORIG_SENDING_TIME):
                self._reject_missing_original(message, seq)
                return
        fault = find_fault(message)
        if fault is not None and message.msg_type != MsgType.REJECT:
            self._advance(seq + 1)
            self._reject(message, seq, fault)
            return
        handler = self._handlers.get(message.msg_type)
        if handler is not None:
            handler(message, seq)
        elif message.msg_type in self.settings.application_types:
            event = ApplicationMessage(message, seq, message.flag(Tag.POSS_DUP_FLAG))
            self._events.append(event)
        elif message.msg_type in STANDARD_TYPES or message.msg_type.startswith(b"U"):
            self._refuse_type(message, seq)
        else:
            text = f"MsgType {message.msg_type[:8]!r} is not in FIX 4.4"
            reason = SessionRejectReason.INVALID_MSG_TYPE
            self._reject(message, seq, Fault(reason, 0, text))

    def _refuse_type(self, message: FixMessage, seq: int) -> None:
        text = "Unsupported Message Type"
        body = encode_fields(
            (Tag.REF_SEQ_NUM, seq),
            (Tag.REF_MSG_TYPE, message.msg_type),
            (Tag.BUSINESS_REJECT_REASON, UNSUPPORTED_MESSAGE_TYPE),
            (Tag.TEXT, text),
        )
        self.outbound.send_application(((MsgType.BUSINESS_MESSAGE_REJECT, body),), self._now_ns)
        self._events.append(RejectSent(seq, text))

    # -- inbound: by type ---------------------------------------------------------------------

    def _on_first_message(self, message: FixMessage) -> None:
        """Before both Logons are exchanged nothing else is answered."""
        text = find_first_message_fault(message, self.settings, self._now_ns)
        if text is not None:
            self._end(text, was_clean=False)
            return
        text = find_logon_conflict(message, self.settings, self.inbound.expected)
        if text is not None:
            self._end_with_logout(text)
            return
        self._on_logon(message, message.number(Tag.MSG_SEQ_NUM) or 0)

    def _on_logon(self, message: FixMessage, seq: int) -> None:
        asks_reset = message.flag(Tag.RESET_SEQ_NUM_FLAG)
        if not self.settings.is_initiator:
            if asks_reset:
                self._reset_both("ResetSeqNumFlag at logon")
            self._answer_logon(message)
        self._step(Step.LOGON_DONE, self._now_ns)
        if seq == self.inbound.expected:
            self._advance(seq + 1)
        outgoing = self.store.next_outgoing
        self._events.append(LoggedOn(self.heartbeat_s, outgoing, self.inbound.expected, asks_reset))
        if seq > self.inbound.expected:
            self._ask_for_gap(seq)

    def _on_reset_logon(self, message: FixMessage, seq: int) -> None:
        """Both sides go back to 1 within the connection; we answer in kind."""
        if seq != 1 or find_fault(message) is not None:
            self._end_with_logout("ResetSeqNumFlag needs MsgSeqNum 1 and a sound Logon")
            return
        self._reset_both("ResetSeqNumFlag within the session")
        self._advance(2)
        self._answer_logon(message)

    def _on_second_logon(self, _message: FixMessage, _seq: int) -> None:
        self._end_with_logout("Logon while logged on")

    def _on_heartbeat(self, _message: FixMessage, _seq: int) -> None:
        """Any message proves that the peer lives; a Heartbeat says nothing more."""

    def _on_test_request(self, message: FixMessage, _seq: int) -> None:
        body = encode_fields((Tag.TEST_REQ_ID, message.get(Tag.TEST_REQ_ID)))
        self.outbound.send_admin(MsgType.HEARTBEAT, body, self._now_ns)

    def _on_resend_request(self, message: FixMessage, seq: int) -> None:
        begin_seq = message.number(Tag.BEGIN_SEQ_NO) or 0
        end_seq = message.number(Tag.END_SEQ_NO) or 0
        if self.outbound.replay(begin_seq, end_seq):
            self._events.append(ReplayAsked(begin_seq, end_seq))
        else:
            text = f"nothing was sent in {begin_seq}..{end_seq or 'now'}"
            tag = Tag.BEGIN_SEQ_NO
            self._reject(message, seq, Fault(SessionRejectReason.VALUE_INCORRECT, tag, text))

    def _on_reject(self, message: FixMessage, _seq: int) -> None:
        reference = message.number(Tag.REF_SEQ_NUM) or 0
        reason = message.number(Tag.SESSION_REJECT_REASON)
        text = message.get(Tag.TEXT).decode("latin-1")
        self._events.append(MessageRejected(reference, -1 if reason is None else reason, text))

    def _on_gap_fill(self, message: FixMessage, seq: int) -> None:
        """Numbers that will not come again; it can only lead forward."""
        new_seq = message.number(Tag.NEW_SEQ_NO) or 0
        if new_seq <= seq:
            self._advance(seq + 1)
            text = f"NewSeqNo {new_seq} does not lead forward from {seq}"
            reason = SessionRejectReason.VALUE_INCORRECT
            self._reject(message, seq, Fault(reason, Tag.NEW_SEQ_NO, text))
            return
        self._advance(new_seq)

    def _on_sequence_reset(self, message: FixMessage, seq: int) -> None:
        fault = find_fault(message)
        if fault is not None:
            self._reject(message, seq, fault)
            return
        old_seq, new_seq = self.inbound.expected, message.number(Tag.NEW_SEQ_NO) or 0
        if new_seq < old_seq:
            text = f"NewSeqNo {new_seq} is below the expected {old_seq}"
            self._reject(message, seq, Fault(SessionRejectReason.VALUE_INCORRECT, 0, text))
            return
        self._advance(new_seq)
        self._events.append(SequenceReset(old_seq, new_seq, "SequenceReset of the peer"))

    def _on_logout(self, message: FixMessage, seq: int) -> None:
        """Any number will do: the session ends, and a gap shows again at the next Logon."""
        if seq < self.inbound.expected and message.flag(Tag.POSS_DUP_FLAG):
            self.poss_dup_suppressed_count += 1
            return
        if seq == self.inbound.expected:
            self._advance(seq + 1)
        text = message.get(Tag.TEXT).decode("latin-1")
        if self.state is State.LOGOUT_SENT:
            self._end("both sides logged out", was_clean=True)
            return
        self.outbound.send_admin(MsgType.LOGOUT, b"", self._now_ns)
        self._end(f"peer logged out: {text}" if text else "peer logged out", was_clean=True)

    # -- gaps ---------------------------------------------------------------------------------

    def _ask_for_gap(self, last_seq: int) -> None:
        self.inbound.open_gap(last_seq)
        self._events.append(GapDetected(self.inbound.expected, last_seq))
        self._send_resend_request()

    def _ask_again(self) -> None:
        """No progress since the last request: ask from where we are, give up after a few."""
        self.inbound.attempts += 1
        if self.inbound.attempts >= _RESEND_ATTEMPTS_MAX:
            self._end_with_logout("no answer to ResendRequest")
            return
        self._send_resend_request()

    def _send_resend_request(self) -> None:
        self.inbound.asked_ns = self._now_ns
        body = encode_fields((Tag.BEGIN_SEQ_NO, self.inbound.expected), (Tag.END_SEQ_NO, 0))
        self.outbound.send_admin(MsgType.RESEND_REQUEST, body, self._now_ns)

    def _advance(self, seq: int) -> None:
        self.inbound.advance(seq, self._now_ns)

    # -- timers -------------------------------------------------------------------------------

    def _silence_ns(self) -> int:
        """The heartbeat interval "plus a reasonable transmission time": a fifth of it."""
        return self.heartbeat_s * NS_PER_S * 6 // 5

    def _follow_clock_back(self, now_ns: int) -> None:
        """A clock that was set back must not stop the heartbeats until it has caught up."""
        self._last_received_ns = min(self._last_received_ns, now_ns)
        self._test_request_ns = min(self._test_request_ns, now_ns)
        self._state_since_ns = min(self._state_since_ns, now_ns)
        self.inbound.asked_ns = min(self.inbound.asked_ns, now_ns)
        self.outbound.last_sent_ns = min(self.outbound.last_sent_ns, now_ns)

    def _check_silence(self, now_ns: int) -> bool:
        """Test request after one silent interval, the end after a second; False when it ended."""
        if now_ns < (self._test_request_ns or self._last_received_ns) + self._silence_ns():
            return True
        if self._test_request_ns:
            self._end("test request was not answered", was_clean=False)
            return False
        self._test_request_ns = now_ns
        body = encode_fields((Tag.TEST_REQ_ID, b"TEST"))
        self.outbound.send_admin(MsgType.TEST_REQUEST, body, now_ns)
        return True

    def _has_too_much_garbage(self) -> bool:
        """Garbage before the Logon, or more than a message of it in a row, ends the connection."""
        garbled_bytes = self.framer.garbled_bytes_in_row
        if garbled_bytes == 0:
            return False
        if self.state in _LOGGED_ON and garbled_bytes <= self.settings.message_bytes_max:
            return False
        self._end(f"{garbled_bytes} bytes of garbage", was_clean=False)
        return True

    # -- steps --------------------------------------------------------------------------------

    def _step(self, step: Step, now_ns: int) -> None:
        following = TRANSITIONS[self.state].get(step)
        if following is None:
            raise LocalProtocolError(f"{step.name} is not possible while {self.state.name}")
        self.state = following
        self.outbound.is_live = following is State.ACTIVE
        self._now_ns = self._state_since_ns = now_ns

    def _answer_logon(self, message: FixMessage) -> None:
        """The same interval and reset flag as the peer's Logon.

        Interval 0 asks for no heartbeats; ours go on at the configured one, or a peer that is gone
        would stay for ever.
        """
        asked_s = message.number(Tag.HEART_BT_INT) or 0
        self.heartbeat_s = asked_s or self.settings.heartbeat_s
        self._send_logon(asked_s, is_reset=message.flag(Tag.RESET_SEQ_NUM_FLAG))

    def _send_logon(self, heartbeat_s: int, *, is_reset: bool) -> None:
        body = encode_fields((Tag.ENCRYPT_METHOD, 0), (Tag.HEART_BT_INT, heartbeat_s))
        reset = encode_fields((Tag.RESET_SEQ_NUM_FLAG, b"Y")) if is_reset else b""
        self.outbound.send_admin(MsgType.LOGON, body + reset, self._now_ns)

    def _reset_both(self, cause: str) -> None:
        self._events.append(SequenceReset(self.inbound.expected, 1, cause))
        self.outbound.clear()
        self.store.reset()
        self.inbound.open()

    def _reject(self, message: FixMessage, seq: int, fault: Fault) -> None:
        fields: list[tuple[int, bytes | str | int]] = [(Tag.REF_SEQ_NUM, seq)]
        if fault.tag:
            fields.append((Tag.REF_TAG_ID, fault.tag))
        if message.msg_type:
            fields.append((Tag.REF_MSG_TYPE, message.msg_type))
        fields += [(Tag.SESSION_REJECT_REASON, int(fault.reason)), (Tag.TEXT, fault.text)]
        self.outbound.send_admin(MsgType.REJECT, encode_fields(*fields), self._now_ns)
        self._events.append(RejectSent(seq, fault.text))

    def _begin_logout(self, text: str) -> None:
        """Say Logout once and wait for the peer's."""
        if self.state is State.ACTIVE:
            body = encode_fields((Tag.TEXT, text))
            self.outbound.send_admin(MsgType.LOGOUT, body, self._now_ns)
            self._step(Step.LOGOUT_BEGUN, self._now_ns)

    def _end_with_logout(self, text: str) -> None:
        """Say Logout and do not wait: the numbers of the peer cannot be trusted any more."""
        self.outbound.send_admin(MsgType.LOGOUT, encode_fields((Tag.TEXT, text)), self._now_ns)
        self._end(text, was_clean=False)

    def _end(self, reason: str, *, was_clean: bool) -> None:
        self._step(Step.ENDED, self._now_ns)
        self._events.append(Disconnect(reason, was_clean))
