"""Signals of a replay as CSV, a row each."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from feedhandler.core.events import LEGS_SHOWN, ONE_E9, SignalKind
from feedhandler.server.config import ServerConfig
from feedhandler.server.tables import source_names

SIGNALS_HEADER = (
    b"signal_id,seq,ts_ns,kind,source,symbol,side,level,price,qty,bid_price,bid_qty,ask_price,"
    b"ask_qty,confidence_bps,value_0,value_1,value_2,legs\n"
)
_SIDES = {1: "B", -1: "S", 0: ""}


class SignalRows:
    """Writes rows SIGNAL[n] as text; numbers become names."""

    def __init__(self, config: ServerConfig | None, symbol_of: Callable[[int], str]) -> None:
        """`config` is where the functions are, `symbol_of` the symbol of an instrument by then."""
        breakers = [each.name for each in config.breakers] if config else []
        self._sources = source_names(config.pattern_names if config else (), breakers)
        self._symbol_of = symbol_of

    def text(self, rows: NDArray[np.void]) -> bytes:
        """A line for each row."""
        return "".join(self._line(row) for row in rows).encode()

    def _line(self, row: np.void) -> str:
        shown = row["legs"][: min(int(row["leg_count"]), LEGS_SHOWN)]
        cells = (
            *(row[name] for name in ("signal_id", "seq", "ts_exch_ns")),
            SignalKind(row["kind"]).name.lower(),
            self._sources[row["source"]],
            self._symbol_of(int(row["instrument"])),
            _SIDES[int(row["side"])],
            row["level"],
            price_text(row["price_e9"]),
            row["qty"],
            *(price_text(row["bid_price_e9"]), row["bid_qty"]),
            *(price_text(row["ask_price_e9"]), row["ask_qty"]),
            row["confidence_bps"],
            *(row[name] for name in ("value_0", "value_1", "value_2")),
            " ".join(self._symbol_of(int(leg)) for leg in shown),
        )
        return ",".join(map(str, cells)) + "\n"


def price_text(price_e9: int) -> str:
    """Four decimals, or as many more as the price has."""
    whole, rest = divmod(abs(int(price_e9)), ONE_E9)
    sign = "-" if price_e9 < 0 else ""
    decimals = f"{rest:09d}".rstrip("0")
    return f"{sign}{whole}.{decimals:0<4}"
