"""What a snapshot holds, in the order of the specification."""

from itertools import groupby

import numpy as np
import pytest

from protocols.itch50.codec import decode
from protocols.soupbintcp.spec import LENGTH_BYTES, SEQUENCED_DATA
from tests.reference.exchange_checker import blocks, check
from tests.reference.slow_clock import slow_stamp
from tools.exchange.day import NS_PER_MS, NS_PER_S, OPEN_NS
from tools.exchange.flow import generate_nb
from tools.exchange.itch_writer import TIMESTAMP
from tools.exchange.layout import CLOCK_NS, Engine, FlowSettings, allocate_engine
from tools.exchange.snapshot import allocate_snapshot, write_snapshot_nb

SYMBOLS = 20


def snapshot_after(messages: int) -> tuple[list[bytes], list[bytes]]:
    """The snapshot after so many messages of a session, and these."""
    engine = allocate_engine(FlowSettings(3, SYMBOLS, messages=5_000, orders_per_symbol=10))
    stream = np.zeros(messages * 48, np.uint8)
    count, size = generate_nb(engine, stream, messages)
    assert count == messages
    return packets_of(engine), list(blocks(stream[:size].tobytes()))


def packets_of(engine: Engine) -> list[bytes]:
    out = allocate_snapshot(engine)
    count, used = write_snapshot_nb(engine, out)
    data, found = out[:used].tobytes(), []
    while data:
        end = LENGTH_BYTES + int.from_bytes(data[:LENGTH_BYTES], "big")
        assert data[LENGTH_BYTES] == SEQUENCED_DATA
        found.append(data[LENGTH_BYTES + 1 : end])
        data = data[end:]
    assert len(found) == count
    return found


@pytest.mark.parametrize("messages", [200, 2_000])
def test_events_directory_states_short_sales_and_orders_come_in_this_order(messages: int):
    found, stream = snapshot_after(messages)
    kinds = ["A" if message[:1] == b"F" else message[:1].decode() for message in found]
    groups = {kind: len(list(members)) for kind, members in groupby(kinds)}
    assert list(groups) == ["S", "R", "H", "Y", "A"]
    assert groups["A"] == len(check(stream).orders)
    assert (groups["S"], groups["R"], groups["H"], groups["Y"]) == (3, SYMBOLS, SYMBOLS, 3)


def test_all_of_it_bears_the_present_time_of_the_venues_clock():
    engine = allocate_engine(FlowSettings(3, SYMBOLS, messages=5_000, orders_per_symbol=10))
    step = (OPEN_NS, OPEN_NS + NS_PER_S, -NS_PER_MS)
    engine = engine._replace(clock_steps=np.array([step], np.int64))
    generate_nb(engine, np.zeros(1 << 16, np.uint8), 1_000)
    found = packets_of(engine)
    stamps = {int.from_bytes(message[TIMESTAMP : TIMESTAMP + 6], "big") for message in found}
    assert stamps == {slow_stamp([step], int(engine.state[CLOCK_NS]))}
    assert stamps == {int(engine.state[CLOCK_NS]) - NS_PER_MS}


def test_short_sale_restrictions_are_those_of_the_feed():
    found, stream = snapshot_after(2_000)

    def restrictions(messages: list[bytes]) -> list[tuple[object, ...]]:
        rows = (decode(message)[1] for message in messages if message[:1] == b"Y")
        return [(row["stock_locate"], row["stock"], row["reg_sho_action"]) for row in rows]

    assert restrictions(found) == restrictions(stream)
