"""Messages made from the dictionaries: every type of every version passes, each single mistake gets
its reason, and whatever the mistakes, the fast check says what the slow one says.
"""

from collections.abc import Callable, Sequence
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.fix.dictionary.check import ValidationRules, check_message
from protocols.fix.dictionary.entries import Entry, read_tree
from protocols.fix.dictionary.formats import FORMATS
from protocols.fix.dictionary.load import load_dictionary
from protocols.fix.message import FixMessage
from tests.reference.fix_messages import MALFORMED, MessageMaker, Part, all_tags, as_message
from tests.reference.slow_fix_check import slow_check

PAIRS = [("FIX.4.2", "FIX.4.2"), ("FIX.4.4", "FIX.4.4"), ("FIXT.1.1", "FIX.5.0SP2")]
SLOW_FIELDS_MAX = 300
Mistake = tuple[list[Part], int, int]
by_version = pytest.mark.parametrize(("session", "application"), PAIRS)
seeds = st.integers(0, 2**32 - 1)


def maker(session: str, application: str, seed: int) -> MessageMaker:
    return MessageMaker(load_dictionary(session), load_dictionary(application), Random(seed))


def verdict(message: FixMessage, makes: MessageMaker, rules: ValidationRules | None = None):
    fault = check_message(message, makes.session, makes.application, rules or ValidationRules())
    return None if fault is None else (int(fault.reason), fault.tag)


@by_version
@settings(max_examples=6)
@given(seed=seeds)
def test_every_message_of_every_version_passes_when_it_is_sound(
    session: str, application: str, seed: int
):
    makes = maker(session, application, seed)
    for msg_type in makes.types():
        parts = makes.make(msg_type, makes.random.choice((0, 0.1, 0.4)))
        assert verdict(as_message(parts), makes) is None, msg_type


@by_version
def test_every_field_of_every_message_is_let_through(session: str, application: str):
    makes = maker(session, application, 0)
    for msg_type in makes.types():
        home = makes.home(msg_type)
        parts = makes.make(msg_type, 1)
        assert verdict(as_message(parts), makes) is None, msg_type
        top = {part.tag for part in parts if not part.depth and part.section == "body"}
        assert top == {item.tag for item in home.messages[msg_type].members}


def pick(parts: Sequence[Part], random: Random, test: Callable[[Part], object]) -> int | None:
    """Position of any part that passes the test."""
    found = [at for at, part in enumerate(parts) if test(part)]
    return random.choice(found) if found else None


def drop_required(parts: list[Part], makes: MessageMaker) -> Mistake | None:
    at = pick(
        parts,
        makes.random,
        lambda part: part.member.is_required and part.tag != 35 and not part.is_delimiter,
    )
    if at is None:
        return None
    return [*parts[:at], *parts[at + 1 :]], 1, parts[at].tag


def empty(parts: list[Part], makes: MessageMaker) -> Mistake | None:
    at = makes.random.randrange(len(parts))
    return [*parts[:at], parts[at].with_value(b""), *parts[at + 1 :]], 4, parts[at].tag


def malform(parts: list[Part], makes: MessageMaker) -> Mistake | None:
    at = pick(parts, makes.random, lambda part: kind(part) in MALFORMED)
    if at is None:
        return None
    wrong = parts[at].with_value(MALFORMED[kind(parts[at])])
    return [*parts[:at], wrong, *parts[at + 1 :]], 6, wrong.tag


def kind(part: Part) -> str:
    return "NUMINGROUP" if part.member.group else part.definition.type


def take_value_off_the_list(parts: list[Part], makes: MessageMaker) -> Mistake | None:
    def stranger(part: Part) -> bytes | None:
        definition = part.definition
        if not definition.values or definition.is_open or part.tag == 35 or part.member.group:
            return None
        values = (b"~", b"987654", b"~~")
        return next((value for value in values if FORMATS[definition.type](value)), None)

    at = pick(parts, makes.random, stranger)
    if at is None:
        return None
    value = stranger(parts[at])
    if parts[at].definition.type.startswith("MULTIPLE"):
        value = b"%b %b" % (parts[at].value, value)
    return [*parts[:at], parts[at].with_value(value), *parts[at + 1 :]], 5, parts[at].tag


def miscount(parts: list[Part], makes: MessageMaker) -> Mistake | None:
    at = pick(parts, makes.random, lambda part: part.member.group and not part.definition.values)
    if at is None:
        return None
    count = int(parts[at].value)
    wrong = makes.random.choice([other for other in (0, count + 1, 10**6) if other != count])
    spoiled = parts[at].with_value(b"%d" % wrong)
    return [*parts[:at], spoiled, *parts[at + 1 :]], 16, spoiled.tag


def repeat_outside_of_groups(parts: list[Part], makes: MessageMaker) -> Mistake | None:
    at = pick(parts, makes.random, lambda part: not part.depth and not part.member.group)
    assert at is not None
    return [*parts[: at + 1], *parts[at:]], 13, parts[at].tag


def repeat_in_an_entry(parts: list[Part], makes: MessageMaker) -> Mistake | None:
    at = pick(
        parts,
        makes.random,
        lambda part: part.depth and not part.member.group and not part.is_delimiter,
    )
    return None if at is None else ([*parts[: at + 1], *parts[at:]], 15, parts[at].tag)


def swap_in_an_entry(parts: list[Part], makes: MessageMaker) -> Mistake | None:
    """Two plain neighbours of an entry; the one that should come first is late, unless it is the
    delimiter: then the other is too early.
    """

    def swaps(at: int) -> bool:
        first, second = parts[at], parts[at + 1]
        is_entry = first.parent is not None and first.parent is second.parent
        is_plain = not first.member.group and not second.member.group
        return is_entry and is_plain and first.depth == second.depth and first.place < second.place

    found = [at for at in range(len(parts) - 1) if swaps(at)]
    # Before a later delimiter the field would belong to the entry before.
    firsts = [
        at for at in found if not parts[at].is_delimiter or parts[at - 1].depth < parts[at].depth
    ]
    if not firsts:
        return None
    at = makes.random.choice(firsts)
    late = parts[at + 1] if parts[at].is_delimiter else parts[at]
    return [*parts[:at], parts[at + 1], parts[at], *parts[at + 2 :]], 15, late.tag


def move_header_into_the_body(parts: list[Part], _: MessageMaker) -> Mistake | None:
    header = [part for part in parts if part.section == "header"]
    body = [part for part in parts if part.section == "body" and not part.depth]
    late = next(part for part in reversed(header) if part.tag in {34, 49, 52, 56})
    if not body:
        return None
    rest = [part for part in parts if part is not late]
    return [*rest[:-1], late, rest[-1]], 14, late.tag


def swap_the_first_three(parts: list[Part], makes: MessageMaker) -> Mistake | None:
    order = makes.random.choice(((0, 2, 1), (1, 0, 2), (2, 0, 1), (1, 2, 0), (0, 1, 3, 2)))
    first = [parts[at] for at in order]
    highest = 0
    for at in order:
        if at < highest:
            late = parts[at].tag
            break
        highest = max(at, highest)
    return [*first, *parts[len(order) :]], 14, late


def put_after_the_checksum(parts: list[Part], makes: MessageMaker) -> Mistake | None:
    at = pick(parts, makes.random, lambda part: not part.depth and not part.member.group)
    assert at is not None
    moved = parts[at]
    if moved.tag in {8, 9, 35, 10}:
        return None
    return [*parts[:at], *parts[at + 1 :], moved], 14, moved.tag


MISTAKES = (
    drop_required,
    empty,
    malform,
    take_value_off_the_list,
    miscount,
    repeat_outside_of_groups,
    repeat_in_an_entry,
    swap_in_an_entry,
    move_header_into_the_body,
    swap_the_first_three,
    put_after_the_checksum,
)


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.__name__)
@by_version
@settings(max_examples=4)
@given(seed=seeds)
def test_each_mistake_in_every_message_gets_its_reason(
    session: str,
    application: str,
    mistake: Callable[[list[Part], MessageMaker], Mistake | None],
    seed: int,
):
    makes = maker(session, application, seed)
    made_count = 0
    for msg_type in makes.types():
        made = mistake(makes.make(msg_type, 0.3), makes)
        if made is not None:
            parts, reason, tag = made
            assert verdict(as_message(parts), makes) == (reason, tag), msg_type
            made_count += 1
    assert made_count > len(makes.types()) / 10


@by_version
@settings(max_examples=6)
@given(seed=seeds)
def test_a_foreign_field_anywhere_in_every_message_is_refused(
    session: str, application: str, seed: int
):
    makes = maker(session, application, seed)
    fields = {**makes.application.fields, **makes.session.fields}
    around = all_tags((*makes.session.header, *makes.session.trailer))
    for msg_type in makes.types():
        parts = makes.make(msg_type, 0.2)
        own = around | all_tags(makes.home(msg_type).messages[msg_type].members)
        foreign = makes.random.choice([tag for tag in fields if tag not in own])
        # Between a count and its first entry a stranger ends the group, so the count is wrong.
        after = [at for at in range(3, len(parts)) if not parts[at - 1].member.group]
        at = makes.random.choice(after)
        for tag, value, reason in (
            (foreign, makes.value(fields[foreign]), 2),
            (4_999, b"x", 0),
            (77_777, b"x", 0),
        ):
            message = as_message([*parts[:at], (tag, value), *parts[at:]])
            assert verdict(message, makes) == (reason, tag), msg_type
            lenient = ValidationRules(
                allow_unknown_message_fields=True, validate_user_defined_fields=False
            )
            assert verdict(message, makes, lenient) is None, msg_type


RULES = st.builds(
    ValidationRules,
    **dict.fromkeys(ValidationRules.__dataclass_fields__, st.booleans()),
)


def spoil(parts: list[Part], makes: MessageMaker) -> list[Part]:
    """One random change, which may well leave the message sound."""
    random = makes.random
    at = random.randrange(len(parts))
    part = parts[at]
    match random.randrange(7):
        case 0:
            return [*parts[:at], *parts[at + 1 :]]
        case 1:
            return [*parts[: at + 1], *parts[at:]]
        case 2:
            other = random.randrange(len(parts))
            rest = [*parts[:at], *parts[at + 1 :]]
            return [*rest[:other], part, *rest[other:]]
        case 3:
            value = random.choice((b"", b"~", b"0", b"1", b"2", b"-1", b"9" * 5000))
            return [*parts[:at], part.with_value(value), *parts[at + 1 :]]
        case 4:
            start = random.randrange(at + 1)
            return [*parts[:at], *parts[start:at], *parts[at:]]
        case 5:
            start = random.randrange(at + 1)
            return [*parts[:start], *parts[at:]]
        case _:
            tags = (0, 1, 55, 386, 453, 448, 336, 4_999, 5_001, 40_000, random.choice(parts).tag)
            definition = part.definition._replace(tag=random.choice(tags))
            stranger = Part(definition.tag, part.value, definition, part.member, "body", 0, 0, None)
            return [*parts[:at], stranger, *parts[at:]]


@by_version
@given(seed=seeds, rules=RULES)
def test_whatever_the_mistakes_the_fast_check_says_what_the_slow_one_says(
    session: str, application: str, seed: int, rules: ValidationRules
):
    makes = maker(session, application, seed)
    msg_type = makes.random.choice(makes.types())
    parts = makes.make(msg_type, 0.3)[:SLOW_FIELDS_MAX]
    for _ in range(makes.random.randint(1, 6)):
        parts = spoil(parts, makes) or parts
    parts = [part for part in parts if part.tag != 35 or part.value] or parts
    message = as_message(parts[: 2 * SLOW_FIELDS_MAX])
    if not message.msg_type:
        return
    said = verdict(message, makes, rules)
    expected = slow_check(message.msg_type, message.fields, makes.session, makes.application, rules)
    assert said == expected


def flat(entry: Entry) -> list[tuple[int, bytes]]:
    """The fields of a tree in the order of the wire."""
    fields = []
    for item in entry.fields:
        fields.append((item.tag, item.value))
        for inner in item.entries:
            fields += flat(inner)
    return fields


@by_version
@given(seed=seeds)
def test_a_tree_loses_no_field_of_any_message(session: str, application: str, seed: int):
    makes = maker(session, application, seed)
    parts = makes.make(makes.random.choice(makes.types()), 0.3)
    for _ in range(makes.random.randint(0, 4)):
        parts = spoil(parts, makes) or parts
    message = as_message(parts)
    tree = read_tree(message, makes.session, makes.application)
    assert flat(tree) == list(message.fields)


def entry_counts_are_right(entry: Entry) -> bool:
    """Whether each count says how many entries stand below it."""
    return all(
        int(item.value) == len(item.entries) and all(map(entry_counts_are_right, item.entries))
        for item in entry.fields
        if item.entries
    )


@by_version
@settings(max_examples=5)
@given(seed=seeds)
def test_the_tree_of_a_sound_message_has_as_many_entries_as_its_counts_say(
    session: str, application: str, seed: int
):
    makes = maker(session, application, seed)
    for msg_type in makes.types():
        message = as_message(makes.make(msg_type, 0.3))
        tree = read_tree(message, makes.session, makes.application)
        assert entry_counts_are_right(tree), msg_type
