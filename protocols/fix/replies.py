"""Bodies of the messages that a session says for itself; pure functions.

Source: FIX 4.4 volume 2, Logon, Reject, ResendRequest; volume 3, BusinessMessageReject; FIXT 1.1,
Logon.
"""

from protocols.fix.message import Fault, FixMessage, Identity, encode_fields, reverse_route
from protocols.fix.rules import SessionSettings
from protocols.fix.spec import UNSUPPORTED_MESSAGE_TYPE, SessionRejectReason, Tag


def logon_body(
    settings: SessionSettings, heartbeat_s: int, *, is_reset: bool, next_expected: int
) -> bytes:
    """Logon; `next_expected` (789) is said when the settings ask for it."""
    fields: list[tuple[int, bytes | str | int]] = [
        (Tag.ENCRYPT_METHOD, 0),
        (Tag.HEART_BT_INT, heartbeat_s),
    ]
    if is_reset:
        fields.append((Tag.RESET_SEQ_NUM_FLAG, b"Y"))
    if settings.next_expected:
        fields.append((Tag.NEXT_EXPECTED_MSG_SEQ_NUM, next_expected))
    if settings.version.appl_ver_id:
        fields.append((Tag.DEFAULT_APPL_VER_ID, settings.version.appl_ver_id))
    return encode_fields(*fields) + settings.logon_body


def reject_body(message: FixMessage, seq: int, fault: Fault, settings: SessionSettings) -> bytes:
    """Reject of message `seq`; a reason that the version does not have is said in Text alone."""
    fields: list[tuple[int, bytes | str | int]] = [(Tag.REF_SEQ_NUM, seq)]
    if fault.tag or fault.reason is SessionRejectReason.INVALID_TAG_NUMBER:
        fields.append((Tag.REF_TAG_ID, fault.tag))
    if message.msg_type:
        fields.append((Tag.REF_MSG_TYPE, message.msg_type))
    if fault.reason <= settings.version.reject_reason_max:
        fields.append((Tag.SESSION_REJECT_REASON, int(fault.reason)))
    fields.append((Tag.TEXT, fault.text))
    return encode_fields(*reverse_route(message, settings.identity), *fields)


def business_reject_body(message: FixMessage, seq: int, text: str, identity: Identity) -> bytes:
    """BusinessMessageReject of a type that the owner does not take."""
    return encode_fields(
        *reverse_route(message, identity),
        (Tag.REF_SEQ_NUM, seq),
        (Tag.REF_MSG_TYPE, message.msg_type),
        (Tag.BUSINESS_REJECT_REASON, UNSUPPORTED_MESSAGE_TYPE),
        (Tag.TEXT, text),
    )
