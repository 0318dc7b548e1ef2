"""What a session asks of the header of a message, and of a Logon; pure functions over the settings.

Source: FIX 4.4 volume 2, standard header and Logon; the session test cases 1c, 1d, 2f, 2k, 2o.
FIXT 1.1, DefaultApplVerID.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from protocols.errors import LocalProtocolError
from protocols.fix.dictionary.check import ValidationRules, check_message
from protocols.fix.dictionary.load import load_dictionary
from protocols.fix.dictionary.model import Dictionary
from protocols.fix.message import Fault, FixMessage, Identity
from protocols.fix.spec import ADMIN_TYPES, MsgType, SessionRejectReason, Tag
from protocols.fix.times import NS_PER_S, parse_utc_timestamp
from protocols.fix.versions import Version, version_of

_TIME_DECIMALS_MAX = 9


@dataclass(frozen=True, slots=True)
class SessionSettings:
    """How one session behaves; both sides have one.

    `application_types` are the MsgTypes that the owner takes; another one of the version gets a
    BusinessMessageReject. `validation` says what is checked against the dictionaries (session,
    application): those of the version, unless others are given. `logon_body` follows the fields of
    our Logon (say Username and Password); nothing shows it.

    Numbers start again at 1: with `reset_on_logon` at each Logon (the initiator asks for it by
    ResetSeqNumFlag, the acceptor does it unasked), with `reset_on_logout` when Logouts were
    exchanged, with `reset_on_disconnect` when a connection ends for whatever reason.

    With `next_expected` our Logon says NextExpectedMsgSeqNum (789), and a peer that says it too
    fills our gap without a ResendRequest; a peer's own 789 is always served. `resend_chunk` bounds
    each ResendRequest of ours; 0 asks for everything at once. `check_latency` holds SendingTime to
    `time_accuracy_ns` around our clock, `check_comp_id` the CompIDs to the identity,
    `requires_orig_sending_time` a possible duplicate to its first time.
    Beyond `kept_messages_max` messages or `kept_bytes_max` bytes nothing is kept above a gap; it
    comes again with the replay. LocalProtocolError for settings that the version cannot have.
    """

    identity: Identity
    is_initiator: bool
    application_types: frozenset[bytes]
    heartbeat_s: int = 30
    validation: ValidationRules = field(default_factory=ValidationRules)
    dictionaries: tuple[Dictionary, Dictionary] | None = field(default=None, repr=False)
    logon_body: bytes = field(default=b"", repr=False)
    reset_on_logon: bool = False
    reset_on_logout: bool = False
    reset_on_disconnect: bool = False
    next_expected: bool = False
    resend_chunk: int = 0
    check_latency: bool = True
    check_comp_id: bool = True
    requires_orig_sending_time: bool = True
    time_decimals: int = 3
    logon_timeout_ns: int = 5 * NS_PER_S
    logout_timeout_ns: int = 2 * NS_PER_S
    resend_timeout_ns: int = 10 * NS_PER_S
    time_accuracy_ns: int = 120 * NS_PER_S
    message_bytes_max: int = 65_536
    kept_messages_max: int = 1_024
    kept_bytes_max: int = 4_194_304
    version: Version = field(init=False, repr=False)
    books: tuple[Dictionary, Dictionary] = field(init=False, repr=False, compare=False)
    data_tags: Mapping[int, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Look the version up and refuse what cannot be."""
        version = version_of(self.identity.begin_string)
        object.__setattr__(self, "version", version)
        own = self.dictionaries
        if own is None:
            own = (load_dictionary(version.name), load_dictionary(version.application))
        object.__setattr__(self, "books", own)
        data_tags = {**own[0].data_tag_of_length, **own[1].data_tag_of_length}
        object.__setattr__(self, "data_tags", data_tags)
        if self.next_expected and not self.version.has_next_expected:
            raise LocalProtocolError(f"{self.version.name} has no NextExpectedMsgSeqNum (789)")
        if self.resend_chunk < 0:
            raise LocalProtocolError(f"resend chunk {self.resend_chunk}: 0 or more numbers")
        if not 0 <= self.time_decimals <= _TIME_DECIMALS_MAX:
            raise LocalProtocolError(f"SendingTime with {self.time_decimals} decimals; 0 to 9")


def is_reset(message: FixMessage) -> bool:
    """SequenceReset-Reset, whose own number means nothing."""
    is_sequence_reset = message.msg_type == MsgType.SEQUENCE_RESET
    return is_sequence_reset and not message.flag(Tag.GAP_FILL_FLAG)


def find_header_fault(message: FixMessage, settings: SessionSettings, now_ns: int) -> Fault | None:
    """CompIDs or times that end a session.

    Fields that are missing, empty or unreadable are left to the dictionary, which names them.
    """
    has_comp_ids = message.get(Tag.SENDER_COMP_ID) and message.get(Tag.TARGET_COMP_ID)
    if has_comp_ids and not _is_ours(message, settings):
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


def find_message_fault(
    message: FixMessage, settings: SessionSettings, peer_appl_ver_id: bytes
) -> Fault | None:
    """What the dictionaries say against a message; None when it is sound.

    The application version of a message is its ApplVerID (1128), else the DefaultApplVerID (1137)
    of the peer's Logon; only one is served.
    """
    served = settings.version.appl_ver_id
    appl_ver_id = message.get(Tag.APPL_VER_ID) or peer_appl_ver_id
    if served and appl_ver_id != served and message.msg_type not in ADMIN_TYPES:
        text = f"ApplVerID {appl_ver_id[:8]!r} is not served, only {served!r}"
        reason = SessionRejectReason.UNSUPPORTED_APPLICATION_VERSION
        return Fault(reason, Tag.APPL_VER_ID, text)
    return check_message(message, *settings.books, settings.validation)


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
    if not _is_ours(message, settings):
        return "Logon with a CompID that is not this session's"
    if not _is_time_accurate(message, settings, now_ns):
        return "Logon with a SendingTime too far from our clock"
    # Whatever the rules are lenient about: without its number there is no Logon.
    if message.number(Tag.MSG_SEQ_NUM) is None:
        return "malformed Logon: MsgSeqNum missing or no number"
    fault = find_message_fault(message, settings, b"")
    return None if fault is None else f"malformed Logon: {fault.text}"


def find_logon_conflict(
    message: FixMessage, settings: SessionSettings, expected_seq: int, next_outgoing: int
) -> str | None:
    """Why a sound Logon is refused, in words for the peer; None when it is accepted.

    `next_outgoing` is the number that our next message gets, or our Logon had where it was first.
    """
    seq = message.number(Tag.MSG_SEQ_NUM) or 0
    asks_reset = message.flag(Tag.RESET_SEQ_NUM_FLAG)
    if message.get(Tag.ENCRYPT_METHOD) != b"0":
        return "EncryptMethod is not 0; use a tunnel for encryption"
    if message.number(Tag.HEART_BT_INT) is None:
        return "HeartBtInt is no number of seconds"
    if asks_reset and (seq != 1 or (settings.is_initiator and not settings.reset_on_logon)):
        return "ResetSeqNumFlag without MsgSeqNum 1, or not asked for"
    served = settings.version.appl_ver_id
    if served and message.get(Tag.DEFAULT_APPL_VER_ID) != served:
        return f"DefaultApplVerID is not {served.decode()} ({settings.version.application})"
    if asks_reset:
        return None
    if seq < expected_seq:
        return too_low_text(expected_seq, seq)
    asked = next_expected_of(message, settings.version)
    if asked is not None and asked > next_outgoing:
        return f"NextExpectedMsgSeqNum too high, expecting {next_outgoing} but received {asked}"
    return None


def next_expected_of(logon: FixMessage, version: Version) -> int | None:
    """What the peer expects next (789), None when it does not say.

    Whoever says it waits to be filled unasked, whether or not we say it too.
    """
    return logon.number(Tag.NEXT_EXPECTED_MSG_SEQ_NUM) if version.has_next_expected else None


def too_low_text(expected_seq: int, seq: int) -> str:
    """The words that peers look for when a number is too low."""
    return f"MsgSeqNum too low, expecting {expected_seq} but received {seq}"


def _is_ours(message: FixMessage, settings: SessionSettings) -> bool:
    if not settings.check_comp_id:
        return True
    identity = settings.identity
    return (
        message.get(Tag.SENDER_COMP_ID) == identity.target_comp_id.encode()
        and message.get(Tag.TARGET_COMP_ID) == identity.sender_comp_id.encode()
    )


def _is_time_accurate(message: FixMessage, settings: SessionSettings, now_ns: int) -> bool:
    if not settings.check_latency:
        return True
    sent_ns = parse_utc_timestamp(message.get(Tag.SENDING_TIME))
    return sent_ns is None or abs(sent_ns - now_ns) <= settings.time_accuracy_ns
