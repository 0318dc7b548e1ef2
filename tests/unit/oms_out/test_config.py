import msgspec
import pytest

from oms_out.config import OmsConfig

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
