"""What the sample OMS received, counted by signal id."""

from oms_out.contract import SignalTag
from oms_out.id_set import IdSet
from protocols.fix.message import FixMessage
from protocols.fix.spec import MsgType, Tag

_SIDES = {b"1": "buy", b"2": "sell"}
_LEVELS = {b"0": "normal", b"1": "caution", b"2": "restricted", b"3": "halted"}


class SignalLedger:
    """Counts of one run; ids count from 1 over orders, breaker changes and cancel requests."""

    def __init__(self) -> None:
        """Nothing received."""
        self.received = 0
        self.duplicates = 0
        self.orders = 0
        self.breaker_changes = 0
        self.cancel_requests = 0
        self.acknowledged = 0
        self.poss_dup_received = 0
        self.without_id = 0
        self.min_id = 0
        self.ids = IdSet()

    def record(self, message: FixMessage) -> None:
        """Count one signal message; `duplicates` counts an id that was received before."""
        self.received += 1
        self.orders += message.msg_type == MsgType.NEW_ORDER_SINGLE
        self.breaker_changes += message.msg_type == MsgType.SECURITY_STATUS
        self.cancel_requests += message.msg_type == MsgType.ORDER_MASS_CANCEL_REQUEST
        self.poss_dup_received += message.flag(Tag.POSS_DUP_FLAG)
        signal_id = message.number(SignalTag.SIGNAL_ID)
        if not signal_id:
            self.without_id += 1
            return
        if not self.ids.add(signal_id):
            self.duplicates += 1
        self.min_id = min(self.min_id or signal_id, signal_id)

    def report(self) -> dict[str, int | bool]:
        """Counts for the report file.

        `missing`: ids between 1 and `max_id` not received in this run; `ids_contiguous`: none
        missing from `min_id` on.
        """
        return {
            "received": self.received,
            "distinct": self.ids.count,
            "duplicates": self.duplicates,
            "missing": self.ids.missing_count,
            "orders": self.orders,
            "breaker_changes": self.breaker_changes,
            "cancel_requests": self.cancel_requests,
            "acknowledged": self.acknowledged,
            "min_id": self.min_id,
            "max_id": self.ids.max_id,
            "ids_contiguous": self.ids.max_id - max(self.min_id, 1) + 1 == self.ids.count,
            "poss_dup_received": self.poss_dup_received,
            "without_id": self.without_id,
        }


def describe(message: FixMessage) -> str:
    """One line for a person: id, what, symbol, side or state, quantity and price, source."""

    def text(tag: int) -> str:
        return message.get(tag).decode("latin-1")

    head = f"{text(SignalTag.SIGNAL_ID):>8}"
    tail = f"{text(SignalTag.SOURCE_NAME)}  {text(Tag.TRANSACT_TIME)}"
    if message.msg_type == MsgType.NEW_ORDER_SINGLE:
        side = _SIDES.get(message.get(Tag.SIDE), "?")
        order = f"{side:<6} {text(Tag.ORDER_QTY):>8} @ {text(Tag.PRICE)}"
        return f"{head}  order    {text(Tag.SYMBOL):<8} {order}  {tail}"
    level = _LEVELS.get(message.get(SignalTag.LEVEL), "?")
    what = "breaker" if message.msg_type == MsgType.SECURITY_STATUS else "cancel"
    return f"{head}  {what:<7}  {text(Tag.SYMBOL):<8} {level:<10}  {tail}"
