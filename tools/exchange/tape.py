"""`exchange run --tape`: a session made before, sent as it stands.

A tape is a BinaryFILE with its truth beside it, as `exchange generate` writes them. Packets are
taken straight out of the file's memory, as fast as the system takes datagrams. Nobody can make a
snapshot of books that are not kept: that service is closed, and every message of the tape can be
asked for again.
"""

from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np

from feedhandler.server.errors import DataError
from protocols.binaryfile.kernels import index_many_nb
from protocols.binaryfile.reader import DataFileError, load_bytes
from protocols.errors import Status
from protocols.itch50.spec import LENGTHS
from protocols.wire import Bytes
from tools.exchange.history import History
from tools.exchange.layout import (
    EMITTED,
    IS_TAPE,
    TOTAL,
    Engine,
    FlowSettings,
    allocate_engine,
)

_INDEX_MESSAGES = 1 << 20


class Tape(NamedTuple):
    """`buf` u8[n] holds `messages` blocks from its first byte on; `truth` is what is in them."""

    buf: Bytes
    messages: int
    truth: dict[str, Any]


def load_tape(path: Path) -> Tape:
    """The tape and its truth; DataError when either is missing, damaged, or not the other's."""
    try:
        buf = load_bytes(path)
    except DataFileError as error:
        raise DataError(str(error)) from None
    messages = _count_messages(path, buf)
    beside = Path(f"{path}.truth.json")
    try:
        truth = msgspec.json.decode(beside.read_bytes(), type=dict[str, Any])
    except OSError as error:
        reason = error.strerror or str(error)
        text = f"{beside}: {reason}; exchange generate writes it beside the tape"
        raise DataError(text) from None
    except msgspec.MsgspecError as error:
        raise DataError(f"{beside}: no truth of a tape: {error}") from None
    if truth.get("messages") != messages:
        raise DataError(
            f"{beside}: tells of {truth.get('messages')} messages, {path} holds {messages}"
        )
    return Tape(buf, messages, truth)


def _count_messages(path: Path, buf: Bytes) -> int:
    starts, lengths = np.zeros(_INDEX_MESSAGES, np.int64), np.array(LENGTHS, np.int64)
    at = messages = 0
    while True:
        count, used, status = index_many_nb(buf, at, len(buf), lengths, starts)
        at, messages = at + used, messages + count
        if status == Status.TRUNCATED:
            raise DataError(f"{path}: at byte {at}: the tape ends within a message")
        if status == Status.OK:
            break
    if messages == 0:
        raise DataError(f"{path}: at byte 0: the tape holds no message")
    return messages


def tape_engine(tape: Tape) -> Engine:
    """An engine that matches nothing: its state says how much of the tape has been sent."""
    engine = allocate_engine(FlowSettings(seed=0, symbols=1, messages=tape.messages))
    engine.state[IS_TAPE] = 1
    engine.state[TOTAL] = tape.messages
    return engine


def tape_history(tape: Tape) -> History:
    """The tape as a history that holds all of it from the start."""
    capacity = 1 << tape.messages.bit_length()
    return History(tape.buf, np.zeros(capacity, np.int64), np.zeros(1, np.int64))


def truth_so_far(tape: Tape, engine: Engine) -> dict[str, Any]:
    """The tape's truth; of a tape that was stopped early, only how many messages it sent."""
    sent = int(engine.state[EMITTED])
    return tape.truth if sent == tape.messages else {"messages": sent}
