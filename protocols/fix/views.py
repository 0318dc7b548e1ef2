"""Typed views: which fields of a message become which columns of a row.

A row is a row of 64-bit integers, so that one kernel fills every view. It begins with ROW_HEADER;
each column follows in the order of the table: one word, or two (`NAME_at`, `NAME_end`) for text,
where it is in the buffer. In a column whose bit in `present` is not set the value is 0.

Units: `price_e9` as in the engine's ticks, 1e-9 of the currency; `qty_e8` 1e-8 of the unit of trade
(FIX quantities may have decimals); times in ns, timestamps since 1970, times of day since midnight;
dates in days since 1970; a character is its byte. Source: FIX 4.4 with errata 20030618, volume 3
(market data) and 4 (orders), FIX 5.0 SP2 volumes 3 and 4, for the fields that were added.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from protocols.fix.layout import Int32s, Int64s, pack_msg_type

PRICE_DECIMALS, QUANTITY_DECIMALS = 9, 8
TAG_LIMIT = 4_096
"""No column has a tag from here on."""
TAG_NO_MD_ENTRIES, TAG_MD_ENTRY_TYPE, TAG_MD_UPDATE_ACTION = 268, 269, 279


class ColumnKind(IntEnum):
    """How a value becomes an integer."""

    INTEGER = 0
    PRICE = 1
    QUANTITY = 2
    CHARACTER = 3
    TIMESTAMP = 4
    TIME = 5
    DATE = 6
    TEXT = 7


class Column(NamedTuple):
    """One column: its name, with the unit; the tag; the kind."""

    name: str
    tag: int
    kind: ColumnKind


ROW_HEADER = (("frame", "i8"), ("status", "i8"), ("fault_at", "i8"), ("present", "i8"))
"""Number of the frame; OK and -1, or BAD_VALUE and the place of the first byte that makes a value
wrong (its bit in `present` stays 0); bit i for column i."""
FRAME, STATUS, FAULT_AT, PRESENT = range(len(ROW_HEADER))
"""Words of ROW_HEADER."""


class ViewTable(NamedTuple):
    """A view as kernels read it.

    Shapes: column_of_tag i32[TAG_LIMIT], -1 for none; columns i64[n, 3]: tag, kind, word in the
    row; meta i64[4]: words of a row, tag that begins an entry (0: one row a message), tag of the
    number of entries, column that an entry takes over from what is before it (-1: none).
    """

    column_of_tag: Int32s
    columns: Int64s
    meta: Int64s


TAG, KIND, WORD = range(3)
"""Columns of `ViewTable.columns`."""
WIDTH, DELIMITER, COUNT_TAG, INHERITED = range(4)
"""Places in `ViewTable.meta`."""


@dataclass(frozen=True)
class View:
    """A view of one message type. With `delimiter`, the first tag of an entry of the repeating
    group that `count_tag` announces, there is one row an entry.
    """

    msg_type: bytes
    name: str
    section: str
    columns: tuple[Column, ...]
    delimiter: int = 0
    count_tag: int = 0

    @property
    def dtype(self) -> np.dtype[np.void]:
        """Row of this view."""
        return np.dtype([*ROW_HEADER, *((name, "i8") for name in self._words())])

    def _words(self) -> Iterator[str]:
        for column in self.columns:
            if column.kind is ColumnKind.TEXT:
                yield f"{column.name}_at"
                yield f"{column.name}_end"
            else:
                yield column.name

    def table(self) -> ViewTable:
        """This view for the kernels."""
        column_of_tag = np.full(TAG_LIMIT, -1, np.int32)
        columns = np.zeros((len(self.columns), 3), np.int64)
        word, inherited = len(ROW_HEADER), -1
        for i, column in enumerate(self.columns):
            column_of_tag[column.tag] = i
            columns[i] = column.tag, column.kind, word
            word += 1 + (column.kind is ColumnKind.TEXT)
            if self.delimiter and column.name == "symbol":
                inherited = i
        meta = np.array([word, self.delimiter, self.count_tag, inherited], np.int64)
        return ViewTable(column_of_tag, columns, meta)


def allocate_rows(view: View, limit: int) -> tuple[NDArray[np.void], Int64s]:
    """`limit` rows of a view, and the same memory as words i64[limit * width] for the kernels."""
    rows = np.zeros(limit, view.dtype)
    return rows, rows.view(np.int64)


_K = ColumnKind
_SYMBOL = Column("symbol", 55, _K.TEXT)
_SIDE = Column("side", 54, _K.CHARACTER)
_TRANSACT_TIME = Column("transact_ts_ns", 60, _K.TIMESTAMP)
_HEADER = (Column("msg_seq_num", 34, _K.INTEGER), Column("sending_ts_ns", 52, _K.TIMESTAMP))
_CL_ORD_ID = Column("cl_ord_id", 11, _K.TEXT)
_ORIG_CL_ORD_ID = Column("orig_cl_ord_id", 41, _K.TEXT)
_ORDER_ID = Column("order_id", 37, _K.TEXT)
_ORDER = (
    _SYMBOL,
    _SIDE,
    Column("order_qty_e8", 38, _K.QUANTITY),
    Column("ord_type", 40, _K.CHARACTER),
    Column("price_e9", 44, _K.PRICE),
    Column("stop_price_e9", 99, _K.PRICE),
    Column("time_in_force", 59, _K.CHARACTER),
    _TRANSACT_TIME,
    Column("account", 1, _K.TEXT),
)
_ENTRY = (
    Column("update_action", 279, _K.CHARACTER),
    Column("entry_type", 269, _K.CHARACTER),
    _SYMBOL,
    Column("price_e9", 270, _K.PRICE),
    Column("qty_e8", 271, _K.QUANTITY),
    Column("rpt_seq", 83, _K.INTEGER),
    Column("entry_date_days", 272, _K.DATE),
    Column("entry_time_ns", 273, _K.TIME),
    Column("entry_id", 278, _K.TEXT),
    Column("order_count", 346, _K.INTEGER),
    Column("position", 290, _K.INTEGER),
    Column("price_level", 1023, _K.INTEGER),
    _ORDER_ID,
    Column("entry_ref_id", 280, _K.TEXT),
)
_MD_REQ_ID = Column("md_req_id", 262, _K.TEXT)

VIEWS: Mapping[bytes, View] = MappingProxyType(
    {
        view.msg_type: view
        for view in (
            View(
                b"V",
                "MarketDataRequest",
                "vol. 3",
                (
                    *_HEADER,
                    _MD_REQ_ID,
                    Column("subscription_type", 263, _K.CHARACTER),
                    Column("market_depth", 264, _K.INTEGER),
                    Column("update_type", 265, _K.INTEGER),
                    Column("entry_type_count", 267, _K.INTEGER),
                    Column("symbol_count", 146, _K.INTEGER),
                    _SYMBOL,
                ),
            ),
            View(
                b"W",
                "MarketDataSnapshotFullRefresh",
                "vol. 3",
                _ENTRY,
                TAG_MD_ENTRY_TYPE,
                TAG_NO_MD_ENTRIES,
            ),
            View(
                b"X",
                "MarketDataIncrementalRefresh",
                "vol. 3",
                _ENTRY,
                TAG_MD_UPDATE_ACTION,
                TAG_NO_MD_ENTRIES,
            ),
            View(
                b"Y",
                "MarketDataRequestReject",
                "vol. 3",
                (
                    *_HEADER,
                    _MD_REQ_ID,
                    Column("reject_reason", 281, _K.CHARACTER),
                    Column("text", 58, _K.TEXT),
                ),
            ),
            View(
                b"d",
                "SecurityDefinition",
                "vol. 3",
                (
                    *_HEADER,
                    Column("security_req_id", 320, _K.TEXT),
                    Column("security_response_id", 322, _K.TEXT),
                    Column("response_type", 323, _K.INTEGER),
                    _SYMBOL,
                    Column("security_id", 48, _K.TEXT),
                    Column("security_id_source", 22, _K.TEXT),
                    Column("currency", 15, _K.TEXT),
                    Column("security_exchange", 207, _K.TEXT),
                    Column("contract_multiplier_e9", 231, _K.PRICE),
                    Column("min_price_increment_e9", 969, _K.PRICE),
                    Column("round_lot_e8", 561, _K.QUANTITY),
                    Column("text", 58, _K.TEXT),
                ),
            ),
            View(
                b"f",
                "SecurityStatus",
                "vol. 3",
                (
                    *_HEADER,
                    Column("security_status_req_id", 324, _K.TEXT),
                    _SYMBOL,
                    Column("trading_session_id", 336, _K.TEXT),
                    Column("trading_status", 326, _K.INTEGER),
                    Column("halt_reason", 327, _K.CHARACTER),
                    Column("buy_volume_e8", 330, _K.QUANTITY),
                    Column("sell_volume_e8", 331, _K.QUANTITY),
                    Column("high_price_e9", 332, _K.PRICE),
                    Column("low_price_e9", 333, _K.PRICE),
                    Column("last_price_e9", 31, _K.PRICE),
                    _TRANSACT_TIME,
                ),
            ),
            View(
                b"h",
                "TradingSessionStatus",
                "vol. 3",
                (
                    *_HEADER,
                    Column("trading_session_req_id", 335, _K.TEXT),
                    Column("trading_session_id", 336, _K.TEXT),
                    Column("session_status", 340, _K.INTEGER),
                    Column("start_ts_ns", 341, _K.TIMESTAMP),
                    Column("open_ts_ns", 342, _K.TIMESTAMP),
                    Column("pre_close_ts_ns", 343, _K.TIMESTAMP),
                    Column("close_ts_ns", 344, _K.TIMESTAMP),
                    Column("end_ts_ns", 345, _K.TIMESTAMP),
                    Column("total_volume_e8", 387, _K.QUANTITY),
                    Column("text", 58, _K.TEXT),
                ),
            ),
            View(b"D", "NewOrderSingle", "vol. 4", (*_HEADER, _CL_ORD_ID, *_ORDER)),
            View(
                b"F",
                "OrderCancelRequest",
                "vol. 4",
                (
                    *_HEADER,
                    _CL_ORD_ID,
                    _ORIG_CL_ORD_ID,
                    _ORDER_ID,
                    _SYMBOL,
                    _SIDE,
                    Column("order_qty_e8", 38, _K.QUANTITY),
                    _TRANSACT_TIME,
                ),
            ),
            View(
                b"G",
                "OrderCancelReplaceRequest",
                "vol. 4",
                (*_HEADER, _CL_ORD_ID, _ORIG_CL_ORD_ID, _ORDER_ID, *_ORDER),
            ),
            View(
                b"8",
                "ExecutionReport",
                "vol. 4",
                (
                    *_HEADER,
                    _CL_ORD_ID,
                    _ORIG_CL_ORD_ID,
                    _ORDER_ID,
                    Column("exec_id", 17, _K.TEXT),
                    Column("exec_type", 150, _K.CHARACTER),
                    Column("ord_status", 39, _K.CHARACTER),
                    Column("ord_rej_reason", 103, _K.INTEGER),
                    *_ORDER,
                    Column("last_qty_e8", 32, _K.QUANTITY),
                    Column("last_price_e9", 31, _K.PRICE),
                    Column("leaves_qty_e8", 151, _K.QUANTITY),
                    Column("cum_qty_e8", 14, _K.QUANTITY),
                    Column("avg_price_e9", 6, _K.PRICE),
                    Column("text", 58, _K.TEXT),
                ),
            ),
            View(
                b"9",
                "OrderCancelReject",
                "vol. 4",
                (
                    *_HEADER,
                    _CL_ORD_ID,
                    _ORIG_CL_ORD_ID,
                    _ORDER_ID,
                    Column("ord_status", 39, _K.CHARACTER),
                    Column("response_to", 434, _K.CHARACTER),
                    Column("reject_reason", 102, _K.INTEGER),
                    _TRANSACT_TIME,
                    Column("text", 58, _K.TEXT),
                ),
            ),
            View(
                b"j",
                "BusinessMessageReject",
                "vol. 3",
                (
                    *_HEADER,
                    Column("ref_seq_num", 45, _K.INTEGER),
                    Column("ref_msg_type", 372, _K.TEXT),
                    Column("ref_id", 379, _K.TEXT),
                    Column("reject_reason", 380, _K.INTEGER),
                    Column("text", 58, _K.TEXT),
                ),
            ),
        )
    }
)
"""Every view by MsgType."""

HEADER_VIEW = View(
    b"",
    "StandardHeader",
    "vol. 1",
    (
        *_HEADER,
        Column("sender_comp_id", 49, _K.TEXT),
        Column("target_comp_id", 56, _K.TEXT),
        Column("poss_dup", 43, _K.CHARACTER),
        Column("poss_resend", 97, _K.CHARACTER),
        Column("orig_sending_ts_ns", 122, _K.TIMESTAMP),
    ),
)
"""The header of any message, for instance of one whose rows are entries."""

PACKED_TYPES: Mapping[bytes, int] = MappingProxyType({each: pack_msg_type(each) for each in VIEWS})
"""MsgType as frames hold it, for kernels to compare."""
