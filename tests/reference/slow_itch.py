"""Slow, obvious twin of the ITCH decoder and normaliser.

Nothing here is shared with `protocols`: the layouts are typed a second time, as struct formats,
from TotalView-ITCH 5.0 (edition 2023), so that a slip in the table shows as a difference.

`normalise` says which field of a message goes to which column of a tick, and `TICK_COLUMNS` is all
of it; a column that is not named is 0. Rules by column:

    price_e9      from 4 implied decimals to 9
    side          +1 for B, -1 for S, 0 for anything else
    status        a code as its ASCII character, blank as a space
    aux           a number as it is; a symbol as 8 padded bytes, the first character lowest
    qty           without the sign bit: no count of shares needs it
    order_ref     as signed 64 bits, like aux
    flags         Flag.NOT_PRINTABLE where `printable` is N
"""

import struct
from collections.abc import Iterator
from typing import Any

from feedhandler.core.events import Flag, Kind

HEADER = "stock_locate tracking_number timestamp"

# type -> (struct format behind the timestamp, names behind the timestamp)
LAYOUTS: dict[str, tuple[str, str]] = {
    "S": ("c", "event_code"),
    "R": (
        "8s c c I c c 2s c c c c c I c",
        (
            "stock market_category financial_status_indicator round_lot_size round_lots_only"
            " issue_classification issue_sub_type authenticity short_sale_threshold_indicator"
            " ipo_flag luld_reference_price_tier etp_flag etp_leverage_factor inverse_indicator"
        ),
    ),
    "H": ("8s c c 4s", "stock trading_state reserved reason"),
    "Y": ("8s c", "stock reg_sho_action"),
    "L": (
        "4s 8s c c c",
        "mpid stock primary_market_maker market_maker_mode market_participant_state",
    ),
    "V": ("Q Q Q", "level_1 level_2 level_3"),
    "W": ("c", "breached_level"),
    "K": (
        "8s I c I",
        "stock ipo_quotation_release_time ipo_quotation_release_qualifier ipo_price",
    ),
    "J": (
        "8s I I I I",
        (
            "stock auction_collar_reference_price upper_auction_collar_price"
            " lower_auction_collar_price auction_collar_extension"
        ),
    ),
    "h": ("8s c c", "stock market_code operational_halt_action"),
    "A": ("Q c I 8s I", "order_reference_number buy_sell_indicator shares stock price"),
    "F": (
        "Q c I 8s I 4s",
        "order_reference_number buy_sell_indicator shares stock price attribution",
    ),
    "E": ("Q I Q", "order_reference_number executed_shares match_number"),
    "C": (
        "Q I Q c I",
        "order_reference_number executed_shares match_number printable execution_price",
    ),
    "X": ("Q I", "order_reference_number cancelled_shares"),
    "D": ("Q", "order_reference_number"),
    "U": (
        "Q Q I I",
        "original_order_reference_number new_order_reference_number shares price",
    ),
    "P": (
        "Q c I 8s I Q",
        "order_reference_number buy_sell_indicator shares stock price match_number",
    ),
    "Q": ("Q 8s I Q c", "shares stock cross_price match_number cross_type"),
    "B": ("Q", "match_number"),
    "I": (
        "Q Q c 8s I I I c c",
        (
            "paired_shares imbalance_shares imbalance_direction stock far_price near_price"
            " current_reference_price cross_type price_variation_indicator"
        ),
    ),
    "N": ("8s c", "stock interest_flag"),
    "O": (
        "8s c I I I Q I I",
        (
            "stock open_eligibility_status minimum_allowable_price maximum_allowable_price"
            " near_execution_price near_execution_time lower_price_range_collar"
            " upper_price_range_collar"
        ),
    ),
}

# type -> (kind, {column: field})
TICK_COLUMNS: dict[str, tuple[Kind, dict[str, str]]] = {
    "S": (Kind.SYSTEM_EVENT, {"status": "event_code"}),
    "R": (
        Kind.DEFINITION,
        {"status": "market_category", "qty": "round_lot_size", "aux": "stock"},
    ),
    "H": (Kind.TRADING_STATUS, {"status": "trading_state", "aux": "stock"}),
    "Y": (Kind.SHORT_SALE_STATUS, {"status": "reg_sho_action", "aux": "stock"}),
    "L": (Kind.PARTICIPANT, {"status": "market_participant_state", "aux": "stock"}),
    "V": (Kind.MARKET_DECLINE_LEVELS, {"aux": "level_1"}),
    "W": (Kind.MARKET_DECLINE_STATUS, {"status": "breached_level"}),
    "K": (
        Kind.IPO_QUOTING,
        {
            "status": "ipo_quotation_release_qualifier",
            "price_e9": "ipo_price",
            "qty": "ipo_quotation_release_time",
            "aux": "stock",
        },
    ),
    "J": (
        Kind.AUCTION_COLLAR,
        {
            "price_e9": "auction_collar_reference_price",
            "qty": "auction_collar_extension",
            "aux": "stock",
        },
    ),
    "h": (Kind.OPERATIONAL_HALT, {"status": "operational_halt_action", "aux": "stock"}),
    "A": (
        Kind.ADD,
        {
            "order_ref": "order_reference_number",
            "side": "buy_sell_indicator",
            "qty": "shares",
            "price_e9": "price",
            "aux": "stock",
        },
    ),
    "F": (
        Kind.ADD,
        {
            "order_ref": "order_reference_number",
            "side": "buy_sell_indicator",
            "qty": "shares",
            "price_e9": "price",
            "aux": "stock",
        },
    ),
    "E": (
        Kind.EXECUTE,
        {"order_ref": "order_reference_number", "qty": "executed_shares", "aux": "match_number"},
    ),
    "C": (
        Kind.EXECUTE_AT_PRICE,
        {
            "order_ref": "order_reference_number",
            "qty": "executed_shares",
            "aux": "match_number",
            "price_e9": "execution_price",
        },
    ),
    "X": (Kind.CANCEL, {"order_ref": "order_reference_number", "qty": "cancelled_shares"}),
    "D": (Kind.DELETE, {"order_ref": "order_reference_number"}),
    "U": (
        Kind.REPLACE,
        {
            "order_ref": "original_order_reference_number",
            "aux": "new_order_reference_number",
            "qty": "shares",
            "price_e9": "price",
        },
    ),
    "P": (
        Kind.TRADE,
        {
            "order_ref": "order_reference_number",
            "side": "buy_sell_indicator",
            "qty": "shares",
            "price_e9": "price",
            "aux": "match_number",
        },
    ),
    "Q": (
        Kind.CROSS_TRADE,
        {
            "qty": "shares",
            "price_e9": "cross_price",
            "aux": "match_number",
            "status": "cross_type",
        },
    ),
    "B": (Kind.BROKEN_TRADE, {"aux": "match_number"}),
    "I": (
        Kind.IMBALANCE,
        {
            "side": "imbalance_direction",
            "status": "cross_type",
            "qty": "imbalance_shares",
            "aux": "stock",
            "price_e9": "current_reference_price",
        },
    ),
    "N": (
        Kind.RETAIL_INTEREST,
        {"side": "interest_flag", "status": "interest_flag", "aux": "stock"},
    ),
    "O": (
        Kind.PRICE_DISCOVERY,
        {
            "status": "open_eligibility_status",
            "price_e9": "near_execution_price",
            "aux": "stock",
        },
    ),
}


def decode(data: bytes) -> tuple[str, dict[str, Any]]:
    """Type and fields of one message; prices as the wire's integers, text without padding."""
    message_type = chr(data[0])
    layout, names = LAYOUTS[message_type]
    locate, tracking, high, low = struct.unpack_from(">HHHI", data, 1)
    raw = struct.unpack(">" + layout, data[11:])
    fields: dict[str, Any] = dict(
        zip(HEADER.split(), (locate, tracking, high << 32 | low), strict=True)
    )
    for name, value in zip(names.split(), raw, strict=True):
        fields[name] = value.decode("latin-1").rstrip(" ") if isinstance(value, bytes) else value
    return message_type, fields


def messages_of_file(data: bytes) -> Iterator[bytes]:
    """The whole messages of a BinaryFILE, of all its sessions; a cut last one is left out."""
    while len(data) >= 2:
        length = int.from_bytes(data[:2], "big")
        if len(data) < 2 + length:
            return
        if length:
            yield data[2 : 2 + length]
        data = data[2 + length :]


def normalise(data: bytes) -> dict[str, int]:
    """Columns of the tick that a message becomes, before a book has completed it."""
    message_type, fields = decode(data)
    kind, columns = TICK_COLUMNS[message_type]
    tick = {
        "kind": int(kind),
        "code": ord(message_type),
        "instrument": fields["stock_locate"],
        "ts_exch_ns": fields["timestamp"],
        "flags": int(Flag.NOT_PRINTABLE) if fields.get("printable") == "N" else 0,
        **dict.fromkeys(("side", "status", "price_e9", "qty", "order_ref", "aux"), 0),
    }
    for column, name in columns.items():
        tick[column] = _column_value(column, name, fields[name])
    return tick


def _column_value(column: str, name: str, value: Any) -> int:
    if column == "side":
        return {"B": 1, "S": -1}.get(value, 0)
    if column == "status":
        return ord(value or " ")
    if column == "price_e9":
        return value * 100_000
    if column == "qty":
        return value % (1 << 63)
    if name == "stock":
        return _signed(int.from_bytes(value.encode("latin-1").ljust(8), "little"))
    return _signed(value)


def _signed(value: int) -> int:
    """The low 64 bits of `value`, as a kernel's integers hold them."""
    return (value + (1 << 63)) % (1 << 64) - (1 << 63)
