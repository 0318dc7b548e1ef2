"""The ITCH 5.0 messages that come once in a while, written as those of `itch_writer`: crosses and
the imbalances before them, halts of one market, collars after a pause, breaches of the market's
decline, openings of new issues, retail interest.
"""

import numpy as np

from protocols.itch50.spec import BY_TYPE
from protocols.jit import kernel
from protocols.wire import Bytes, write_u32_nb, write_u64_nb
from tools.exchange.itch_writer import LENGTH_BYTES, header_nb

TYPE_CROSS = np.int64(ord("Q"))
TYPE_IMBALANCE = np.int64(ord("I"))
TYPE_COLLAR = np.int64(ord("J"))
TYPE_OPERATIONAL_HALT = np.int64(ord("h"))
TYPE_BREACH = np.int64(ord("W"))
TYPE_IPO = np.int64(ord("K"))
TYPE_RETAIL = np.int64(ord("N"))
TYPE_DIRECT_LISTING = np.int64(ord("O"))

_LENGTH_Q = np.int64(BY_TYPE["Q"].length)
_LENGTH_I = np.int64(BY_TYPE["I"].length)
_LENGTH_J = np.int64(BY_TYPE["J"].length)
_LENGTH_HALT = np.int64(BY_TYPE["h"].length)
_LENGTH_W = np.int64(BY_TYPE["W"].length)
_LENGTH_K = np.int64(BY_TYPE["K"].length)
_LENGTH_N = np.int64(BY_TYPE["N"].length)
_LENGTH_O = np.int64(BY_TYPE["O"].length)

_STOCK = BY_TYPE["J"].offset("stock")
_Q_SHARES = BY_TYPE["Q"].offset("shares")
_Q_STOCK = BY_TYPE["Q"].offset("stock")
_Q_PRICE = BY_TYPE["Q"].offset("cross_price")
_Q_MATCH = BY_TYPE["Q"].offset("match_number")
_Q_TYPE = BY_TYPE["Q"].offset("cross_type")
_I_PAIRED = BY_TYPE["I"].offset("paired_shares")
_I_IMBALANCE = BY_TYPE["I"].offset("imbalance_shares")
_I_DIRECTION = BY_TYPE["I"].offset("imbalance_direction")
_I_STOCK = BY_TYPE["I"].offset("stock")
_I_FAR = BY_TYPE["I"].offset("far_price")
_I_NEAR = BY_TYPE["I"].offset("near_price")
_I_REFERENCE = BY_TYPE["I"].offset("current_reference_price")
_I_TYPE = BY_TYPE["I"].offset("cross_type")
_I_VARIATION = BY_TYPE["I"].offset("price_variation_indicator")
_J_REFERENCE = BY_TYPE["J"].offset("auction_collar_reference_price")
_J_UPPER = BY_TYPE["J"].offset("upper_auction_collar_price")
_J_LOWER = BY_TYPE["J"].offset("lower_auction_collar_price")
_J_EXTENSION = BY_TYPE["J"].offset("auction_collar_extension")
_HALT_MARKET = BY_TYPE["h"].offset("market_code")
_HALT_ACTION = BY_TYPE["h"].offset("operational_halt_action")
_W_LEVEL = BY_TYPE["W"].offset("breached_level")
_K_TIME = BY_TYPE["K"].offset("ipo_quotation_release_time")
_K_QUALIFIER = BY_TYPE["K"].offset("ipo_quotation_release_qualifier")
_K_PRICE = BY_TYPE["K"].offset("ipo_price")
_N_FLAG = BY_TYPE["N"].offset("interest_flag")
_O_OPEN = BY_TYPE["O"].offset("open_eligibility_status")
_O_LOWEST = BY_TYPE["O"].offset("minimum_allowable_price")
_O_HIGHEST = BY_TYPE["O"].offset("maximum_allowable_price")
_O_NEAR = BY_TYPE["O"].offset("near_execution_price")
O_NEAR_TIME = BY_TYPE["O"].offset("near_execution_time")
_O_LOWER = BY_TYPE["O"].offset("lower_price_range_collar")
_O_UPPER = BY_TYPE["O"].offset("upper_price_range_collar")

_NASDAQ = ord("Q")
_ANTICIPATED = ord("A")
_YES = ord("Y")
_BUY = ord("B")
_SELL = ord("S")
_NONE = ord("N")
_SMALL_VARIATION = ord("L")
_NOTHING = np.int64(0)


@kernel
def write_cross_nb(
    out: Bytes, at: int, locate: int, ts_ns: int, stock: int, cross: tuple[int, int, int, int]
) -> int:
    """Q; cross is (shares, price4, match, type as an ASCII number)."""
    message_at = header_nb(out, at, TYPE_CROSS, _LENGTH_Q, locate, ts_ns)
    write_u64_nb(out, message_at + _Q_SHARES, cross[0])
    write_u64_nb(out, message_at + _Q_STOCK, stock)
    write_u32_nb(out, message_at + _Q_PRICE, cross[1])
    write_u64_nb(out, message_at + _Q_MATCH, cross[2])
    out[message_at + _Q_TYPE] = cross[3]
    return LENGTH_BYTES + _LENGTH_Q


@kernel
def write_imbalance_nb(
    out: Bytes, at: int, locate: int, ts_ns: int, stock: int, auction: tuple[int, int, int, int]
) -> int:
    """I; auction is (paired shares, buyers' surplus or minus the sellers', price4, type as an ASCII
    number), and all three prices are that one.
    """
    message_at = header_nb(out, at, TYPE_IMBALANCE, _LENGTH_I, locate, ts_ns)
    surplus = auction[1]
    write_u64_nb(out, message_at + _I_PAIRED, auction[0])
    write_u64_nb(out, message_at + _I_IMBALANCE, abs(surplus))
    direction = _NONE
    if surplus > 0:
        direction = _BUY
    elif surplus < 0:
        direction = _SELL
    out[message_at + _I_DIRECTION] = direction
    write_u64_nb(out, message_at + _I_STOCK, stock)
    write_u32_nb(out, message_at + _I_FAR, auction[2])
    write_u32_nb(out, message_at + _I_NEAR, auction[2])
    write_u32_nb(out, message_at + _I_REFERENCE, auction[2])
    out[message_at + _I_TYPE] = auction[3]
    out[message_at + _I_VARIATION] = _SMALL_VARIATION
    return LENGTH_BYTES + _LENGTH_I


@kernel
def write_collar_nb(
    out: Bytes, at: int, locate: int, ts_ns: int, stock: int, collar: tuple[int, int, int]
) -> int:
    """J; collar is (reference, upper, lower) in price4."""
    message_at = header_nb(out, at, TYPE_COLLAR, _LENGTH_J, locate, ts_ns)
    write_u64_nb(out, message_at + _STOCK, stock)
    write_u32_nb(out, message_at + _J_REFERENCE, collar[0])
    write_u32_nb(out, message_at + _J_UPPER, collar[1])
    write_u32_nb(out, message_at + _J_LOWER, collar[2])
    write_u32_nb(out, message_at + _J_EXTENSION, _NOTHING)
    return LENGTH_BYTES + _LENGTH_J


@kernel
def write_operational_halt_nb(
    out: Bytes, at: int, locate: int, ts_ns: int, stock: int, action: int
) -> int:
    """h of this market, with the action as an ASCII number."""
    message_at = header_nb(out, at, TYPE_OPERATIONAL_HALT, _LENGTH_HALT, locate, ts_ns)
    write_u64_nb(out, message_at + _STOCK, stock)
    out[message_at + _HALT_MARKET] = _NASDAQ
    out[message_at + _HALT_ACTION] = action
    return LENGTH_BYTES + _LENGTH_HALT


@kernel
def write_breach_nb(out: Bytes, at: int, ts_ns: int, level: int) -> int:
    """W; level is 1 to 3."""
    message_at = header_nb(out, at, TYPE_BREACH, _LENGTH_W, _NOTHING, ts_ns)
    out[message_at + _W_LEVEL] = ord("0") + level
    return LENGTH_BYTES + _LENGTH_W


@kernel
def write_ipo_nb(
    out: Bytes, at: int, locate: int, ts_ns: int, stock: int, release: tuple[int, int]
) -> int:
    """K; release is (seconds since midnight, price4) of an anticipated release."""
    message_at = header_nb(out, at, TYPE_IPO, _LENGTH_K, locate, ts_ns)
    write_u64_nb(out, message_at + _STOCK, stock)
    write_u32_nb(out, message_at + _K_TIME, release[0])
    out[message_at + _K_QUALIFIER] = _ANTICIPATED
    write_u32_nb(out, message_at + _K_PRICE, release[1])
    return LENGTH_BYTES + _LENGTH_K


@kernel
def write_retail_interest_nb(
    out: Bytes, at: int, locate: int, ts_ns: int, stock: int, flag: int
) -> int:
    """N with the flag as an ASCII number."""
    message_at = header_nb(out, at, TYPE_RETAIL, _LENGTH_N, locate, ts_ns)
    write_u64_nb(out, message_at + _STOCK, stock)
    out[message_at + _N_FLAG] = flag
    return LENGTH_BYTES + _LENGTH_N


@kernel
def write_direct_listing_nb(
    out: Bytes, at: int, locate: int, ts_ns: int, stock: int, prices: tuple[int, int, int]
) -> int:
    """O of an issue that may open; prices are (near, lowest, highest) in price4."""
    message_at = header_nb(out, at, TYPE_DIRECT_LISTING, _LENGTH_O, locate, ts_ns)
    write_u64_nb(out, message_at + _STOCK, stock)
    out[message_at + _O_OPEN] = _YES
    write_u32_nb(out, message_at + _O_LOWEST, prices[1])
    write_u32_nb(out, message_at + _O_HIGHEST, prices[2])
    write_u32_nb(out, message_at + _O_NEAR, prices[0])
    write_u64_nb(out, message_at + O_NEAR_TIME, ts_ns)
    write_u32_nb(out, message_at + _O_LOWER, prices[1])
    write_u32_nb(out, message_at + _O_UPPER, prices[2])
    return LENGTH_BYTES + _LENGTH_O
