"""The MoldUDP64 sessions of a run: one, or several where a scenario lets the session roll.

The sender numbers messages over the whole run. In a packet stands the number within its session,
which is that less what came before the session's first message. A new session begins with the first
message at or after its time of the market's clock, whatever the speed, and behind the end of the
session before, which is then repeated a few times.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from protocols.by_reference import by_reference
from protocols.jit import kernel
from protocols.moldudp64.spec import SESSION_BYTES
from protocols.wire import Bytes, read_u48_nb
from tools.exchange.history import History
from tools.exchange.itch_writer import LENGTH_BYTES, TIMESTAMP

# Words of `state`.
PRESENT = 0
ENDS_LEFT = 1
"""How often the end of the session before is still told."""
ENDS_AT_NS = 2
"""When it is next."""
_STATE_WORDS = 3


@by_reference
class Sessions(NamedTuple):
    """ids u8[n, 10], the run's number of the first message of each session that has begun i64[n],
    the time of the market's clock at which each begins i64[n], and words as above.
    """

    ids: Bytes
    firsts: NDArray[np.int64]
    begins_ns: NDArray[np.int64]
    state: NDArray[np.int64]


def allocate_sessions(session_id: str, begins_ns: Sequence[int] = ()) -> Sessions:
    """The session `session_id`, and one for each time of `begins_ns`, in ascending order.

    Raises:
        ValueError: the id does not end in a number that can be counted on from.
    """
    names = [following_id(session_id, step) for step in range(len(begins_ns) + 1)]
    ids = np.frombuffer("".join(name.ljust(SESSION_BYTES) for name in names).encode(), np.uint8)
    firsts = np.zeros(len(names), np.int64)
    firsts[0] = 1
    return Sessions(
        ids.reshape(len(names), SESSION_BYTES).copy(),
        firsts,
        np.array([0, *begins_ns], np.int64),
        np.zeros(_STATE_WORDS, np.int64),
    )


def following_id(session_id: str, step: int) -> str:
    """The id `step` sessions after `session_id`: FH00000001 is followed by FH00000002."""
    if step == 0:
        return session_id
    digits = re.search(r"\d*$", session_id)
    number = digits[0] if digits else ""
    following = str(int(number or 0) + step).zfill(len(number))
    if not number or len(following) > len(number):
        raise ValueError(
            f"session.id {session_id!r}: another session follows it, so it needs a number at its"
            f" end that can be counted on from, as FH00000001 has"
        )
    return session_id[: len(session_id) - len(number)] + following


def told_sessions(sessions: Sessions, messages: int) -> list[dict[str, str | int]]:
    """Id and number of messages of each session that has begun, of `messages` in all."""
    begun = int(sessions.state[PRESENT]) + 1
    ends = [*sessions.firsts[1:begun].tolist(), messages + 1]
    return [
        {"id": bytes(name).decode().rstrip(), "messages": end - first}
        for name, first, end in zip(sessions.ids, sessions.firsts.tolist(), ends, strict=False)
    ]


@kernel
def place_of_nb(sessions: Sessions, sequence: int) -> int:
    """In which session message `sequence` of the run is."""
    place = sessions.state[PRESENT]
    while place > 0 and sequence < sessions.firsts[place]:
        place -= 1
    return np.int64(place)


@kernel
def own_number_nb(sessions: Sessions, place: int, sequence: int) -> int:
    """The number that message `sequence` of the run has in session `place`."""
    return np.int64(sequence - sessions.firsts[place] + 1)


@kernel
def last_of_session_nb(sessions: Sessions, history: History, sequence: int, last: int) -> int:
    """The last of the messages `sequence` to `last` that still belongs to the present session; less
    than `sequence` when none does.
    """
    following = sessions.state[PRESENT] + 1
    if following == sessions.firsts.shape[0]:
        return np.int64(last)
    begins_ns = sessions.begins_ns[following]
    if _stamp_ns_nb(history, last) < begins_ns:
        return np.int64(last)
    while sequence <= last and _stamp_ns_nb(history, sequence) < begins_ns:
        sequence += 1
    return np.int64(sequence - 1)


@kernel
def _stamp_ns_nb(history: History, sequence: int) -> int:
    """Stamp of a message."""
    at = history.offsets[sequence & (history.offsets.shape[0] - 1)]
    return np.int64(read_u48_nb(history.data, at + LENGTH_BYTES + TIMESTAMP))


@kernel
def begin_session_nb(sessions: Sessions, sequence: int, ends: int, next_end_ns: int) -> None:
    """The next session begins with message `sequence`; the end of the one before is told `ends`
    times more, from `next_end_ns` on.
    """
    sessions.state[PRESENT] += 1
    sessions.firsts[sessions.state[PRESENT]] = sequence
    sessions.state[ENDS_LEFT] = ends
    sessions.state[ENDS_AT_NS] = next_end_ns
