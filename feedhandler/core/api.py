"""What a user writes: breakers and patterns with a fixed signature, and what a venue's adapter
gives to the engine.

A breaker or a pattern is a plain Python function of integers and arrays. It is compiled once at
start and called from the worker's loop at its address:

    @pattern("threshold")
    def my_pattern(ticks, slot, market, legs, params, state, out):
        tick = ticks[slot]                  # a row of feedhandler.core.events.TICK
        mine = market[legs[0]]              # a row of feedhandler.core.market.MARKET
        ...                                 # params i64[32]: from the configuration
                                            # state i64[16], or as many as asked for: of this
                                            # choice of instruments, zero at start
        out[0], out[1] = price_e9, qty      # what a signal proposes; out i64[8], zero at each call
        return side                         # pattern: +1 buy, -1 sell, 0 nothing
                                            # breaker: the BreakerLevel that it demands

`legs` are the instruments of this call: the tick's alone, or those that the configuration chose, of
which the tick's is one. Any other side, and a level that is none, is refused and counted. It must
not allocate, and may call other kernels. An index outside an array ends it: the function is counted
as faulty and not called any more. A tick that arrives late (a critical one overtook it) has a lower
`seq` than one seen before; a pattern that minds keeps the highest seq in its state.
"""

import re
from collections.abc import Callable, Sequence
from enum import IntEnum
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numba import from_dtype, types
from numba.core.errors import NumbaError
from numpy.typing import NDArray

from feedhandler.core import calls
from feedhandler.core.breaker_machine import Scope
from feedhandler.core.events import SIGNAL, TICK, Kind
from feedhandler.core.market import MARKET
from protocols.jit import kernel

F = TypeVar("F", bound=Callable[..., Any])


class Packet(IntEnum):
    """What a venue's `parse_packet` found."""

    DATA = 0
    HEARTBEAT = 1
    END_OF_SESSION = 2
    WRONG_SESSION = 3
    MALFORMED = 4


class Reason(IntEnum):
    """Why a connection ended."""

    NONE = 0
    ASKED = 1
    CLOSED = 2
    """The peer closed it."""
    FAILED = 3
    """By an error of the system, whose number is in words[StreamWord.ERROR]."""
    ENDED = 4
    """The session is over; nothing more will come."""
    GARBAGE = 5
    """Bytes that are no message of the protocol."""
    TOO_LONG = 6
    """A message that does not fit the memory for it."""
    NUMBERS = 7
    """The peer's numbers went back, or a message had none."""


class StreamWord(IntEnum):
    """Words of a stream that `read_stream` shares with the engine; the venue's own begin at
    OWN_WORDS.
    """

    SEQ = 0
    """Number of the next message for the engine."""
    SIZE = 1
    """PACKET, END: bytes in `out`."""
    TOLD_AT = 2
    TOLD_END = 3
    FAULT = 4
    """BROKEN: the Reason."""
    HEARD = 5
    """Whole messages of the peer so far, of any kind."""
    GAPS = 6
    DOUBT = 7
    ERROR = 8
    OUTCOME = 9
    """What the last `read_stream` found, a Read."""


class Read(IntEnum):
    """What `read_stream` found."""

    NEED = 0
    """More bytes are needed. Only now may the bytes behind `at` be moved."""
    PACKET = 1
    """A packet is in `out`."""
    TOLD = 2
    """buf[words[TOLD_AT] : words[TOLD_END]] is for the control plane."""
    END = 3
    """As PACKET: the one that ends the session."""
    BROKEN = 4


class Venue(NamedTuple):
    """The compiled functions through which the engine understands one venue's bytes."""

    parse_packet: Any
    normalise: Any
    write_request: Any
    normalise_own: Any
    read_stream: Any


class Sender(NamedTuple):
    """How a signal leaves from the thread that made it, and the memory that this needs, laid out as
    whoever wrote `send_signal` wants it; words i64[peers, n], texts u8[rows, n], scratch u8[n].
    """

    send_signal: Any
    words: NDArray[np.int64]
    texts: NDArray[np.uint8]
    scratch: NDArray[np.uint8]


STATE_WORDS = 16
"""Length of `state` unless the function asks for another."""
OUT_WORDS, PARAM_WORDS = calls.OUT_WORDS, calls.PARAM_WORDS
CELL_WORD = 6
"""Word of `out` in which a breaker may name the instrument whose level it demands, plus 1; 0: the
tick's."""
NOW_WORD = 7
"""Word of `out` in which a breaker finds the worker's clock, ns since the epoch; 0: there is none,
as in a replay."""

OWN_WORDS = 16
"""Words of a stream that mean the same for every venue, see `StreamWord`; its own come behind."""

_FAULT_LINE = re.compile(r"During: .* \((\d+)\)|^File \".*\", line (\d+):", re.MULTILINE)

_SIGNALS = types.Array(from_dtype(SIGNAL), 1, "C")
_TICKS = types.Array(from_dtype(TICK), 1, "C")
_MARKET = types.Array(from_dtype(MARKET), 1, "C")
_BYTES = types.Array(types.uint8, 1, "C")
_BYTE_ROWS = types.Array(types.uint8, 2, "C")
_I64S = types.Array(types.int64, 1, "C")
_I64_ROWS = types.Array(types.int64, 2, "C")
_I32S = types.Array(types.int32, 1, "C")

STAGE = types.int64(_TICKS, types.int64, _MARKET, _I64S, _I64S, _I64S, _I64S)
"""(ticks, slot, market, legs, params, state, out) -> side or level: what a user writes."""

PARSE_PACKET = types.int64(_BYTES, types.int64, types.int64, _BYTES, _I64S)
"""(buf, at, size, session, out) -> Packet; out[0:4] = seq, message count, first block, end."""

NORMALISE = types.int64(_BYTES, types.int64, types.int64, _TICKS, _I32S)
"""(buf, at, count, ticks, slots) -> where the block after the last one starts; row i of the blocks
goes to ticks[slots[i]]."""

WRITE_REQUEST = types.int64(_BYTES, _BYTES, types.int64, types.int64)
"""(out, session, seq, count) -> bytes of a re-request written to `out`."""

NORMALISE_OWN = types.int64(_BYTES, _I64S, types.int64, _BYTES, _I64S, _TICKS, _I32S)
"""(buf, blocks, count, owned, offsets, ticks, slots) -> how many of the blocks that begin at
buf[blocks[0]] to buf[blocks[count - 1]] are about an instrument i with owned[i & 0xFFFF] = 1. Their
places among the blocks go to offsets[0], offsets[1] and so on, their rows to ticks[slots[0]] and so
on, each with its instrument even where the message is not understood. One that names no instrument
is about instrument 0."""

READ_STREAM = types.int64(_BYTES, types.int64, types.int64, _I64S, _BYTES)
"""(buf, at, stop, words, out) -> bytes of buf[at:stop], what a TCP connection brought, that are
done with. words[StreamWord.OUTCOME] says what was found, a Read. A packet is written to out[10:],
behind the session, which stands there already; it is one that `parse_packet` reads."""

SEND_SIGNAL = types.int64(_SIGNALS, types.int64, _I64S, _I64_ROWS, _BYTE_ROWS, _BYTES)
"""(signals, index, symbols, words, texts, scratch) -> when the last of it had left, ns since the
epoch, or 0 when nothing left. The row at `index` is complete and not yet in the ring; symbols
i64[LEGS_SHOWN] are those of its legs, the first of which is its instrument."""


def _marker(
    params: tuple[str, ...],
    legs: int,
    state_words: int,
    begins_anew: Sequence[str] = (),
    *,
    is_checked: bool,
) -> Callable[[F], F]:
    if unknown := set(begins_anew) - set(params):
        raise ValueError(f"begins_anew: {', '.join(sorted(unknown))}: no such parameter")

    def mark(function: F) -> F:
        marks = {
            "params": params,
            "legs": legs,
            "state_words": state_words,
            "begins_anew": tuple(begins_anew),
            "is_checked": is_checked,
        }
        for name, value in marks.items():
            setattr(function, name, value)
        return function

    return mark


def pattern(
    *params: str,
    legs: int = 1,
    state_words: int = STATE_WORDS,
    checked: bool = True,
    begins_anew: Sequence[str] = (),
) -> Callable[[F], F]:
    """Mark a function as a pattern over `legs` instruments (0: any number) whose `params` are
    these, in this order; the configuration names them. Not `checked`, its indices are not held
    against the lengths of its arrays: a wrong one then overwrites what is not its own.
    `begins_anew` are parameters that the state was made with, a window's length for one: where a
    reload changes one of them, the state is cleared.
    """
    return _marker(params, legs, state_words, begins_anew, is_checked=checked)


def breaker(
    *params: str,
    scope: str = "instrument",
    legs: int = 1,
    state_words: int = STATE_WORDS,
    checked: bool = True,
    begins_anew: Sequence[str] = (),
    kinds: Sequence[str] = (),
) -> Callable[[F], F]:
    """Mark a function as a circuit breaker whose level holds for `scope` (a `Scope` in small
    letters) unless the configuration says otherwise; the rest as `pattern`. With `kinds` (a `Kind`
    each, in small letters) it is called for ticks of these, and while its level is not normal for
    all.
    """
    default_scope = Scope[scope.upper()]
    mask = sum(1 << Kind[kind.upper()] for kind in kinds)
    mark_rest = _marker(params, legs, state_words, begins_anew, is_checked=checked)

    def mark(function: F) -> F:
        function.scope = default_scope  # type: ignore[attr-defined]
        function.kinds = mask  # type: ignore[attr-defined]
        return mark_rest(function)

    return mark


def response(
    *params: str, state_words: int = STATE_WORDS, checked: bool = True
) -> Callable[[F], F]:
    """Mark a function as what a breaker's level does to signals, see `feedhandler.core.responses`;
    the rest as `pattern`.
    """
    return _marker(params, 1, state_words, is_checked=checked)


class StageError(Exception):
    """A user's function does not compile to the signature of its stage; the text names file, line
    and reason.
    """


@kernel
def _read_nothing_nb(
    buf: Any,  # noqa: ARG001
    at: int,  # noqa: ARG001
    stop: int,  # noqa: ARG001
    words: Any,
    out: Any,  # noqa: ARG001
) -> int:
    """No stream is ever read."""
    words[StreamWord.OUTCOME] = Read.NEED
    return 0


def compile_venue(
    parse_packet: Any,
    normalise: Any,
    write_request: Any,
    normalise_own: Any,
    read_stream: Any = None,
) -> Venue:
    """The functions of an adapter, compiled to their signatures; without `read_stream` its feed
    comes in datagrams only.
    """
    return Venue(
        calls.compile_function(parse_packet, PARSE_PACKET),
        calls.compile_function(normalise, NORMALISE),
        calls.compile_function(write_request, WRITE_REQUEST),
        calls.compile_function(normalise_own, NORMALISE_OWN),
        calls.compile_function(read_stream or _read_nothing_nb, READ_STREAM),
    )


def compile_stage(function: Callable[..., int]) -> Any:
    """What a place of the stages holds for a breaker or pattern. Raises StageError."""
    code = getattr(function, "py_func", function)
    try:
        return calls.compile_entry(code)
    except NumbaError:
        raise _fault_of(code) from None


def _fault_of(code: Any) -> StageError:  # pragma: no cover - the JIT is on
    """Why a user's function does not compile, told of it alone: its entry says it of a call."""
    try:
        calls.compile_function(code, STAGE)
    except (NumbaError, TypeError) as error:
        # Numba says by a TypeError that the number of arguments is not that of the signature.
        line, reason = _explain(str(error), code.__code__.co_firstlineno)
        where = f"{code.__code__.co_filename}:{line}"
        return StageError(f"{where}: {code.__name__} does not compile: {reason}")
    return StageError(f"{code.__code__.co_filename}: {code.__name__} does not compile")


def _explain(report: str, first_line: int) -> tuple[int, str]:
    """Line and reason out of Numba's report: a title, the reason, where it was, and much more."""
    lines = [line.strip() for line in report.splitlines() if line.strip()]
    reason = next((line for line in lines if not line.startswith("Failed in")), "no reason given")
    if reason.startswith("NRT required"):
        reason = "it allocates memory, which a stage may not"
    found = _FAULT_LINE.search(report)
    return int(found[1] or found[2]) if found else first_line, reason


@kernel
def no_stage_nb(
    ticks: Any,  # noqa: ARG001
    slot: int,  # noqa: ARG001
    market: Any,  # noqa: ARG001
    legs: Any,  # noqa: ARG001
    params: Any,  # noqa: ARG001
    state: Any,  # noqa: ARG001
    out: Any,  # noqa: ARG001
) -> int:
    """The stage of an empty place: does nothing."""
    return 0


@kernel
def _send_nothing_nb(
    signals: Any,  # noqa: ARG001
    at: int,  # noqa: ARG001
    symbols: Any,  # noqa: ARG001
    words: Any,  # noqa: ARG001
    texts: Any,  # noqa: ARG001
    scratch: Any,  # noqa: ARG001
) -> int:
    """The sender of a shard without peers."""
    return 0


def make_sender(
    function: Any,
    words: NDArray[np.int64],
    texts: NDArray[np.uint8],
    scratch: NDArray[np.uint8],
) -> Sender:
    """A sender whose function is compiled to SEND_SIGNAL."""
    return Sender(calls.compile_function(function, SEND_SIGNAL), words, texts, scratch)


def no_sender() -> Sender:
    """Signals leave by the ring alone."""
    nothing = (np.zeros((0, 1), np.int64), np.zeros((0, 1), np.uint8), np.zeros(1, np.uint8))
    return make_sender(_send_nothing_nb, *nothing)


def fill_places(stages: Sequence[Any], places: int) -> Any:
    """Exactly `places` of them for `calls.call_place`, those behind `stages` empty."""
    if len(stages) > places:
        raise StageError(f"{len(stages)} functions configured, at most {places} are possible")
    return calls.make_places((*stages, *([compile_stage(no_stage_nb)] * (places - len(stages)))))
