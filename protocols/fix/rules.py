"""What a session asks of the header of a message, and of a Logon; pure functions over the settings.

Source: FIX 4.4 volume 2, standard header and Logon; the session test cases 1c, 1d, 2f, 2k, 2o.
"""

from dataclasses import dataclass

from protocols.fix.message import Fault, FixMessage, Identity, find_fault
from protocols.fix.spec import MsgType, SessionRejectReason, Tag
from protocols.fix.times import NS_PER_S, parse_utc_timestamp


@dataclass(frozen=True, slots=True)
class SessionSettings:
    """How one session behaves; both sides have one.

    `application_types` are the MsgTypes that the owner takes; another standard one gets a
    BusinessMessageReject. `kept_messages_max` bounds what is kept above a gap; more is dropped and
    comes again with the replay.
    """

    identity: Identity
    is_initiator: bool
    application_types: frozenset[bytes]
    heartbeat_s: int = 30
    reset_on_logon: bool = False
    logon_timeout_ns: int = 5 * NS_PER_S
    logout_timeout_ns: int = 2 * NS_PER_S
    resend_timeout_ns: int = 10 * NS_PER_S
    time_accuracy_ns: int = 120 * NS_PER_S
    message_bytes_max: int = 65_536
    kept_messages_max: int = 1_024


def is_reset(message: FixMessage) -> bool:
    """SequenceReset-Reset, whose own number means nothing."""
    is_sequence_reset = message.msg_type == MsgType.SEQUENCE_RESET
    return is_sequence_reset and not message.flag(Tag.GAP_FILL_FLAG)


def find_header_fault(message: FixMessage, settings: SessionSettings, now_ns: int) -> Fault | None:
    """CompIDs or times that end a session.

    Fields that are missing, empty or unreadable are left to `find_fault`, which names them.
    """
    has_comp_ids = message.get(Tag.SENDER_COMP_ID) and message.get(Tag.TARGET_COMP_ID)
    if has_comp_ids and not _is_ours(message, settings.identity):
        return Fault(SessionRejectReason.COMP_ID_PROBLEM, 0, "CompID problem")
    if not _is_time_accurate(message, settings, now_ns):
        text = "SendingTime accuracy problem"
        return Fault(SessionRejectReason.SENDING_TIME_ACCURACY, 0, text)
    if message.flag(Tag.POSS_DUP_FLAG) and not is_reset(message):
        original_ns = parse_utc_timestamp(message.get(Tag.ORIG_SENDING_TIME))
        sent_ns = parse_utc_timestamp(message.get(Tag.SENDING_TIME))
        if original_ns is not None and sent_ns is not None and original_ns > sent_ns:
            text = "OrigSendingTime after SendingTime"
            return Fault(SessionRejectReason.SENDING_TIME_ACCURACY, 0, text)
    return None


def find_first_message_fault(
    message: FixMessage, settings: SessionSettings, now_ns: int
) -> str | None:
    """Why the first message of a connection is no Logon for this session; None when it is one."""
    if message.msg_type == MsgType.LOGOUT and settings.is_initiator:
        text = message.get(Tag.TEXT).decode("latin-1") or "no reason given"
        return f"peer refused the logon: {text}"
    if message.msg_type != MsgType.LOGON:
        return "first message was no Logon"
    if message.get(Tag.BEGIN_STRING) != settings.identity.begin_string:
        return "Logon with another BeginString"
    if not _is_ours(message, settings.identity):
        return "Logon with a CompID that is not this session's"
    if not _is_time_accurate(message, settings, now_ns):
        return "Logon with a SendingTime too far from our clock"
    fault = find_fault(message)
    return None if fault is None else f"malformed Logon: {fault.text}"


def find_logon_conflict(
    message: FixMessage, settings: SessionSettings, expected_seq: int
) -> str | None:
    """Why a sound Logon is refused, in words for the peer; None when it is accepted."""
    seq = message.number(Tag.MSG_SEQ_NUM) or 0
    asks_reset = message.flag(Tag.RESET_SEQ_NUM_FLAG)
    if message.get(Tag.ENCRYPT_METHOD) != b"0":
        return "EncryptMethod is not 0; use a tunnel for encryption"
    if asks_reset and (seq != 1 or (settings.is_initiator and not settings.reset_on_logon)):
        return "ResetSeqNumFlag without MsgSeqNum 1, or not asked for"
    if seq < expected_seq and not asks_reset:
        return too_low_text(expected_seq, seq)
    return None


def too_low_text(expected_seq: int, seq: int) -> str:
    """The words that peers look for when a number is too low."""
    return f"MsgSeqNum too low, expecting {expected_seq} but received {seq}"


def _is_ours(message: FixMessage, identity: Identity) -> bool:
    return (
        message.get(Tag.SENDER_COMP_ID) == identity.target_comp_id.encode()
        and message.get(Tag.TARGET_COMP_ID) == identity.sender_comp_id.encode()
    )


def _is_time_accurate(message: FixMessage, settings: SessionSettings, now_ns: int) -> bool:
    sent_ns = parse_utc_timestamp(message.get(Tag.SENDING_TIME))
    return sent_ns is None or abs(sent_ns - now_ns) <= settings.time_accuracy_ns
