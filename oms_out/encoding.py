"""Signal row → FIX body. Hot for one message a signal: one formatted template each, no library.

Layout of the bodies: `contract.py`. Held against simplefix in the tests.
"""

from collections.abc import Callable, Sequence
from typing import Any

from feedhandler.core.events import SIGNAL, BreakerLevel, SignalKind
from protocols.errors import LocalProtocolError
from protocols.fix.spec import MsgType
from protocols.fix.times import format_utc_timestamp

_E9 = 1_000_000_000
_SIDES = {1: b"1", -1: b"2"}
_TRADING_STATUS = {
    BreakerLevel.NORMAL: b"3",
    BreakerLevel.CAUTION: b"23",
    BreakerLevel.RESTRICTED: b"23",
    BreakerLevel.HALTED: b"2",
}

_TAIL = b"5001=%d\x015002=%b\x015003=%d\x015004=%d\x015005=%d\x015006=%d\x015007=%d\x01"
_SEEN = b"5008=%d\x015009=%d\x015010=%d\x015011=%d\x01"
_ORDER = b"11=%d\x0155=%b\x0154=%b\x0160=%b\x0138=%d\x0140=2\x0144=%b\x01" + _TAIL + _SEEN
_CANCEL = b"11=%d\x01530=1\x0155=%b\x0160=%b\x01" + _TAIL
_STATUS = b"55=%b\x01326=%b\x0160=%b\x01" + _TAIL

_COLUMN = {name: at for at, name in enumerate(SIGNAL.names or ())}
_ID = _COLUMN["signal_id"]
_KIND = _COLUMN["kind"]
_SIDE = _COLUMN["side"]
_LEVEL = _COLUMN["level"]
_SOURCE = _COLUMN["source"]
_INSTRUMENT = _COLUMN["instrument"]
_SEQ = _COLUMN["seq"]
_TS_EXCH_NS = _COLUMN["ts_exch_ns"]
RX_COLUMN = _COLUMN["ts_rx_ns"]
"""Where the kernel's receive stamp stands in a row that `tolist` made a tuple."""
ID_COLUMN = _ID
"""Where the signal id stands in such a tuple."""
_TS_SIGNAL_NS = _COLUMN["ts_signal_ns"]
_PRICE_E9 = _COLUMN["price_e9"]
_QTY = _COLUMN["qty"]
_CONFIDENCE = _COLUMN["confidence_bps"]
_VALUES = slice(_COLUMN["value_0"], _COLUMN["value_2"] + 1)
_LEGS = _COLUMN["legs"]
_LEG_COUNT = _COLUMN["leg_count"]


def format_price_e9(price_e9: int) -> bytes:
    """Exact decimal of a price in 1e-9, without trailing zeros."""
    whole, rest = divmod(abs(price_e9), _E9)
    sign = b"-" if price_e9 < 0 else b""
    if rest == 0:
        return b"%b%d" % (sign, whole)
    return (b"%b%d.%09d" % (sign, whole, rest)).rstrip(b"0")


def _text(value: str, what: str) -> bytes:
    """A field value, which must not be empty nor hold the separator."""
    raw = value.encode()
    if not raw or b"\x01" in raw:
        raise LocalProtocolError(f"{what} {value!r}: empty or holds the field separator")
    return raw


class SignalEncoder:
    """Rows of SIGNAL, as the tuples of `ndarray.tolist`, to (MsgType, body) pairs."""

    def __init__(self, symbol_of: Callable[[int], str], source_names: Sequence[str]) -> None:
        """Names by instrument number and by the index of the pattern or breaker."""
        self._symbol_of = symbol_of
        self.name_sources(source_names)

    def name_sources(self, source_names: Sequence[str]) -> None:
        """These are the names from now on; empty for a number that nobody has."""
        self._sources = {
            number: _text(name, "source name") for number, name in enumerate(source_names) if name
        }

    def encode(self, row: tuple[Any, ...]) -> tuple[bytes, bytes]:
        """(MsgType, body) of a signal; LocalProtocolError for a row that names no known kind, side,
        level or source.
        """
        try:
            source = self._sources[row[_SOURCE]]
            symbol = _text(self._symbol_of(row[_INSTRUMENT]), "symbol")
            time_text = format_utc_timestamp(row[_TS_SIGNAL_NS])
            signal_id, seq = row[_ID], row[_SEQ]
            stamps = (row[RX_COLUMN], row[_TS_EXCH_NS], row[_TS_SIGNAL_NS])
            level = BreakerLevel(row[_LEVEL])
            tail = (signal_id, source, seq, *stamps, level)
            if row[_KIND] == SignalKind.ORDER:
                price = format_price_e9(row[_PRICE_E9])
                side = _SIDES[row[_SIDE]]
                order = (signal_id, symbol, side, time_text, row[_QTY], price)
                seen = (row[_CONFIDENCE], *row[_VALUES])
                body = _ORDER % (*order, *tail, *seen)
                return MsgType.NEW_ORDER_SINGLE, body + self._legs(row)
            if row[_KIND] == SignalKind.BREAKER:
                status = _TRADING_STATUS[level]
                return MsgType.SECURITY_STATUS, _STATUS % (symbol, status, time_text, *tail)
            if row[_KIND] == SignalKind.CANCEL:
                cancel = (signal_id, symbol, time_text)
                return MsgType.ORDER_MASS_CANCEL_REQUEST, _CANCEL % (*cancel, *tail)
        except (KeyError, IndexError, ValueError) as error:
            raise LocalProtocolError(
                f"signal {row[_ID]}: side, level or source unknown: {row}"
            ) from error
        raise LocalProtocolError(f"signal {row[_ID]}: kind {row[_KIND]} unknown")

    def _legs(self, row: tuple[Any, ...]) -> bytes:
        """The field of the symbols that were looked at."""
        shown = row[_LEGS][: max(row[_LEG_COUNT], 0)]
        symbols = [_text(self._symbol_of(leg), "symbol") for leg in shown]
        return b"5012=%b\x01" % b" ".join(symbols) if symbols else b""
