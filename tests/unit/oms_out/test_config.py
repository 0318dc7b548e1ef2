import msgspec
import pytest

from oms_out.config import OmsConfig
from oms_out.contract import VALIDATION

GOOD = {"store_dir": "/tmp/x", "allowed": ["OMS1"]}


def convert(**changes: object) -> OmsConfig:
    return msgspec.convert(GOOD | changes, OmsConfig)


def test_defaults_listen_on_loopback_only():
    config = convert()
    assert (config.address, config.sender_comp_id) == ("127.0.0.1", "FEEDHANDLER")
    assert config.outbound_cap_bytes == 4 * 1024 * 1024


def test_a_misspelt_key_is_named():
    with pytest.raises(msgspec.ValidationError, match="alowed"):
        convert(alowed=[])


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"allowed": []}, "allowed"),
        ({"allowed": ["A", "A"]}, "twice"),
        ({"allowed": ["A B"]}, "A B"),
        ({"allowed": ["A=B"]}, "A=B"),
        ({"sender_comp_id": ""}, "CompID"),
        ({"port": 65_536}, "port"),
        ({"heartbeat_s": 0}, "heartbeat_s"),
        ({"logon_timeout_s": 0}, "logon_timeout_s"),
        ({"outbound_cap_bytes": 0}, "outbound_cap_bytes"),
        ({"address": ""}, "address: '' is no IPv4 address"),
        ({"address": "a..b"}, "address: 'a..b' is no IPv4 address"),
    ],
)
def test_a_value_out_of_range_is_named(changes: dict[str, object], named: str):
    with pytest.raises(msgspec.ValidationError, match=named):
        convert(**changes)


def test_keys_of_quickfix_decide_more_of_every_session():
    config = convert(session={"HeartBtInt": 7, "ResetOnLogout": True, "StartTime": "08:00:00",
                              "EndTime": "17:00:00", "TimeZone": "America/New_York"})  # fmt: skip
    plan = config.session_plan("OMS1")
    assert plan.settings.heartbeat_s == 7
    assert plan.settings.reset_on_logout
    assert plan.settings.identity.target_comp_id == "OMS1"
    assert plan.settings.message_bytes_max == config.message_cap_bytes
    assert plan.settings.validation == VALIDATION
    assert not plan.schedule.is_always_open


@pytest.mark.parametrize(
    ("session", "named"),
    [
        ({"BeginString": "FIX.4.2"}, "session.BeginString: not a key of this table, signals are"),
        ({"SocketAcceptPort": 5}, "session.SocketAcceptPort: .* say port in .oms."),
        ({"ResetOnLogin": True}, "session: unknown key ResetOnLogin; ResetOnLogon"),
        ({"StartTime": "08:00:00"}, "session: StartTime and EndTime"),
        ({"HeartBtInt": "often"}, "session: HeartBtInt: 'often'"),
    ],
)
def test_a_wrong_key_of_the_sessions_is_named(session: dict[str, object], named: str):
    with pytest.raises(msgspec.ValidationError, match=named):
        convert(session=session)
