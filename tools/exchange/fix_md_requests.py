"""MarketDataRequest: what a client may ask for, and what it hears when it may not.

Source: FIX 4.4 volume 3, MarketDataRequest (V) and MarketDataRequestReject (Y). `55=*`, all
symbols, is an extension of ours.
"""

from dataclasses import dataclass

import numpy as np

from protocols.fix.message import FixMessage, encode_fields
from protocols.fix.spec import Tag
from tools.exchange import streams as layout
from tools.exchange.stream_server import Mail

MD_REQUEST = b"V"
MD_REQUEST_REJECT = b"Y"
_MD_REQ_ID = 262
_SUBSCRIPTION_TYPE = 263
_MARKET_DEPTH = 264
_UPDATE_TYPE = 265
_ENTRY_TYPE = 269
_REJECT_REASON = 281
_SUBSCRIBE, _UNSUBSCRIBE = b"1", b"2"
_FULL_BOOK = b"0"
_INCREMENTAL = b"1"
_QUOTES, _TRADES = {b"0", b"1"}, b"2"
_ALL = b"*"


class Reason:
    """Values of MDReqRejReason (281)."""

    NONE = b""
    UNKNOWN_SYMBOL = b"0"
    DUPLICATE_ID = b"1"
    SUBSCRIPTION_TYPE = b"4"
    MARKET_DEPTH = b"5"
    UPDATE_TYPE = b"6"
    ENTRY_TYPE = b"8"


class _RefusedError(Exception):
    """A request that cannot be had: reason and words."""

    def __init__(self, reason: bytes, text: str) -> None:
        super().__init__(text)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class _Request:
    number: int
    symbols: frozenset[int]


class Requests:
    """The live requests of one client; symbols are numbered as `names` has them."""

    def __init__(self, names: list[bytes]) -> None:
        self._numbers = {name: number for number, name in enumerate(names)}
        self._live: dict[bytes, _Request] = {}

    def take(self, message: FixMessage) -> tuple[Mail | None, bytes]:
        """The mail that a request makes, or None and the body of a MarketDataRequestReject."""
        request_id = message.get(_MD_REQ_ID)
        try:
            if message.get(_SUBSCRIPTION_TYPE) == _UNSUBSCRIBE:
                return self._end(request_id), b""
            return self._begin(request_id, message), b""
        except _RefusedError as error:
            fields = [(_MD_REQ_ID, request_id), (_REJECT_REASON, error.reason)]
            given = [(tag, value) for tag, value in fields if value]
            return None, encode_fields(*given, (int(Tag.TEXT), str(error)))

    def _end(self, request_id: bytes) -> Mail:
        request = self._live.pop(request_id, None)
        if request is None:
            raise _RefusedError(Reason.NONE, "no live request has this MDReqID")
        return Mail(layout.UNSUBSCRIBE, request.number)

    def _begin(self, request_id: bytes, message: FixMessage) -> Mail:
        entry_types = {value for tag, value in message.fields if tag == _ENTRY_TYPE}
        self._check(request_id, message, entry_types)
        symbols = self._symbols_of(message)
        for other in self._live.values():
            if not symbols.isdisjoint(other.symbols):
                text = "a Symbol is in a live request already"
                raise _RefusedError(Reason.NONE, text)
        used = {request.number for request in self._live.values()}
        number = next(number for number in range(layout.REQUESTS_MAX) if number not in used)
        self._live[request_id] = _Request(number, frozenset(symbols))
        listed = np.array(sorted(symbols), "<u2").tobytes()
        has_trades = int(_TRADES in entry_types)
        return Mail(layout.SUBSCRIBE, number, len(request_id), has_trades, request_id + listed)

    def _check(self, request_id: bytes, message: FixMessage, entry_types: set[bytes]) -> None:
        """Refuse what is not supported."""
        limit = layout.REQUEST_ID_BYTES_MAX
        faults = (
            (
                request_id in self._live,
                Reason.DUPLICATE_ID,
                "a live request has this MDReqID",
            ),
            (
                len(request_id) > limit,
                Reason.NONE,
                f"MDReqID is longer than {limit} characters",
            ),
            (
                len(self._live) == layout.REQUESTS_MAX,
                Reason.NONE,
                f"{layout.REQUESTS_MAX} requests are live already",
            ),
            (
                message.get(_SUBSCRIPTION_TYPE) != _SUBSCRIBE,
                Reason.SUBSCRIPTION_TYPE,
                "SubscriptionRequestType is neither 1 nor 2",
            ),
            (
                message.get(_MARKET_DEPTH) != _FULL_BOOK,
                Reason.MARKET_DEPTH,
                "MarketDepth is not 0, the full book",
            ),
            (
                message.get(_UPDATE_TYPE) != _INCREMENTAL,
                Reason.UPDATE_TYPE,
                "MDUpdateType is not 1, incremental",
            ),
            (
                entry_types - {_TRADES} != _QUOTES,
                Reason.ENTRY_TYPE,
                "MDEntryTypes are 0 and 1, and 2 for trades",
            ),
        )
        for is_wrong, reason, text in faults:
            if is_wrong:
                raise _RefusedError(reason, text)

    def _symbols_of(self, message: FixMessage) -> set[int]:
        names = {value for tag, value in message.fields if tag == Tag.SYMBOL}
        if names == {_ALL}:
            return set(self._numbers.values())
        unknown = names - set(self._numbers)
        if unknown or not names:
            shown = min(unknown, default=b"")[: layout.REQUEST_ID_BYTES_MAX]
            text = f"unknown Symbol {shown.decode('ascii', 'replace')}"
            raise _RefusedError(Reason.UNKNOWN_SYMBOL, text)
        return {self._numbers[name] for name in names}
