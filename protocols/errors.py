"""Whose fault it was, as exceptions for cold code and as status codes for kernels."""

from enum import IntEnum


class ProtocolError(Exception):
    """A rule of a protocol was broken; `where` names the field or byte offset when it is known."""


class LocalProtocolError(ProtocolError):
    """Our side asked for something that the protocol forbids in this state."""


class RemoteProtocolError(ProtocolError):
    """The peer (or the file) sent something that the protocol forbids."""


class Status(IntEnum):
    """What a kernel says about the bytes it was given; only `OK` rows are complete."""

    OK = 0
    TRUNCATED = 1
    UNKNOWN_TYPE = 2
    BAD_LENGTH = 3
    END_OF_SESSION = 4
    OUTPUT_FULL = 5
    BAD_VALUE = 6
