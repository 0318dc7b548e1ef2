"""Symbols and MDEntryIDs against dicts, in tables so small that many share a place."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from adapters.fix_md.layout import Meta, Trouble, allocate_feed
from adapters.fix_md.names import (
    NOT_FOUND,
    enter_order_nb,
    find_id_nb,
    find_symbol_nb,
    leave_order_nb,
)

names = st.binary(min_size=1, max_size=3)


def buffer(name: bytes) -> np.ndarray:
    """The name between other bytes."""
    return np.frombuffer(b"\1" + name + b"\1", np.uint8)


@given(st.lists(names, max_size=30))
def test_symbols_are_numbered_in_the_order_of_their_appearance(symbols: list[bytes]):
    feed, known = allocate_feed(8, 1), dict[bytes, int]()
    for symbol in symbols:
        found, what = find_symbol_nb(buffer(symbol), 1, 1 + len(symbol), feed)
        if symbol in known:
            assert (found, what) == (known[symbol], 0)
        elif len(known) == 8:
            assert (found, what) == (NOT_FOUND, Trouble.SYMBOLS_FULL)
        else:
            known[symbol] = len(known)
            assert (found, what) == (known[symbol], 1)


@given(
    st.lists(
        st.tuples(st.booleans(), st.integers(0, 1), st.sampled_from("ABCDEFGHIJKL")), max_size=60
    )
)
def test_orders_are_found_by_symbol_and_id(changes: list[tuple[bool, int, str]]):
    feed, known = allocate_feed(2, 6), dict[tuple[int, str], int]()
    for enters, instrument, name in changes:
        buf, key = buffer(name.encode()), (instrument, name)
        found = find_id_nb(buf, 1, 2, instrument, feed)
        assert found == known.get(key, NOT_FOUND)
        owners = [reference for (_, other), reference in known.items() if other == name]
        anybody = owners[0] if len(owners) == 1 else NOT_FOUND
        assert find_id_nb(buf, 1, 2, NOT_FOUND, feed) == anybody
        if enters and key not in known:
            reference, trouble = enter_order_nb(buf, 1, 2, instrument, feed)
            if len(known) == 6:
                assert (reference, trouble) == (NOT_FOUND, Trouble.IDS_FULL)
            else:
                known[key] = reference
        elif not enters and key in known:
            leave_order_nb(known.pop(key), feed)
        assert feed.meta[Meta.ORDERS_LIVE] == len(known)
        for number in range(2):
            row = feed.instruments[number]
            listed, at = set(), int(row["first_order"])
            while at >= 0:
                listed.add(at)
                at = int(feed.orders[at]["next"])
            mine = {reference for (owner, _), reference in known.items() if owner == number}
            assert (listed, row["orders"]) == (mine, len(mine))
