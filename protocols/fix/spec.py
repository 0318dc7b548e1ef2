"""The part of FIX that code names: tags, message types, reject reasons, data fields, routing.

Source: FIX 4.4 with errata 20030618, volume 6 (fields), volume 2 (session messages); FIXT 1.1 for
ApplVerID. Every field of every message is in `protocols.fix.dictionary`; how versions differ at
session level: `versions.py`.
"""

from collections.abc import Mapping
from enum import IntEnum
from types import MappingProxyType

SOH = 1
"""The byte between fields (volume 1, message format)."""


class Tag(IntEnum):
    """Field numbers that code names, named as in volume 6."""

    AVG_PX = 6
    BEGIN_SEQ_NO = 7
    BEGIN_STRING = 8
    BODY_LENGTH = 9
    CHECK_SUM = 10
    CL_ORD_ID = 11
    CUM_QTY = 14
    END_SEQ_NO = 16
    EXEC_ID = 17
    LAST_PX = 31
    LAST_QTY = 32
    MSG_SEQ_NUM = 34
    MSG_TYPE = 35
    NEW_SEQ_NO = 36
    ORDER_ID = 37
    ORDER_QTY = 38
    ORD_STATUS = 39
    ORD_TYPE = 40
    ORIG_CL_ORD_ID = 41
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
    TIME_IN_FORCE = 59
    TRANSACT_TIME = 60
    POSS_RESEND = 97
    CXL_REJ_REASON = 102
    ORD_REJ_REASON = 103
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
    SECURITY_TRADING_STATUS = 326
    MASS_CANCEL_REQUEST_TYPE = 530
    REF_TAG_ID = 371
    REF_MSG_TYPE = 372
    SESSION_REJECT_REASON = 373
    BUSINESS_REJECT_REASON = 380
    CXL_REJ_RESPONSE_TO = 434
    SECONDARY_EXEC_ID = 527
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
    ORDER_CANCEL_REJECT = b"9"
    LOGON = b"A"
    NEW_ORDER_SINGLE = b"D"
    ORDER_CANCEL_REQUEST = b"F"
    ORDER_CANCEL_REPLACE_REQUEST = b"G"
    SECURITY_DEFINITION = b"d"
    SECURITY_STATUS = b"f"
    ORDER_MASS_CANCEL_REQUEST = b"q"
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
ends. FIX 4.2 (volume 1, data fields), 4.4 (volume 6), 5.0 SP2 with its extension packs (volume 6);
a session takes those of its version from its dictionaries.
"""

ROUTES: Mapping[Tag, Tag] = MappingProxyType(
    {
        Tag.ON_BEHALF_OF_COMP_ID: Tag.DELIVER_TO_COMP_ID,
        Tag.ON_BEHALF_OF_SUB_ID: Tag.DELIVER_TO_SUB_ID,
        Tag.ON_BEHALF_OF_LOCATION_ID: Tag.DELIVER_TO_LOCATION_ID,
        Tag.DELIVER_TO_COMP_ID: Tag.ON_BEHALF_OF_COMP_ID,
        Tag.DELIVER_TO_SUB_ID: Tag.ON_BEHALF_OF_SUB_ID,
        Tag.DELIVER_TO_LOCATION_ID: Tag.ON_BEHALF_OF_LOCATION_ID,
        Tag.SENDER_SUB_ID: Tag.TARGET_SUB_ID,
        Tag.SENDER_LOCATION_ID: Tag.TARGET_LOCATION_ID,
        Tag.TARGET_SUB_ID: Tag.SENDER_SUB_ID,
        Tag.TARGET_LOCATION_ID: Tag.SENDER_LOCATION_ID,
    }
)
"""Where a routing field of a message goes in the answer to it (volume 1, message routing)."""
