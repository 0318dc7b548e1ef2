"""Whether a message keeps to its data dictionary, and if not, which reject says so.

One walk over the fields, in the order of the wire. Source: FIX 4.4 volume 2, SessionRejectReason
(373) and the session test cases 14a to 14k; where those leave a choice, what QuickFIX does.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from protocols.fix.dictionary.formats import FORMATS
from protocols.fix.dictionary.model import Dictionary, FieldDef
from protocols.fix.dictionary.tables import (
    GroupTable,
    MessageTable,
    Rulebook,
    Slot,
    rulebook,
    value_check,
)
from protocols.fix.message import Fault, FixMessage
from protocols.fix.spec import SessionRejectReason, Tag

USER_TAG_MIN = 5_000
"""Tags from here on are free for peers to agree upon."""

_SHOWN_BYTES = 32

_PHRASES: Mapping[SessionRejectReason, str] = {
    SessionRejectReason.INVALID_TAG_NUMBER: "Invalid tag number",
    SessionRejectReason.REQUIRED_TAG_MISSING: "Required tag missing",
    SessionRejectReason.TAG_NOT_DEFINED_FOR_TYPE: "Tag not defined for this message type",
    SessionRejectReason.UNDEFINED_TAG: "Undefined tag",
    SessionRejectReason.TAG_WITHOUT_VALUE: "Tag specified without a value",
    SessionRejectReason.VALUE_INCORRECT: "Value is incorrect (out of range) for this tag",
    SessionRejectReason.INCORRECT_DATA_FORMAT: "Incorrect data format for value",
    SessionRejectReason.TAG_TWICE: "Tag appears more than once",
    SessionRejectReason.TAG_OUT_OF_ORDER: "Tag specified out of required order",
    SessionRejectReason.GROUP_OUT_OF_ORDER: "Repeating group fields out of order",
    SessionRejectReason.GROUP_COUNT: "Incorrect NumInGroup count for repeating group",
}
"""The specification's words for the reasons; the tag follows."""

_DECODER_SAYS = frozenset(
    {SessionRejectReason.INVALID_TAG_NUMBER, SessionRejectReason.INCORRECT_DATA_FORMAT}
)


@dataclass(frozen=True, slots=True)
class ValidationRules:
    """What is checked; the names are those of QuickFIX's settings.

    `validate_fields_out_of_order`: header, body and trailer in this order (reason 14).
    `validate_fields_have_values`: no empty field (4).
    `validate_user_defined_fields`: tags from 5000 on that the message does not have (0 and 2).
    `allow_unknown_message_fields`: the same below 5000; such fields are let through.
    `check_required_fields`: all that is required is there (1).
    `validate_unordered_group_fields`: fields of a group's entry in the dictionary's order (15).
    `tell_undefined_from_invalid`: a tag that no dictionary has gets 3, undefined tag, instead of 0,
    which test case 14a asks for.
    """

    validate_fields_out_of_order: bool = True
    validate_fields_have_values: bool = True
    validate_user_defined_fields: bool = True
    allow_unknown_message_fields: bool = False
    check_required_fields: bool = True
    validate_unordered_group_fields: bool = True
    tell_undefined_from_invalid: bool = False


_ALL_RULES = ValidationRules()


def check_message(
    message: FixMessage,
    session: Dictionary,
    application: Dictionary,
    rules: ValidationRules = _ALL_RULES,
) -> Fault | None:
    """The first fault of a message, None when it is sound.

    What decoding found comes first (no tag number, a data field that does not fit its length), then
    an unknown MsgType, fields out of order, missing fields (of header, trailer and body by tag,
    then of entries of groups), then all else in the order of the wire. Takes time and memory in
    proportion to the fields, whatever the count of a group says.
    """
    fault = message.fault
    if fault is not None and fault.reason in _DECODER_SAYS:
        return fault
    book = rulebook(session, application)
    table = book.table(message.msg_type)
    if table is None:
        return _type_fault(message, book)
    return _Walk(message.fields, table, book, rules).run()


def _type_fault(message: FixMessage, book: Rulebook) -> Fault:
    """MsgType is missing, empty, or none that the dictionaries have (told without a tag)."""
    if message.msg_type:
        text = f"Invalid MsgType: {message.msg_type[:_SHOWN_BYTES]!r}"
        return Fault(SessionRejectReason.INVALID_MSG_TYPE, 0, text)
    is_there = any(tag == Tag.MSG_TYPE for tag, _ in message.fields)
    reason = (
        SessionRejectReason.TAG_WITHOUT_VALUE
        if is_there
        else SessionRejectReason.REQUIRED_TAG_MISSING
    )
    return _fault(book, reason, Tag.MSG_TYPE)


def _fault(book: Rulebook, reason: SessionRejectReason, tag: int, detail: str = "") -> Fault:
    return Fault(reason, tag, f"{_PHRASES[reason]}: {_label(book, tag)}{detail}")


def _label(book: Rulebook, tag: int) -> str:
    """Number and name of a field, for people."""
    field = book.field(tag)
    return str(tag) if field is None else f"{tag} ({field.name})"


class _Walk:
    """One message under check: the rules, and the first fault of each kind that was found."""

    __slots__ = ("_above", "_book", "_fields", "_found", "_missing", "_rules", "_table")

    def __init__(
        self,
        fields: tuple[tuple[int, bytes], ...],
        table: MessageTable,
        book: Rulebook,
        rules: ValidationRules,
    ) -> None:
        self._fields = fields
        self._table = table
        self._book = book
        self._rules = rules
        self._above: list[Mapping[int, Slot]] = [table.slots]
        self._missing: Fault | None = None
        self._found: Fault | None = None

    def run(self) -> Fault | None:
        """Walk over the top level of the message; groups walk over their entries."""
        fields, slots, end = self._fields, self._table.slots, len(self._fields)
        is_ordered = self._rules.validate_fields_out_of_order
        seen: set[int] = set()
        at = last_rank = 0
        while at < end:
            tag, value = fields[at]
            at += 1
            slot = slots.get(tag)
            if slot is None:
                self._take_unknown(tag, value)
                continue
            rank, is_valid, group, field = slot
            if rank != last_rank:
                if rank < last_rank and is_ordered:
                    return _fault(self._book, SessionRejectReason.TAG_OUT_OF_ORDER, tag)
                last_rank = rank
            if tag in seen:
                self._note(SessionRejectReason.TAG_TWICE, tag)
            seen.add(tag)
            if not is_valid(value):
                self._note_value(field, value)
            if group is not None:
                at = self._walk_group(at, group, tag, value)
        return self._find_missing(seen) or self._missing or self._found

    def _find_missing(self, seen: set[int]) -> Fault | None:
        """The first required field that the top level lacks."""
        table = self._table
        if table.required <= seen or not self._rules.check_required_fields:
            return None
        tag = next(tag for tag in table.required_in_order if tag not in seen)
        return _fault(self._book, SessionRejectReason.REQUIRED_TAG_MISSING, tag)

    def _walk_group(self, at: int, group: GroupTable, count_tag: int, count: bytes) -> int:
        """Walk over the entries of a group from field `at`; where the group ends.

        A field of a level above ends it, and before the first entry any that is no member. Nested
        groups go as deep as the dictionary does.
        """
        fields, slots, end = self._fields, group.slots, len(self._fields)
        is_ordered = self._rules.validate_unordered_group_fields
        entry_count = last_rank = 0
        seen: set[int] = set()
        while at < end:
            tag, value = fields[at]
            slot = slots.get(tag)
            if slot is None:
                if not entry_count or any(tag in above for above in self._above):
                    break
                at += 1
                self._take_unknown(tag, value)
                continue
            at += 1
            rank, is_valid, nested, field = slot
            if rank == 0 or not entry_count:
                self._close_entry(group, seen, count_tag, entry_count)
                entry_count += 1
                seen = set()
            if (rank and not seen) or tag in seen or (rank < last_rank and is_ordered and rank):
                self._note(SessionRejectReason.GROUP_OUT_OF_ORDER, tag)
            last_rank = rank
            seen.add(tag)
            if not is_valid(value):
                self._note_value(field, value)
            if nested is not None:
                self._above.append(slots)
                at = self._walk_group(at, nested, tag, value)
                self._above.pop()
        self._close_entry(group, seen, count_tag, entry_count)
        if FORMATS["NUMINGROUP"](count) and int(count) != entry_count:
            detail = f" says {int(count)}, there are {entry_count} entries"
            self._note(SessionRejectReason.GROUP_COUNT, count_tag, detail)
        return at

    def _close_entry(
        self, group: GroupTable, seen: set[int], count_tag: int, entry_count: int
    ) -> None:
        """Note what the entry that ends here lacks. After a field out of order nothing is noted:
        what seems missing may stand in another entry.
        """
        if not entry_count or group.required <= seen or self._missing is not None:
            return
        found = self._found
        is_disordered = found is not None and found.reason == SessionRejectReason.GROUP_OUT_OF_ORDER
        if self._rules.check_required_fields and not is_disordered:
            tag = min(group.required - seen)
            detail = f" in entry {entry_count} of {_label(self._book, count_tag)}"
            reason = SessionRejectReason.REQUIRED_TAG_MISSING
            self._missing = _fault(self._book, reason, tag, detail)

    def _take_unknown(self, tag: int, value: bytes) -> None:
        """A field that has no place where it stands: another message's, or no dictionary's."""
        field = self._book.field(tag)
        rules = self._rules
        if field is None:
            if not value and rules.validate_fields_have_values:
                self._note(SessionRejectReason.TAG_WITHOUT_VALUE, tag)
        elif not value_check(field)(value):
            self._note_value(field, value)
        is_user_defined = tag >= USER_TAG_MIN
        if self._table.is_open or (
            not rules.validate_user_defined_fields
            if is_user_defined
            else rules.allow_unknown_message_fields
        ):
            return
        if field is not None:
            self._note(SessionRejectReason.TAG_NOT_DEFINED_FOR_TYPE, tag)
        elif rules.tell_undefined_from_invalid and tag:
            self._note(SessionRejectReason.UNDEFINED_TAG, tag)
        else:
            self._note(SessionRejectReason.INVALID_TAG_NUMBER, tag)

    def _note_value(self, field: FieldDef, value: bytes) -> None:
        """Say what is wrong with a value that its slot refused."""
        if not value:
            if self._rules.validate_fields_have_values:
                self._note(SessionRejectReason.TAG_WITHOUT_VALUE, field.tag)
            return
        detail = f", {value[:_SHOWN_BYTES]!r}"
        if FORMATS[field.type](value):
            self._note(SessionRejectReason.VALUE_INCORRECT, field.tag, detail)
        else:
            detail += f" is no {field.type}"
            self._note(SessionRejectReason.INCORRECT_DATA_FORMAT, field.tag, detail)

    def _note(self, reason: SessionRejectReason, tag: int, detail: str = "") -> None:
        """Keep the first fault; what comes later may follow from it."""
        if self._found is None:
            self._found = _fault(self._book, reason, tag, detail)
