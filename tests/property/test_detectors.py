"""Any run of trades and messages: detectors say what their slow twins say, compiled or not."""

import hashlib
import os
import subprocess
import sys
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numba import njit

from feedhandler.core.breakers import BUILT_IN, DEFAULTS
from feedhandler.core.events import TICK, Flag, Kind
from tests.reference.slow_detectors import (
    CLOSE,
    LATE,
    MINUTE,
    OPEN,
    SlowBand,
    SlowDecline,
    SlowRate,
)
from tests.unit.feedhandler.core.breakers.support import E9, INSTRUMENTS, MARKET, Detector, S
from tools.check.sources import ROOT

band_params = st.fixed_dictionaries(
    {
        "tier": st.sampled_from([1, 2]),
        "band_bps": st.sampled_from([0, 0, 150]),
        "caution_pct": st.sampled_from([0, 50]),
        "hold_ns": st.sampled_from([0, 30 * S]),
        "step_bps": st.sampled_from([0, 100]),
        "window_ns": st.sampled_from([29, 30 * S, 300 * S]),
        "opening_ns": st.sampled_from([0, 900 * S]),
    }
)
# (seconds since the tick before, price in parts of the last 1e-3, what it is)
moves = st.lists(
    st.tuples(
        st.integers(-3, 90),
        st.one_of(st.integers(970, 1_030), st.integers(1, 4_000)),
        st.sampled_from(["trade", "trade", "trade", "trade", "late", "quote", "auction"]),
    ),
    max_size=120,
)


@given(band_params, st.sampled_from([200, 7_490, 29_900, 1_000_000]), moves)
def test_price_band_is_that_of_the_slow_twin(
    params: dict[str, int], price: int, steps: list[tuple[int, int, str]]
):
    detector = Detector("price_band", **params)
    slow = SlowBand(DEFAULTS["price_band"] | params)
    now_ns, seq = OPEN + 60 * S, 1
    for seconds, parts, what in steps:
        now_ns = min(max(now_ns + seconds * S, OPEN), CLOSE - 1)
        trade = min(max(price * parts // 1_000, 1), 1 << 30)
        if what == "quote":
            assert detector.see(now_ns) == slow.see(now_ns, detector.seq)
            continue
        if what == "auction":
            found = detector.see(now_ns, Kind.CROSS_TRADE, price_e9=trade * E9, qty=1)
            assert found == slow.see(now_ns, detector.seq, trade, is_auction=True)
        elif what == "late":
            late_ns = max(now_ns - 2 * S, OPEN)
            seq = max(detector.seq - 1, 0)
            assert detector.trade(late_ns, trade, seq=seq) == slow.see(late_ns, seq, trade)
        else:
            assert detector.trade(now_ns, trade) == slow.see(now_ns, detector.seq, trade)
            price = trade
        assert detector.state[0] == slow.reference


LEGS = (1, 2, 3, 5)
trades = st.lists(
    st.tuples(
        st.integers(0, 900), st.integers(1, 7), st.one_of(st.integers(800, 1_010), st.just(500))
    ),
    max_size=100,
)


@given(st.sampled_from([OPEN - 60 * S, OPEN, LATE - 300 * S]), trades)
def test_market_decline_is_that_of_the_slow_twin(now_ns: int, steps: list[tuple[int, int, int]]):
    detector = Detector("market_decline", LEGS)
    slow = SlowDecline(DEFAULTS["market_decline"], LEGS)
    for seconds, leg, parts in steps:
        now_ns += seconds * S
        level = detector.trade(now_ns, 1_000 * parts * leg, instrument=leg)
        assert level == slow.see(now_ns, leg, 1_000 * parts * leg)
        assert detector.values[:2] == [slow.decline, slow.highest]


@given(
    st.sampled_from([7, 1_000, 10**8]),
    st.lists(st.tuples(st.integers(-20, 60), st.integers(1, 9)), max_size=60),
)
def test_message_rate_counts_as_the_slow_twin_does(bucket_ns: int, steps: list[tuple[int, int]]):
    detector = Detector("message_rate", bucket_ns=bucket_ns)
    slow = SlowRate(bucket_ns)
    now_ns = OPEN
    for tenths, count in steps:
        now_ns = max(now_ns + tenths * bucket_ns // 10, OPEN)
        for _ in range(count):
            detector.see(now_ns)
            assert detector.values[0] == slow.see(now_ns)


def walk(name: str, function: Any) -> str:
    """Digest of what a detector says of a long random walk of ticks, and of what it keeps."""
    random = Random(name)
    found = hashlib.sha256()
    detector = Detector(name, (1, 2, 3))
    ticks, market = np.zeros(1, TICK), np.zeros(INSTRUMENTS, MARKET)
    now_ns, price = OPEN - 5 * MINUTE, 1_000_000
    for seq in range(1, 6_000):
        now_ns += random.choice([0, 10**5, 10**7, 10**9, 20 * 10**9])
        price = max(price * random.randrange(985, 1_015) // 1_000, 2_000)
        leg = random.choice([1, 2, 3])
        tick, row = ticks[0], market[leg]
        tick["instrument"], tick["seq"], tick["ts_exch_ns"] = leg, seq, now_ns
        tick["kind"] = random.choice([Kind.TRADE, Kind.EXECUTE, Kind.ADD, Kind.CROSS_TRADE])
        tick["flags"] = random.choice([0, 0, 0, 0, int(Flag.IN_DOUBT), int(Flag.NOT_PRINTABLE)])
        tick["price_e9"], tick["qty"] = price * 100_000, random.randrange(3)
        tick["ts_rx_ns"] = 1_700_000_000 * S + now_ns + random.choice([0, 10**4, 10**8])
        row["seq"], row["ts_exch_ns"], row["last_price_e9"] = seq, now_ns, price * 100_000
        row["bid_price_e9"], row["bid_qty"] = (price - 50) * 100_000, random.randrange(20)
        row["ask_price_e9"] = (price + random.randrange(900)) * 100_000
        row["ask_qty"], row["message_rate"] = random.randrange(20), random.randrange(40)
        row["realised_e9"] = random.randrange(1, 10) ** 7
        detector.out[:] = 0
        detector.out[7] = tick["ts_rx_ns"] + random.choice([10**4, 2 * 10**6, 10**9])
        level = function(
            ticks, 0, market, detector.legs, detector.params, detector.state, detector.out
        )
        found.update(bytes([level]) + detector.out.tobytes())
    found.update(detector.state.tobytes())
    return found.hexdigest()


INTERPRETED = """
import sys
from feedhandler.core.breakers import BUILT_IN
from tests.property.test_detectors import walk
print(*(walk(name, BUILT_IN[name]) for name in sys.argv[1:]))
"""


@pytest.mark.compiled_only
def test_compiled_detectors_say_what_interpreted_ones_say():
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", INTERPRETED, *BUILT_IN]
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    options = {"error_model": "numpy", "nogil": True, "_nrt": False}
    compiled = [walk(name, njit(**options)(function)) for name, function in BUILT_IN.items()]
    assert compiled == done.stdout.split()
