"""FIX fields by vectors: thirty-two tags at a time, eight numbers at a time, and their twins.

As in `protocols/vectors.py`: machine code checks no bounds, the twins do, and the callers in
`kernels.py` and `kernels_entries.py` know what they may touch.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from protocols import vectors
from protocols.fix.spec import DATA_TAG_OF_LENGTH, SOH
from protocols.kernel_cache import JIT_ENABLED

FIELDS = 32
"""Fields of a vector."""
TAG_DIGITS_MAX = 4
"""Longest tag that is read here; a longer one is left to the plain tokeniser."""
TAG_PAIRS = TAG_DIGITS_MAX // 2
DIGIT_BITS = 0x0F
"""What of a digit's character is its number."""
NUMBERS = 8
"""Numbers of a vector."""
NUMBER_BYTES_MAX = 8
"""Longest number that is read here."""


def _tag_ranges() -> tuple[tuple[int, int], ...]:
    """(first, last) of few stretches of tags that hold every length field of data: comparing with
    each tag would cost more than reading a message plainly for one of the tags in between.
    """
    ranges: list[tuple[int, int]] = []
    for tag in sorted(tag for tag in DATA_TAG_OF_LENGTH if tag < 10**TAG_DIGITS_MAX):
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
        it, digits[0, …] = the number of the last two digits before it, digits[1, …] = that of the
        two before these; none counts from a separator on. `back` is 64 when the block before may be
        read, 0 when it may not: the numbers of a tag that begins there are then anything. What
        follows within 64 may be overwritten.
        """
        vectors.block_of(starts, count)
        bits = vectors.set_bits(mask)
        for index, bit in enumerate(bits, count):
            starts[index] = at + bit + 1
            tag, power = 0, 1
            for place in range(at + bit - 1, max(at + bit - 1 - TAG_DIGITS_MAX, at - back - 1), -1):
                if buf[place] == SOH:
                    break
                tag += (int(buf[place]) & DIGIT_BITS) * power
                power *= 10
            digits[0, index], digits[1, index] = tag % 100, tag // 100 % 100
        return len(bits)

    def parse_tags(ends: Any, starts: Any, digits: Any, at: int, wanted: int, tags: Any) -> int:
        """tags[at : at + 32] from where fields end and values start, whose tags are digits. Bit i
        of the result is set when field at + i has no tag of one to four digits without a leading
        zero, or one that may announce data; its tag is then undefined. Bit 32 + i is set when the
        tag is `wanted`.
        """
        found = 0
        for i in range(FIELDS):
            size = int(starts[at + i]) - int(ends[at + i - 1]) - 2
            tag = int(digits[0, at + i]) + 100 * int(digits[1, at + i])
            sound = 1 <= size <= TAG_DIGITS_MAX and tag >= 10 ** (size - 1)
            tags[at + i] = tag
            announces = any(first <= tag <= last for first, last in LENGTH_TAG_RANGES)
            found |= (not sound or announces) << i | (tag == wanted) << (FIELDS + i)
        return vectors.signed(found)

    def parse_numbers(
        buf: Any,
        starts: Any,
        ends: Any,
        tokens: Any,
        where: tuple[int, int, int],
        decimals: int,
        values: Any,
        values_at: int,
    ) -> int:
        """values[values_at : values_at + 8] of the fields tokens[at] + offset, tokens[at + step] +
        offset …, with (at, step, offset) as `where`, in units of 10**-decimals (0 to 15). Bit i of
        the result is set when field i is no number of one to eight bytes: digits with at most one
        point, which is not the last byte, and at most `decimals` after it; its value is then
        undefined. Reads the eight bytes before the end of each.
        """
        at, step, offset = where
        trouble = 0
        for i in range(NUMBERS):
            token = tokens[at + step * i] + offset
            start, end = int(starts[token]), int(ends[token])
            vectors.block_of(buf, end - NUMBER_BYTES_MAX, NUMBER_BYTES_MAX)
            text = bytes(buf[start:end]) if 0 < end - start <= NUMBER_BYTES_MAX else b""
            whole, _, fraction = text.partition(b".")
            sound = (whole + fraction).isdigit() and not text.endswith(b".")
            sound = sound and len(fraction) <= decimals
            scaled = int(whole + fraction) * 10 ** int(decimals - len(fraction)) if sound else 0
            values[values_at + i] = scaled
            trouble |= (not sound) << i
        return trouble

else:  # pragma: no cover - code generators, run by the compiler; compiled tests use the result
    I1, I8, I16, I32, I64 = vectors.I1, vectors.I8, vectors.I16, vectors.I32, vectors.I64
    COLUMN_BYTES = ir.VectorType(I8, vectors.LANES)
    TAG_BYTES, TAG_SHORTS, TAG_WORDS = (ir.VectorType(kind, FIELDS) for kind in (I8, I16, I32))
    NUMBER_WORDS = ir.VectorType(I64, NUMBERS)

    def _digits_row(builder, row_size, row, at):  # noqa: ANN001, ANN202
        return builder.add(builder.mul(row_size, I64(row)), at)

    def _row_size(context, builder, digits_type, digits):  # noqa: ANN001, ANN202
        return builder.extract_value(
            context.make_array(digits_type)(context, builder, digits).shape, 1
        )

    def _pairs_before_bytes(builder: Any, before: Any, block: Any) -> list[Any]:
        """For every byte of a block as if it were the "=" of a field: the numbers of the two digits
        before it, and of the two before these.
        """
        none = ir.Constant(vectors.BYTES, None)
        is_tag, pairs = vectors.repeat(I1, vectors.BLOCK, 1), []
        for place in range(TAG_DIGITS_MAX):
            lanes = list(range(vectors.BLOCK - 1 - place, 2 * vectors.BLOCK - 1 - place))
            digit = vectors.pick(builder, before, block, lanes)
            separator = vectors.repeat(I8, vectors.BLOCK, SOH)
            is_tag = builder.and_(is_tag, builder.icmp_unsigned("!=", digit, separator))
            digit = builder.and_(digit, vectors.repeat(I8, vectors.BLOCK, DIGIT_BITS))
            if place % 2:
                digit = vectors.look_up(builder, [10 * each for each in range(16)], digit)
                pairs[-1] = builder.add(pairs[-1], builder.select(is_tag, digit, none))
            else:
                pairs.append(builder.select(is_tag, digit, none))
        return pairs

    def _pairs_in_word(builder: Any, word: Any) -> tuple[Any, Any]:
        """The same for one "=", from the four bytes before it as a word, the last one highest."""
        other = builder.xor(word, I32(0x01010101 * SOH))
        # A zero byte borrows from those above it only, which then are no digits.
        separators = builder.and_(builder.sub(other, I32(0x01010101)), builder.not_(other))
        separators = builder.and_(separators, I32(0x80808080))
        # Bytes above the highest separator, all of them where there is none.
        below = builder.zext(builder.sub(I32(32), builder.ctlz(separators, I1(0))), I64)
        is_tag = builder.trunc(builder.shl(I64(-1), below), I32)
        digits = builder.and_(word, I32(0x01010101 * DIGIT_BITS))
        digits = builder.and_(digits, is_tag)
        pairs = builder.add(builder.mul(digits, I32(10)), builder.lshr(digits, I32(8)))
        return builder.trunc(builder.lshr(pairs, I32(16)), I8), builder.trunc(pairs, I8)

    @intrinsic
    def store_values(typingctx, mask, buf, at, back, starts, digits, count):  # noqa: ANN001, ANN201
        """For each set bit of `mask` where its value starts, and the digits before it."""

        def codegen(context, builder, signature, args):  # noqa: ANN001, ANN202
            mask, buf, at, back, starts, digits, first = args
            kinds = signature.args
            found = builder.ctpop(mask)
            row_size = _row_size(context, builder, kinds[5], digits)
            base = builder.add(builder.trunc(at, I32), I32(1))

            def place(array: int, held: Any, index: Any, kind: Any) -> Any:
                return vectors.pointer(context, builder, kinds[array], held, index, kind)

            def write_start(part: Any, lane: Any) -> None:
                moved = builder.zext(part, vectors.WORDS)
                moved = builder.add(moved, vectors.splat(builder, base, vectors.LANES))
                index = builder.add(first, lane)
                builder.store(moved, place(4, starts, index, vectors.WORDS), align=4)

            def write_pair(row: int) -> Any:
                def write(part: Any, lane: Any) -> None:
                    index = _digits_row(builder, row_size, row, builder.add(first, lane))
                    builder.store(part, place(5, digits, index, COLUMN_BYTES), align=1)

                return write

            def write_one(bit: Any, index: Any) -> None:
                index = builder.add(first, index)
                start = builder.add(builder.trunc(bit, I32), base)
                builder.store(start, place(4, starts, index, I32), align=4)
                # Never before the block that may be read.
                source, low = builder.sub(bit, I64(TAG_DIGITS_MAX)), builder.sub(I64(0), back)
                source = builder.select(builder.icmp_signed("<", source, low), low, source)
                word = builder.load(place(1, buf, builder.add(at, source), I32), align=1)
                for row, pair in enumerate(_pairs_in_word(builder, word)):
                    index_of = _digits_row(builder, row_size, row, index)
                    builder.store(pair, place(5, digits, index_of, I8))

            if not vectors.has_compress(context):
                vectors.for_set_bits(builder, mask, found, write_one)
                return found
            block, before = (
                builder.load(place(1, buf, source, vectors.BYTES), align=1)
                for source in (at, builder.sub(at, back))
            )
            parts = [(vectors.vector_constant(I8, list(range(vectors.BLOCK))), write_start)]
            pairs = _pairs_before_bytes(builder, before, block)
            parts += [(pair, write_pair(row)) for row, pair in enumerate(pairs)]
            vectors.store_compressed(context, builder, mask, found, parts)
            return found

        result = types.int64(types.int64, buf, types.intp, types.intp, starts, digits, types.intp)
        return result, codegen

    @intrinsic
    def parse_tags(typingctx, ends, starts, digits, at, wanted, tags):  # noqa: ANN001, ANN201
        """Thirty-two tags; a bit for each that is none or may announce data, and for each that is
        `wanted`.
        """

        def codegen(context, builder, signature, args):  # noqa: ANN001, ANN202
            ends, starts, digits, at, wanted, tags = args
            kinds = signature.args
            halves = (list(range(vectors.LANES)), list(range(vectors.LANES, FIELDS)))

            def each(value: int) -> Any:
                return vectors.repeat(I16, FIELDS, value)

            def words(array: int, values: Any, index: Any) -> Any:
                return vectors.pointer(context, builder, kinds[array], values, index, TAG_WORDS)

            previous = builder.load(words(0, ends, builder.sub(at, I64(1))), align=4)
            start = builder.load(words(1, starts, at), align=4)
            # Digits after the first.
            gap = builder.sub(builder.sub(start, previous), vectors.repeat(I32, FIELDS, 3))
            too_many = vectors.repeat(I32, FIELDS, TAG_DIGITS_MAX - 1)
            trouble = builder.icmp_unsigned(">", gap, too_many)
            more = builder.trunc(gap, TAG_SHORTS)
            row_size = _row_size(context, builder, kinds[2], digits)

            def pair(row: int) -> Any:
                index = _digits_row(builder, row_size, row, at)
                place = vectors.pointer(context, builder, kinds[2], digits, index, TAG_BYTES)
                return builder.zext(builder.load(place, align=1), TAG_SHORTS)

            tag = builder.add(pair(0), builder.mul(pair(1), each(100)))
            least = each(1)
            for power in range(1, TAG_DIGITS_MAX):
                there = builder.icmp_unsigned(">=", more, each(power))
                least = builder.select(there, each(10**power), least)
            trouble = builder.or_(trouble, builder.icmp_unsigned("<", tag, least))
            # How far each tag is beyond the nearest range, by saturation: 0 inside of one. Minima
            # are cheaper than comparisons, whose masks have fewer units to work on.
            apart = each(-1)
            subtract = vectors.external(
                builder, "llvm.usub.sat.v32i16", TAG_SHORTS, [TAG_SHORTS, TAG_SHORTS]
            )
            for low, high in LENGTH_TAG_RANGES:
                above = builder.sub(tag, each(low))
                beyond = builder.call(subtract, [above, each(high - low)])
                is_nearer = builder.icmp_unsigned("<", beyond, apart)
                apart = builder.select(is_nearer, beyond, apart)
            trouble = builder.or_(trouble, builder.icmp_unsigned("==", apart, each(0)))
            for half, first in zip(halves, (0, vectors.LANES), strict=True):
                part = builder.zext(vectors.pick(builder, tag, tag, half), vectors.WORDS)
                index = builder.add(at, I64(first))
                place = vectors.pointer(context, builder, kinds[5], tags, index, vectors.WORDS)
                builder.store(part, place, align=4)
            same = vectors.splat(builder, builder.trunc(wanted, I16), FIELDS)
            same = builder.icmp_unsigned("==", tag, same)
            trouble, same = (
                builder.zext(builder.bitcast(mask, I32), I64) for mask in (trouble, same)
            )
            return builder.or_(trouble, builder.shl(same, I64(FIELDS)))

        return types.int64(ends, starts, digits, types.intp, types.int64, tags), codegen

    def _bytes(value: int) -> Any:
        """Eight words of eight times the same byte."""
        word = int.from_bytes(bytes([value]) * 8, "little", signed=True)
        return vectors.repeat(I64, NUMBERS, word)

    def _words(value: int) -> Any:
        return vectors.repeat(I64, NUMBERS, value)

    def _digits_to_numbers(builder: Any, digits: Any) -> Any:
        """Eight digits a word, the first in the lowest byte, to a number: pairs, fours, eights."""
        for width, mask in ((8, 0x00FF00FF00FF00FF), (16, 0x0000FFFF0000FFFF), (32, 0xFFFFFFFF)):
            upper = builder.lshr(digits, _words(width))
            lower = builder.mul(digits, _words(10 ** (width // 8)))
            digits = builder.and_(builder.add(lower, upper), _words(mask))
        return digits

    def _power_of_ten(builder: Any, power: Any, constant: Callable[[int], Any]) -> Any:
        """10**power, for powers of 0 to 15, by the bits of the power: of a word or of a vector."""
        result = constant(1)
        for bit in (1, 2, 4, 8):
            is_set = builder.icmp_unsigned("!=", builder.and_(power, constant(bit)), constant(0))
            factor = builder.select(is_set, constant(10**bit), constant(1))
            result = builder.mul(result, factor)
        return result

    def _points(builder: Any, word: Any, kept: Any) -> Any:
        """Bit 7 of the first byte of each word that is a point, and maybe of later ones."""
        other = builder.or_(builder.xor(word, _bytes(ord("."))), builder.not_(kept))
        # A zero byte borrows from those above it only.
        zero = builder.and_(builder.sub(other, _bytes(1)), builder.not_(other))
        return builder.and_(zero, _bytes(0x80))

    def _without_point(builder: Any, digits: Any, points: Any) -> tuple[Any, Any]:
        """Digits with the first point taken out, and how many are after it."""
        none = builder.icmp_unsigned("==", points, _words(0))
        lowest = builder.lshr(builder.and_(points, builder.neg(points)), _words(7))
        below = builder.sub(lowest, _words(1))
        before = builder.shl(builder.and_(digits, below), _words(8))
        rest = builder.and_(digits, builder.neg(builder.shl(lowest, _words(8))))
        ones = vectors.external(builder, "llvm.ctpop.v8i64", NUMBER_WORDS, [NUMBER_WORDS])
        after = builder.lshr(builder.sub(_words(56), builder.call(ones, [below])), _words(3))
        digits = builder.select(none, digits, builder.or_(before, rest))
        return digits, builder.select(none, _words(0), after)

    @intrinsic
    def parse_numbers(typingctx, buf, starts, ends, tokens, where, decimals, values, values_at):  # noqa: ANN001, ANN201, PLR0913, PLR0917
        """Eight numbers; a bit for each that is none."""

        def codegen(context, builder, signature, args):  # noqa: ANN001, ANN202
            buf, starts, ends, tokens, where, decimals, values, values_at = args
            at, step, offset = (builder.extract_value(where, i) for i in range(3))
            kinds = signature.args

            def element(array: int, held: Any, index: Any) -> Any:
                place = vectors.pointer(context, builder, kinds[array], held, index, I32)
                return builder.sext(builder.load(place, align=4), I64)

            word = size = ir.Constant(NUMBER_WORDS, ir.Undefined)
            for lane in range(NUMBERS):
                token = element(3, tokens, builder.add(at, builder.mul(step, I64(lane))))
                token = builder.add(token, offset)
                end = element(2, ends, token)
                length = builder.sub(end, element(1, starts, token))
                place = builder.sub(end, I64(NUMBER_BYTES_MAX))
                place = vectors.pointer(context, builder, kinds[0], buf, place, I64)
                word = builder.insert_element(word, builder.load(place, align=1), I32(lane))
                size = builder.insert_element(size, length, I32(lane))
            fits = builder.sub(size, _words(1))
            fits = builder.icmp_unsigned("<", fits, _words(NUMBER_BYTES_MAX))
            unused = builder.shl(builder.sub(_words(NUMBER_BYTES_MAX), size), _words(3))
            kept = builder.shl(_words(-1), builder.select(fits, unused, _words(0)))
            digits = builder.and_(builder.xor(word, _bytes(ord("0"))), kept)
            points = _points(builder, word, kept)
            scale = vectors.splat(builder, decimals, NUMBERS)
            plain_digits = cgutils.alloca_once_value(builder, digits)
            # The same for every call that a column makes.
            whole = _power_of_ten(builder, decimals, I64)
            factors = cgutils.alloca_once_value(builder, vectors.splat(builder, whole, NUMBERS))
            over = cgutils.alloca_once_value(builder, _words(0))
            any_point = builder.icmp_unsigned(
                "!=",
                builder.bitcast(builder.icmp_unsigned("!=", points, _words(0)), I8),
                I8(0),
            )
            # Quantities mostly have none, prices mostly do: each column has its own habit.
            with builder.if_then(any_point):
                joined, after = _without_point(builder, digits, points)
                builder.store(joined, plain_digits)
                power = builder.sub(scale, after)
                builder.store(_power_of_ten(builder, power, _words), factors)
                builder.store(power, over)
            digits, over = builder.load(plain_digits), builder.load(over)
            wrong = builder.or_(builder.add(digits, _bytes(0x76)), digits)
            wrong = builder.icmp_unsigned("!=", builder.and_(wrong, _bytes(0x80)), _words(0))
            last = builder.lshr(word, _words(56))
            wrong = builder.or_(wrong, builder.icmp_unsigned("==", last, _words(ord("."))))
            wrong = builder.or_(wrong, builder.icmp_signed("<", over, _words(0)))
            trouble = builder.or_(wrong, builder.not_(fits))
            number = _digits_to_numbers(builder, digits)
            number = builder.mul(number, builder.load(factors))
            place = vectors.pointer(context, builder, kinds[6], values, values_at, NUMBER_WORDS)
            builder.store(number, place, align=8)
            return builder.zext(builder.bitcast(trouble, I8), I64)

        integers = types.UniTuple(types.int64, 3)
        places = (buf, starts, ends, tokens, integers, types.int64, values, types.intp)
        result = types.int64(*places)
        return result, codegen
