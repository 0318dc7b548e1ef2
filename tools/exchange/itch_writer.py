"""ITCH 5.0 messages written straight into a buffer, each as a block: a u16 length and the message.

Every writer takes `out` (u8[n] with MAX_BLOCK_BYTES free at `at`), and returns the bytes that it
wrote, length included. Offsets are frozen from `protocols.itch50.spec`; text goes in as big-endian
words, prices as price4, times as nanoseconds since midnight.

Constants that are arguments are NumPy integers: for every plain one Numba would compile the callee
once more, as a function of that literal.
"""

import numpy as np

from protocols.itch50.spec import BY_TYPE
from protocols.jit import kernel
from protocols.wire import Bytes, write_u16_nb, write_u32_nb, write_u48_nb, write_u64_nb

LENGTH_BYTES = 2
MAX_BLOCK_BYTES = 56
"""Room to leave for one block: the longest message is an I of 50 bytes."""

TYPE_SYSTEM_EVENT = np.int64(ord("S"))
TYPE_DIRECTORY = np.int64(ord("R"))
TYPE_TRADING_ACTION = np.int64(ord("H"))
TYPE_REG_SHO = np.int64(ord("Y"))
TYPE_PARTICIPANT = np.int64(ord("L"))
TYPE_DECLINE_LEVELS = np.int64(ord("V"))
TYPE_ADD = np.int64(ord("A"))
TYPE_ADD_ATTRIBUTED = np.int64(ord("F"))
TYPE_EXECUTED = np.int64(ord("E"))
TYPE_EXECUTED_AT_PRICE = np.int64(ord("C"))
TYPE_CANCEL = np.int64(ord("X"))
TYPE_DELETE = np.int64(ord("D"))
TYPE_REPLACE = np.int64(ord("U"))
TYPE_TRADE = np.int64(ord("P"))
TYPE_BROKEN_TRADE = np.int64(ord("B"))

_LENGTH_S = np.int64(BY_TYPE["S"].length)
_LENGTH_R = np.int64(BY_TYPE["R"].length)
_LENGTH_H = np.int64(BY_TYPE["H"].length)
_LENGTH_Y = np.int64(BY_TYPE["Y"].length)
_LENGTH_L = np.int64(BY_TYPE["L"].length)
_LENGTH_V = np.int64(BY_TYPE["V"].length)
_LENGTH_A = np.int64(BY_TYPE["A"].length)
_LENGTH_F = np.int64(BY_TYPE["F"].length)
_LENGTH_E = np.int64(BY_TYPE["E"].length)
_LENGTH_C = np.int64(BY_TYPE["C"].length)
_LENGTH_X = np.int64(BY_TYPE["X"].length)
_LENGTH_D = np.int64(BY_TYPE["D"].length)
_LENGTH_U = np.int64(BY_TYPE["U"].length)
_LENGTH_P = np.int64(BY_TYPE["P"].length)
_LENGTH_B = np.int64(BY_TYPE["B"].length)

_LOCATE = BY_TYPE["A"].offset("stock_locate")
_TRACKING = BY_TYPE["A"].offset("tracking_number")
TIMESTAMP = BY_TYPE["A"].offset("timestamp")
_S_CODE = BY_TYPE["S"].offset("event_code")
_STOCK = BY_TYPE["R"].offset("stock")
_R_CATEGORY = BY_TYPE["R"].offset("market_category")
_R_FINANCIAL = BY_TYPE["R"].offset("financial_status_indicator")
_R_LOT_SIZE = BY_TYPE["R"].offset("round_lot_size")
_R_LOTS_ONLY = BY_TYPE["R"].offset("round_lots_only")
_R_CLASSIFICATION = BY_TYPE["R"].offset("issue_classification")
_R_SUB_TYPE = BY_TYPE["R"].offset("issue_sub_type")
_R_AUTHENTICITY = BY_TYPE["R"].offset("authenticity")
_R_SHORT_SALE = BY_TYPE["R"].offset("short_sale_threshold_indicator")
_R_IPO = BY_TYPE["R"].offset("ipo_flag")
_R_TIER = BY_TYPE["R"].offset("luld_reference_price_tier")
_R_ETP = BY_TYPE["R"].offset("etp_flag")
_R_LEVERAGE = BY_TYPE["R"].offset("etp_leverage_factor")
_R_INVERSE = BY_TYPE["R"].offset("inverse_indicator")
_H_STATE = BY_TYPE["H"].offset("trading_state")
_H_RESERVED = BY_TYPE["H"].offset("reserved")
_H_REASON = BY_TYPE["H"].offset("reason")
_Y_ACTION = BY_TYPE["Y"].offset("reg_sho_action")
_L_MPID = BY_TYPE["L"].offset("mpid")
_L_STOCK = BY_TYPE["L"].offset("stock")
_L_PRIMARY = BY_TYPE["L"].offset("primary_market_maker")
_L_MODE = BY_TYPE["L"].offset("market_maker_mode")
_L_STATE = BY_TYPE["L"].offset("market_participant_state")
_V_LEVEL_1 = BY_TYPE["V"].offset("level_1")
_V_LEVEL_2 = BY_TYPE["V"].offset("level_2")
_V_LEVEL_3 = BY_TYPE["V"].offset("level_3")
_REFERENCE = BY_TYPE["A"].offset("order_reference_number")
_A_SIDE = BY_TYPE["A"].offset("buy_sell_indicator")
_A_SHARES = BY_TYPE["A"].offset("shares")
_A_STOCK = BY_TYPE["A"].offset("stock")
_A_PRICE = BY_TYPE["A"].offset("price")
_F_ATTRIBUTION = BY_TYPE["F"].offset("attribution")
_E_SHARES = BY_TYPE["E"].offset("executed_shares")
_E_MATCH = BY_TYPE["E"].offset("match_number")
_C_PRINTABLE = BY_TYPE["C"].offset("printable")
_C_PRICE = BY_TYPE["C"].offset("execution_price")
_X_SHARES = BY_TYPE["X"].offset("cancelled_shares")
_U_ORIGINAL = BY_TYPE["U"].offset("original_order_reference_number")
_U_NEW = BY_TYPE["U"].offset("new_order_reference_number")
_U_SHARES = BY_TYPE["U"].offset("shares")
_U_PRICE = BY_TYPE["U"].offset("price")
_P_MATCH = BY_TYPE["P"].offset("match_number")
_B_MATCH = BY_TYPE["B"].offset("match_number")

_NOTHING = np.int64(0)
_YES = ord("Y")
_NO = ord("N")
_BLANK = ord(" ")
_CATEGORY_GLOBAL_SELECT = ord("Q")
_CLASSIFICATION_COMMON = ord("C")
_SUB_TYPE_NONE = np.int64(int.from_bytes(b"Z ", "big"))
_LIVE = ord("P")
_TIER_2 = ord("2")
_MODE_NORMAL = ord("N")
_STATE_ACTIVE = ord("A")
_ROUND_LOT = np.int64(100)
_SIDE_BUY = ord("B")
_SIDE_SELL = ord("S")


@kernel
def header_nb(out: Bytes, at: int, kind: int, length: int, locate: int, ts_ns: int) -> int:
    """Length, type, locate, tracking number 0 and time; the place of the message's type byte."""
    write_u16_nb(out, at, length)
    message_at = at + LENGTH_BYTES
    out[message_at] = kind
    write_u16_nb(out, message_at + _LOCATE, locate)
    write_u16_nb(out, message_at + _TRACKING, _NOTHING)
    write_u48_nb(out, message_at + TIMESTAMP, ts_ns)
    return message_at


@kernel
def write_system_event_nb(out: Bytes, at: int, ts_ns: int, code: int) -> int:
    """S with the event code as an ASCII number."""
    message_at = header_nb(out, at, TYPE_SYSTEM_EVENT, _LENGTH_S, _NOTHING, ts_ns)
    out[message_at + _S_CODE] = code
    return LENGTH_BYTES + _LENGTH_S


@kernel
def write_directory_nb(out: Bytes, at: int, locate: int, ts_ns: int, stock: int) -> int:
    """R of an ordinary common stock."""
    message_at = header_nb(out, at, TYPE_DIRECTORY, _LENGTH_R, locate, ts_ns)
    write_u64_nb(out, message_at + _STOCK, stock)
    out[message_at + _R_CATEGORY] = _CATEGORY_GLOBAL_SELECT
    out[message_at + _R_FINANCIAL] = _NO
    write_u32_nb(out, message_at + _R_LOT_SIZE, _ROUND_LOT)
    out[message_at + _R_LOTS_ONLY] = _NO
    out[message_at + _R_CLASSIFICATION] = _CLASSIFICATION_COMMON
    write_u16_nb(out, message_at + _R_SUB_TYPE, _SUB_TYPE_NONE)
    out[message_at + _R_AUTHENTICITY] = _LIVE
    out[message_at + _R_SHORT_SALE] = _NO
    out[message_at + _R_IPO] = _NO
    out[message_at + _R_TIER] = _TIER_2
    out[message_at + _R_ETP] = _NO
    write_u32_nb(out, message_at + _R_LEVERAGE, _NOTHING)
    out[message_at + _R_INVERSE] = _NO
    return LENGTH_BYTES + _LENGTH_R


@kernel
def write_trading_action_nb(
    out: Bytes, at: int, locate: int, ts_ns: int, stock: int, trading_state: int, reason: int
) -> int:
    """H with the state as an ASCII number and the reason as a word of four characters."""
    message_at = header_nb(out, at, TYPE_TRADING_ACTION, _LENGTH_H, locate, ts_ns)
    write_u64_nb(out, message_at + _STOCK, stock)
    out[message_at + _H_STATE] = trading_state
    out[message_at + _H_RESERVED] = _BLANK
    write_u32_nb(out, message_at + _H_REASON, reason)
    return LENGTH_BYTES + _LENGTH_H


@kernel
def write_reg_sho_nb(out: Bytes, at: int, locate: int, ts_ns: int, stock: int, action: int) -> int:
    """Y with the action as an ASCII number."""
    message_at = header_nb(out, at, TYPE_REG_SHO, _LENGTH_Y, locate, ts_ns)
    write_u64_nb(out, message_at + _STOCK, stock)
    out[message_at + _Y_ACTION] = action
    return LENGTH_BYTES + _LENGTH_Y


@kernel
def write_participant_nb(
    out: Bytes, at: int, locate: int, ts_ns: int, stock: int, mpid: int
) -> int:
    """L of an active primary market maker."""
    message_at = header_nb(out, at, TYPE_PARTICIPANT, _LENGTH_L, locate, ts_ns)
    write_u32_nb(out, message_at + _L_MPID, mpid)
    write_u64_nb(out, message_at + _L_STOCK, stock)
    out[message_at + _L_PRIMARY] = _YES
    out[message_at + _L_MODE] = _MODE_NORMAL
    out[message_at + _L_STATE] = _STATE_ACTIVE
    return LENGTH_BYTES + _LENGTH_L


@kernel
def write_decline_levels_nb(
    out: Bytes, at: int, ts_ns: int, level_1: int, level_2: int, level_3: int
) -> int:
    """V with three price8 levels."""
    message_at = header_nb(out, at, TYPE_DECLINE_LEVELS, _LENGTH_V, _NOTHING, ts_ns)
    write_u64_nb(out, message_at + _V_LEVEL_1, level_1)
    write_u64_nb(out, message_at + _V_LEVEL_2, level_2)
    write_u64_nb(out, message_at + _V_LEVEL_3, level_3)
    return LENGTH_BYTES + _LENGTH_V


@kernel
def write_add_nb(
    out: Bytes, at: int, locate: int, ts_ns: int, stock: int, order: tuple[int, int, int, int, int]
) -> int:
    """A, or F when the order is attributed; `order` is (reference, side 0 or 1, shares, price4,
    attribution word or 0).
    """
    reference, side, shares, price4, attribution = order
    attributed = attribution != 0
    kind = TYPE_ADD_ATTRIBUTED if attributed else TYPE_ADD
    length = _LENGTH_F if attributed else _LENGTH_A
    message_at = header_nb(out, at, kind, length, locate, ts_ns)
    write_u64_nb(out, message_at + _REFERENCE, reference)
    out[message_at + _A_SIDE] = _SIDE_BUY if side == 0 else _SIDE_SELL
    write_u32_nb(out, message_at + _A_SHARES, shares)
    write_u64_nb(out, message_at + _A_STOCK, stock)
    write_u32_nb(out, message_at + _A_PRICE, price4)
    if attributed:
        write_u32_nb(out, message_at + _F_ATTRIBUTION, attribution)
        return LENGTH_BYTES + _LENGTH_F
    return LENGTH_BYTES + _LENGTH_A


@kernel
def write_executed_nb(
    out: Bytes, at: int, locate: int, ts_ns: int, reference: int, shares: int, match: int
) -> int:
    """E: shares taken from the order at its own price."""
    message_at = header_nb(out, at, TYPE_EXECUTED, _LENGTH_E, locate, ts_ns)
    write_u64_nb(out, message_at + _REFERENCE, reference)
    write_u32_nb(out, message_at + _E_SHARES, shares)
    write_u64_nb(out, message_at + _E_MATCH, match)
    return LENGTH_BYTES + _LENGTH_E


@kernel
def write_executed_at_price_nb(
    out: Bytes, at: int, locate: int, ts_ns: int, fill: tuple[int, int, int, int, int]
) -> int:
    """C: `fill` is (reference, shares, match number, printable 0 or 1, price4)."""
    reference, shares, match, printable, price4 = fill
    message_at = header_nb(out, at, TYPE_EXECUTED_AT_PRICE, _LENGTH_C, locate, ts_ns)
    write_u64_nb(out, message_at + _REFERENCE, reference)
    write_u32_nb(out, message_at + _E_SHARES, shares)
    write_u64_nb(out, message_at + _E_MATCH, match)
    out[message_at + _C_PRINTABLE] = _YES if printable else _NO
    write_u32_nb(out, message_at + _C_PRICE, price4)
    return LENGTH_BYTES + _LENGTH_C


@kernel
def write_cancel_nb(
    out: Bytes, at: int, locate: int, ts_ns: int, reference: int, shares: int
) -> int:
    """X: shares taken from the order, which keeps some and its place."""
    message_at = header_nb(out, at, TYPE_CANCEL, _LENGTH_X, locate, ts_ns)
    write_u64_nb(out, message_at + _REFERENCE, reference)
    write_u32_nb(out, message_at + _X_SHARES, shares)
    return LENGTH_BYTES + _LENGTH_X


@kernel
def write_delete_nb(out: Bytes, at: int, locate: int, ts_ns: int, reference: int) -> int:
    """D: the order leaves the book."""
    message_at = header_nb(out, at, TYPE_DELETE, _LENGTH_D, locate, ts_ns)
    write_u64_nb(out, message_at + _REFERENCE, reference)
    return LENGTH_BYTES + _LENGTH_D


@kernel
def write_replace_nb(
    out: Bytes, at: int, locate: int, ts_ns: int, order: tuple[int, int, int, int]
) -> int:
    """U: `order` is (original reference, new reference, shares, price4)."""
    original, reference, shares, price4 = order
    message_at = header_nb(out, at, TYPE_REPLACE, _LENGTH_U, locate, ts_ns)
    write_u64_nb(out, message_at + _U_ORIGINAL, original)
    write_u64_nb(out, message_at + _U_NEW, reference)
    write_u32_nb(out, message_at + _U_SHARES, shares)
    write_u32_nb(out, message_at + _U_PRICE, price4)
    return LENGTH_BYTES + _LENGTH_U


@kernel
def write_trade_nb(
    out: Bytes, at: int, locate: int, ts_ns: int, stock: int, trade: tuple[int, int, int, int]
) -> int:
    """P of an order that was never displayed (reference 0): `trade` is (side 0 or 1, shares,
    price4, match number).
    """
    side, shares, price4, match = trade
    message_at = header_nb(out, at, TYPE_TRADE, _LENGTH_P, locate, ts_ns)
    write_u64_nb(out, message_at + _REFERENCE, _NOTHING)
    out[message_at + _A_SIDE] = _SIDE_BUY if side == 0 else _SIDE_SELL
    write_u32_nb(out, message_at + _A_SHARES, shares)
    write_u64_nb(out, message_at + _A_STOCK, stock)
    write_u32_nb(out, message_at + _A_PRICE, price4)
    write_u64_nb(out, message_at + _P_MATCH, match)
    return LENGTH_BYTES + _LENGTH_P


@kernel
def write_broken_trade_nb(out: Bytes, at: int, locate: int, ts_ns: int, match: int) -> int:
    """B: the trade with this match number never was."""
    message_at = header_nb(out, at, TYPE_BROKEN_TRADE, _LENGTH_B, locate, ts_ns)
    write_u64_nb(out, message_at + _B_MATCH, match)
    return LENGTH_BYTES + _LENGTH_B
