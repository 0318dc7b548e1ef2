import random
from decimal import Decimal

import pytest
import simplefix

from feedhandler.core.events import BreakerLevel, SignalKind
from oms_out.contract import VALIDATION
from oms_out.encoding import SignalEncoder, format_price_e9
from protocols.errors import LocalProtocolError
from protocols.fix.dictionary.check import check_message
from protocols.fix.dictionary.load import load_dictionary
from protocols.fix.message import Identity, decode, encode
from tests.unit.oms_out.support import SOURCES, signal_row

ENCODER = SignalEncoder(lambda at: f"SYM{at}", SOURCES)
STAMP_NS = 1_789_992_000_123_456_789


def through_simplefix(row: tuple[int, ...]) -> dict[int, bytes]:
    """Fields of the whole message as simplefix reads them, and simplefix's own encoding of the same
    is the same bytes.
    """
    msg_type, body = ENCODER.encode(row)
    wire = encode(Identity("US", "OMS1"), msg_type, 5, b"20260921-12:00:00.000", body)
    parser = simplefix.FixParser()
    parser.append_buffer(wire)
    message = parser.get_message()
    assert message.encode() == wire
    dictionary = load_dictionary("FIX.4.4")
    assert check_message(decode(wire), dictionary, dictionary, VALIDATION) is None
    return {int(tag): value for tag, value in message.pairs}


def test_an_order_carries_what_the_contract_says():
    times = {"ts_rx_ns": STAMP_NS, "ts_signal_ns": STAMP_NS + 1}
    seen = {"confidence_bps": 7_500, "value_0": -3, "value_1": 2**62, "leg_count": 2}
    row = signal_row(42, side=-1, seq=99, **times, **seen, legs=(7, 9, 0, 0, 0, 0, 0, 0))
    fields = through_simplefix(row)
    body = {tag: fields[tag] for tag in list(fields)[7:-1]}
    assert fields[35] == b"D"
    assert body == {
        11: b"42", 55: b"SYM7", 54: b"2", 60: b"20260921-12:00:00.123", 38: b"300", 40: b"2",
        44: b"101.25", 5001: b"42", 5002: b"imbalance", 5003: b"99", 5004: b"%d" % STAMP_NS,
        5005: b"34200000000000", 5006: b"%d" % (STAMP_NS + 1), 5007: b"0", 5008: b"7500",
        5009: b"-3", 5010: b"%d" % 2**62, 5011: b"0", 5012: b"SYM7 SYM9",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("level", "status"),
    [
        (BreakerLevel.HALTED, b"2"),
        (BreakerLevel.RESTRICTED, b"23"),
        (BreakerLevel.CAUTION, b"23"),
        (BreakerLevel.NORMAL, b"3"),
    ],
)
def test_a_breaker_change_is_a_security_status(level: int, status: bytes):
    fields = through_simplefix(signal_row(7, kind=SignalKind.BREAKER, level=level, source=1))
    assert fields[35] == b"f"
    assert (fields[55], fields[326], fields[5001]) == (b"SYM7", status, b"7")
    assert (fields[5002], fields[5007]) == (b"price_band", b"%d" % level)
    assert 11 not in fields


def test_a_request_to_cancel_names_the_symbol():
    fields = through_simplefix(signal_row(8, kind=SignalKind.CANCEL, level=3, source=1))
    body = {tag: fields[tag] for tag in list(fields)[7:-1]}
    assert fields[35] == b"q"
    assert (body[11], body[530], body[55], body[5001]) == (b"8", b"1", b"SYM7", b"8")
    assert (body[5002], body[5007]) == (b"price_band", b"3")
    assert not {38, 44, 54, 326} & body.keys()


def test_an_order_says_at_which_level_it_was_marked():
    assert through_simplefix(signal_row(9, level=1))[5007] == b"1"


def test_prices_are_exact_decimals_without_padding():
    rng = random.Random(3)
    prices = [0, 1, 10**9, 10**18, -5, -1_500_000_000, 2**62, 100 * 10**9]
    prices += [rng.randrange(-(10**15), 10**15) for _ in range(500)]
    for price_e9 in prices:
        text = format_price_e9(price_e9).decode()
        assert Decimal(text).scaleb(9) == price_e9
        assert "e" not in text
        assert not ("." in text and text.endswith(("0", ".")))


@pytest.mark.parametrize(
    "changes", [{"kind": 4}, {"kind": 0}, {"side": 0}, {"source": 9}, {"kind": 2, "level": 5}]
)
def test_a_row_that_names_nothing_known_is_refused(changes: dict[str, int]):
    with pytest.raises(LocalProtocolError, match="signal 1"):
        ENCODER.encode(signal_row(1, **changes))


def test_a_symbol_that_would_break_the_message_is_refused():
    for symbol in ("", "A\x01B"):
        encoder = SignalEncoder(lambda _, name=symbol: name, SOURCES)  # type: ignore[misc]
        with pytest.raises(LocalProtocolError, match="symbol"):
            encoder.encode(signal_row(1))
