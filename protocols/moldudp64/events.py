"""What a MoldUDP64 receiver tells its caller, one frozen dataclass each. Sequence numbers are full
unsigned 64-bit numbers, as Python integers.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Joined:
    """The first packet of a session came; messages are delivered from number `sequence` on."""

    session: str
    sequence: int


@dataclass(frozen=True, slots=True)
class Messages:
    """Messages `sequence`, `sequence` + 1, …: each of a session once, in order."""

    session: str
    sequence: int
    messages: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class GapDetected:
    """Messages `sequence` to `end` - 1 are missing for now."""

    session: str
    sequence: int
    end: int


@dataclass(frozen=True, slots=True)
class GapFilled:
    """Nothing is missing any more before message `sequence`."""

    session: str
    sequence: int


@dataclass(frozen=True, slots=True)
class Lost:
    """Messages `sequence` to `end` - 1 are given up; what follows is delivered next."""

    session: str
    sequence: int
    end: int


@dataclass(frozen=True, slots=True)
class SessionEnded:
    """Every message of the session before `sequence`, its last number and one, was delivered or
    reported lost.
    """

    session: str
    sequence: int


@dataclass(frozen=True, slots=True)
class SessionChanged:
    """Packets of `session` come now; nothing more is delivered of `old_session`, whose next message
    would have been `old_sequence`.
    """

    old_session: str
    old_sequence: int
    session: str


@dataclass(frozen=True, slots=True)
class Silent:
    """No packet of the session came for `silent_ns`, not even a heartbeat."""

    session: str
    silent_ns: int


Event = Joined | Messages | GapDetected | GapFilled | Lost | SessionEnded | SessionChanged | Silent
