"""FIX 4.4 as data: tags, message types, field formats, required fields, reject reasons.

Source: FIX 4.4 with errata 20030618, volume 6 (fields), volume 2 (session messages), volumes 3 and
4 (application messages). Only the fields and messages that this project exchanges are listed; an
unlisted tag is let through unchecked.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from types import MappingProxyType

BEGIN_STRING = b"FIX.4.4"


class Tag(IntEnum):
    """Field numbers, named as in volume 6."""

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
    SENDING_TIME = 52
    SIDE = 54
    SYMBOL = 55
    TARGET_COMP_ID = 56
    TEXT = 58
    TRANSACT_TIME = 60
    POSS_RESEND = 97
    ENCRYPT_METHOD = 98
    HEART_BT_INT = 108
    TEST_REQ_ID = 112
    ORIG_SENDING_TIME = 122
    GAP_FILL_FLAG = 123
    RESET_SEQ_NUM_FLAG = 141
    AVG_PX = 6
    EXEC_TYPE = 150
    LEAVES_QTY = 151
    SECURITY_TRADING_STATUS = 326
    REF_TAG_ID = 371
    REF_MSG_TYPE = 372
    SESSION_REJECT_REASON = 373
    BUSINESS_REJECT_REASON = 380


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
    SECURITY_STATUS = b"f"
    BUSINESS_MESSAGE_REJECT = b"j"


ADMIN_TYPES: frozenset[bytes] = frozenset(b"%c" % code for code in b"012345A")
"""Session messages: never sent again, a gap fill takes their place."""

_SINGLE = "06789BCDEFGHJKLMNPQRSTVWXYZabcdefghijklmnopqrstuvwxyz"
_DOUBLE = [f"A{code}" for code in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"] + [
    f"B{code}" for code in "ABCDEFGH"
]
STANDARD_TYPES: frozenset[bytes] = ADMIN_TYPES | {code.encode() for code in (*_SINGLE, *_DOUBLE)}
"""Every MsgType of FIX 4.4; one that starts with U is user-defined."""


class SessionRejectReason(IntEnum):
    """Values of SessionRejectReason (373)."""

    INVALID_TAG_NUMBER = 0
    REQUIRED_TAG_MISSING = 1
    TAG_WITHOUT_VALUE = 4
    VALUE_INCORRECT = 5
    INCORRECT_DATA_FORMAT = 6
    COMP_ID_PROBLEM = 9
    SENDING_TIME_ACCURACY = 10
    INVALID_MSG_TYPE = 11
    TAG_TWICE = 13


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
    }
)
"""Format by tag; a tag that is not here is text."""

DATA_TAG_OF_LENGTH: Mapping[int, int] = MappingProxyType(
    {90: 91, 93: 89, 95: 96, 212: 213, 348: 349, 350: 351, 352: 353, 354: 355, 356: 357, 358: 359}
    | {360: 361, 362: 363, 364: 365, 445: 446, 618: 619, 621: 622}
    # From here on FIX 5.0 SP2.
    | {1184: 1185, 1277: 1278, 1280: 1281, 1282: 1283, 1397: 1398, 1401: 1402, 1403: 1404}
    | {1468: 1469, 1525: 1527, 1578: 1579, 1620: 1621, 1664: 1665, 1678: 1697, 1733: 1734}
    | {1871: 1872, 1874: 1875, 2072: 2073, 2074: 2075, 2111: 2112, 2179: 2180, 2287: 2288}
    | {2351: 2352, 2372: 2371, 2481: 2482, 2494: 2493, 2522: 2521, 2637: 2638, 2651: 2652}
    | {2665: 2666, 2715: 2716, 2718: 2719, 2721: 2722, 2797: 2798, 2802: 2801, 2809: 2808}
    | {2815: 2814, 40004: 40005, 40008: 40009, 40978: 40979, 40980: 40981, 40982: 40983}
    | {40984: 40985, 40986: 40987, 40988: 40989, 41083: 41084, 41101: 41102, 41107: 41108}
    | {41256: 41257, 41320: 41321, 41324: 41325, 41458: 41459, 41476: 41477, 41482: 41483}
    | {41653: 41654, 41710: 41711, 41806: 41807, 41811: 41812, 41873: 41874, 41969: 41970}
    | {42025: 42026, 42171: 42172, 42451: 42452, 42652: 42653, 42947: 42948, 43109: 42684}
    | {43110: 42486, 43111: 42982}
)
"""Data fields may hold any byte, the separator too: the length field before each says where it
ends. FIX 4.2 (volume 1, data fields), 4.4 (volume 6), 5.0 SP2 with its extension packs (volume 6).
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
