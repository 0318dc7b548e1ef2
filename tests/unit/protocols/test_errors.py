"""Errors and status codes."""

from protocols.errors import LocalProtocolError, ProtocolError, RemoteProtocolError, Status


def test_one_base_class_catches_both_sides_faults():
    assert issubclass(LocalProtocolError, ProtocolError)
    assert issubclass(RemoteProtocolError, ProtocolError)
    assert not issubclass(LocalProtocolError, RemoteProtocolError)


def test_status_codes_keep_their_numbers():
    assert {status.name: int(status) for status in Status} == {
        "OK": 0,
        "TRUNCATED": 1,
        "UNKNOWN_TYPE": 2,
        "BAD_LENGTH": 3,
        "END_OF_SESSION": 4,
        "OUTPUT_FULL": 5,
        "BAD_VALUE": 6,
    }
