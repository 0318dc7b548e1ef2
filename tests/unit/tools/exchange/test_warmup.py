"""The warm-up of the exchange's kernels."""

import pytest

from protocols.kernel_cache import JIT_ENABLED
from tools.exchange import sender as sending
from tools.exchange.flow import generate_nb
from tools.exchange.warmup import warm_up


@pytest.mark.skipif(not JIT_ENABLED, reason="there is nothing to compile")
def test_a_warm_up_compiles_the_entry_kernels_for_the_types_of_a_real_run():
    warm_up()
    for entry in (sending.run_slice_nb, sending.lines_drained_nb, generate_nb):
        assert len(entry.signatures) == 1, f"{entry.__name__} was compiled more than once"
