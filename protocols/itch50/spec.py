"""TotalView-ITCH 5.0 as data: all 23 messages, in the order of the specification.

Source: Nasdaq TotalView-ITCH 5.0, editions 2018, 2023 and February 2026, which agree on every
layout (sections numbered as in 2023). Everything else derives from this table: sizes and offsets in
the kernels, the encoder, the docs page, the test strategies. Integers are unsigned and big-endian,
alpha is left justified and padded with spaces, price4 has four implied decimals.
"""

from protocols.message import Field, Message, index_by_type

PRICE4_MAX = 0x77359400
"""200,000.0000: the highest price that the specification allows in a price4 field."""

_LOCATE = Field(
    "stock_locate", "u16", "locate code of the security; 0 where the message is about the market"
)
_HEADER = (
    Field("message_type", "alpha", "type byte", 1),
    _LOCATE,
    Field("tracking_number", "u16", "internal to the venue"),
    Field("timestamp", "u48", "nanoseconds since midnight US/Eastern"),
)
_STOCK = Field("stock", "alpha", "symbol", 8)


def _code(name: str, values: str, note: str = "", width: int = 1) -> Field:
    """An alpha field with the values that the specification lists, separated by spaces; "_" stands
    for blank.
    """
    return Field(
        name, "alpha", note, width, tuple("" if value == "_" else value for value in values.split())
    )


MESSAGES = (
    Message(
        "S",
        "System Event",
        "1.1",
        12,
        (
            *_HEADER,
            _code(
                "event_code",
                "O S Q M E C",
                "O start of messages, S start of system hours, Q start and M end of market hours, "
                "E end of system hours, C end of messages",
            ),
        ),
    ),
    Message(
        "R",
        "Stock Directory",
        "1.2.1",
        39,
        (
            *_HEADER,
            _STOCK,
            _code(
                "market_category",
                "Q G S N A P Z V M _",
                "Q Global Select, G Global Market, S Capital Market, N NYSE, A NYSE American, "
                "P Arca, Z BATS Z, V IEX, M NYSE Texas (2026)",
            ),
            _code("financial_status_indicator", "D E Q S G H J K C N _"),
            Field("round_lot_size", "u32"),
            _code("round_lots_only", "Y N"),
            _code("issue_classification", "A B C F I L N O P Q R S T U V W"),
            Field("issue_sub_type", "alpha", "", 2),
            _code("authenticity", "P T", "P live, T test"),
            _code("short_sale_threshold_indicator", "Y N _"),
            _code("ipo_flag", "Y N Z _", "Z new listing that is no IPO (2026)"),
            _code("luld_reference_price_tier", "1 2 _"),
            _code("etp_flag", "Y N _"),
            Field("etp_leverage_factor", "u32"),
            _code("inverse_indicator", "Y N"),
        ),
    ),
    Message(
        "H",
        "Stock Trading Action",
        "1.2.2",
        25,
        (
            *_HEADER,
            _STOCK,
            _code(
                "trading_state",
                "H P Q T",
                "H halted everywhere, P paused, Q quotation only, T trading",
            ),
            Field("reserved", "alpha", "", 1),
            _code(
                "reason",
                "T1 T2 T5 T6 T8 T12 H4 H9 H10 H11 O1 LUDP LUDS MWC0 MWC1 MWC2 MWC3 IPO1 "
                "M1 M2 T3 T7 R4 R9 C3 C4 C9 C11 MWCQ R1 R2 IPOQ IPOE _",
                width=4,
            ),
        ),
    ),
    Message(
        "Y",
        "Reg SHO Short Sale Price Test Restricted Indicator",
        "1.2.3",
        20,
        (
            *_HEADER,
            _STOCK,
            _code(
                "reg_sho_action", "0 1 2", "0 none, 1 in effect since today, 2 remains in effect"
            ),
        ),
    ),
    Message(
        "L",
        "Market Participant Position",
        "1.2.4",
        26,
        (
            *_HEADER,
            Field("mpid", "alpha", "", 4),
            _STOCK,
            _code("primary_market_maker", "Y N"),
            _code(
                "market_maker_mode",
                "N P S R L",
                "N normal, P passive, S syndicate, R pre-syndicate, L penalty",
            ),
            _code(
                "market_participant_state",
                "A E W S D",
                "A active, E excused, W withdrawn, S suspended, D deleted",
            ),
        ),
    ),
    Message(
        "V",
        "MWCB Decline Level",
        "1.2.5.1",
        35,
        (
            *_HEADER,
            Field("level_1", "price8"),
            Field("level_2", "price8"),
            Field("level_3", "price8"),
        ),
    ),
    Message(
        "W",
        "MWCB Status",
        "1.2.5.2",
        12,
        (
            *_HEADER,
            _code("breached_level", "1 2 3"),
        ),
    ),
    Message(
        "K",
        "IPO Quoting Period Update",
        "1.2.6",
        28,
        (
            *_HEADER,
            _STOCK,
            Field("ipo_quotation_release_time", "u32", "SECONDS since midnight, 0 if cancelled"),
            _code(
                "ipo_quotation_release_qualifier", "A C", "A anticipated, C cancelled or postponed"
            ),
            Field("ipo_price", "price4"),
        ),
    ),
    Message(
        "J",
        "LULD Auction Collar",
        "1.2.7",
        35,
        (
            *_HEADER,
            _STOCK,
            Field("auction_collar_reference_price", "price4"),
            Field("upper_auction_collar_price", "price4"),
            Field("lower_auction_collar_price", "price4"),
            Field("auction_collar_extension", "u32"),
        ),
    ),
    Message(
        "h",
        "Operational Halt",
        "1.2.8",
        21,
        (
            *_HEADER,
            _STOCK,
            _code("market_code", "Q B X", "Q Nasdaq, B BX, X PSX"),
            _code("operational_halt_action", "H T", "H halted on that market, T resumed"),
        ),
    ),
    Message(
        "A",
        "Add Order (no MPID)",
        "1.3.1",
        36,
        (
            *_HEADER,
            Field("order_reference_number", "u64"),
            _code("buy_sell_indicator", "B S"),
            Field("shares", "u32"),
            _STOCK,
            Field("price", "price4"),
        ),
    ),
    Message(
        "F",
        "Add Order (MPID attribution)",
        "1.3.2",
        40,
        (
            *_HEADER,
            Field("order_reference_number", "u64"),
            _code("buy_sell_indicator", "B S"),
            Field("shares", "u32"),
            _STOCK,
            Field("price", "price4"),
            Field("attribution", "alpha", "", 4),
        ),
    ),
    Message(
        "E",
        "Order Executed",
        "1.4.1",
        31,
        (
            *_HEADER,
            Field("order_reference_number", "u64"),
            Field("executed_shares", "u32", "taken from the order"),
            Field("match_number", "u64"),
        ),
    ),
    Message(
        "C",
        "Order Executed With Price",
        "1.4.2",
        36,
        (
            *_HEADER,
            Field("order_reference_number", "u64"),
            Field("executed_shares", "u32", "taken from the order"),
            Field("match_number", "u64"),
            _code("printable", "Y N", "N: not in volume, it comes again in a bulk print"),
            Field("execution_price", "price4"),
        ),
    ),
    Message(
        "X",
        "Order Cancel (partial)",
        "1.4.3",
        23,
        (
            *_HEADER,
            Field("order_reference_number", "u64"),
            Field("cancelled_shares", "u32", "taken from the order"),
        ),
    ),
    Message(
        "D",
        "Order Delete",
        "1.4.4",
        19,
        (
            *_HEADER,
            Field("order_reference_number", "u64"),
        ),
    ),
    Message(
        "U",
        "Order Replace",
        "1.4.5",
        35,
        (
            *_HEADER,
            Field("original_order_reference_number", "u64", "leaves the book"),
            Field("new_order_reference_number", "u64", "enters the book, at the back of its price"),
            Field("shares", "u32"),
            Field("price", "price4"),
        ),
    ),
    Message(
        "P",
        "Trade (non-cross)",
        "1.5.1",
        44,
        (
            *_HEADER,
            Field("order_reference_number", "u64"),
            _code("buy_sell_indicator", "B S"),
            Field("shares", "u32"),
            _STOCK,
            Field("price", "price4"),
            Field("match_number", "u64"),
        ),
    ),
    Message(
        "Q",
        "Cross Trade",
        "1.5.2",
        40,
        (
            *_HEADER,
            Field("shares", "u64"),
            _STOCK,
            Field("cross_price", "price4"),
            Field("match_number", "u64"),
            _code("cross_type", "O C H", "O opening, C closing, H IPO, halt or pause"),
        ),
    ),
    Message(
        "B",
        "Broken Trade / Order Execution",
        "1.5.3",
        19,
        (
            *_HEADER,
            Field("match_number", "u64"),
        ),
    ),
    Message(
        "I",
        "Net Order Imbalance Indicator",
        "1.6",
        50,
        (
            *_HEADER,
            Field("paired_shares", "u64"),
            Field("imbalance_shares", "u64"),
            _code(
                "imbalance_direction",
                "B S N O P",
                "B buy, S sell, N none, O too few orders, P paused (2023)",
            ),
            _STOCK,
            Field("far_price", "price4"),
            Field("near_price", "price4"),
            Field("current_reference_price", "price4"),
            _code("cross_type", "O C H A", "A extended trading close (2022)"),
            _code("price_variation_indicator", "L 1 2 3 4 5 6 7 8 9 A B C _"),
        ),
    ),
    Message(
        "N",
        "Retail Price Improvement Indicator",
        "1.7",
        20,
        (
            *_HEADER,
            _STOCK,
            _code("interest_flag", "B S A N", "B buy, S sell, A both, N none"),
        ),
    ),
    Message(
        "O",
        "Direct Listing with Capital Raise Price Discovery",
        "1.8",
        48,
        (
            *_HEADER,
            _STOCK,
            _code("open_eligibility_status", "N Y"),
            Field("minimum_allowable_price", "price4"),
            Field("maximum_allowable_price", "price4"),
            Field("near_execution_price", "price4"),
            Field("near_execution_time", "u64", "when the near execution price was set"),
            Field("lower_price_range_collar", "price4"),
            Field("upper_price_range_collar", "price4"),
        ),
    ),
)

BY_TYPE = index_by_type(MESSAGES)
LENGTHS = tuple(BY_TYPE[chr(code)].length if chr(code) in BY_TYPE else 0 for code in range(256))
"""Message length by type byte; 0 where there is no such message."""
