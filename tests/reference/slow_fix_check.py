"""The check of a message against its dictionary, slow and obvious: every fault is collected with
its place, then the first by kind and place is told.

Levels are cut out by slicing: a group's region ends at the first field of a level above, an entry
at the next delimiter.
"""

import re
from dataclasses import dataclass, field
from itertools import pairwise

from protocols.fix.dictionary.check import ValidationRules
from protocols.fix.dictionary.formats import FORMATS
from protocols.fix.dictionary.model import Dictionary, FieldDef, GroupDef, Member

Placed = tuple[int, int, bytes]
ORDER, MISSING, MISSING_IN_GROUP, REST = range(4)


@dataclass
class SlowCheck:
    """One message: `faults` are (kind, place, reason, tag); a level's end lies half a place on."""

    fields: tuple[tuple[int, bytes], ...]
    session: Dictionary
    application: Dictionary
    rules: ValidationRules
    faults: list[tuple[int, float, int, int]] = field(default_factory=list)

    def first_fault(self, msg_type: bytes) -> tuple[int, int] | None:
        """(reason, tag) of the first fault."""
        home = self.session if msg_type in self.session.messages else self.application
        if msg_type in home.messages:
            body = home.messages[msg_type].members
        elif msg_type.startswith(b"U"):
            home, body = self.session, ()
        else:
            return (11, 0)
        header, trailer = self.session.header, self.session.trailer
        top = {item.tag: (item, self.session) for item in header + trailer}
        top |= {item.tag: (item, home) for item in body}
        placed = [(at, tag, value) for at, (tag, value) in enumerate(self.fields)]
        seen = self.check_top(placed, top, is_open=msg_type.startswith(b"U"))
        self.check_order(seen)
        if self.rules.check_required_fields:
            for nth, part in enumerate((header, trailer, body)):
                for item in part:
                    if item.is_required and item.tag not in [tag for _, tag, _ in seen]:
                        self.faults.append((MISSING, nth * 1e9 + item.tag, 1, item.tag))
        rest = [fault for fault in self.faults if fault[0] == REST]
        if rest and min(rest)[2] == 15:
            # What entries lack after a field out of order may stand in another entry.
            self.faults = [
                x for x in self.faults if x[0] != MISSING_IN_GROUP or x < (2, min(rest)[1])
            ]
        return min(self.faults)[2:] if self.faults else None

    def check_top(
        self, placed: list[Placed], top: dict[int, tuple[Member, Dictionary]], *, is_open: bool
    ) -> list[Placed]:
        """Everything outside of groups; the fields that have their place there."""
        seen: list[Placed] = []
        while placed:
            at, tag, value = placed[0]
            placed = placed[1:]
            if tag not in top:
                self.check_unknown(at, tag, value, is_open=is_open)
                continue
            member, home = top[tag]
            if tag in [own for _, own, _ in seen]:
                self.faults.append((REST, at, 13, tag))
            seen.append((at, tag, value))
            self.check_value(at, home.fields[tag], value, member.group)
            if member.group:
                region = self.region(placed, member.group, set(top))
                placed = placed[len(region) :]
                self.check_group((at, tag, value), region, member.group, home, set(top), is_open)
        return seen

    def check_order(self, seen: list[Placed]) -> None:
        """First three, header, body, trailer, CheckSum."""
        if not self.rules.validate_fields_out_of_order:
            return
        highest = 0
        for at, tag, _ in seen:
            if tag in {8, 9, 35}:
                rank = [8, 9, 35].index(tag)
            elif tag in [item.tag for item in self.session.header]:
                rank = 3
            elif tag == 10:
                rank = 6
            else:
                rank = 5 if tag in [item.tag for item in self.session.trailer] else 4
            if rank < highest:
                self.faults.append((ORDER, at, 14, tag))
            highest = max(rank, highest)

    @staticmethod
    def region(placed: list[Placed], group: GroupDef, above: set[int]) -> list[Placed]:
        """What belongs to the group that was just counted."""
        if not placed or placed[0][1] not in [item.tag for item in group.members]:
            return []
        ends = [nth for nth, (_, tag, _) in enumerate(placed) if tag in above]
        return placed[: ends[0]] if ends else placed

    def check_group(
        self,
        count: Placed,
        region: list[Placed],
        group: GroupDef,
        home: Dictionary,
        above: set[int],
        is_open: bool,
    ) -> None:
        """Entries begin at each delimiter; the first may lack it."""
        starts = [nth for nth, (_, tag, _) in enumerate(region) if tag == group.delimiter]
        if region and region[0][1] != group.delimiter:
            self.faults.append((REST, region[0][0], 15, region[0][1]))
            starts = [0, *starts]
        for start, end in pairwise([*starts, len(region)]):
            self.check_entry(region[start:end], group, home, above, is_open)
        at, tag, value = count
        if re.fullmatch(b"[0-9]{1,18}", value) and int(value) != len(starts):
            last = region[-1][0] if region else at
            self.faults.append((REST, last + 0.5 - len(above) * 1e-9, 16, tag))

    def check_entry(
        self,
        entry: list[Placed],
        group: GroupDef,
        home: Dictionary,
        above: set[int],
        is_open: bool,
    ) -> None:
        """The fields of one entry; groups within are cut out and looked at by themselves."""
        order = [item.tag for item in group.members]
        seen: list[int] = []
        end = entry[-1][0] + 0.5 - len(above) * 1e-9
        while entry:
            at, tag, value = entry[0]
            entry = entry[1:]
            if tag not in order:
                self.check_unknown(at, tag, value, is_open=is_open)
                continue
            is_late = bool(seen) and order.index(tag) < order.index(seen[-1])
            if tag in seen or (is_late and self.rules.validate_unordered_group_fields):
                self.faults.append((REST, at, 15, tag))
            seen.append(tag)
            member = group.members[order.index(tag)]
            self.check_value(at, home.fields[tag], value, member.group)
            if member.group:
                inner_above = above | set(order)
                region = self.region(entry, member.group, inner_above)
                entry = entry[len(region) :]
                count = (at, tag, value)
                self.check_group(count, region, member.group, home, inner_above, is_open)
        if self.rules.check_required_fields:
            lacks = [x.tag for x in group.members[1:] if x.is_required and x.tag not in seen]
            if lacks:
                self.faults.append((MISSING_IN_GROUP, end, 1, min(lacks)))

    def check_value(
        self, at: int, definition: FieldDef, value: bytes, group: GroupDef | None
    ) -> None:
        """Empty, none of the listed values, or no value of the type."""
        reason = self.value_reason(definition, value, is_count=group is not None)
        if reason is not None:
            self.faults.append((REST, at + 0.05, reason, definition.tag))

    def value_reason(self, definition: FieldDef, value: bytes, *, is_count: bool) -> int | None:
        """SessionRejectReason of a value, None when it is sound."""
        if not value:
            return 4 if self.rules.validate_fields_have_values else None
        is_listed = bool(definition.values) and not definition.is_open and definition.tag != 35
        parts = value.split(b" ") if definition.type.startswith("MULTIPLE") else [value]
        if is_listed and all(part in definition.values for part in parts):
            return None
        if not FORMATS["NUMINGROUP" if is_count else definition.type](value):
            return 6
        return 5 if is_listed else None

    def check_unknown(self, at: int, tag: int, value: bytes, *, is_open: bool) -> None:
        """A field without a place where it stands."""
        definition = self.session.fields.get(tag) or self.application.fields.get(tag)
        if definition is not None:
            self.check_value(at, definition, value, None)
        elif not value and self.rules.validate_fields_have_values:
            self.faults.append((REST, at, 4, tag))
        is_let_through = (
            not self.rules.validate_user_defined_fields
            if tag >= 5000
            else self.rules.allow_unknown_message_fields
        )
        if not is_let_through and not is_open:
            is_undefined = 3 if self.rules.tell_undefined_from_invalid and tag else 0
            self.faults.append((REST, at + 0.1, is_undefined if definition is None else 2, tag))


def slow_check(
    msg_type: bytes,
    fields: tuple[tuple[int, bytes], ...],
    session: Dictionary,
    application: Dictionary,
    rules: ValidationRules,
) -> tuple[int, int] | None:
    """(SessionRejectReason, tag) of the first fault, None for a sound message."""
    return SlowCheck(fields, session, application, rules).first_fault(msg_type)
