"""What the hot path writes into counters and histograms (`counters.py`, `latency.py`). Readers do
without this module, and so without a compiler.
"""

from typing import TYPE_CHECKING

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from feedhandler.core.counters import Values
from feedhandler.core.latency import (
    COUNT,
    HEADER_WORDS,
    MAX,
    MAX_VALUE_NS,
    SUB_BUCKET_BITS,
    SUB_BUCKETS,
    SUM,
    Histogram,
)
from protocols.jit import kernel
from protocols.kernel_cache import JIT_ENABLED

if TYPE_CHECKING or not JIT_ENABLED:

    def highest_bit(value: int) -> int:
        """Position of the highest set bit of `value` > 0, counted from 0."""
        return int(value).bit_length() - 1

else:  # pragma: no cover - a code generator, run by the compiler; the compiled tests use it

    @intrinsic
    def highest_bit(typingctx, value):  # noqa: ANN001, ANN201, ARG001
        """Position of the highest set bit of `value` > 0, counted from 0: one instruction."""

        def codegen(context, builder, signature, args):  # noqa: ANN001, ANN202, ARG001
            leading_zeros = builder.ctlz(args[0], ir.IntType(1)(1))
            return builder.sub(ir.IntType(64)(63), leading_zeros)

        return types.int64(types.int64), codegen


@kernel
def bucket_of_nb(value_ns: int) -> int:
    """Index of the bucket that counts `value_ns`, which must lie within 0 .. MAX_VALUE_NS."""
    if value_ns < SUB_BUCKETS:
        return value_ns
    shift = highest_bit(value_ns) - SUB_BUCKET_BITS
    return SUB_BUCKETS * shift + (value_ns >> shift)


@kernel
def record_nb(histogram: Histogram, value_ns: int) -> None:
    """Count one value; anything outside 0 .. MAX_VALUE_NS counts as the nearest end of that range.

    Shapes:  histogram i64[HISTOGRAM_WORDS], owned by the calling thread.
    Units:   ns, or those of the histogram's spec.
    """
    value = min(max(value_ns, 0), MAX_VALUE_NS)
    histogram[COUNT] += 1
    histogram[SUM] += value
    histogram[MAX] = max(histogram[MAX], value)
    histogram[HEADER_WORDS + bucket_of_nb(value)] += 1


@kernel
def add_nb(values: Values, row: int, amount: int) -> None:
    """Add `amount` to counter `row` of `values` i64[counters, 8]. The row's own thread only."""
    values[row, 0] += amount
