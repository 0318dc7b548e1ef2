"""FIX messages under the names of their dictionaries."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.fix.dictionary.load import load_dictionary
from protocols.fix.framing import checksum
from tools.decode.fix import FixReader
from tools.decode.fixnames import NamedMessage, fix_text, read_named

ENTRIES = "268=2|269=0|270=1.50|271=0100|346=3|269=1|270=1.750|271=7|"
DEFINITION = (
    "35=d|5799=0|1300=64|207=XCME|1151=ES|55=ESU8-ESZ8|731=00000011|864=2|865=5|1145=2017|865=7|"
    "1145=2018|1141=1|1022=GBX|264=10|1234=0|555=2|602=57287|603=8|624=2|602=16114|603=8|624=1|"
    "711=1|309=508034|305=8|311=OQDX3|1647=0|"
)


def named(text: str) -> NamedMessage:
    return read_named(text.replace("|", "\x01").encode("latin-1"))


def values(text: str) -> dict[str, Any]:
    found = named(text)
    assert not found.problem
    return found.values


def test_fields_have_names_integers_are_integers_and_prices_the_text_of_the_wire():
    found = named(f"8=FIX.4.4|9=0178|35=W|49=A|34=000012|55=AAPL|{ENTRIES}10=007|")
    assert (found.name, found.problem) == ("MarketDataSnapshotFullRefresh", "")
    assert found.values == {
        "BeginString": "FIX.4.4",
        "BodyLength": 178,
        "MsgType": "W",
        "SenderCompID": "A",
        "MsgSeqNum": 12,
        "Symbol": "AAPL",
        "NoMDEntries": [
            {"MDEntryType": "0", "MDEntryPx": "1.50", "MDEntrySize": "0100", "NumberOfOrders": 3},
            {"MDEntryType": "1", "MDEntryPx": "1.750", "MDEntrySize": "7"},
        ],
        "CheckSum": "007",
    }


def test_groups_stand_within_groups():
    parties = "453=2|448=P1|447=D|452=1|802=2|523=S|803=2|523=T|803=3|448=P2|447=D|452=3|"
    assert values(f"8=FIX.4.4|9=1|35=D|11=O|{parties}55=A|10=000|")["NoPartyIDs"] == [
        {
            "PartyID": "P1",
            "PartyIDSource": "D",
            "PartyRole": 1,
            "NoPartySubIDs": [
                {"PartySubID": "S", "PartySubIDType": 2},
                {"PartySubID": "T", "PartySubIDType": 3},
            ],
        },
        {"PartyID": "P2", "PartyIDSource": "D", "PartyRole": 3},
    ]


@pytest.mark.parametrize(
    ("begin_string", "name", "field"),
    [
        ("FIX.4.0", "NewOrderSingle", "Rule80A"),
        ("FIX.4.1", "NewOrderSingle", "Rule80A"),
        ("FIX.4.2", "NewOrderSingle", "Rule80A"),
        ("FIX.4.3", "NewOrderSingle", "OrderCapacity"),
        ("FIX.4.4", "NewOrderSingle", "OrderCapacity"),
        ("FIXT.1.1", "NewOrderSingle", "OrderCapacity"),
        ("FIX.9.9", "NewOrderSingle", "OrderCapacity"),
    ],
)
def test_the_version_of_each_message_names_its_fields(begin_string: str, name: str, field: str):
    tag = load_dictionary("FIX.4.2").by_name["Rule80A"].tag if field == "Rule80A" else 528
    found = named(f"8={begin_string}|9=1|35=D|{tag}=A|10=000|")
    assert found.name.replace("Order-Single", "OrderSingle") == name
    assert found.values[field] == "A"


def test_fields_of_fixt_and_of_the_application_above_it_are_named():
    text = "8=FIXT.1.1|9=1|35=X|1128=9|268=1|279=0|269=0|1023=1|10=000|"
    assert values(text)["ApplVerID"] == "9"
    entry = {"MDUpdateAction": "0", "MDEntryType": "0", "MDPriceLevel": 1}
    assert values(text)["NoMDEntries"] == [entry]


def test_a_line_without_header_has_the_names_of_the_version_that_knows_most_of_it():
    assert values(DEFINITION) == {
        "MsgType": "d", "5799": "0", "MarketSegmentID": "64", "SecurityExchange": "XCME",
        "SecurityGroup": "ES", "Symbol": "ESU8-ESZ8", "SettlPriceType": 11,
        "NoEvents": [
            {"EventType": 5, "EventTime": "2017"},
            {
                "EventType": 7, "EventTime": "2018", "NoMDFeedTypes": 1, "MDFeedType": "GBX",
                "MarketDepth": 10, "NoLotTypeRules": [],
            },
        ],
        "NoLegs": [
            {"LegSecurityID": "57287", "LegSecurityIDSource": "8", "LegSide": "2"},
            {"LegSecurityID": "16114", "LegSecurityIDSource": "8", "LegSide": "1"},
        ],
        "NoUnderlyings": [
            {
                "UnderlyingSecurityID": "508034", "UnderlyingSecurityIDSource": "8",
                "UnderlyingSymbol": "OQDX3",
            }
        ],
        "NoRelatedInstruments": [],
    }  # fmt: skip
    # As good in both: the older one.
    assert values("35=D|99=5|") == {"MsgType": "D", "StopPx": "5"}


def test_what_no_dictionary_has_is_called_by_its_number_and_repeats_as_a_list():
    found = named("8=FIX.4.4|9=1|35=zz|5001=a|5001=b|5001=c|268=2|269=0|269=1|10=000|")
    assert (found.name, found.problem) == ("", "")
    assert found.values["5001"] == ["a", "b", "c"]
    # A type that nobody knows has no groups: the count is a number then.
    assert (found.values["NoMDEntries"], found.values["MDEntryType"]) == (2, ["0", "1"])


@pytest.mark.parametrize(
    ("count", "shown", "problem"),
    [
        ("2", [{"MDEntryType": "0"}, {"MDEntryType": "1"}], ""),
        ("3", [{"MDEntryType": "0"}, {"MDEntryType": "1"}], "NoMDEntries (268) is 3, there are 2"),
        ("x", [{"MDEntryType": "0"}, {"MDEntryType": "1"}], "NoMDEntries (268) is x, there are 2"),
        ("0", [{"MDEntryType": "0"}, {"MDEntryType": "1"}], "NoMDEntries (268) is 0, there are 2"),
    ],
)
def test_a_count_that_is_wrong_is_said(count: str, shown: list[Any], problem: str):
    found = named(f"8=FIX.4.4|9=1|35=W|55=A|268={count}|269=0|269=1|10=000|")
    assert found.values["NoMDEntries"] == shown
    assert found.problem == problem


def test_a_count_of_nothing_is_an_empty_list_and_one_without_its_entries_a_number():
    assert values("8=FIX.4.4|9=1|35=W|55=A|268=0|10=000|")["NoMDEntries"] == []
    assert values("8=FIX.4.4|9=1|35=W|55=A|268=4|10=000|")["NoMDEntries"] == 4


@pytest.mark.parametrize(
    ("raw", "shown"),
    [("-5", -5), ("007", 7), ("9" * 18, 10**18 - 1), ("9" * 19, "9" * 19), ("5x", "5x")],
)
def test_a_number_that_is_none_or_too_long_for_every_reader_stays_text(raw: str, shown: Any):
    assert values(f"8=FIX.4.4|9=1|35=A|108={raw}|10=000|")["HeartBtInt"] == shown


def test_a_field_without_value_is_said():
    found = named("8=FIX.4.4|9=1|35=D|55=|58=|10=000|")
    assert found.problem == "Symbol (55) has no value"
    assert found.values["Symbol"] == ""


@pytest.mark.parametrize("begin_string", ["FIX.4.2", "FIX.4.4", "FIXT.1.1", ""])
def test_a_data_field_may_hold_the_separator(begin_string: str):
    head = f"8={begin_string}|9=1|" if begin_string else ""
    assert values(f"{head}35=B|354=3|355=a|b|148=x|")["EncodedText"] == "a\x01b"


def test_values_are_utf8_or_a_character_a_byte():
    assert fix_text("fü".encode()) == "fü"
    assert fix_text(b"f\xfc") == "f\xfc"


def test_a_reader_says_what_is_wrong_beside_the_fields():
    inner = "35=W|34=1|52=20240102-03:04:05.678|55=A|268=2|269=0|".replace("|", "\x01").encode()
    whole = b"8=FIX.4.4\x019=%d\x01%b" % (len(inner), inner)
    row = FixReader().read(whole + b"10=%03d\x01" % checksum(whole))
    assert (row.fault, row.text) == ("invalid_fix", "NoMDEntries (268) is 2, there are 1")
    assert row.values["NoMDEntries"] == [{"MDEntryType": "0"}]
    assert FixReader().time(row.values) == "20240102-03:04:05.678"
    assert FixReader().time({}) == ""


@given(
    head=st.sampled_from(
        [b"8=FIX.4.2\x019=1\x01", b"8=FIXT.1.1\x019=1\x01", b"8=\x01", b"8=FIX", b""]
    ),
    msg_type=st.sampled_from([b"W", b"X", b"D", b"d", b"zz", b""]),
    fields=st.lists(
        st.tuples(
            st.sampled_from([268, 269, 270, 279, 55, 453, 448, 802, 523, 95, 96, 5001, 34]),
            st.binary(max_size=3) | st.sampled_from([b"1", b"2", b"3"]),
        ),
        max_size=12,
    ),
)
def test_any_fields_are_shown_and_none_is_lost(
    head: bytes, msg_type: bytes, fields: list[tuple[int, bytes]]
):
    body = b"".join(b"%d=%b\x01" % field for field in fields)
    found = read_named(head + b"35=" + msg_type + b"\x01" + body)
    shown = json.loads(msgspec.json.encode(found.values))
    assert shown == found.values
    # Every field is a value, or a count that stands for its list.
    assert _size(found.values) == len(found.message.fields)


def _size(shown: Any) -> int:
    """Fields in an object."""
    if isinstance(shown, dict):
        return sum(_size_of_field(value) for value in shown.values())
    return 1


def _size_of_field(value: Any) -> int:
    if not isinstance(value, list):
        return 1
    if all(isinstance(item, dict) for item in value):
        return 1 + sum(map(_size, value))
    return sum(_size_of_field(item) for item in value)
