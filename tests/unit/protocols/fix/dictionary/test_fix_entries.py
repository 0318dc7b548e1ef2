"""Repeating groups as entries, and fields by name."""

import pytest

from protocols.errors import LocalProtocolError
from protocols.fix.dictionary.entries import groups, read_tree
from protocols.fix.dictionary.load import load_dictionary
from protocols.fix.message import FixMessage, decode

FIX44 = load_dictionary("FIX.4.4")


def parse(text: str) -> FixMessage:
    return decode(text.replace("|", "\x01").encode())


ORDER = (
    "8=FIX.4.4|9=1|35=D|34=7|11=A1|453=2|448=P1|447=D|802=2|523=S|803=2|523=T|452=1|448=P2|"
    "55=ABC|3999=x|10=000|"
)


def test_entries_of_a_group_and_of_the_groups_within():
    first, second = groups(parse(ORDER), 453, FIX44, FIX44)
    assert first.get(448) == b"P1"
    assert first.get(452) == b"1"
    assert second.get(448) == b"P2"
    assert second.get(452) == b""
    assert [entry.get(523) for entry in first.groups(802)] == [b"S", b"T"]
    assert first.groups(802)[0].get(803) == b"2"
    assert second.groups(802) == ()


def test_fields_have_names_and_keep_their_order():
    tree = read_tree(parse(ORDER), FIX44, FIX44)
    assert [item.name for item in tree.fields] == [
        "BeginString", "BodyLength", "MsgType", "MsgSeqNum", "ClOrdID", "NoPartyIDs", "Symbol",
        "3999", "CheckSum",
    ]  # fmt: skip
    assert tree.get(55) == b"ABC"
    parties = tree.fields[5]
    assert (parties.tag, parties.value, len(parties.entries)) == (453, b"2", 2)
    assert [item.name for item in parties.entries[0].fields] == [
        "PartyID", "PartyIDSource", "NoPartySubIDs", "PartyRole"
    ]  # fmt: skip


def test_a_message_without_the_group_has_no_entries():
    assert groups(parse("8=FIX.4.4|9=1|35=D|11=A|10=000|"), 453, FIX44, FIX44) == ()


@pytest.mark.parametrize(("msg_type", "tag"), [("0", 453), ("D", 55), ("*", 453), ("U1", 453)])
def test_a_group_that_the_type_does_not_have_is_refused(msg_type: str, tag: int):
    with pytest.raises(LocalProtocolError, match=f"has no group {tag}"):
        groups(parse(f"8=FIX.4.4|9=1|35={msg_type}|10=000|"), tag, FIX44, FIX44)


def test_all_fields_of_an_unknown_type_stand_at_the_top():
    tree = read_tree(parse("8=FIX.4.4|9=1|35=*|453=1|448=A|10=000|"), FIX44, FIX44)
    assert [item.name for item in tree.fields][3:5] == ["NoPartyIDs", "PartyID"]
    assert all(not item.entries for item in tree.fields)


def test_strangers_stay_in_the_entry_that_they_follow():
    text = "8=FIX.4.4|9=1|35=D|453=1|448=A|5001=x|447=D|55=ABC|10=000|"
    (entry,) = groups(parse(text), 453, FIX44, FIX44)
    assert [item.tag for item in entry.fields] == [448, 5001, 447]
    text = "8=FIX.4.4|9=1|35=D|453=0|5001=x|55=ABC|10=000|"
    assert groups(parse(text), 453, FIX44, FIX44) == ()


@pytest.mark.parametrize(
    ("text", "entries"),
    [
        ("447=D|448=A|447=D|448=B|", [[447, 448], [447, 448]]),
        ("447=D|448=A|452=1|447=D|452=1|", [[447, 448, 452], [447, 452]]),
        ("447=D|452=1|452=1|", [[447, 452], [452]]),
        ("447=D|5001=x|5001=x|448=A|", [[447, 5001, 5001, 448]]),
    ],
)
def test_entries_may_begin_with_another_member_than_the_standards(
    text: str, entries: list[list[int]]
):
    found = groups(parse(f"8=FIX.4.4|9=1|35=D|453=2|{text}10=000|"), 453, FIX44, FIX44)
    assert [[item.tag for item in entry.fields] for entry in found] == entries


def test_fields_have_types_and_a_count_of_entries_has_its_own():
    fix42 = load_dictionary("FIX.4.2")
    tree = read_tree(parse("8=FIX.4.2|9=1|35=W|268=1|269=0|270=1.5|5001=x|10=000|"), fix42, fix42)
    types = {item.name: item.type for item in (*tree.fields, *tree.groups(268)[0].fields)}
    assert types == {
        "BeginString": "STRING", "BodyLength": "INT", "MsgType": "STRING",
        "NoMDEntries": "NUMINGROUP", "MDEntryType": "CHAR", "MDEntryPx": "PRICE", "5001": "",
        "CheckSum": "STRING",
    }  # fmt: skip
    tree = read_tree(parse("8=FIX.4.2|9=1|35=0|268=1|10=000|"), fix42, fix42)
    assert tree.fields[3].type == "INT"


def test_over_fixt_groups_come_from_the_application_and_names_from_both():
    fixt, fix50 = load_dictionary("FIXT.1.1"), load_dictionary("FIX.5.0SP2")
    text = "8=FIXT.1.1|9=1|35=W|627=1|628=HOP|268=1|269=0|270=1.5|10=000|"
    tree = read_tree(parse(text), fixt, fix50)
    assert tree.groups(627)[0].get(628) == b"HOP"
    assert tree.groups(268)[0].fields[1].name == "MDEntryPx"


def test_a_group_may_end_the_message():
    first, second = groups(parse("8=FIX.4.4|9=1|35=D|453=2|448=A|448=B|"), 453, FIX44, FIX44)
    assert (first.get(448), second.get(448)) == (b"A", b"B")
