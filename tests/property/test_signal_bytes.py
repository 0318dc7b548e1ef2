"""The kernel that writes a signal's message against the event loop's encoder, byte for byte."""

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from feedhandler.core.events import LEGS_SHOWN, SIGNAL, BreakerLevel, SignalKind, symbol_text
from oms_out.encoding import SignalEncoder, format_price_e9
from oms_out.kernels_wire import write_price_nb, write_signal_nb
from oms_out.outlet_layout import MESSAGE_AT, SLOT_BYTES, SOURCES_MAX, TEXT_BYTES
from protocols.errors import LocalProtocolError
from protocols.fix.message import Identity, encode
from protocols.fix.times import format_utc_timestamp

_WORDS = st.integers(-(2**63), 2**63 - 1)
_TIMES = st.one_of(
    _WORDS,
    # Around midnight, the end of a year, and a leap day.
    st.builds(
        lambda day, off: day * 86_400_000_000_000 + off,
        st.sampled_from([0, 10_957, 19_722, 19_723, 19_782, 19_783, 20_454, 20_712]),
        st.integers(-2_000_000_000, 2_000_000_000),
    ),
)
_PRICES = st.one_of(_WORDS, st.integers(-10_000, 10_000).map(lambda cents: cents * 10_000_000))
_COMP_IDS = st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="="))
_COMP_IDS = _COMP_IDS.map(lambda text: text[:64] or "X")
_NAMES = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=64)


# What the message does not carry stands behind the legs.
_TOLD = (SIGNAL.names or ())[: (SIGNAL.names or ()).index("reserve_0")]
_UNTOLD = (0, 0)


@st.composite
def rows(draw: st.DrawFn) -> tuple[int, ...]:
    """Any row of SIGNAL, most of them sound."""
    row = {name: draw(_WORDS) for name in _TOLD}
    row["kind"] = draw(st.sampled_from([*SignalKind, *SignalKind, 0, 4, 255]))
    row["side"] = draw(st.sampled_from([1, -1, 1, -1, 0, 2, -128]))
    row["level"] = draw(st.sampled_from([*BreakerLevel, *BreakerLevel, 4, 255]))
    row["source"] = draw(st.sampled_from([0, 1, 0, 1, 2, 15, 16, 255]))
    row["instrument"] = draw(st.integers(0, 2**32 - 1))
    row["price_e9"] = draw(_PRICES)
    row["leg_count"] = draw(st.sampled_from([1, 2, LEGS_SHOWN, 0, 9, -1]))
    others = draw(st.lists(st.integers(0, 2**32 - 1), min_size=7, max_size=7))
    row["legs"] = (row["instrument"], *others)
    row["ts_signal_ns"] = draw(_TIMES)
    return tuple(row[name] for name in _TOLD)


def texts_of(names: list[str], identity: Identity, outlet: int) -> np.ndarray:
    """The rows of texts as `Outlets` fills them."""
    texts = np.zeros((SOURCES_MAX + 2 * outlet + 2, TEXT_BYTES), np.uint8)
    places = dict(enumerate(name.encode() for name in names))
    places[SOURCES_MAX + 2 * outlet] = identity.comp_ids
    places[SOURCES_MAX + 2 * outlet + 1] = identity.sub_ids
    for row, text in places.items():
        texts[row, : len(text) + 1] = np.frombuffer(bytes([len(text)]) + text, np.uint8)
    return texts


@given(
    row=rows(),
    symbols=st.lists(
        st.one_of(
            _WORDS,
            st.binary(min_size=8, max_size=8).map(
                lambda raw: int.from_bytes(raw.ljust(8), "little", signed=True)
            ),
        ),
        min_size=LEGS_SHOWN,
        max_size=LEGS_SHOWN,
    ),
    names=st.lists(_NAMES, min_size=2, max_size=2),
    comp_ids=st.tuples(_COMP_IDS, _COMP_IDS),
    sub_id=st.one_of(st.just(""), _NAMES),
    seq=st.one_of(st.integers(1, 1_000), st.integers(1, 2**63 - 1)),
    sending=st.tuples(_TIMES, st.integers(0, 9)),
    outlet=st.integers(0, 2),
)
@example(
    row=(-(2**63),) + (1, -1, 0, 1, 2**32 - 1)
    + (-(2**63),) * 15 + (LEGS_SHOWN, (2**32 - 1,) * LEGS_SHOWN),
    symbols=[0] * LEGS_SHOWN,
    names=["n" * 64, "m" * 64],
    comp_ids=("S" * 64, "T" * 64),
    sub_id="u" * 64,
    seq=2**63 - 1,
    sending=(-(2**63), 9),
    outlet=2,
)  # fmt: skip
def test_the_kernel_writes_the_bytes_of_the_encoder(
    row: tuple[int, ...],
    symbols: list[int],
    names: list[str],
    comp_ids: tuple[str, str],
    sub_id: str,
    seq: int,
    sending: tuple[int, int],
    outlet: int,
):
    identity = Identity(*comp_ids, sender_sub_id=sub_id, target_location_id=sub_id)
    signals = np.zeros(2, SIGNAL)
    signals[1] = (*row, *_UNTOLD)
    texts = texts_of(names, identity, outlet)
    # Two legs of one number are one instrument.
    known = dict(zip(row[-1], symbols, strict=True))
    words = np.array([known[leg] for leg in row[-1]], np.int64)
    # What an earlier message left must not show through.
    out = np.full(SLOT_BYTES, ord("7"), np.uint8)
    times = (np.int64(sending[0]), np.int64(sending[1]))
    end = write_signal_nb(
        out, signals, np.int64(1), words, texts, np.int64(outlet), np.int64(seq), times
    )
    encoder = SignalEncoder(lambda at: symbol_text(known[at], at), names)
    try:
        msg_type, body = encoder.encode(signals[1].tolist())
    except LocalProtocolError:
        assert end == 0
        return
    wire = encode(identity, msg_type, seq, format_utc_timestamp(*sending), body)
    assert out[MESSAGE_AT:end].tobytes() == wire


@given(price_e9=_PRICES)
@example(price_e9=-(2**63))
@example(price_e9=2**63 - 1)
@example(price_e9=-1)
def test_a_price_is_written_as_the_encoder_formats_it(price_e9: int):
    out = np.zeros(32, np.uint8)
    end = write_price_nb(out, np.int64(2), np.int64(price_e9))
    assert out[2:end].tobytes() == format_price_e9(price_e9)
