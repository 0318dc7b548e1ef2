"""FIX session of any version, acceptor and initiator in one state machine, without socket, thread
or clock.

Bytes come in by `receive`, facts come out by `next_event` (ask until None), bytes go out by
`data_to_send`. A session outlives its connections: `connected` starts one, `disconnected` ends it,
numbers and messages stay in the store. States and steps: `states.py`. Source: FIX 4.4 volume 2
(session protocol) and its appendix of session test cases; FIX 4.2 and FIXT 1.1 where `versions.py`
says so. Times are ns since the epoch.
"""

from collections import deque
from collections.abc import Callable, Iterable, Mapping

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
from protocols.fix.liveness import Liveness
from protocols.fix.message import Fault, FixMessage, decode, encode_fields
from protocols.fix.outbound import Outbound
from protocols.fix.replies import business_reject_body, logon_body, reject_body
from protocols.fix.rules import (
    SessionSettings,
    find_first_message_fault,
    find_header_fault,
    find_logon_conflict,
    find_message_fault,
    is_reset,
    next_expected_of,
    too_low_text,
)
from protocols.fix.spec import MsgType, SessionRejectReason, Tag
from protocols.fix.states import LOGGED_ON, TRANSITIONS, State, Step
from protocols.fix.store import MessageStore

_RESEND_ATTEMPTS_MAX = 5
_OVER = frozenset({State.DISCONNECTED, State.CLOSING})


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
        self.inbound = Inbound(
            store, settings.kept_messages_max, settings.kept_bytes_max, settings.resend_chunk
        )
        self.outbound = Outbound(settings.identity, store, settings.time_decimals)
        self.poss_dup_suppressed_count = 0
        self._liveness = Liveness(settings.heartbeat_s)
        self._events: deque[Event] = deque()
        self._reset_cause = ""
        self._now_ns = 0
        self._state_since_ns = 0
        self._peer_appl_ver_id = b""
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
        settings = self.settings
        self._step(Step.DIALLED if settings.is_initiator else Step.ACCEPTED, now_ns)
        self.framer.clear()
        self._liveness.open(settings.heartbeat_s, now_ns)
        self.inbound.open()
        self.outbound.open(now_ns)
        if settings.is_initiator:
            if settings.reset_on_logon:
                self._reset_both("ResetOnLogon")
            expected = self.inbound.expected
            self._send_logon(settings.heartbeat_s, expected, is_reset=settings.reset_on_logon)

    def disconnected(self, now_ns: int) -> None:
        """The connection is gone, whoever ended it."""
        was_connected = self.state is not State.DISCONNECTED
        self._step(Step.LOST, now_ns)
        self.outbound.clear()
        # What was not asked for is of the past; but that numbers were reset must not get lost.
        self._events = deque(item for item in self._events if isinstance(item, SequenceReset))
        if was_connected and self.settings.reset_on_disconnect:
            self._reset_cause = self._reset_cause or "ResetOnDisconnect"
        self._reset_at_end()

    # -- the five verbs -----------------------------------------------------------------------

    def receive(self, data: bytes, now_ns: int) -> None:
        """Bytes from the peer; they are looked at when `next_event` is called.

        Once the session ended they are thrown away: nobody would look at them, and they would grow.
        """
        self._now_ns = now_ns
        if self.state not in _OVER:
            self.framer.feed(data)

    def next_event(self) -> Event | None:
        """The next fact, or None when more bytes are needed. Asking again says that the last
        message was dealt with.
        """
        self.inbound.commit()
        while not self._events and self.state not in _OVER:
            kept = self.inbound.take_kept()
            if kept is not None:
                self._on_sequenced(self._decode(kept), self.inbound.expected)
                continue
            frame = self.framer.next_frame()
            if frame is not None:
                self._on_frame(frame)
            elif not self._has_too_much_garbage():
                return None
        return self._events.popleft() if self._events else None

    def data_to_send(self, now_ns: int) -> bytes:
        """Bytes for the peer, a bounded piece at a time; empty when there are none now."""
        data = self.outbound.take(now_ns)
        if self._reset_cause and not self.outbound.has_output:
            self._reset_at_end()
        return data

    def timer_ns(self) -> int | None:
        """When `handle_timer` is due, None when nothing is awaited."""
        settings = self.settings
        if self.state in {State.AWAITING_LOGON, State.LOGON_SENT}:
            return self._state_since_ns + settings.logon_timeout_ns
        if self.state is State.LOGOUT_SENT:
            return self._state_since_ns + settings.logout_timeout_ns
        if self.state is not State.ACTIVE:
            return None
        due_ns = self._liveness.due_ns(self.outbound.last_sent_ns)
        if not self.inbound.gap_end:
            return due_ns
        ask_ns = self.inbound.asked_ns + settings.resend_timeout_ns
        return ask_ns if due_ns is None else min(due_ns, ask_ns)

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
        if self._liveness.is_peer_silent(now_ns) and not self._test_peer():
            return
        if inbound.gap_end and now_ns >= inbound.asked_ns + self.settings.resend_timeout_ns:
            self._ask_again()
        if self._liveness.is_heartbeat_due(self.outbound.last_sent_ns, now_ns):
            self.outbound.send_admin(MsgType.HEARTBEAT, b"", now_ns)

    # -- sending ------------------------------------------------------------------------------

    def send(self, messages: Iterable[tuple[bytes, bytes]], now_ns: int) -> int:
        """Number and keep (msg_type, body) pairs, and queue them when logged on; the first number.

        A peer that is away sees the gap at its next Logon and asks for them. A body may begin with
        header fields of its own: PossResend, ApplVerID, routing.
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
        message = self._decode(frame)
        self._liveness.heard(self._now_ns)
        if self.state not in LOGGED_ON:
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
            self._on_too_high(message, seq, frame)
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

    def _decode(self, frame: bytes) -> FixMessage:
        return decode(frame, self.settings.data_tags)

    def _find_fault(self, message: FixMessage) -> Fault | None:
        return find_message_fault(message, self.settings, self._peer_appl_ver_id)

    def _on_too_high(self, message: FixMessage, seq: int, frame: bytes) -> None:
        """A gap: ask for it once, keep the message; a resend request is answered now, or two gaps
        would wait for each other.
        """
        if message.msg_type == MsgType.RESEND_REQUEST:
            if self._find_fault(message) is None:
                self._on_resend_request(message, seq)
                self.inbound.skip_later(seq)
        else:
            self.inbound.keep(seq, frame)
        if not self.inbound.gap_end:
            self._open_gap(seq - 1)
            self._send_resend_request()

    def _on_too_low(self, message: FixMessage, seq: int) -> None:
        """A repeat when the peer says so, the end otherwise.

        A resend request is answered whatever its number: it asks for help with numbers.
        """
        if message.msg_type == MsgType.RESEND_REQUEST and self._find_fault(message) is None:
            self._on_resend_request(message, seq)
        elif not message.flag(Tag.POSS_DUP_FLAG):
            self._end_with_logout(too_low_text(self.inbound.expected, seq))
        elif message.msg_type != MsgType.SEQUENCE_RESET and self._lacks_original_time(message):
            self._reject_missing_original(message, seq)
        else:
            self.poss_dup_suppressed_count += 1

    def _lacks_original_time(self, message: FixMessage) -> bool:
        """A possible duplicate that does not say when it was sent first."""
        if not (self.settings.requires_orig_sending_time and message.flag(Tag.POSS_DUP_FLAG)):
            return False
        return not message.get(Tag.ORIG_SENDING_TIME)

    def _reject_missing_original(self, message: FixMessage, seq: int) -> None:
        tag = Tag.ORIG_SENDING_TIME
        text = f"required tag {int(tag)} missing"
        self._reject(message, seq, Fault(SessionRejectReason.REQUIRED_TAG_MISSING, tag, text))

    def _on_sequenced(self, message: FixMessage, seq: int) -> None:
        """The message that was expected: check its fields, then let its type decide."""
        if message.msg_type != MsgType.SEQUENCE_RESET:
            self._advance(seq + 1)
            if self._lacks_original_time(message):
                self._reject_missing_original(message, seq)
                return
        fault = self._find_fault(message)
        if fault is not None and message.msg_type != MsgType.REJECT:
            self._advance(seq + 1)
            self._reject(message, seq, fault)
            return
        handler = self._handlers.get(message.msg_type)
        if handler is not None:
            handler(message, seq)
            return
        if message.msg_type in self.settings.application_types:
            flags = (message.flag(Tag.POSS_DUP_FLAG), message.flag(Tag.POSS_RESEND))
            self._events.append(ApplicationMessage(message, seq, *flags))
        else:
            self._refuse_type(message, seq)

    def _refuse_type(self, message: FixMessage, seq: int) -> None:
        text = "Unsupported Message Type"
        body = business_reject_body(message, seq, text, self.settings.identity)
        self.outbound.send_application(((MsgType.BUSINESS_MESSAGE_REJECT, body),), self._now_ns)
        self._events.append(RejectSent(seq, text))

    # -- inbound: Logon -----------------------------------------------------------------------

    def _on_first_message(self, message: FixMessage) -> None:
        """Before both Logons are exchanged nothing else is answered."""
        settings = self.settings
        text = find_first_message_fault(message, settings, self._now_ns)
        if text is not None:
            self._end(text, was_clean=False)
            return
        if not settings.is_initiator and settings.reset_on_logon:
            self._reset_both("ResetOnLogon")
        next_outgoing = self.store.next_outgoing
        text = find_logon_conflict(message, settings, self.inbound.expected, next_outgoing)
        if text is not None:
            self._end_with_logout(text)
            return
        self._on_logon(message, message.number(Tag.MSG_SEQ_NUM) or 0)

    def _on_logon(self, message: FixMessage, seq: int) -> None:
        """Answer, then fill or ask for what is missing on either side."""
        settings, inbound = self.settings, self.inbound
        asks_reset = message.flag(Tag.RESET_SEQ_NUM_FLAG)
        if asks_reset and not settings.is_initiator:
            self._reset_both("ResetSeqNumFlag at logon")
        self._peer_appl_ver_id = message.get(Tag.DEFAULT_APPL_VER_ID)
        is_in_sequence, next_outgoing = seq == inbound.expected, self.store.next_outgoing
        if not settings.is_initiator:
            self._answer_logon(message, inbound.expected + is_in_sequence)
        self._step(Step.LOGON_DONE, self._now_ns)
        if is_in_sequence:
            self._advance(seq + 1)
        numbers = (self.store.next_outgoing, inbound.expected)
        self._events.append(LoggedOn(self._liveness.heartbeat_s, *numbers, asks_reset))
        asked = next_expected_of(message, settings.version)
        if asked is not None and asked < next_outgoing:
            self._fill_unasked(asked)
        if not is_in_sequence:
            both_say = settings.next_expected and asked is not None
            self._on_logon_above_gap(seq, is_filled_unasked=both_say)

    def _fill_unasked(self, first_seq: int) -> None:
        """Send again what the peer said it lacks (789), up to our Logon and over it."""
        last_seq = self.store.next_outgoing - 1
        if self.outbound.replay(first_seq, last_seq):
            self._events.append(ReplayAsked(first_seq, last_seq))

    def _on_logon_above_gap(self, seq: int, *, is_filled_unasked: bool) -> None:
        """Numbers before the Logon are missing.

        A peer that reads our 789 fills them unasked, and does not send its Logon again; when it
        does not, the timer asks. Any other peer is asked for them and for the Logon, which it gap
        fills.
        """
        if is_filled_unasked:
            self.inbound.skip_later(seq)
            self._open_gap(seq - 1)
        else:
            self._open_gap(seq)
            self._send_resend_request()

    def _on_reset_logon(self, message: FixMessage, seq: int) -> None:
        """Both sides go back to 1 within the connection; we answer in kind."""
        if seq != 1 or self._find_fault(message) is not None:
            self._end_with_logout("ResetSeqNumFlag needs MsgSeqNum 1 and a sound Logon")
            return
        self._reset_both("ResetSeqNumFlag within the session")
        self._advance(2)
        self._answer_logon(message, 2)

    def _on_second_logon(self, _message: FixMessage, _seq: int) -> None:
        self._end_with_logout("Logon while logged on")

    def _answer_logon(self, message: FixMessage, next_expected: int) -> None:
        """The same interval and reset flag as the peer's Logon.

        Interval 0 asks for no heartbeats; ours go on at the configured one, or a peer that is gone
        would stay for ever.
        """
        asked_s = message.number(Tag.HEART_BT_INT) or 0
        self._liveness.heartbeat_s = asked_s or self.settings.heartbeat_s
        self._send_logon(asked_s, next_expected, is_reset=message.flag(Tag.RESET_SEQ_NUM_FLAG))

    def _send_logon(self, heartbeat_s: int, next_expected: int, *, is_reset: bool) -> None:
        body = logon_body(
            self.settings, heartbeat_s, is_reset=is_reset, next_expected=next_expected
        )
        self.outbound.send_admin(MsgType.LOGON, body, self._now_ns)

    # -- inbound: by type ---------------------------------------------------------------------

    def _on_heartbeat(self, _message: FixMessage, _seq: int) -> None:
        """Any message proves that the peer lives; a Heartbeat says nothing more."""

    def _on_test_request(self, message: FixMessage, _seq: int) -> None:
        # Rules may let a request through that has no id.
        request_id = message.get(Tag.TEST_REQ_ID)
        body = encode_fields((Tag.TEST_REQ_ID, request_id)) if request_id else b""
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
        """A rejected ResendRequest needs nothing more: its timer asks again, or gives up."""
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
        fault = self._find_fault(message)
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
        if self.settings.reset_on_logout:
            self._reset_cause = "ResetOnLogout"
        text = message.get(Tag.TEXT).decode("latin-1")
        if self.state is State.LOGOUT_SENT:
            self._end("both sides logged out", was_clean=True)
            return
        self.outbound.send_admin(MsgType.LOGOUT, b"", self._now_ns)
        self._end(f"peer logged out: {text}" if text else "peer logged out", was_clean=True)

    # -- gaps ---------------------------------------------------------------------------------

    def _open_gap(self, last_seq: int) -> None:
        self.inbound.open_gap(last_seq, self._now_ns)
        self._events.append(GapDetected(self.inbound.expected, last_seq))

    def _ask_again(self) -> None:
        """No progress since the last request: ask from where we are, give up after a few."""
        self.inbound.attempts += 1
        if self.inbound.attempts >= _RESEND_ATTEMPTS_MAX:
            self._end_with_logout("no answer to ResendRequest")
            return
        self._send_resend_request()

    def _send_resend_request(self) -> None:
        begin_seq, end_seq = self.inbound.next_request(self._now_ns)
        body = encode_fields((Tag.BEGIN_SEQ_NO, begin_seq), (Tag.END_SEQ_NO, end_seq))
        self.outbound.send_admin(MsgType.RESEND_REQUEST, body, self._now_ns)

    def _advance(self, seq: int) -> None:
        """Expect `seq` next; when that ends a part of a gap, the next part is asked for."""
        self.inbound.advance(seq, self._now_ns)
        if self.inbound.is_chunk_done:
            self._send_resend_request()

    # -- timers -------------------------------------------------------------------------------

    def _follow_clock_back(self, now_ns: int) -> None:
        """A clock that was set back must not stop the timers until it has caught up."""
        self._liveness.follow_clock_back(now_ns)
        self._state_since_ns = min(self._state_since_ns, now_ns)
        self.inbound.asked_ns = min(self.inbound.asked_ns, now_ns)
        self.outbound.last_sent_ns = min(self.outbound.last_sent_ns, now_ns)

    def _test_peer(self) -> bool:
        """Test request after one silent interval, the end after a second; False when it ended."""
        if self._liveness.test_request_ns:
            self._end("test request was not answered", was_clean=False)
            return False
        self._liveness.test_request_ns = self._now_ns
        body = encode_fields((Tag.TEST_REQ_ID, b"TEST"))
        self.outbound.send_admin(MsgType.TEST_REQUEST, body, self._now_ns)
        return True

    def _has_too_much_garbage(self) -> bool:
        """Garbage before the Logon, or more than a message of it in a row, ends the connection."""
        garbled_bytes = self.framer.garbled_bytes_in_row
        if garbled_bytes == 0:
            return False
        if self.state in LOGGED_ON and garbled_bytes <= self.settings.message_bytes_max:
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

    def _reset_both(self, cause: str) -> None:
        """Both sides start at 1 again, and what is queued for the old numbers is dropped."""
        self.outbound.clear()
        self._reset_numbers(cause)

    def _reset_at_end(self) -> None:
        """The reset that was due when the session ends, once everything has been sent."""
        if self._reset_cause:
            self._reset_numbers(self._reset_cause)
            self._reset_cause = ""

    def _reset_numbers(self, cause: str) -> None:
        self._events.append(SequenceReset(self.inbound.expected, 1, cause))
        self.store.reset()
        self.inbound.open()

    def _reject(self, message: FixMessage, seq: int, fault: Fault) -> None:
        body = reject_body(message, seq, fault, self.settings)
        self.outbound.send_admin(MsgType.REJECT, body, self._now_ns)
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
