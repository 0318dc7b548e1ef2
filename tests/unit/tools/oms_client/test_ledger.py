from protocols.fix.message import Identity, decode, encode, encode_fields
from tools.oms_client.client import acknowledge
from tools.oms_client.ledger import SignalLedger, describe

TIME = b"20260921-12:00:00.000"


def order(signal_id: int, repeat: bytes = b""):
    body = encode_fields((11, signal_id), (55, "ABC"), (54, 1), (60, TIME), (38, 300), (40, 2))
    body += encode_fields((44, "101.25"), (5001, signal_id), (5002, "imbalance"))
    return decode(encode(Identity("S", "C"), b"D", 1, TIME, body, repeat))


def breaker(signal_id: int, status: int, level: int = 0, msg_type: bytes = b"f"):
    body = encode_fields((55, "ABC"), (326, status), (60, TIME), (5001, signal_id), (5002, "band"))
    body += encode_fields((5007, level))
    return decode(encode(Identity("S", "C"), msg_type, 1, TIME, body))


def test_ledger_counts_by_id_and_kind():
    ledger = SignalLedger()
    for message in (order(3), order(5), breaker(4, 2), order(5, TIME), breaker(6, 0, 3, b"q")):
        ledger.record(message)
    report = ledger.report()
    assert report == {
        "received": 5, "distinct": 4, "duplicates": 1, "missing": 2, "orders": 3,
        "breaker_changes": 1, "cancel_requests": 1, "acknowledged": 0, "min_id": 3, "max_id": 6,
        "ids_contiguous": True, "poss_dup_received": 1, "without_id": 0,
    }  # fmt: skip


def test_an_id_left_out_is_missing_and_breaks_the_row():
    ledger = SignalLedger()
    for signal_id in (1, 2, 4):
        ledger.record(order(signal_id))
    assert ledger.report()["missing"] == 1
    assert ledger.report()["ids_contiguous"] is False


def test_nothing_received_is_an_unbroken_row():
    report = SignalLedger().report()
    assert (report["distinct"], report["ids_contiguous"]) == (0, True)


def test_a_message_without_an_id_is_counted_apart():
    ledger = SignalLedger()
    ledger.record(decode(encode(Identity("S", "C"), b"f", 1, TIME, b"55=A\x01")))
    assert (ledger.without_id, ledger.ids.count) == (1, 0)


def test_a_line_for_a_person_names_what_and_how_much():
    assert describe(order(7)).split() == [
        "7", "order", "ABC", "buy", "300", "@", "101.25", "imbalance", TIME.decode()
    ]  # fmt: skip
    assert describe(breaker(8, 3)).split()[:4] == ["8", "breaker", "ABC", "normal"]
    assert describe(breaker(8, 2, 3, b"q")).split()[:4] == ["8", "cancel", "ABC", "halted"]


def test_an_order_is_acknowledged_with_a_report_of_its_id_and_open_quantity():
    assert acknowledge(order(7)) == (
        b"8",
        b"37=7\x0117=7\x01150=0\x0139=0\x0111=7\x0155=ABC\x0154=1\x01151=300\x0114=0\x016=0\x01",
    )
