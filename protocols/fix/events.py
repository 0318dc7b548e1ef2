"""What a FIX session tells its caller, one frozen dataclass each."""

from dataclasses import dataclass

from protocols.fix.message import FixMessage


@dataclass(frozen=True, slots=True)
class LoggedOn:
    """Both Logons were exchanged; numbers are those after them. `was_reset`: both sides started at
    1 again.
    """

    heartbeat_s: int
    next_outgoing: int
    next_incoming: int
    was_reset: bool


@dataclass(frozen=True, slots=True)
class ApplicationMessage:
    """A message in sequence, seen once; it counts as received when the caller asks for the next
    event.

    `poss_resend`: the peer may have sent the same content under another number; only the owner can
    tell, by its own ids (volume 2, PossResend).
    """

    message: FixMessage
    seq: int
    poss_dup: bool
    poss_resend: bool = False


@dataclass(frozen=True, slots=True)
class GapDetected:
    """Numbers `first_seq` … `last_seq` are missing; they were asked for."""

    first_seq: int
    last_seq: int


@dataclass(frozen=True, slots=True)
class ReplayAsked:
    """The peer missed numbers from `begin_seq` (`end_seq` 0: all) and gets them."""

    begin_seq: int
    end_seq: int


@dataclass(frozen=True, slots=True)
class SequenceReset:
    """The peer moved the number that we expect, or both sides are back at 1; `cause` says which.

    The numbers are those of the peer's messages. A reset that came with the end of a connection is
    told when the next one begins.
    """

    old_seq: int
    new_seq: int
    cause: str


@dataclass(frozen=True, slots=True)
class MessageRejected:
    """The peer rejected our message `ref_seq`."""

    ref_seq: int
    reason: int
    text: str


@dataclass(frozen=True, slots=True)
class RejectSent:
    """We rejected the peer's message `ref_seq`."""

    ref_seq: int
    text: str


@dataclass(frozen=True, slots=True)
class Disconnect:
    """Send what is left, then close the connection. `was_clean`: both sides said Logout."""

    reason: str
    was_clean: bool


Event = (
    LoggedOn
    | ApplicationMessage
    | GapDetected
    | ReplayAsked
    | SequenceReset
    | MessageRejected
    | RejectSent
    | Disconnect
)
