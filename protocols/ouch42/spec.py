"""Nasdaq OUCH 4.2 as data: what a client sends (INBOUND) and what the host sends (OUTBOUND).

Source: O*U*C*H 4.2, edition of July 2019, chapters 2 (inbound) and 3 (outbound sequenced messages);
`section` is the chapter. Clients' messages travel as SoupBinTCP Unsequenced Data, the host's as
Sequenced Data, so one type letter may mean a message each way. Integers are unsigned and
big-endian, alpha is left justified and padded with spaces, price4 has four implied decimals;
timestamps are nanoseconds since midnight. Editions before 2019 have Enter Order without
customer_type (48 bytes) and lack Trade Now, G and F.
"""

from protocols.message import Field, Message, index_by_type

INBOUND_SECTION = "2"
OUTBOUND_SECTION = "3"

_TYPE = Field("message_type", "alpha", "type byte", 1)
_TIMESTAMP = Field("timestamp", "u64", "nanoseconds since midnight")
_TOKEN = Field("order_token", "alpha", "the client's own, unique for the day and account", 14)
_SIDE = Field(
    "buy_sell_indicator",
    "alpha",
    "B buy, S sell, T sell short, E sell short exempt",
    1,
    ("B", "S", "T", "E"),
)
_SHARES = Field("shares", "u32")
_STOCK = Field("stock", "alpha", "symbol", 8)
_PRICE = Field("price", "price4")
_TIME_IN_FORCE = Field("time_in_force", "u32", "seconds; 0 immediate or cancel")
_FIRM = Field("firm", "alpha", "blank for the account's own", 4)
_DISPLAY = Field("display", "alpha", "", 1)
_CAPACITY = Field("capacity", "alpha", "", 1)
_SWEEP = Field("intermarket_sweep_eligibility", "alpha", "", 1)
_MINIMUM = Field("minimum_quantity", "u32")
_CROSS_TYPE = Field("cross_type", "alpha", "", 1)
_REFERENCE = Field("order_reference_number", "u64", "the order's number in ITCH")
_STATE = Field("order_state", "alpha", "L live, D dead on arrival", 1, ("L", "D"))
_WEIGHT = Field("bbo_weight_indicator", "alpha", "", 1)
_CANCEL_REASON = Field("cancel_order_reason", "alpha", "", 1)
_DECREMENT = Field("decrement_shares", "u32", "taken from the order now, not in total")
_LIQUIDITY = Field("liquidity_flag", "alpha", "", 1)
_MATCH = Field("match_number", "u64", "as in ITCH")
_EXECUTION = (
    Field("executed_shares", "u32", "executed now, not in total"),
    Field("execution_price", "price4"),
    _LIQUIDITY,
    _MATCH,
)
_HEADER = (_TYPE, _TIMESTAMP, _TOKEN)
_ORDER = (
    _SIDE,
    _SHARES,
    _STOCK,
    _PRICE,
    _TIME_IN_FORCE,
    _FIRM,
    _DISPLAY,
    _REFERENCE,
    _CAPACITY,
    _SWEEP,
    _MINIMUM,
    _CROSS_TYPE,
    _STATE,
)


def _inbound(code: str, name: str, length: int, *fields: Field) -> Message:
    return Message(code, name, INBOUND_SECTION, length, (_TYPE, *fields))


def _outbound(code: str, name: str, length: int, *fields: Field) -> Message:
    return Message(code, name, OUTBOUND_SECTION, length, fields)


INBOUND = (
    _inbound(
        "O",
        "Enter Order",
        49,
        _TOKEN,
        _SIDE,
        _SHARES,
        _STOCK,
        _PRICE,
        _TIME_IN_FORCE,
        _FIRM,
        _DISPLAY,
        _CAPACITY,
        _SWEEP,
        _MINIMUM,
        _CROSS_TYPE,
        Field("customer_type", "alpha", "since 2019", 1),
    ),
    _inbound(
        "U",
        "Replace Order",
        47,
        Field("existing_order_token", "alpha", "leaves the book", 14),
        Field("replacement_order_token", "alpha", "takes its place", 14),
        _SHARES,
        _PRICE,
        _TIME_IN_FORCE,
        _DISPLAY,
        _SWEEP,
        _MINIMUM,
    ),
    _inbound(
        "X",
        "Cancel Order",
        19,
        _TOKEN,
        Field("shares", "u32", "what the order is to have left; 0 cancels all of it"),
    ),
    _inbound("M", "Modify Order", 20, _TOKEN, _SIDE, _SHARES),
    _inbound("N", "Trade Now", 15, _TOKEN),
)
"""What a client sends, in the order of the specification."""

OUTBOUND = (
    _outbound(
        "S",
        "System Event",
        10,
        _TYPE,
        _TIMESTAMP,
        Field("event_code", "alpha", "S start of day, E end of day", 1, ("S", "E")),
    ),
    _outbound("A", "Accepted", 66, *_HEADER, *_ORDER, _WEIGHT),
    _outbound(
        "U",
        "Replaced",
        80,
        _TYPE,
        _TIMESTAMP,
        Field("replacement_order_token", "alpha", "of the order that is now on the book", 14),
        *_ORDER,
        Field("previous_order_token", "alpha", "of the order that it replaced", 14),
        _WEIGHT,
    ),
    _outbound("C", "Canceled", 28, *_HEADER, _DECREMENT, _CANCEL_REASON),
    _outbound(
        "D",
        "AIQ Canceled",
        37,
        *_HEADER,
        _DECREMENT,
        _CANCEL_REASON,
        Field("quantity_prevented_from_trading", "u32"),
        Field("execution_price", "price4"),
        _LIQUIDITY,
    ),
    _outbound("E", "Executed", 40, *_HEADER, *_EXECUTION),
    _outbound(
        "B", "Broken Trade", 32, *_HEADER, _MATCH, Field("broken_trade_reason", "alpha", "", 1)
    ),
    _outbound(
        "G",
        "Executed with Reference Price",
        45,
        *_HEADER,
        *_EXECUTION,
        Field("reference_price", "price4"),
        Field("reference_price_type", "alpha", "", 1),
    ),
    _outbound("F", "Trade Correction", 41, *_HEADER, *_EXECUTION, Field("reason", "alpha", "", 1)),
    _outbound("J", "Rejected Order", 24, *_HEADER, Field("rejected_order_reason", "alpha", "", 1)),
    _outbound("P", "Cancel Pending", 23, *_HEADER),
    _outbound("I", "Cancel Reject", 23, *_HEADER),
    _outbound("T", "Order Priority Update", 36, *_HEADER, _PRICE, _DISPLAY, _REFERENCE),
    _outbound("M", "Order Modified", 28, *_HEADER, _SIDE, _SHARES),
    _outbound("N", "Sequenced Trade Now", 23, *_HEADER),
)
"""What the host sends, in the order of the specification."""

INBOUND_BY_TYPE = index_by_type(INBOUND)
OUTBOUND_BY_TYPE = index_by_type(OUTBOUND)
