"""What settings are refused, and what differs between versions."""

from typing import Any

import pytest

from protocols.errors import LocalProtocolError
from protocols.fix.dictionary.load import load_dictionary
from protocols.fix.message import Fault, Identity, decode, encode
from protocols.fix.replies import logon_body, reject_body
from protocols.fix.rules import SessionSettings, find_message_fault
from protocols.fix.spec import SessionRejectReason
from protocols.fix.versions import VERSIONS, Version, version_of

TIME = b"20260921-12:00:00.000"


def settings_for(begin_string: bytes, **changes: Any) -> SessionSettings:
    return SessionSettings(Identity("US", "PEER", begin_string), False, frozenset(), **changes)


@pytest.mark.parametrize(
    ("begin_string", "changes", "problem"),
    [
        (b"FIX.4.3", {}, "FIX.4.3.*FIX.4.2, FIX.4.4, FIXT.1.1"),
        (b"FIX.5.0SP2", {}, "FIX.5.0SP2"),
        (b"FIX.4.2", {"next_expected": True}, "789"),
        (b"FIX.4.4", {"resend_chunk": -1}, "resend chunk -1"),
        (b"FIX.4.4", {"time_decimals": 10}, "10 decimals"),
        (b"FIX.4.4", {"time_decimals": -1}, "-1 decimals"),
    ],
)
def test_settings_that_cannot_be_are_refused(
    begin_string: bytes, changes: dict[str, Any], problem: str
):
    with pytest.raises(LocalProtocolError, match=problem):
        settings_for(begin_string, **changes)


@pytest.mark.parametrize("version", VERSIONS.values(), ids=lambda version: version.name)
def test_a_version_has_its_dictionaries_and_its_name(version: Version):
    assert version_of(version.name.encode()) is version
    books = settings_for(version.begin_string).books
    assert [book.begin_string for book in books] == [version.name, version.application]


@pytest.mark.parametrize("version", VERSIONS.values(), ids=lambda version: version.name)
def test_only_789_is_said_by_versions_whose_logon_has_it(version: Version):
    logon = load_dictionary(version.name).messages[b"A"]
    assert any(member.tag == 789 for member in logon.members) == version.has_next_expected


def test_dictionaries_of_the_users_own_take_the_place_of_the_versions():
    own = (load_dictionary("FIX.4.2"), load_dictionary("FIX.4.2"))
    settings = settings_for(b"FIX.4.4", dictionaries=own)
    report = decode(encode(settings.identity, b"8", 2, TIME, b"37=O\x01"))
    fault = find_message_fault(report, settings, b"")
    assert fault is not None
    assert (fault.reason, fault.tag) == (SessionRejectReason.REQUIRED_TAG_MISSING, 6)
    missing = own[0].messages[b"8"].members
    assert any(member.tag == 20 and member.is_required for member in missing)


def test_fields_of_the_logon_are_added_and_never_shown():
    settings = settings_for(b"FIX.4.4", logon_body=b"553=me\x01554=secret\x01")
    body = logon_body(settings, 30, is_reset=False, next_expected=1)
    assert body == b"98=0\x01108=30\x01553=me\x01554=secret\x01"
    assert "secret" not in repr(settings)


@pytest.mark.parametrize("version", VERSIONS.values(), ids=lambda version: version.name)
@pytest.mark.parametrize("reason", list(SessionRejectReason))
def test_a_reason_is_numbered_where_the_version_has_the_number(
    version: Version, reason: SessionRejectReason
):
    settings = settings_for(version.begin_string)
    message = decode(encode(settings.identity, b"0", 2, TIME, b""))
    reject = decode(b"35=3\x01" + reject_body(message, 2, Fault(reason, 55, "why"), settings))
    numbers = load_dictionary(version.name).fields[373].values
    expected = b"%d" % reason if b"%d" % reason in numbers else b""
    assert reject.get(373) == expected
    assert (reject.get(45), reject.get(371), reject.get(372)) == (b"2", b"55", b"0")


def test_a_reject_of_a_message_without_type_names_none():
    settings = settings_for(b"FIX.4.4")
    message = decode(b"8=FIX.4.4\x019=5\x0134=2\x01")
    fault = Fault(SessionRejectReason.REQUIRED_TAG_MISSING, 35, "why")
    assert b"372=" not in reject_body(message, 2, fault, settings)
