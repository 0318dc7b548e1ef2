"""One FIX message of any version: from a frame to fields and back.

What a message must and may hold is said by `protocols.fix.dictionary`; here only what no message
can be read without. Source: FIX 4.4 volume 1 (fields, data fields, header order), volume 2
(SessionRejectReason).
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from protocols.errors import LocalProtocolError
from protocols.fix.framing import TRAILER_BYTES, checksum
from protocols.fix.spec import (
    DATA_TAG_OF_LENGTH,
    ROUTES,
    SessionRejectReason,
    Tag,
)

_SOH = b"\x01"
_SEQ_DIGITS_MAX = 18
_TAG_DIGITS_MAX = 9
_KNOWN_TAGS: Mapping[bytes, int] = {b"%d" % tag: int(tag) for tag in Tag}
_ODD_TAG = re.compile(rb"0|-[1-9][0-9]{0,8}")


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a message is rejected: reason (373), the tag (371) or 0, and a sentence (58).

    With INVALID_TAG_NUMBER the tag is the number as it was sent, 0 where it was none at all.
    """

    reason: SessionRejectReason
    tag: int
    text: str


@dataclass(frozen=True, slots=True)
class FixMessage:
    """A decoded message: fields in wire order, the first value by tag, and the first structural
    fault if any.
    """

    msg_type: bytes
    fields: tuple[tuple[int, bytes], ...]
    fault: Fault | None = None
    by_tag: Mapping[int, bytes] = field(default_factory=dict, repr=False)

    def get(self, tag: int) -> bytes:
        """Value of the first field with this tag, empty when there is none."""
        return self.by_tag.get(tag, b"")

    def number(self, tag: int) -> int | None:
        """Value as an integer from 0, None when the field is missing or no such number."""
        text = self.by_tag.get(tag, b"")
        return int(text) if text.isdigit() and len(text) <= _SEQ_DIGITS_MAX else None

    def flag(self, tag: int) -> bool:
        """True when a boolean field is there and says Y."""
        return self.by_tag.get(tag) == b"Y"


def _read_tag(text: bytes) -> int | None:
    """A tag number: digits, no leading zero, at most nine."""
    known = _KNOWN_TAGS.get(text)
    if known is not None:
        return known
    if not text.isdigit() or text[0] == ord("0") or len(text) > _TAG_DIGITS_MAX:
        return None
    return int(text)


def decode(frame: bytes, data_tags: Mapping[int, int] = DATA_TAG_OF_LENGTH) -> FixMessage:
    """Fields of a frame that `Framer` gave; a structural fault is noted in the message, never
    raised. `data_tags` gives the data field that each length field announces.
    """
    fields: list[tuple[int, bytes]] = []
    by_tag: dict[int, bytes] = {}
    fault: Fault | None = None
    parts = frame.split(_SOH)
    at, last, data_tag, data_bytes = 0, len(parts) - 1, 0, 0
    while at < last:
        tag_text, equals, value = parts[at].partition(b"=")
        at += 1
        tag = _read_tag(tag_text)
        if tag is None or not equals:
            text = f"field {len(fields) + 1} has no tag number: {parts[at - 1][:32]!r}"
            number = int(tag_text) if _ODD_TAG.fullmatch(tag_text) else 0
            fault = fault or Fault(SessionRejectReason.INVALID_TAG_NUMBER, number, text)
            continue
        if tag == data_tag:
            size, first = len(value), at
            while size < data_bytes and at < last:
                size += 1 + len(parts[at])
                at += 1
            value = _SOH.join([value, *parts[first:at]])
            if size != data_bytes:
                text = f"tag {tag} holds {size} bytes, its length field says {data_bytes}"
                fault = fault or Fault(SessionRejectReason.INCORRECT_DATA_FORMAT, tag, text)
        data_tag = 0
        if tag in data_tags and value.isdigit() and len(value) <= _TAG_DIGITS_MAX:
            data_tag, data_bytes = data_tags[tag], int(value)
        by_tag.setdefault(tag, value)
        fields.append((tag, value))
    return FixMessage(by_tag.get(Tag.MSG_TYPE, b""), tuple(fields), fault, by_tag)


def join_fields(fields: Iterable[tuple[int, bytes]]) -> bytes:
    """Body bytes of fields as they were decoded: a data field keeps its separators, an empty field
    stays empty.
    """
    return b"".join(b"%d=%b\x01" % field for field in fields)


def encode_fields(*fields: tuple[int, bytes | str | int]) -> bytes:
    """Body bytes `tag=value|…`; LocalProtocolError when a value is empty or holds the separator."""
    parts = []
    for tag, value in fields:
        raw = value if isinstance(value, bytes) else str(value).encode()
        if not raw or _SOH in raw:
            raise LocalProtocolError(f"tag {tag}: {raw[:32]!r} is empty or holds the separator")
        parts.append(b"%d=%b\x01" % (tag, raw))
    return b"".join(parts)


@dataclass(frozen=True, slots=True)
class Identity:
    """Whose messages these are: our CompID, the peer's, the version, and, where a desk or a place
    is named too, the SubIDs and LocationIDs (empty ones are not sent).
    """

    sender_comp_id: str
    target_comp_id: str
    begin_string: bytes = b"FIX.4.4"
    sender_sub_id: str = ""
    target_sub_id: str = ""
    sender_location_id: str = ""
    target_location_id: str = ""
    comp_ids: bytes = field(init=False, repr=False, compare=False)
    sub_ids: bytes = field(init=False, repr=False, compare=False)
    sub_tags: frozenset[int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Lay out the header fields that every message of this session shares."""
        pair = (
            (Tag.SENDER_COMP_ID, self.sender_comp_id),
            (Tag.TARGET_COMP_ID, self.target_comp_id),
        )
        rest = (
            (Tag.SENDER_SUB_ID, self.sender_sub_id),
            (Tag.TARGET_SUB_ID, self.target_sub_id),
            (Tag.SENDER_LOCATION_ID, self.sender_location_id),
            (Tag.TARGET_LOCATION_ID, self.target_location_id),
        )
        given = [item for item in rest if item[1]]
        object.__setattr__(self, "comp_ids", encode_fields(*pair))
        object.__setattr__(self, "sub_ids", encode_fields(*given))
        object.__setattr__(self, "sub_tags", frozenset(int(tag) for tag, _ in given))


def reverse_route(message: FixMessage, identity: Identity) -> list[tuple[int, bytes]]:
    """Routing fields of an answer: where the message came from is where the answer goes.

    They belong to the header; give them to `encode_fields` before the body. Empty ones are left
    out, and what every message of this identity says anyway.
    """
    return [
        (int(back), value)
        for tag, back in ROUTES.items()
        if back not in identity.sub_tags and (value := message.get(tag))
    ]


def encode(
    identity: Identity,
    msg_type: bytes,
    seq: int,
    sending_time: bytes,
    body: bytes,
    orig: bytes = b"",
) -> bytes:
    """A whole message; `orig` (OrigSendingTime) makes it a possible duplicate. `body` comes from
    `encode_fields`.
    """
    return _encode(identity, msg_type, seq, sending_time, identity.sub_ids + body, orig)


def encode_again(identity: Identity, wire: bytes, sending_time: bytes) -> bytes:
    """A message that `encode` made, marked as a possible duplicate with its first SendingTime as
    OrigSendingTime.
    """
    parts = wire.split(_SOH, 7)
    rest = parts[7][:-TRAILER_BYTES]
    return _encode(identity, parts[2][3:], int(parts[3][3:]), sending_time, rest, parts[6][3:])


def _encode(
    identity: Identity, msg_type: bytes, seq: int, sending_time: bytes, rest: bytes, orig: bytes
) -> bytes:
    """`rest` is what follows the header fields that change with each sending."""
    repeat = b"43=Y\x01122=%b\x01" % orig if orig else b""
    inner = b"35=%b\x0134=%d\x01%b52=%b\x01%b%b" % (
        msg_type, seq, identity.comp_ids, sending_time, repeat, rest
    )  # fmt: skip
    whole = b"8=%b\x019=%d\x01%b" % (identity.begin_string, len(inner), inner)
    return b"%b10=%03d\x01" % (whole, checksum(whole))
