"""Dictionaries as they are loaded, and the format of their files."""

import re
from importlib.resources import files
from itertools import pairwise

import pytest

from protocols.errors import LocalProtocolError
from protocols.fix.dictionary.formats import DATA_TYPES
from protocols.fix.dictionary.load import VERSIONS, load_dictionary, parse_dictionary
from protocols.fix.dictionary.model import Member
from protocols.fix.spec import DATA_TAG_OF_LENGTH, SessionRejectReason, Tag
from tests.reference.fix_messages import all_tags
from tools.fix_dictionary.convert import check_unambiguous

DATA = files("protocols.fix.dictionary") / "data"
SMALL = """\
# a comment
version FIX.0.1
header 8! 9! 35!
trailer 10!
data 95 96
message D app Order 11! @Parts 58
message 0 admin Beat
component Parts 453!( 448
 @Sub! 447 ) 55!
component Sub 802( 523! )
field 8 STRING BeginString
field 40 CHAR OrdType 1=MARKET
 2=LIMIT
field 166 STRING Place CED=CEDEL ...
"""


def test_an_unknown_version_is_refused_with_the_known_ones_named():
    with pytest.raises(LocalProtocolError, match=r"'FIX\.4\.9'.*FIX\.4\.2, FIX\.4\.4, FIXT\.1\.1"):
        load_dictionary("FIX.4.9")


@pytest.mark.parametrize("version", VERSIONS)
def test_a_dictionary_is_loaded_once_and_knows_its_version(version: str):
    dictionary = load_dictionary(version)
    assert dictionary is load_dictionary(version)
    assert dictionary.begin_string == version
    check_unambiguous(dictionary)


@pytest.mark.parametrize("version", VERSIONS)
def test_every_field_that_a_message_has_is_defined(version: str):
    dictionary = load_dictionary(version)
    levels = [dictionary.header, dictionary.trailer]
    levels += [message.members for message in dictionary.messages.values()]
    for members in levels:
        assert all_tags(members) <= dictionary.fields.keys()


@pytest.mark.parametrize("version", VERSIONS)
def test_every_data_field_has_its_length_field_before_it(version: str):
    dictionary = load_dictionary(version)
    pairs = dictionary.data_tag_of_length
    data_tags = {x.tag for x in dictionary.fields.values() if x.type in DATA_TYPES}
    assert set(pairs.values()) == data_tags
    assert all(dictionary.fields[tag].type == "LENGTH" for tag in pairs)

    def look(members: tuple[Member, ...]) -> None:
        for before, item in pairwise(members):
            if item.tag in data_tags:
                assert pairs[before.tag] == item.tag
        for item in members:
            if item.group is not None:
                look(item.group.members)

    for message in dictionary.messages.values():
        look(message.members)


def test_the_tables_of_the_session_agree_with_the_dictionary():
    dictionary = load_dictionary("FIX.4.4")
    newest = load_dictionary("FIX.5.0SP2")
    assert DATA_TAG_OF_LENGTH.items() <= newest.data_tag_of_length.items()
    names = {item.name.upper(): item.tag for item in newest.fields.values()}
    names |= {item.name.upper(): tag for tag, item in dictionary.fields.items()}
    for tag in Tag:
        assert names[tag.name.replace("_", "")] == tag


def test_reject_reasons_are_the_values_of_373():
    known = load_dictionary("FIX.4.4").by_name["SessionRejectReason"].values
    ours = {b"%d" % int(reason) for reason in SessionRejectReason}
    assert known.keys() - {b"99"} <= ours


def test_golden_facts():
    fix44 = load_dictionary("FIX.4.4")
    assert fix44.fields[54].name == "Side"
    assert fix44.fields[54].values[b"1"] == "BUY"
    assert fix44.by_name["TransactTime"].type == "UTCTIMESTAMP"
    order = fix44.messages[b"D"]
    assert order.name == "NewOrderSingle"
    assert not order.is_admin
    assert {11, 54, 60, 40} <= {item.tag for item in order.members if item.is_required}
    parties = next(item.group for item in order.members if item.tag == 453)
    assert parties is not None
    assert parties.delimiter == 448
    assert [item.tag for item in parties.members] == [448, 447, 452, 802]
    assert [item.tag for item in fix44.header][:3] == [8, 9, 35]
    assert [item.tag for item in fix44.trailer] == [93, 89, 10]
    assert not load_dictionary("FIX.5.0SP2").header
    assert load_dictionary("FIX.4.2").fields[166].is_open


def test_the_files_say_which_source_files_they_are_from():
    table = (DATA / "README.md").read_text()
    for version in VERSIONS:
        lines = (DATA / f"{version}.txt").read_text().splitlines()
        found = re.fullmatch(r"# sha256 of (\S+): ([0-9a-f]{64})", lines[1])
        assert found is not None
        assert f"| {version} | {found[1]} | `{found[2]}` |" in table


def test_the_format_of_a_file():
    dictionary = parse_dictionary(SMALL)
    assert dictionary.begin_string == "FIX.0.1"
    assert dictionary.fields[40].values == {b"1": "MARKET", b"2": "LIMIT"}
    assert not dictionary.fields[40].is_open
    assert dictionary.fields[166].is_open
    assert dictionary.data_tag_of_length == {95: 96}
    order, beat = dictionary.messages[b"D"], dictionary.messages[b"0"]
    assert beat.is_admin
    assert beat.members == ()
    assert [(item.tag, item.is_required) for item in order.members] == [
        (11, True), (453, False), (55, False), (58, False)
    ]  # fmt: skip
    group = order.members[1].group
    assert group is not None
    assert [item.tag for item in group.members] == [448, 802, 447]
    assert not group.members[1].is_required
    assert group.members[1].group is not None


@pytest.mark.parametrize(
    "line",
    [
        "nonsense 1",
        "field x STRING Name",
        "field 1 NOTYPE Name",
        "field 1 CHAR Name A",
        "field 1",
        "message D other Name 1",
        "message D",
        "data 1",
        "data 1 x",
    ],
)
def test_a_line_that_says_nothing_is_named(line: str):
    with pytest.raises(LocalProtocolError, match=re.escape(repr(line))):
        parse_dictionary(f"version FIX.0.1\n{line}\n")


@pytest.mark.parametrize(
    ("layout", "problem"),
    [
        ("1 x 2", "'x' is no field"),
        ("@None", "component None is not defined"),
        ("@Self", "component Self contains itself"),
        ("1( 2", "group 1 is empty or never closed"),
        ("1( )", "group 1 is empty or never closed"),
        ("1 ) 2", "a bracket closes"),
    ],
)
def test_a_layout_that_is_none_is_refused_when_it_is_looked_at(layout: str, problem: str):
    text = f"message D app Order {layout}\ncomponent Self 1 @Self\n"
    dictionary = parse_dictionary(text)
    with pytest.raises(LocalProtocolError, match=re.escape(problem)):
        _ = dictionary.messages[b"D"].members
    with pytest.raises(LocalProtocolError, match=re.escape(problem)):
        _ = dictionary.messages[b"D"].members


def test_nothing_in_a_dictionary_can_be_changed():
    dictionary = load_dictionary("FIX.4.4")
    for table in (dictionary.fields, dictionary.messages, dictionary.by_name):
        with pytest.raises(TypeError):
            table[1] = None
    with pytest.raises(AttributeError):
        dictionary.header = ()
    with pytest.raises(AttributeError):
        dictionary.fields[1].name = "Other"
    with pytest.raises(TypeError):
        dictionary.fields[54].values[b"1"] = "SELL"
