"""FIX fields by vectors and whole words: sixteen tags at a time, numbers of up to eight bytes, and
their twins.

As in `protocols/simd.py`: machine code checks no bounds, the twins do, and the callers in
`kernels.py` and `kernels_entries.py` know what they may touch.
"""

from typing import TYPE_CHECKING, Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from protocols import simd
from protocols.fix.spec import DATA_TAG_OF_LENGTH
from protocols.jit import JIT_ENABLED, kernel

TAG_DIGITS_MAX = 4
"""Longest tag that is read here; a longer one is left to the plain tokeniser."""
NUMBER_BYTES_MAX = 8
"""Longest number that is read here."""


def _tag_ranges() -> tuple[tuple[int, int], ...]:
    """(first, last) of few stretches of tags that hold every length field of data: comparing with
    each tag would cost more than reading a message plainly for one of the tags in between.
    """
    ranges: list[tuple[int, int]] = []
    for tag in sorted(DATA_TAG_OF_LENGTH):
        if tag >= 10**TAG_DIGITS_MAX:
            break
        if ranges and tag - ranges[-1][1] <= tag // 8:
            ranges[-1] = (ranges[-1][0], tag)
        else:
            ranges.append((tag, tag))
    return tuple(ranges)


LENGTH_TAG_RANGES = _tag_ranges()
"""Where tags that announce data are, and some that do not."""

if TYPE_CHECKING or not JIT_ENABLED:

    def store_values(
        mask: int, buf: Any, at: int, back: int, starts: Any, digits: Any, count: int
    ) -> int:
        """For each set bit of `mask`, the "=" of a field, from `count` on: starts = the byte after
        it, and digits[j, …] = the byte j + 1 before it. `back` is 64 when the block before may be
        read, 0 when it may not: bytes before buf[at] are then anything. What follows within 64
        may be overwritten.
        """
        simd._block(starts, count)
        bits = simd._bits(mask)
        for index, bit in enumerate(bits, count):
            starts[index] = at + bit + 1
            for j in range(TAG_DIGITS_MAX):
                place = at + bit - 1 - j
                digits[j, index] = buf[place] if place >= at - back else 0
        return len(bits)

    def parse_tags(ends: Any, starts: Any, digits: Any, at: int, tags: Any) -> int:
        """tags[at : at + 16] from where fields end and values start. Bit i of the result is set
        when field at + i has no tag of one to four digits without a leading zero, or one that may
        announce data; its tag is then undefined.
        """
        trouble = 0
        for i in range(at, at + simd.LANES):
            size = int(starts[i]) - int(ends[i - 1]) - 2
            found = bytes(digits[j, i] for j in range(min(max(size, 0), TAG_DIGITS_MAX)))[::-1]
            sound = 1 <= size <= TAG_DIGITS_MAX and found.isdigit() and found[:1] != b"0"
            tags[i] = int(found) if sound else 0
            announces = any(first <= tags[i] <= last for first, last in LENGTH_TAG_RANGES)
            trouble |= (not sound or announces) << (i - at)
        return int(trouble)

    def parse_number(buf: Any, at: int, end: int, decimals: int) -> int:
        """buf[at:end] in units of 10**-decimals (0 to 9); -1 when it is no number of one to eight
        bytes: digits with at most one point, which is not the last byte, and at most `decimals`
        after it. Reads the eight bytes before `end`.
        """
        simd.load_word(buf, end - NUMBER_BYTES_MAX)
        text = bytes(buf[at:end]) if 0 < end - at <= NUMBER_BYTES_MAX else b""
        whole, _, fraction = text.partition(b".")
        sound = (whole + fraction).isdigit() and not text.endswith(b".")
        if not sound or len(fraction) > decimals:
            return -1
        return int(whole + fraction) * 10 ** int(decimals - len(fraction))

else:  # pragma: no cover - code generators, run by the compiler; compiled tests use the result
    I1, I8, I16, I32, I64 = simd.I1, simd.I8, simd.I16, simd.I32, simd.I64
    TAG_BYTES = ir.VectorType(I8, simd.LANES)

    def _digits_row(builder, row_size, row, at):  # noqa: ANN001, ANN202
        return builder.add(builder.mul(row_size, I64(row)), at)

    @intrinsic
    def store_values(typingctx, mask, buf, at, back, starts, digits, count):  # noqa: ANN001, ANN201, PLR0913, PLR0917
        """For each set bit of `mask` where its value starts, and the bytes before it."""

        def codegen(context, builder, signature, args):  # noqa: ANN001, ANN202
            mask, buf, at, back, starts, digits, first = args
            kinds = signature.args
            found = builder.ctpop(mask)
            row_size = builder.extract_value(
                context.make_array(kinds[5])(context, builder, digits).shape, 1
            )
            base = builder.add(builder.trunc(at, I32), I32(1))

            def write_start(part: Any, lane: Any) -> None:
                index = builder.add(first, lane)
                place = simd.pointer(context, builder, kinds[4], starts, index, simd.WORDS)
                moved = builder.zext(part, simd.WORDS)
                moved = builder.add(moved, simd.splat(builder, base, simd.LANES))
                builder.store(moved, place, align=4)

            def write_digits(row: int) -> Any:
                def write(part: Any, lane: Any) -> None:
                    index = _digits_row(builder, row_size, row, builder.add(first, lane))
                    place = simd.pointer(context, builder, kinds[5], digits, index, TAG_BYTES)
                    builder.store(part, place, align=1)

                return write

            def write_one(bit: Any, index: Any) -> None:
                index = builder.add(first, index)
                place = simd.pointer(context, builder, kinds[4], starts, index, I32)
                builder.store(builder.add(builder.trunc(bit, I32), base), place, align=4)
                for row in range(TAG_DIGITS_MAX):
                    # Never before the block that may be read.
                    source = builder.sub(bit, I64(row + 1))
                    low = builder.sub(I64(0), back)
                    is_below = builder.icmp_signed("<", source, low)
                    source = builder.add(at, builder.select(is_below, low, source))
                    byte = builder.load(simd.pointer(context, builder, kinds[1], buf, source, I8))
                    index_of = _digits_row(builder, row_size, row, index)
                    target = simd.pointer(context, builder, kinds[5], digits, index_of, I8)
                    builder.store(byte, target)

            if not simd.has_compress(context):
                simd.for_set_bits(builder, mask, found, write_one)
                return found
            block, before = (
                builder.load(
                    simd.pointer(context, builder, kinds[1], buf, place, simd.BYTES), align=1
                )
                for place in (at, builder.sub(at, back))
            )
            parts = [(simd.vector_constant(I8, list(range(simd.BLOCK))), write_start)]
            for row in range(TAG_DIGITS_MAX):
                lanes = list(range(simd.BLOCK - 1 - row, 2 * simd.BLOCK - 1 - row))
                parts.append((simd.pick(builder, before, block, lanes), write_digits(row)))
            simd.store_compressed(context, builder, mask, found, parts)
            return found

        result = types.int64(types.int64, buf, types.intp, types.intp, starts, digits, types.intp)
        return result, codegen

    @intrinsic
    def parse_tags(typingctx, ends, starts, digits, at, tags):  # noqa: ANN001, ANN201, PLR0913, PLR0917
        """Sixteen tags; a bit for each that is none, or may announce data."""

        def codegen(context, builder, signature, args):  # noqa: ANN001, ANN202
            ends, starts, digits, at, tags = args
            kinds = signature.args

            def each(value: int) -> Any:
                return simd.repeat(I32, simd.LANES, value)

            def words(array: int, values: Any, index: Any) -> Any:
                return simd.pointer(context, builder, kinds[array], values, index, simd.WORDS)

            previous = builder.load(words(0, ends, builder.sub(at, I64(1))), align=4)
            start = builder.load(words(1, starts, at), align=4)
            more = builder.sub(builder.sub(start, previous), each(3))  # digits after the first
            trouble = builder.icmp_unsigned(">", more, each(TAG_DIGITS_MAX - 1))
            row_size = builder.extract_value(
                context.make_array(kinds[2])(context, builder, digits).shape, 1
            )
            tag, least = None, each(1)
            for row in range(TAG_DIGITS_MAX):
                index = _digits_row(builder, row_size, row, at)
                place = simd.pointer(context, builder, kinds[2], digits, index, TAG_BYTES)
                digit = builder.sub(
                    builder.load(place, align=1), simd.repeat(I8, simd.LANES, ord("0"))
                )
                digit = builder.zext(digit, simd.WORDS)
                if row:
                    there = builder.icmp_unsigned(">=", more, each(row))
                    digit = builder.select(there, digit, each(0))
                    least = builder.select(there, each(10**row), least)
                trouble = builder.or_(trouble, builder.icmp_unsigned(">", digit, each(9)))
                part = builder.mul(digit, each(10**row))
                tag = builder.add(tag, part) if row else part
            trouble = builder.or_(trouble, builder.icmp_unsigned("<", tag, least))
            for low, high in LENGTH_TAG_RANGES:
                above = builder.sub(tag, each(low))
                inside = builder.icmp_unsigned("<=", above, each(high - low))
                trouble = builder.or_(trouble, inside)
            builder.store(tag, words(4, tags, at), align=4)
            return builder.zext(builder.bitcast(trouble, I16), I64)

        return types.int64(ends, starts, digits, types.intp, tags), codegen

    def _every(byte: int) -> int:
        """Eight times the same byte."""
        return int.from_bytes(bytes([byte]) * 8, "little", signed=True)

    _ONES, _HIGHS, _BELOW_HIGH = _every(0x01), _every(0x80), _every(0x76)
    _POINTS, _ZEROS = _every(ord(".")), _every(ord("0"))
    _POWERS = 10 ** np.arange(10, dtype=np.int64)

    @kernel
    def _parse_number_nb(buf: Any, at: int, end: int, decimals: int) -> int:
        size = end - at
        if size < 1 or size > NUMBER_BYTES_MAX:
            return -1
        word = simd.load_word(buf, end - NUMBER_BYTES_MAX)
        kept = np.int64(-1) << (64 - 8 * size)
        digits = (word ^ _ZEROS) & kept
        # The lowest zero byte of `other` is where a point is; borrows reach only those above it.
        other = (word ^ _POINTS) | ~kept
        zero = (other - _ONES) & ~other & _HIGHS
        if zero != 0:
            bits = simd.trailing_zeros(zero) - 7
            decimals -= 7 - (bits >> 3)
            if bits == 56 or decimals < 0:
                return -1
            before = digits & ((np.int64(1) << bits) - 1)
            digits = (before << 8) | (digits & (np.int64(-1) << (bits + 8)))
        if ((digits + _BELOW_HIGH) | digits) & _HIGHS:
            return -1
        # First digit in the lowest byte: to pairs, fours, eights.
        digits = (digits * 10 + (digits >> 8)) & 0x00FF00FF00FF00FF
        digits = (digits * 100 + (digits >> 16)) & 0x0000FFFF0000FFFF
        digits = (digits * 10_000 + (digits >> 32)) & 0xFFFFFFFF
        return digits * _POWERS[np.uint64(decimals)]

    parse_number = _parse_number_nb
