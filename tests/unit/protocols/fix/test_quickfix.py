"""QuickFIX's keys: what each does, and that a mistake is named."""

from datetime import time
from zoneinfo import ZoneInfo

import pytest

from protocols.errors import LocalProtocolError
from protocols.fix.quickfix import KEYS, plan_session, read_cfg
from protocols.fix.schedule import Schedule
from protocols.fix.times import NS_PER_S

PAIR = {"SenderCompID": "US", "TargetCompID": "THEM"}
TYPES = frozenset({b"D"})

CFG = """
# a comment
[DEFAULT]
ConnectionType=acceptor
SocketAcceptPort=5001
SenderCompID=US
FileStorePath = run/store
[SESSION]
BeginString=FIX.4.2
TargetCompID=ONE
[session]
BeginString=FIXT.1.1
DefaultApplVerID=FIX.5.0SP2
TargetCompID=TWO
SenderCompID=OTHER
"""


def test_sessions_of_a_cfg_have_the_defaults_and_their_own_keys():
    one, two = (plan_session(keys, TYPES) for keys in read_cfg(CFG))
    assert one.settings.identity.sender_comp_id == "US"
    assert one.settings.identity.target_comp_id == "ONE"
    assert one.settings.version.name == "FIX.4.2"
    assert (one.host, one.port, one.store_path) == ("127.0.0.1", 5001, "run/store")
    assert two.settings.identity.sender_comp_id == "OTHER"
    assert two.settings.version.application == "FIX.5.0SP2"
    assert not one.settings.is_initiator


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "no .SESSION. section"),
        ("A=1", "line 1: 'A=1' stands before any section"),
        ("[DEFAULT]\nwhat", "line 2: 'what' is no Key=Value"),
        ("[OTHER]", "line 1: section .OTHER."),
    ],
)
def test_a_cfg_that_is_none_names_its_line(text: str, named: str):
    with pytest.raises(LocalProtocolError, match=named):
        read_cfg(text)


def test_the_defaults_are_those_of_the_table():
    plan = plan_session(PAIR, TYPES)
    settings = plan.settings
    assert settings.version.name == "FIX.4.4"
    assert (settings.heartbeat_s, settings.time_decimals) == (30, 3)
    assert settings.logon_timeout_ns == 10 * NS_PER_S
    assert settings.time_accuracy_ns == 120 * NS_PER_S
    assert settings.check_latency
    assert not settings.reset_on_logon
    assert plan.schedule == Schedule()
    assert (plan.reconnect_s, plan.port) == (30, 0)


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("ResetOnLogon", "reset_on_logon"),
        ("ResetOnLogout", "reset_on_logout"),
        ("ResetOnDisconnect", "reset_on_disconnect"),
        ("CheckLatency", "check_latency"),
        ("CheckCompID", "check_comp_id"),
        ("RequiresOrigSendingTime", "requires_orig_sending_time"),
        ("SendNextExpectedMsgSeqNum", "next_expected"),
        ("EnableNextExpectedMsgSeqNum", "next_expected"),
        ("ValidateFieldsOutOfOrder", "validation.validate_fields_out_of_order"),
        ("ValidateFieldsHaveValues", "validation.validate_fields_have_values"),
        ("ValidateUserDefinedFields", "validation.validate_user_defined_fields"),
        ("ValidateUnorderedGroupFields", "validation.validate_unordered_group_fields"),
        ("AllowUnknownMsgFields", "validation.allow_unknown_message_fields"),
    ],
)
def test_a_flag_switches_what_it_names(key: str, name: str):
    for text, expected in (("Y", True), ("n", False), (True, True), (False, False)):
        found = plan_session({**PAIR, key: text}, TYPES).settings
        for part in name.split("."):
            found = getattr(found, part)
        assert found is expected


@pytest.mark.parametrize(
    ("key", "name", "expected"),
    [
        ("HeartBtInt", "heartbeat_s", 7),
        ("LogonTimeout", "logon_timeout_ns", 7 * NS_PER_S),
        ("LogoutTimeout", "logout_timeout_ns", 7 * NS_PER_S),
        ("MaxLatency", "time_accuracy_ns", 7 * NS_PER_S),
        ("ResendRequestChunkSize", "resend_chunk", 7),
        ("TimestampPrecision", "time_decimals", 7),
    ],
)
def test_a_number_reaches_its_setting(key: str, name: str, expected: int):
    for value in (7, "7"):
        assert getattr(plan_session({**PAIR, key: value}, TYPES).settings, name) == expected


def test_an_initiator_has_a_host_to_dial():
    keys = {"ConnectionType": "initiator", "SocketConnectHost": "there", "SocketConnectPort": 9}
    plan = plan_session({**PAIR, **keys, "ReconnectInterval": "5"}, TYPES)
    assert plan.settings.is_initiator
    assert (plan.host, plan.port, plan.reconnect_s) == ("there", 9, 5)


def test_times_become_a_schedule_in_their_zone():
    daily = {"StartTime": "08:00:00", "EndTime": "17:30:00", "Weekdays": "Mon,Tue,we"}
    zone = {"TimeZone": "Europe/London"}
    plan = plan_session({**PAIR, **daily, **zone}, TYPES)
    days = frozenset({0, 1, 2})
    assert plan.schedule == Schedule(
        time(8), time(17, 30), weekdays=days, zone=ZoneInfo("Europe/London")
    )
    weekly = {"StartTime": "18:00:00", "EndTime": "17:00:00", "StartDay": "Sun", "EndDay": "Fri"}
    assert plan_session({**PAIR, **weekly}, TYPES).schedule == Schedule(time(18), time(17), 6, 4)
    assert plan_session({**PAIR, **weekly, "NonStopSession": "Y"}, TYPES).schedule == Schedule()


@pytest.mark.parametrize(
    ("keys", "named"),
    [
        ({"ResetOnLogin": "Y"}, "unknown key ResetOnLogin; ResetOnLog"),
        ({"Zzzzzzzz": "Y"}, "unknown key Zzzzzzzz$"),
        ({"ResetOnLogon": "maybe"}, "ResetOnLogon: 'maybe' is neither Y nor N"),
        ({"HeartBtInt": "often"}, "HeartBtInt: 'often' is no whole number"),
        ({"HeartBtInt": "-1"}, "HeartBtInt: '-1' is no whole number"),
        ({"HeartBtInt": "99999"}, "HeartBtInt: 99999 is not in 0..86,400"),
        ({"HeartBtInt": "9" * 5000}, "no whole number"),
        ({"SocketAcceptPort": "70000"}, "SocketAcceptPort: 70000"),
        ({"ConnectionType": "both"}, "ConnectionType: 'both'"),
        ({"StartTime": "8"}, "StartTime: '8' is no time of day"),
        ({"StartTime": "08:00:00"}, "StartTime and EndTime"),
        ({"StartDay": "Someday"}, "StartDay: 'Someday'"),
        ({"Weekdays": "Mon,Xyz"}, "Weekdays: 'Xyz'"),
        ({"TimeZone": "Mars/Olympus"}, "TimeZone: 'Mars/Olympus' is no time zone"),
        ({"TimeZone": "../etc"}, "no time zone"),
        ({"BeginString": "FIX.3.0"}, "BeginString"),
        ({"DefaultApplVerID": "FIX.5.0"}, "DefaultApplVerID: 'FIX.5.0'"),
        ({"SenderCompID": ""}, "SenderCompID is missing"),
        ({"BeginString": "FIX.4.2", "SendNextExpectedMsgSeqNum": "Y"}, "NextExpectedMsgSeqNum"),
    ],
)
def test_a_mistake_names_its_key(keys: dict, named: str):
    with pytest.raises(LocalProtocolError, match=named):
        plan_session({**PAIR, **keys}, TYPES)


def test_every_key_is_explained_once():
    assert len({key.name for key in KEYS}) == len(KEYS)
    assert all(key.note for key in KEYS)
