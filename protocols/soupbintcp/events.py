"""What a SoupBinTCP session tells its caller, one frozen dataclass each."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LoginRequested:
    """A client wants in; answer with `accept` or `reject`. Texts are stripped of padding, `session`
    is "" for the current one. `heartbeat_timeout_ms` is 0 where none was stated.
    """

    username: str
    password: str
    session: str
    sequence: int
    heartbeat_timeout_ms: int = 0


@dataclass(frozen=True, slots=True)
class LoginAccepted:
    """The server let us in; `sequence` is the number of the next sequenced message."""

    session: str
    sequence: int


@dataclass(frozen=True, slots=True)
class LoginRejected:
    """The server kept us out: reason "A" not authorised, "S" session not available."""

    reason: str


@dataclass(frozen=True, slots=True)
class SequencedData:
    """One message and its implied sequence number."""

    sequence: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class UnsequencedData:
    """One message outside the sequence."""

    payload: bytes


@dataclass(frozen=True, slots=True)
class Debug:
    """Free text for a human; it means nothing to the session."""

    text: str


@dataclass(frozen=True, slots=True)
class SessionEnded:
    """The server has no more messages in this session."""


@dataclass(frozen=True, slots=True)
class LogoutRequested:
    """The client leaves."""


@dataclass(frozen=True, slots=True)
class PeerSilent:
    """No whole packet came from the peer for too long; the session is closed."""

    silent_ns: int


@dataclass(frozen=True, slots=True)
class LoginTimedOut:
    """The login was not over in time, whatever else the peer sent; the session is closed."""

    waited_ns: int


@dataclass(frozen=True, slots=True)
class FellBehind:
    """A client read so slowly that message `sequence`, its next, is no longer kept; the session is
    closed.
    """

    sequence: int


Event = (
    LoginRequested
    | LoginAccepted
    | LoginRejected
    | SequencedData
    | UnsequencedData
    | Debug
    | SessionEnded
    | LogoutRequested
    | PeerSilent
    | LoginTimedOut
    | FellBehind
)
