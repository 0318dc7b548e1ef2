"""Golden cases: a message each, and the reason (373) and tag (371) that it gets."""

import time

import pytest

from protocols.fix.dictionary.check import ValidationRules, check_message
from protocols.fix.dictionary.load import load_dictionary
from protocols.fix.message import Fault, FixMessage, decode
from protocols.fix.spec import SessionRejectReason

APPLICATIONS = {"FIX.4.2": "FIX.4.2", "FIX.4.4": "FIX.4.4", "FIXT.1.1": "FIX.5.0SP2"}
TIME = "20240305-09:30:00.250"
ORDERS = {
    "FIX.4.2": f"11=A1|21=1|55=ABC|54=1|60={TIME}|38=10|40=2|44=1.5|",
    "FIX.4.4": f"11=A1|55=ABC|54=1|60={TIME}|38=10|40=2|44=1.5|",
    "FIXT.1.1": f"11=A1|55=ABC|54=1|60={TIME}|38=10|40=2|44=1.5|",
}
LOGONS = {
    "FIX.4.2": "98=0|108=30|",
    "FIX.4.4": "98=0|108=30|384=2|372=D|385=S|372=8|385=R|",
    "FIXT.1.1": "98=0|108=30|384=1|372=D|385=S|1130=9|1410=Y|1137=9|",
}
VERSIONS = tuple(APPLICATIONS)


def parse(text: str) -> FixMessage:
    return decode(text.replace("|", "\x01").encode("latin-1"))


def framed(version: str, msg_type: str, body: str, header: str = "") -> FixMessage:
    start = f"8={version}|9=100|35={msg_type}|34=7|49=US|52={TIME}|56=THEM|"
    return parse(f"{start}{header}{body}10=000|")


def fault(message: FixMessage, version: str, rules: ValidationRules | None = None) -> Fault | None:
    session, application = load_dictionary(version), load_dictionary(APPLICATIONS[version])
    if rules is None:
        return check_message(message, session, application)
    return check_message(message, session, application, rules)


def verdict(message: FixMessage, version: str, rules: ValidationRules | None = None):
    found = fault(message, version, rules)
    return None if found is None else (int(found.reason), found.tag)


@pytest.mark.parametrize("version", VERSIONS)
def test_orders_and_logons_of_each_version_are_sound(version: str):
    assert verdict(framed(version, "D", ORDERS[version]), version) is None
    assert verdict(framed(version, "A", LOGONS[version]), version) is None
    assert verdict(framed(version, "0", ""), version) is None


PARTIES = "453=2|448=P1|447=D|452=1|802=1|523=S|803=2|448=P2|447=D|452=3|"

# (body of an order that replaces or follows the usual one, reason, tag), for every version.
FAULTS = [
    pytest.param("{order}3999=x|", 0, 3999, id="tag that no version has"),
    pytest.param("{order}9999=x|", 0, 9999, id="user-defined tag"),
    pytest.param("{order}112=x|", 2, 112, id="field of another message"),
    pytest.param("{order}336=1|", 2, 336, id="member of a group without its count"),
    pytest.param("{order}58=|", 4, 58, id="empty field"),
    pytest.param("{order}59=Z|", 5, 59, id="value off the list"),
    pytest.param("{order}18=1 ~|", 5, 18, id="one of several values off the list"),
    pytest.param("{order}59=00|", 6, 59, id="two characters where one belongs"),
    pytest.param("{order}99=1e5|", 6, 99, id="price with an exponent"),
    pytest.param("{order}126=20240230-00:00:00|", 6, 126, id="day that no month has"),
    pytest.param("{order}114=y|", 6, 114, id="boolean in small letters"),
    pytest.param("{order}58=a|58=b|", 13, 58, id="field twice"),
    pytest.param("{order}115=OTHER|", 14, 115, id="header field in the body"),
    pytest.param("{order}89=x|58=late|", 14, 58, id="body field in the trailer"),
    pytest.param("{order}10=001|58=late|", 14, 58, id="field behind the checksum"),
    pytest.param("{order}386=2|336=1|", 16, 386, id="fewer entries than counted"),
    pytest.param("{order}386=1|336=1|336=2|", 16, 386, id="more entries than counted"),
    pytest.param("{order}386=0|336=1|", 16, 386, id="entries counted as none"),
    pytest.param("{order}386=1000000|", 16, 386, id="a million entries and none there"),
    pytest.param("{order}386=two|336=1|336=2|", 6, 386, id="count that is no number"),
    pytest.param("{order}386=-1|", 6, 386, id="count below zero"),
    pytest.param("{order}386=|", 4, 386, id="count without a value"),
    pytest.param("{order}386=1|3999=x|336=1|", 16, 386, id="stranger before the first entry"),
]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(("body", "reason", "tag"), FAULTS)
def test_a_fault_in_an_order_gets_its_reason(version: str, body: str, reason: int, tag: int):
    message = framed(version, "D", body.format(order=ORDERS[version]))
    assert verdict(message, version) == (reason, tag)


@pytest.mark.parametrize("version", ["FIX.4.4", "FIXT.1.1"])
@pytest.mark.parametrize(
    ("parties", "expected"),
    [
        (PARTIES, None),
        (PARTIES.replace("453=2", "453=3"), (16, 453)),
        (PARTIES.replace("802=1", "802=2"), (16, 802)),
        (PARTIES.replace("448=P1|447=D", "447=D|448=P1"), (15, 447)),
        (PARTIES.replace("447=D|452=1", "452=1|447=D"), (15, 447)),
        (PARTIES.replace("447=D|452=1", "447=D|447=D"), (15, 447)),
        (PARTIES.replace("523=S|803=2", "803=2|523=S"), (15, 803)),
        (PARTIES.replace("803=2", "803=x"), (6, 803)),
        (PARTIES.replace("447=D|452=3", "447=~|452=3"), (5, 447)),
        (PARTIES.replace("452=1|", "452=1|3999=x|"), (0, 3999)),
        (PARTIES.replace("452=1|", "452=1|112=x|"), (2, 112)),
        (PARTIES.replace("523=S|803=2|", "523=S|112=x|803=2|"), (2, 112)),
    ],
)
def test_groups_are_checked_to_any_depth(
    version: str, parties: str, expected: tuple[int, int] | None
):
    assert verdict(framed(version, "D", ORDERS[version] + parties), version) == expected


def test_an_entry_must_have_its_required_fields():
    entry = "269=0|270=1.5|271=3|"
    for body, expected in (
        (f"262=R|55=ABC|268=2|{entry}{entry}", None),
        (f"262=R|55=ABC|268=2|{entry}271=3|", (15, 271)),
        (f"262=R|55=ABC|268=2|{entry}270=1|269=1|", (15, 270)),
    ):
        assert verdict(framed("FIX.4.4", "W", body), "FIX.4.4") == expected
    missing = framed("FIX.4.2", "W", f"262=R|55=ABC|268=2|{entry}269=1|271=3|")
    found = fault(missing, "FIX.4.2")
    assert found is not None
    assert (int(found.reason), found.tag) == (1, 270)
    assert found.text.endswith("270 (MDEntryPx) in entry 2 of 268 (NoMDEntries)")
    rules = ValidationRules(check_required_fields=False)
    assert verdict(missing, "FIX.4.2", rules) is None


@pytest.mark.parametrize("version", VERSIONS)
def test_missing_fields_are_named_header_first_and_then_by_tag(version: str):
    order = framed(version, "D", ORDERS[version].replace("11=A1|", "").replace("54=1|", ""))
    assert verdict(order, version) == (1, 11)
    assert verdict(parse(f"8={version}|9=5|35=0|34=7|49=US|10=000|"), version) == (1, 52)
    assert verdict(parse(f"8={version}|9=5|35=D|34=7|49=US|52={TIME}|10=0|"), version) == (1, 56)
    assert verdict(framed(version, "1", ""), version) == (1, 112)
    assert verdict(parse(f"8={version}|9=5|35=0|34=7|49=U|52={TIME}|56=T|"), version) == (1, 10)


def test_a_logon_over_fixt_says_which_version_it_carries():
    message = framed("FIXT.1.1", "A", LOGONS["FIXT.1.1"].replace("1137=9|", ""))
    assert verdict(message, "FIXT.1.1") == (1, 1137)


def test_a_missing_field_goes_before_faults_of_other_fields():
    assert verdict(framed("FIX.4.4", "1", "3999=x|58=|"), "FIX.4.4") == (1, 112)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("text", "tag"),
    [
        ("9=5|8={v}|35=0|34=7|49=US|52={t}|56=T|10=000|", 8),
        ("8={v}|35=0|9=5|34=7|49=US|52={t}|56=T|10=000|", 9),
        ("8={v}|9=5|34=7|35=0|49=US|52={t}|56=T|10=000|", 35),
        ("8={v}|9=5|35=1|34=7|49=US|112=x|52={t}|56=T|10=000|", 52),
        ("8={v}|9=5|35=0|34=7|49=US|52={t}|10=000|56=T|", 56),
    ],
)
def test_the_order_of_header_body_and_trailer(version: str, text: str, tag: int):
    message = parse(text.format(v=version, t=TIME))
    assert verdict(message, version) == (14, tag)
    rules = ValidationRules(validate_fields_out_of_order=False)
    assert verdict(message, version, rules) is None


@pytest.mark.parametrize("version", VERSIONS)
def test_message_types(version: str):
    assert verdict(framed(version, "*", ""), version) == (11, 0)
    assert verdict(framed(version, "", ""), version) == (4, 35)
    assert verdict(parse(f"8={version}|9=5|34=7|49=US|10=000|"), version) == (1, 35)


@pytest.mark.parametrize("version", VERSIONS)
def test_of_a_user_defined_type_only_header_trailer_and_values_are_checked(version: str):
    assert verdict(framed(version, "U7", "55=ABC|55=DEF|3999=x|9000=y|"), version) is None
    assert verdict(framed(version, "U7", "54=$|"), version) == (5, 54)
    assert verdict(framed(version, "U7", "44=$|"), version) == (6, 44)
    assert verdict(framed(version, "U7", "9000=|"), version) == (4, 9000)
    assert verdict(framed(version, "U7", "", "34=7|"), version) == (13, 34)
    assert verdict(parse(f"8={version}|9=5|35=U7|34=7|49=US|10=000|"), version) == (1, 52)


def test_types_and_versions_stay_apart():
    # Confirmation came with 4.4, CollateralAssignment too, and RFQRequest with neither 4.2.
    assert verdict(framed("FIX.4.2", "AK", ""), "FIX.4.2") == (11, 0)
    assert verdict(framed("FIX.4.4", "DZ", ""), "FIX.4.4") == (11, 0)
    # HandlInst was required in 4.2 only.
    assert verdict(framed("FIX.4.2", "D", ORDERS["FIX.4.4"]), "FIX.4.2") == (1, 21)


def test_what_decoding_found_comes_first():
    assert verdict(framed("FIX.4.4", "1", "abc=1|58=|"), "FIX.4.4") == (0, 0)
    assert verdict(framed("FIX.4.4", "B", "95=3|96=ab|"), "FIX.4.4") == (6, 96)


def test_faults_of_decoding_that_a_dictionary_judges_better_are_left_to_it():
    reason = SessionRejectReason.TAG_TWICE
    sound = framed("FIX.4.4", "D", ORDERS["FIX.4.4"])
    told = FixMessage(sound.msg_type, sound.fields, Fault(reason, 55, "twice"), sound.by_tag)
    assert verdict(told, "FIX.4.4") is None


def test_switches_let_through_what_they_say():
    def judged(body: str, **switches: bool) -> tuple[int, int] | None:
        message = framed("FIX.4.4", "D", ORDERS["FIX.4.4"] + body)
        return verdict(message, "FIX.4.4", ValidationRules(**switches))

    assert judged("58=|", validate_fields_have_values=False) is None
    assert judged("3999=|", allow_unknown_message_fields=True) == (4, 3999)
    rules = {"allow_unknown_message_fields": True, "validate_fields_have_values": False}
    assert judged("3999=|", **rules) is None
    assert judged("386=|336=1|", **rules) is None
    assert judged("3999=x|112=x|", allow_unknown_message_fields=True) is None
    assert judged("5001=x|", allow_unknown_message_fields=True) == (0, 5001)
    assert judged("5001=x|", validate_user_defined_fields=False) is None
    assert judged("3999=x|", validate_user_defined_fields=False) == (0, 3999)
    assert judged("116=|", allow_unknown_message_fields=True) == (14, 116)
    assert judged("271=x|", allow_unknown_message_fields=True) == (6, 271)
    swapped = PARTIES.replace("447=D|452=1", "452=1|447=D")
    assert judged(swapped, validate_unordered_group_fields=False) is None
    repeated = PARTIES.replace("447=D|452=1", "447=D|447=D")
    assert judged(repeated, validate_unordered_group_fields=False) == (15, 447)
    inside = PARTIES.replace("452=1|", "452=1|5001=x|")
    assert judged(inside, validate_user_defined_fields=False) is None
    assert judged("3999=x|", tell_undefined_from_invalid=True) == (3, 3999)
    message = framed("FIX.4.4", "1", "")
    assert verdict(message, "FIX.4.4", ValidationRules(check_required_fields=False)) is None


def test_tag_zero_is_invalid_and_not_merely_undefined():
    sound = framed("FIX.4.4", "0", "")
    fields = (*sound.fields[:-1], (0, b"x"), sound.fields[-1])
    message = FixMessage(sound.msg_type, fields, None, sound.by_tag)
    rules = ValidationRules(tell_undefined_from_invalid=True)
    assert verdict(message, "FIX.4.4", rules) == (0, 0)


def test_a_fault_says_in_words_what_is_wrong():
    found = fault(framed("FIX.4.4", "D", ORDERS["FIX.4.4"] + "99=" + "9" * 50 + "x|"), "FIX.4.4")
    assert found is not None
    assert found.text == (
        f"Incorrect data format for value: 99 (StopPx), b'{'9' * 32}' is no PRICE"
    )
    found = fault(framed("FIX.4.4", "D", ORDERS["FIX.4.4"] + "386=3|336=1|"), "FIX.4.4")
    assert found is not None
    assert found.text.endswith("386 (NoTradingSessions) says 3, there are 1 entries")


def test_headers_may_hold_groups_too():
    hops = "627=2|628=H1|629=20240305-09:30:00|628=H2|"
    assert verdict(framed("FIX.4.4", "0", "", hops), "FIX.4.4") is None
    assert verdict(framed("FIX.4.4", "0", "", hops.replace("=2", "=1", 1)), "FIX.4.4") == (16, 627)


@pytest.mark.alone
def test_time_grows_with_the_fields_and_not_with_what_a_count_says():
    def seconds(body: str) -> float:
        message = framed("FIX.4.4", "D", ORDERS["FIX.4.4"] + body)
        start = time.perf_counter()
        assert fault(message, "FIX.4.4") is not None
        return time.perf_counter() - start

    seconds("3999=x|")
    assert min(seconds(f"386={10**17}|") for _ in range(5)) < 0.01
    small = min(seconds("3999=x|" * 2_000) for _ in range(5))
    large = min(seconds("3999=x|" * 20_000) for _ in range(5))
    assert large < 40 * small
    deep = "453=1|448=A|802=1|523=B|" * 5_000
    assert seconds(deep) < 1
