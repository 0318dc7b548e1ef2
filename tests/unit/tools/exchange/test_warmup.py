"""The warm-up of the exchange's kernels."""

import pytest

from protocols.kernel_cache import JIT_ENABLED
from tools.exchange import sender as sending
from tools.exchange.flow import generate_nb
from tools.exchange.warmup import warm_up


@pytest.mark.skipif(not JIT_ENABLED, reason="there is nothing to compile")
def test_a_warm_up_compiles_the_entry_kernels_for_the_types_of_a_real_run():
    warm_up()
    assert len(generate_nb.signatures) == 1
    # Once more for a day of a market, where another test of this process had one.
    for entry in (sending.run_slice_nb, sending.lines_drained_nb):
        senders = [types[0] for types in entry.signatures]
        kinds = [str(sender.members[0]) for sender in senders]
        assert len(set(kinds)) == len(kinds), f"{entry.__name__} was compiled more than once"
