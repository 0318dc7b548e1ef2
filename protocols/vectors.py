"""Sixty-four bytes at a time: the vector operations of kernels, as LLVM vectors that every
architecture has.

Callers see to it that what is read and written lies within the arrays: machine code checks
nothing here. The twins, which run with the JIT off, do check, and say in plain Python what each
operation means. Masks are 64-bit integers, signed as all integers of kernels; bit i stands for
byte i.

"Compress" (the lanes that a mask names, moved together) is one instruction on a processor with
AVX-512 VBMI2; elsewhere a loop over the set bits stands in, as LLVM's own expansion visits all 64.
Lanes become bits and words in little-endian order, as on every machine that Numba compiles for.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from protocols.jit import kernel
from protocols.kernel_cache import JIT_ENABLED

BLOCK = 64
"""Bytes of a block."""
RUN_GOES_ON, RUN_BEGINS = 1, 2
"""States between two blocks, of `run_ends`."""
LANES = 16
"""Lanes of a vector of 32-bit integers: what a store of positions may write beyond its count."""

if TYPE_CHECKING or not JIT_ENABLED:
    # The interpreter's twins; mypy sees these signatures.
    _WORD_BITS = 64

    def set_bits(mask: int) -> list[int]:
        """Numbers of the set bits."""
        return [bit for bit in range(_WORD_BITS) if mask >> bit & 1]

    def signed(mask: int) -> int:
        """The 64-bit integer of a mask."""
        return mask - (1 << _WORD_BITS) if mask >> (_WORD_BITS - 1) else mask

    def block_of(array: Any, at: int, size: int = BLOCK) -> Any:
        """array[at : at + size], which must be there."""
        if not 0 <= at <= len(array) - size:
            raise IndexError(f"{size} elements at {at} of {len(array)}")
        return array[at : at + size]

    def equal_mask64(array: Any, at: int, byte: int) -> int:
        """Bit i is set where array[at + i] == byte."""
        block = block_of(array, at).tolist()
        return signed(sum(1 << i for i, each in enumerate(block) if each == byte))

    def trailing_zeros(mask: int) -> int:
        """Number of the lowest set bit, 64 when there is none."""
        return next(iter(set_bits(mask)), _WORD_BITS)

    def leading_zeros(mask: int) -> int:
        """Number of clear bits above the highest set one, 64 when there is none."""
        return _WORD_BITS - (int(mask) & ((1 << _WORD_BITS) - 1)).bit_length()

    def prefetch(array: Any, at: int) -> None:
        """Ask for the cache line of array[at], which may lie outside."""

    def digit_mask64(array: Any, at: int) -> int:
        """Bit i is set where array[at + i] is one of b"0123456789"."""
        block = block_of(array, at).tolist()
        return signed(sum(1 << i for i, each in enumerate(block) if 0 <= each - ord("0") <= 9))

    def count_bits(mask: int) -> int:
        """How many bits are set."""
        return len(set_bits(mask))

    def run_ends(ends: int, inside: int, state: int) -> tuple[int, int, int]:
        """A run begins after each set bit of `ends`, and goes on as long as bits are `inside`.
        `state`: RUN_GOES_ON when one comes from below bit 0, RUN_BEGINS when one begins with it, or
        0.

        Returns: (where runs begin, where they end: the first bit that is not inside, state of the
                 64 bits that follow).
        """
        firsts = found = 0
        for bit in range(_WORD_BITS):
            if state == RUN_BEGINS:
                firsts |= 1 << bit
            if state and not inside >> bit & 1:
                found |= 1 << bit
                state = 0
            state = RUN_BEGINS if ends >> bit & 1 else min(state, RUN_GOES_ON)
        return signed(firsts), signed(found), state

    def store_positions(mask: int, base: int, out: Any, at: int) -> int:
        """out[at], out[at + 1] … = base + each set bit of `mask`; their number. What follows in
        out[at : at + 64] may be overwritten.
        """
        block_of(out, at)
        bits = set_bits(mask)
        out[at : at + BLOCK] = base
        out[at : at + len(bits)] = [base + bit for bit in bits]
        return len(bits)

    def add_block64(array: Any, at: int, sums: Any, sums_at: int) -> None:
        """The 64 sums of bytes, modulo 256, that follow those at `sums_at`: each one more byte."""
        block_of(sums, sums_at, 2 * BLOCK)
        before = sums[sums_at : sums_at + BLOCK]
        sums[sums_at + BLOCK : sums_at + 2 * BLOCK] = before + block_of(array, at)

    def sum_between(array: Any, base: int, sums: Any, first: int, stop: int) -> int:
        """Sum modulo 256 of array[base + first : base + stop], by the sums that `add_block64` made
        of the blocks from `base`. Reads the whole blocks of the first byte and of the stop.
        """

        def before(offset: int) -> Any:
            row = offset & -BLOCK
            rest = block_of(array, base + row)[: offset - row]
            return int(block_of(sums, row).sum()) + int(rest.sum())

        return int(before(stop) - before(first)) & 0xFF

    def equal_mask16(values: Any, at: int, wanted: int) -> int:
        """Bit i is set where values[at + i], of sixteen, is `wanted`."""
        block = block_of(values, at, LANES).tolist()
        return sum(1 << i for i, each in enumerate(block) if each == wanted)

    def store_positions32(mask: int, base: int, out: Any, at: int) -> int:
        """The same as `store_positions` for the lower 32 bits; what follows in out[at : at + 32]
        may be overwritten.
        """
        block_of(out, at, BLOCK // 2)[:] = base
        bits = set_bits(mask & ((1 << BLOCK // 2) - 1))
        out[at : at + len(bits)] = [base + bit for bit in bits]
        return len(bits)

    def equal_lanes16(values: Any, at: int, others: Any, others_at: int) -> int:
        """Bit i is set where values[at + i] == others[others_at + i], for sixteen."""
        same = block_of(values, at, LANES) == block_of(others, others_at, LANES)
        return sum(1 << i for i, each in enumerate(same.tolist()) if each)

    def store_sums16(
        base: int, offsets: Any, offsets_at: int, none: int, out: Any, at: int
    ) -> None:
        """out[at + i] = base + offsets[offsets_at + i], or `none` where that offset is negative,
        for sixteen.
        """
        for i, offset in enumerate(block_of(offsets, offsets_at, LANES).tolist()):
            block_of(out, at, LANES)[i] = none if offset < 0 else base + offset

    def store_steps16(first: int, step: int, out: Any, at: int) -> None:
        """out[at + i] = first + step * i, for sixteen."""
        block_of(out, at, LANES)[:] = [first + step * i for i in range(LANES)]

    def fill16(out: Any, at: int, value: int) -> None:
        """out[at : at + 16] = value."""
        block_of(out, at, LANES)[:] = value

    def load_word(array: Any, at: int) -> int:
        """array[at : at + 8] as one word, first byte lowest."""
        return int.from_bytes(bytes(block_of(array, at, 8)), "little", signed=True)

    def store_word_swapped(out: Any, at: int, word: int) -> None:
        """out[at : at + 8] = the bytes of `word`, highest first."""
        block_of(out, at, 8)[:] = list(int(word).to_bytes(8, "big", signed=True))

    def copy_block64(array: Any, at: int, out: Any, out_at: int) -> None:
        """out[out_at : out_at + 64] = array[at : at + 64], which may not overlap."""
        block_of(out, out_at)[:] = block_of(array, at)

else:  # pragma: no cover - code generators, run by the compiler; compiled tests use the result
    I1, I8, I16, I32, I64 = (ir.IntType(bits) for bits in (1, 8, 16, 32, 64))
    BYTES = ir.VectorType(I8, BLOCK)
    WORDS = ir.VectorType(I32, LANES)
    HALF_BLOCK = ir.VectorType(I32, BLOCK // 2)

    def vector_constant(kind: Any, values: list[int]) -> Any:
        """A constant vector."""
        return ir.Constant(ir.VectorType(kind, len(values)), values)

    def repeat(kind: Any, count: int, value: int) -> Any:
        """A constant vector of one value."""
        return vector_constant(kind, [value] * count)

    def splat(builder: Any, value: Any, count: int) -> Any:
        """A vector of one value that is known at run time."""
        nothing = ir.Constant(ir.VectorType(value.type, count), ir.Undefined)
        first = builder.insert_element(nothing, value, I32(0))
        return builder.shuffle_vector(first, nothing, repeat(I32, count, 0))

    def pick(builder: Any, first: Any, second: Any, lanes: list[int]) -> Any:
        """Lanes of two vectors, counted through both."""
        return builder.shuffle_vector(first, second, vector_constant(I32, lanes))

    def pointer(context, builder, array_type, array, index, kind):  # noqa: ANN001, ANN201
        """Address of array[index] as a pointer to `kind`."""
        data = context.make_array(array_type)(context, builder, array).data
        return builder.bitcast(builder.gep(data, [index]), kind.as_pointer())

    def external(builder: Any, name: str, result: Any, arguments: list[Any]) -> Any:
        """An intrinsic of LLVM by its name."""
        kind = ir.FunctionType(result, arguments)
        return cgutils.get_or_insert_function(builder.module, kind, name)

    def look_up(builder: Any, table: list[int], indices: Any) -> Any:
        """table[i] of sixteen bytes for each of 64 indices below 16; where `has_compress` holds."""
        shuffle = external(builder, "llvm.x86.avx512.pshuf.b.512", BYTES, [BYTES, BYTES])
        return builder.call(shuffle, [vector_constant(I8, table * (BLOCK // len(table))), indices])

    def has_compress(context: Any) -> bool:
        """Whether the processor compiled for moves the lanes of a mask together by itself."""
        return "+avx512vbmi2" in context.codegen().magic_tuple()[2]

    def compress(builder: Any, vector: Any, mask: Any, name: str) -> Any:
        """Lanes named by a vector of bits moved to the front, then zeros."""
        call = external(
            builder,
            f"llvm.experimental.vector.compress.{name}",
            vector.type,
            [vector.type, mask.type, vector.type],
        )
        return builder.call(call, [vector, mask, ir.Constant(vector.type, None)])

    def for_set_bits(builder: Any, mask: Any, count: Any, body: Callable[[Any, Any], None]) -> None:
        """Run `body(bit number, how many before)` for each set bit of an i64, lowest first."""
        left = cgutils.alloca_once_value(builder, mask)
        with cgutils.for_range(builder, count) as loop:
            rest = builder.load(left)
            body(builder.cttz(rest, I1(0)), loop.index)
            builder.store(builder.and_(rest, builder.sub(rest, I64(1))), left)

    def store_compressed(context, builder, mask, count, parts):  # noqa: ANN001, ANN201
        """Store byte vectors compressed by `mask`: 16 lanes at once, the rest if there are more.

        `parts`: (vector of 64 bytes, what stores 16 of its compressed lanes from lane k on).
        """
        bits = builder.bitcast(mask, ir.VectorType(I1, BLOCK))
        packed = [compress(builder, vector, bits, "v64i8") for vector, _ in parts]

        def store(first: int) -> None:
            for vector, (_, write) in zip(packed, parts, strict=True):
                lanes = list(range(first, first + LANES))
                write(pick(builder, vector, vector, lanes), I64(first))

        store(0)
        with builder.if_then(builder.icmp_signed(">", count, I64(LANES)), likely=False):
            for first in range(LANES, BLOCK, LANES):
                store(first)

    @intrinsic
    def equal_mask64(typingctx, array, at, byte):  # noqa: ANN001, ANN201
        """Bit i is set where array[at + i] == byte."""

        def codegen(context, builder, signature, args):  # noqa: ANN001, ANN202
            block = builder.load(
                pointer(context, builder, signature.args[0], *args[:2], BYTES), align=1
            )
            wanted = splat(builder, builder.trunc(args[2], I8), BLOCK)
            return builder.bitcast(builder.icmp_unsigned("==", block, wanted), I64)

        return types.int64(array, types.intp, types.int64), codegen

    @intrinsic
    def trailing_zeros(typingctx, mask):  # noqa: ANN001, ANN201
        """Number of the lowest set bit, 64 when there is none."""

        def codegen(context, builder, signature, args):  # noqa: ANN001, ANN202
            return builder.cttz(args[0], I1(0))

        return types.int64(types.int64), codegen

    @intrinsic
    def leading_zeros(typingctx, mask):  # noqa: ANN001, ANN201
        """Number of clear bits above the highest set one, 64 when there is none."""

        def codegen(context, builder, signature, args):  # noqa: ANN001, ANN202
            return builder.ctlz(args[0], I1(0))

        return types.int64(types.int64), codegen

    @intrinsic
    def prefetch(typingctx, array, at):  # noqa: ANN001, ANN201
        """Ask for the cache line of array[at], which may lie outside."""

        def codegen(context, builder, signature, args):  # noqa: ANN001, ANN202
            address = pointer(context, builder, signature.args[0], *args, I8)
            function = external(
                builder, "llvm.prefetch.p0", ir.VoidType(), [address.type, I32, I32, I32]
            )
            builder.call(function, [address, I32(0), I32(3), I32(1)])
            return context.get_dummy_value()

        return types.void(array, types.intp), codegen

    @intrinsic
    def digit_mask64(typingctx, array, at):  # noqa: ANN001, ANN201
        """Bit i is set where array[at + i] is one of b"0123456789"."""

        def codegen(context, builder, signature, args):  # noqa: ANN001, ANN202
            block = builder.load(
                pointer(context, builder, signature.args[0], *args, BYTES), align=1
            )
            above = builder.sub(block, repeat(I8, BLOCK, ord("0")))
            return builder.bitcast(builder.icmp_unsigned("<", above, repeat(I8, BLOCK, 10)), I64)

        return types.int64(array, types.intp), codegen

    @intrinsic
    def count_bits(typingctx, mask):  # noqa: ANN001, ANN201
        """How many bits are set."""

        def codegen(context, builder, signature, args):  # noqa: ANN001, ANN202
            return builder.ctpop(args[0])

        return types.int64(types.int64), codegen

    @kernel
    def _run_ends_nb(ends: int, inside: int, state: int) -> tuple[int, int, int]:
        firsts = (ends << 1) | (state >> 1)
        # A bit that is added to a run carries through it into the first clear bit behind it.
        total = inside + firsts + (state & RUN_GOES_ON)
        carried = (inside & firsts) | ((inside | firsts) & ~total)
        state = ((carried >> 63) & 1) | ((ends >> 62) & RUN_BEGINS)
        return firsts, total & ~inside, state

    run_ends = _run_ends_nb

    @intrinsic
    def store_positions(typingctx, mask, base, out, at):  # noqa: ANN001, ANN201
        """out[at], out[at + 1] … = base + each set bit of `mask`; their number."""

        def codegen(context, builder, signature, args):  # noqa: ANN001, ANN202
            mask, base, out, at = args
            count = builder.ctpop(mask)
            kind = signature.args[2]
            base = builder.trunc(base, I32)

            def write(part: Any, first: Any) -> None:
                place = pointer(context, builder, kind, out, builder.add(at, first), WORDS)
                moved = builder.add(builder.zext(part, WORDS), splat(builder, base, LANES))
                builder.store(moved, place, align=4)

            def write_one(bit: Any, index: Any) -> None:
                place = pointer(context, builder, kind, out, builder.add(at, index), I32)
                builder.store(builder.add(builder.trunc(bit, I32), base), place, align=4)

            if has_compress(context):
                lanes = vector_constant(I8, list(range(BLOCK)))
                store_compressed(context, builder, mask, count, [(lanes, write)])
            else:
                for_set_bits(builder, mask, count, write_one)
            return count

        return types.int64(types.int64, types.int64, out, types.intp), codegen

    @intrinsic
    def add_block64(typingctx, array, at, sums, sums_at):  # noqa: ANN001, ANN201
        """The 64 sums of bytes, modulo 256, that follow those at `sums_at`: each one more byte."""

        def codegen(context, builder, signature, args):  # noqa: ANN001, ANN202
            array, at, sums, sums_at = args
            block = builder.load(
                pointer(context, builder, signature.args[0], array, at, BYTES), align=1
            )
            kind = signature.args[2]
            before = pointer(context, builder, kind, sums, sums_at, BYTES)
            after = pointer(context, builder, kind, sums, builder.add(sums_at, I64(BLOCK)), BYTES)
            builder.store(builder.add(builder.load(before, align=1), block), after, align=1)
            return context.get_dummy_value()

        return types.void(array, types.intp, sums, types.intp), codegen

    @intrinsic
    def sum_between(typingctx, array, base, sums, first, stop):  # noqa: ANN001, ANN201
        """Sum modulo 256 of array[base + first : base + stop]."""

        def codegen(context, builder, signature, args):  # noqa: ANN001, ANN202
            array, base, sums, first, stop = args

            def before(offset: Any) -> Any:
                row = builder.and_(offset, I64(-BLOCK))
                place = builder.add(base, row)
                block = builder.load(
                    pointer(context, builder, signature.args[0], array, place, BYTES), align=1
                )
                rest = splat(builder, builder.trunc(builder.sub(offset, row), I8), BLOCK)
                lanes = vector_constant(I8, list(range(BLOCK)))
                is_before = builder.icmp_unsigned("<", lanes, rest)
                kept = builder.select(is_before, block, ir.Constant(BYTES, None))
                whole = pointer(context, builder, signature.args[2], sums, row, BYTES)
                return builder.add(builder.load(whole, align=1), kept)

            lanes = builder.sub(before(stop), before(first))
            total = external(builder, "llvm.vector.reduce.add.v64i8", I8, [BYTES])
            return builder.zext(builder.call(total, [lanes]), I64)

        return types.int64(array, types.intp, sums, types.intp, types.intp), codegen

    @intrinsic
    def equal_mask16(typingctx, values, at, wanted):  # noqa: ANN001, ANN201
        """Bit i is set where values[at + i], of sixteen, is `wanted`."""

        def codegen(context, builder, signature, args):  # noqa: ANN001, ANN202
            place = pointer(context, builder, signature.args[0], *args[:2], WORDS)
            wanted = splat(builder, builder.trunc(args[2], I32), LANES)
            same = builder.icmp_signed("==", builder.load(place, align=4), wanted)
            return builder.zext(builder.bitcast(same, I16), I64)

        return types.int64(values, types.intp, types.int64), codegen

    @intrinsic
    def store_positions32(typingctx, mask, base, out, at):  # noqa: ANN001, ANN201
        """The same as `store_positions` for the lower 32 bits."""

        def codegen(context, builder, signature, args):  # noqa: ANN001, ANN202
            mask, base, out, at = args
            kind, mask = signature.args[2], builder.trunc(mask, I32)
            count = builder.zext(builder.ctpop(mask), I64)
            base = builder.trunc(base, I32)

            def write_one(bit: Any, index: Any) -> None:
                place = pointer(context, builder, kind, out, builder.add(at, index), I32)
                builder.store(builder.add(builder.trunc(bit, I32), base), place, align=4)

            if has_compress(context):
                bits = builder.bitcast(mask, ir.VectorType(I1, BLOCK // 2))
                lanes = vector_constant(I16, list(range(BLOCK // 2)))
                found = builder.zext(compress(builder, lanes, bits, "v32i16"), HALF_BLOCK)
                found = builder.add(found, splat(builder, base, BLOCK // 2))
                builder.store(found, pointer(context, builder, kind, out, at, HALF_BLOCK), align=4)
            else:
                for_set_bits(builder, builder.zext(mask, I64), count, write_one)
            return count

        return types.int64(types.int64, types.int64, out, types.intp), codegen

    @intrinsic
    def equal_lanes16(typingctx, values, at, others, others_at):  # noqa: ANN001, ANN201
        """Bit i is set where values[at + i] == others[others_at + i], for sixteen."""

        def codegen(context, builder, signature, args):  # noqa: ANN001, ANN202
            kinds = signature.args
            one = pointer(context, builder, kinds[0], args[0], args[1], WORDS)
            other = pointer(context, builder, kinds[2], args[2], args[3], WORDS)
            same = builder.icmp_signed(
                "==", builder.load(one, align=4), builder.load(other, align=4)
            )
            return builder.zext(builder.bitcast(same, I16), I64)

        return types.int64(values, types.intp, others, types.intp), codegen

    @intrinsic
    def store_sums16(typingctx, base, offsets, offsets_at, none, out, at):  # noqa: ANN001, ANN201
        """out[at + i] = base + offsets[offsets_at + i], or `none` where that offset is negative."""

        def codegen(context, builder, signature, args):  # noqa: ANN001, ANN202
            base, offsets, offsets_at, none, out, at = args
            kinds = signature.args
            place = pointer(context, builder, kinds[1], offsets, offsets_at, WORDS)
            offset = builder.load(place, align=4)
            total = builder.add(offset, splat(builder, builder.trunc(base, I32), LANES))
            is_none = builder.icmp_signed("<", offset, repeat(I32, LANES, 0))
            none = splat(builder, builder.trunc(none, I32), LANES)
            total = builder.select(is_none, none, total)
            place = pointer(context, builder, kinds[4], out, at, WORDS)
            builder.store(total, place, align=4)
            return context.get_dummy_value()

        result = types.void(types.int64, offsets, types.intp, types.int64, out, types.intp)
        return result, codegen

    @intrinsic
    def store_steps16(typingctx, first, step, out, at):  # noqa: ANN001, ANN201
        """out[at + i] = first + step * i, for sixteen."""

        def codegen(context, builder, signature, args):  # noqa: ANN001, ANN202
            first, step, out, at = args
            first, step = (
                splat(builder, builder.trunc(each, I32), LANES) for each in (first, step)
            )
            values = builder.mul(step, vector_constant(I32, list(range(LANES))))
            place = pointer(context, builder, signature.args[2], out, at, WORDS)
            builder.store(builder.add(values, first), place, align=4)
            return context.get_dummy_value()

        return types.void(types.int64, types.int64, out, types.intp), codegen

    @intrinsic
    def fill16(typingctx, out, at, value):  # noqa: ANN001, ANN201
        """out[at : at + 16] = value."""

        def codegen(context, builder, signature, args):  # noqa: ANN001, ANN202
            out, at, value = args
            place = pointer(context, builder, signature.args[0], out, at, WORDS)
            builder.store(splat(builder, builder.trunc(value, I32), LANES), place, align=4)
            return context.get_dummy_value()

        return types.void(out, types.intp, types.int64), codegen

    @intrinsic
    def load_word(typingctx, array, at):  # noqa: ANN001, ANN201
        """array[at : at + 8] as one word, first byte lowest."""

        def codegen(context, builder, signature, args):  # noqa: ANN001, ANN202
            place = pointer(context, builder, signature.args[0], *args, I64)
            return builder.load(place, align=1)

        return types.int64(array, types.intp), codegen

    @intrinsic
    def store_word_swapped(typingctx, out, at, word):  # noqa: ANN001, ANN201
        """out[at : at + 8] = the bytes of `word`, highest first."""

        def codegen(context, builder, signature, args):  # noqa: ANN001, ANN202
            out, at, word = args
            place = pointer(context, builder, signature.args[0], out, at, I64)
            builder.store(builder.bswap(word), place, align=1)
            return context.get_dummy_value()

        return types.void(out, types.intp, types.int64), codegen

    @intrinsic
    def copy_block64(typingctx, array, at, out, out_at):  # noqa: ANN001, ANN201
        """out[out_at : out_at + 64] = array[at : at + 64], which may not overlap."""

        def codegen(context, builder, signature, args):  # noqa: ANN001, ANN202
            array, at, out, out_at = args
            source = pointer(context, builder, signature.args[0], array, at, BYTES)
            place = pointer(context, builder, signature.args[2], out, out_at, BYTES)
            builder.store(builder.load(source, align=1), place, align=1)
            return context.get_dummy_value()

        return types.void(array, types.intp, out, types.intp), codegen
