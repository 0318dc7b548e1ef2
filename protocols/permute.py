"""Rows by permutation: one load, one shuffle and one store for all fields of a message.

LLVM's generic vectors are used, so every architecture has them; how fast they are depends on it.
With the JIT off plain Python stands in.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from protocols.kernel_cache import JIT_ENABLED

VECTOR_BYTES = 64


class Layout(NamedTuple):
    """Where each byte of a row comes from: `sources[i]` is an offset below VECTOR_BYTES in the wire
    bytes, or -1 for a zero; the row is as long as `sources`, VECTOR_BYTES at most.
    """

    sources: tuple[int, ...]


if TYPE_CHECKING or not JIT_ENABLED:
    # The interpreter's twins; mypy sees these signatures.
    def row_writer(layouts: Sequence[Layout]) -> Callable[[Any, Any, int, Any, int, int], None]:
        """A kernel's function `write_rows(buf, starts, count, out, out_at, which)`.

        It puts the bytes from buf[starts[i]] on, for i below `count`, as rows of layouts[which]
        one behind the other to out[out_at]. It reads VECTOR_BYTES of each and writes as many, so
        these must be there, behind the last row too; what it writes behind a row is undefined.

        Shapes:  buf u8[n], starts i64[m], out u8[k].
        """

        def write_rows(
            buf: Any, starts: Any, count: int, out: Any, out_at: int, which: int
        ) -> None:
            sources = layouts[which].sources
            for i in range(count):
                at, to = int(starts[i]), out_at + i * len(sources)
                for j, source in enumerate(sources):
                    out[to + j] = buf[at + source] if source >= 0 else 0
                # As undefined as can be: nobody may rely on what follows the last row.
                out[to + len(sources) : to + VECTOR_BYTES] = 0xAA

        return write_rows

else:  # pragma: no cover - code generators, run by the compiler; compiled tests use the result
    _BYTE, _WORD, _LONG = ir.IntType(8), ir.IntType(32), ir.IntType(64)
    _VECTOR = ir.VectorType(_BYTE, VECTOR_BYTES)

    def _emit_rows(builder, layout, pointers, count):  # noqa: ANN001, ANN202
        """A loop of one load, one permutation and one store a row."""
        data, starts, out = pointers
        # Source VECTOR_BYTES is the first byte of the second operand, which is all zeros.
        lanes = [source if source >= 0 else VECTOR_BYTES for source in layout.sources]
        lanes += [VECTOR_BYTES] * (VECTOR_BYTES - len(lanes))
        mask = ir.Constant(ir.VectorType(_WORD, VECTOR_BYTES), lanes)
        zeros = ir.Constant(_VECTOR, [0] * VECTOR_BYTES)
        size = _LONG(len(layout.sources))
        with cgutils.for_range(builder, count, intp=_LONG) as loop:
            at = builder.load(builder.gep(starts, [loop.index]))
            source = builder.bitcast(builder.gep(data, [at]), _VECTOR.as_pointer())
            wire = builder.load(source)
            wire.align = 1
            row = builder.shuffle_vector(wire, zeros, mask)
            target = builder.gep(out, [builder.mul(loop.index, size)])
            store = builder.store(row, builder.bitcast(target, _VECTOR.as_pointer()))
            store.align = 1

    def row_writer(layouts):  # noqa: ANN001, ANN201
        """A kernel's function `write_rows(buf, starts, count, out, out_at, which)`.

        It puts the bytes from buf[starts[i]] on, for i below `count`, as rows of layouts[which]
        one behind the other to out[out_at]. It reads VECTOR_BYTES of each and writes as many, so
        these must be there, behind the last row too; what it writes behind a row is undefined.

        Shapes:  buf u8[n], starts i64[m], out u8[k].
        """

        @intrinsic
        def write_rows(typingctx, buf, starts, count, out, out_at, which):  # noqa: ANN001, ANN202
            def codegen(context, builder, signature, args):  # noqa: ANN001, ANN202
                data, first, target = (
                    context.make_array(signature.args[i])(context, builder, args[i]).data
                    for i in (0, 1, 3)
                )
                target = builder.gep(target, [args[4]])
                done = builder.append_basic_block("rows_done")
                switch = builder.switch(args[5], done)
                for number, layout in enumerate(layouts):
                    block = builder.append_basic_block(f"rows_{number}")
                    switch.add_case(_LONG(number), block)
                    builder.position_at_end(block)
                    _emit_rows(builder, layout, (data, first, target), args[2])
                    builder.branch(done)
                builder.position_at_end(done)
                return context.get_dummy_value()

            integer = types.int64
            return types.void(buf, starts, integer, out, integer, integer), codegen

        return write_rows
