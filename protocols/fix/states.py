"""The states of a FIX session and what leads from one to another: one table for acceptor and
initiator.

Source: FIX 4.4 volume 2, session protocol. The diagram in docs/protocols/fix-session.md is made
from this table.
"""

from collections.abc import Mapping
from enum import Enum, auto


class State(Enum):
    """Where a connection stands."""

    DISCONNECTED = auto()
    AWAITING_LOGON = auto()
    LOGON_SENT = auto()
    ACTIVE = auto()
    LOGOUT_SENT = auto()
    CLOSING = auto()


class Step(Enum):
    """What moves a session from one state to another."""

    ACCEPTED = auto()
    DIALLED = auto()
    LOGON_DONE = auto()
    LOGOUT_BEGUN = auto()
    ENDED = auto()
    LOST = auto()


TRANSITIONS: Mapping[State, Mapping[Step, State]] = {
    State.DISCONNECTED: {
        Step.ACCEPTED: State.AWAITING_LOGON,
        Step.DIALLED: State.LOGON_SENT,
        Step.LOST: State.DISCONNECTED,
    },
    State.AWAITING_LOGON: {
        Step.LOGON_DONE: State.ACTIVE,
        Step.ENDED: State.CLOSING,
        Step.LOST: State.DISCONNECTED,
    },
    State.LOGON_SENT: {
        Step.LOGON_DONE: State.ACTIVE,
        Step.ENDED: State.CLOSING,
        Step.LOST: State.DISCONNECTED,
    },
    State.ACTIVE: {
        Step.LOGOUT_BEGUN: State.LOGOUT_SENT,
        Step.ENDED: State.CLOSING,
        Step.LOST: State.DISCONNECTED,
    },
    State.LOGOUT_SENT: {Step.ENDED: State.CLOSING, Step.LOST: State.DISCONNECTED},
    State.CLOSING: {Step.LOST: State.DISCONNECTED},
}

MEANINGS: Mapping[State | Step, str] = {
    State.DISCONNECTED: "no connection; messages are numbered and stored, nothing is sent",
    State.AWAITING_LOGON: "acceptor: a connection whose first message must be a Logon",
    State.LOGON_SENT: "initiator: our Logon is out, the peer's is awaited",
    State.ACTIVE: "both Logons were exchanged, messages flow",
    State.LOGOUT_SENT: "our Logout is out, the peer's is awaited",
    State.CLOSING: "nothing is read any more; what is queued is sent, then the connection closed",
    Step.ACCEPTED: "a connection came in",
    Step.DIALLED: "a connection went out, and our Logon with it",
    Step.LOGON_DONE: "a sound Logon of the peer",
    Step.LOGOUT_BEGUN: "our Logout went out: we end the session, or the peer broke a rule",
    Step.ENDED: "Logouts exchanged, a refused Logon, a timeout, or numbers beyond repair",
    Step.LOST: "the connection is gone",
}
"""What each means, for the page."""

LOGGED_ON = frozenset({State.ACTIVE, State.LOGOUT_SENT})
"""States in which messages of the peer are read in sequence."""
