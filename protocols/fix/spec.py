"""FIX as data: tags, message types, field formats, required fields, reject reasons.

Source: FIX 4.4 with errata 20030618, volume 6 (fields), volume 2 (session messages), volumes 3 and
4 (application messages); FIXT 1.1 for ApplVerID. Only what the session itself and this project's
own messages need is listed, and it is what a session without a dictionary checks; every field of
every message is in `protocols.fix.dictionary`. How versions differ: `versions.py`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from types import MappingProxyType

class Tag(IntEnum):
    """Field numbers, named as in volume 6."""

    AVG_PX = 6
    BEGIN_SEQ_NO = 7
    BEGIN_STRING = 8
    BODY_LENGTH = 9
    CHECK_SUM = 10
    CL_ORD_ID = 11
    CUM_QTY = 14
    END_SEQ_NO = 16
    EXEC_ID = 17
    MSG_SEQ_NUM = 34
    MSG_TYPE = 35
    NEW_SEQ_NO = 36
    ORDER_ID = 37
    ORDER_QTY = 38
    ORD_STATUS = 39
    ORD_TYPE = 40
    POSS_DUP_FLAG = 43
    PRICE = 44
    REF_SEQ_NUM = 45
    SENDER_COMP_ID = 49
    SENDER_SUB_ID = 50
    SENDING_TIME = 52
    SIDE = 54
    SYMBOL = 55
    TARGET_COMP_ID = 56
    TARGET_SUB_ID = 57
    TEXT = 58
    TRANSACT_TIME = 60
    SIGNATURE = 89
    SECURE_DATA_LEN = 90
    SECURE_DATA = 91
    SIGNATURE_LENGTH = 93
    POSS_RESEND = 97
    ENCRYPT_METHOD = 98
    HEART_BT_INT = 108
    TEST_REQ_ID = 112
    ON_BEHALF_OF_COMP_ID = 115
    ON_BEHALF_OF_SUB_ID = 116
    ORIG_SENDING_TIME = 122
    GAP_FILL_FLAG = 123
    DELIVER_TO_COMP_ID = 128
    DELIVER_TO_SUB_ID = 129
    RESET_SEQ_NUM_FLAG = 141
    SENDER_LOCATION_ID = 142
    TARGET_LOCATION_ID = 143
    ON_BEHALF_OF_LOCATION_ID = 144
    DELIVER_TO_LOCATION_ID = 145
    EXEC_TYPE = 150
    LEAVES_QTY = 151
    XML_DATA_LEN = 212
    XML_DATA = 213
    SECURITY_TRADING_STATUS = 326
    MESSAGE_ENCODING = 347
    LAST_MSG_SEQ_NUM_PROCESSED = 369
    REF_TAG_ID = 371
    REF_MSG_TYPE = 372
    SESSION_REJECT_REASON = 373
    BUSINESS_REJECT_REASON = 380
    NEXT_EXPECTED_MSG_SEQ_NUM = 789
    APPL_VER_ID = 1128
    DEFAULT_APPL_VER_ID = 1137


class MsgType:
    """Values of MsgType (35) that this project sends or reads."""

    HEARTBEAT = b"0"
    TEST_REQUEST = b"1"
    RESEND_REQUEST = b"2"
    REJECT = b"3"
    SEQUENCE_RESET = b"4"
    LOGOUT = b"5"
    EXECUTION_REPORT = b"8"
    LOGON = b"A"
    NEW_ORDER_SINGLE = b"D"
    SECURITY_DEFINITION = b"d"
    SECURITY_STATUS = b"f"
    BUSINESS_MESSAGE_REJECT = b"j"


ADMIN_TYPES: frozenset[bytes] = frozenset(b"%c" % code for code in b"012345A")
"""Session messages: never sent again, a gap fill takes their place."""

class SessionRejectReason(IntEnum):
    """Values of SessionRejectReason (373)."""

    INVALID_TAG_NUMBER = 0
    REQUIRED_TAG_MISSING = 1
    TAG_NOT_DEFINED_FOR_TYPE = 2
    UNDEFINED_TAG = 3
    TAG_WITHOUT_VALUE = 4
    VALUE_INCORRECT = 5
    INCORRECT_DATA_FORMAT = 6
    DECRYPTION_PROBLEM = 7
    SIGNATURE_PROBLEM = 8
    COMP_ID_PROBLEM = 9
    SENDING_TIME_ACCURACY = 10
    INVALID_MSG_TYPE = 11
    XML_VALIDATION = 12
    TAG_TWICE = 13
    TAG_OUT_OF_ORDER = 14
    GROUP_OUT_OF_ORDER = 15
    GROUP_COUNT = 16
    VALUE_HOLDS_SEPARATOR = 17
    UNSUPPORTED_APPLICATION_VERSION = 18


UNSUPPORTED_MESSAGE_TYPE = 3
"""Value of BusinessRejectReason (380)."""

FORMATS: Mapping[int, str] = MappingProxyType(
    {
        Tag.BEGIN_SEQ_NO: "seqnum",
        Tag.CUM_QTY: "decimal",
        Tag.END_SEQ_NO: "seqnum",
        Tag.MSG_SEQ_NUM: "seqnum",
        Tag.NEW_SEQ_NO: "seqnum",
        Tag.ORDER_QTY: "decimal",
        Tag.ORD_STATUS: "char",
        Tag.ORD_TYPE: "char",
        Tag.POSS_DUP_FLAG: "boolean",
        Tag.PRICE: "decimal",
        Tag.REF_SEQ_NUM: "seqnum",
        Tag.SENDING_TIME: "utc_timestamp",
        Tag.SIDE: "char",
        Tag.TRANSACT_TIME: "utc_timestamp",
        Tag.POSS_RESEND: "boolean",
        Tag.ENCRYPT_METHOD: "seqnum",
        Tag.HEART_BT_INT: "seqnum",
        Tag.ORIG_SENDING_TIME: "utc_timestamp",
        Tag.GAP_FILL_FLAG: "boolean",
        Tag.RESET_SEQ_NUM_FLAG: "boolean",
        Tag.AVG_PX: "decimal",
        Tag.EXEC_TYPE: "char",
        Tag.LEAVES_QTY: "decimal",
        Tag.SECURITY_TRADING_STATUS: "seqnum",
        Tag.REF_TAG_ID: "seqnum",
        Tag.SESSION_REJECT_REASON: "seqnum",
        Tag.BUSINESS_REJECT_REASON: "seqnum",
        Tag.NEXT_EXPECTED_MSG_SEQ_NUM: "seqnum",
    }
)
"""Format by tag; a tag that is not here is text."""

DATA_TAG_OF_LENGTH: Mapping[int, int] = MappingProxyType(
    {90: 91, 93: 89, 95: 96, 212: 213, 348: 349, 350: 351, 352: 353, 354: 355, 356: 357, 358: 359}
    | {360: 361, 362: 363, 364: 365, 445: 446, 618: 619, 621: 622}
)
"""Data fields may hold any byte, the separator too: the length field before each says where it
ends.
"""


@dataclass(frozen=True, slots=True)
class MessageSpec:
    """One message: type, name, where it is specified, and the body fields without which it means
    nothing.
    """

    msg_type: bytes
    name: str
    section: str
    required: tuple[Tag, ...]


_T = Tag
SINGLE_TAGS: frozenset[int] = frozenset(
    (_T.BEGIN_SEQ_NO, _T.END_SEQ_NO, _T.MSG_SEQ_NUM, _T.MSG_TYPE, _T.NEW_SEQ_NO, _T.POSS_DUP_FLAG)
    + (_T.REF_SEQ_NUM, _T.SENDER_COMP_ID, _T.SENDING_TIME, _T.TARGET_COMP_ID, _T.POSS_RESEND)
    + (_T.ENCRYPT_METHOD, _T.HEART_BT_INT, _T.TEST_REQ_ID, _T.ORIG_SENDING_TIME, _T.GAP_FILL_FLAG)
    + (_T.RESET_SEQ_NUM_FLAG, _T.SESSION_REJECT_REASON, _T.NEXT_EXPECTED_MSG_SEQ_NUM)
    + (_T.BEGIN_STRING, _T.BODY_LENGTH, _T.CHECK_SUM, _T.DEFAULT_APPL_VER_ID)
)
"""Tags of header and session messages that no repeating group of any message holds: one that comes
twice is a fault even to a session without a dictionary.
"""

HEADER_TAGS: frozenset[int] = frozenset(
    (_T.BEGIN_STRING, _T.BODY_LENGTH, _T.MSG_TYPE, _T.MSG_SEQ_NUM, _T.SENDER_COMP_ID)
    + (_T.SENDING_TIME, _T.TARGET_COMP_ID, _T.POSS_DUP_FLAG, _T.POSS_RESEND, _T.ORIG_SENDING_TIME)
    + (_T.SENDER_SUB_ID, _T.TARGET_SUB_ID, _T.SENDER_LOCATION_ID, _T.TARGET_LOCATION_ID)
    + (_T.ON_BEHALF_OF_COMP_ID, _T.ON_BEHALF_OF_SUB_ID, _T.ON_BEHALF_OF_LOCATION_ID)
    + (_T.DELIVER_TO_COMP_ID, _T.DELIVER_TO_SUB_ID, _T.DELIVER_TO_LOCATION_ID)
    + (_T.APPL_VER_ID, _T.CHECK_SUM)
    + (_T.SECURE_DATA_LEN, _T.SECURE_DATA, _T.XML_DATA_LEN, _T.XML_DATA, _T.MESSAGE_ENCODING)
    + (_T.LAST_MSG_SEQ_NUM_PROCESSED, _T.SIGNATURE_LENGTH, _T.SIGNATURE)
)
"""Fields of header and trailer: what is not content of a message."""

ROUTES: Mapping[Tag, Tag] = MappingProxyType(
    {
        _T.ON_BEHALF_OF_COMP_ID: _T.DELIVER_TO_COMP_ID,
        _T.ON_BEHALF_OF_SUB_ID: _T.DELIVER_TO_SUB_ID,
        _T.ON_BEHALF_OF_LOCATION_ID: _T.DELIVER_TO_LOCATION_ID,
        _T.DELIVER_TO_COMP_ID: _T.ON_BEHALF_OF_COMP_ID,
        _T.DELIVER_TO_SUB_ID: _T.ON_BEHALF_OF_SUB_ID,
        _T.DELIVER_TO_LOCATION_ID: _T.ON_BEHALF_OF_LOCATION_ID,
        _T.SENDER_SUB_ID: _T.TARGET_SUB_ID,
        _T.SENDER_LOCATION_ID: _T.TARGET_LOCATION_ID,
        _T.TARGET_SUB_ID: _T.SENDER_SUB_ID,
        _T.TARGET_LOCATION_ID: _T.SENDER_LOCATION_ID,
    }
)
"""Where a routing field of a message goes in the answer to it (volume 1, message routing)."""

MESSAGES: Mapping[bytes, MessageSpec] = MappingProxyType(
    {
        item.msg_type: item
        for item in (
            MessageSpec(MsgType.HEARTBEAT, "Heartbeat", "vol. 2", ()),
            MessageSpec(MsgType.TEST_REQUEST, "TestRequest", "vol. 2", (_T.TEST_REQ_ID,)),
            MessageSpec(
                MsgType.RESEND_REQUEST, "ResendRequest", "vol. 2", (_T.BEGIN_SEQ_NO, _T.END_SEQ_NO)
            ),
            MessageSpec(MsgType.REJECT, "Reject", "vol. 2", (_T.REF_SEQ_NUM,)),
            MessageSpec(MsgType.SEQUENCE_RESET, "SequenceReset", "vol. 2", (_T.NEW_SEQ_NO,)),
            MessageSpec(MsgType.LOGOUT, "Logout", "vol. 2", ()),
            MessageSpec(MsgType.LOGON, "Logon", "vol. 2", (_T.ENCRYPT_METHOD, _T.HEART_BT_INT)),
            MessageSpec(
                MsgType.NEW_ORDER_SINGLE,
                "NewOrderSingle",
                "vol. 4",
                (_T.CL_ORD_ID, _T.SYMBOL, _T.SIDE, _T.TRANSACT_TIME, _T.ORD_TYPE),
            ),
            MessageSpec(
                MsgType.EXECUTION_REPORT,
                "ExecutionReport",
                "vol. 4",
                (
                    _T.ORDER_ID,
                    _T.EXEC_ID,
                    _T.EXEC_TYPE,
                    _T.ORD_STATUS,
                    _T.SYMBOL,
                    _T.SIDE,
                    _T.LEAVES_QTY,
                    _T.CUM_QTY,
                    _T.AVG_PX,
                ),
            ),
            MessageSpec(MsgType.SECURITY_STATUS, "SecurityStatus", "vol. 3", (_T.SYMBOL,)),
            MessageSpec(
                MsgType.BUSINESS_MESSAGE_REJECT,
                "BusinessMessageReject",
                "vol. 3",
                (_T.REF_MSG_TYPE, _T.BUSINESS_REJECT_REASON),
            ),
        )
    }
)
"""What is exchanged, by MsgType."""

HEADER_REQUIRED: tuple[Tag, ...] = (
    Tag.MSG_SEQ_NUM,
    Tag.SENDER_COMP_ID,
    Tag.SENDING_TIME,
    Tag.TARGET_COMP_ID,
)
"""Header fields of every message besides the first three, which the frame guarantees."""
