"""Vector operations against what they mean in plain Python: compiled, the code generators; with the
JIT off, the twins themselves.
"""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols import vectors
from protocols.jit import kernel
from protocols.kernel_cache import JIT_ENABLED

MARGIN = 64
ALL_BITS = (1 << 64) - 1
# Few bits, many bits, bits at both ends.
masks = st.one_of(
    st.integers(0, ALL_BITS),
    st.sets(st.integers(0, 63), max_size=20).map(lambda bits: sum(1 << bit for bit in bits)),
    st.sampled_from([0, 1, 1 << 63, ALL_BITS]),
)
blocks = st.binary(min_size=64, max_size=64)
sixteen = st.lists(st.integers(0, 3), min_size=16, max_size=16)


def signed(mask: int) -> np.int64:
    return np.uint64(mask).astype(np.int64)


def bits_of(mask: int, size: int = 64) -> list[int]:
    return [bit for bit in range(size) if int(mask) >> bit & 1]


@kernel
def equal_mask64_nb(buf: np.ndarray, at: int, byte: int):
    return vectors.equal_mask64(buf, at, byte)


@kernel
def digit_mask64_nb(buf: np.ndarray, at: int):
    return vectors.digit_mask64(buf, at)


@kernel
def run_ends_nb(ends: int, inside: int, state: int):
    return vectors.run_ends(ends, inside, state)


@kernel
def store_positions_nb(mask: int, base: int, out: np.ndarray, at: int):
    return vectors.store_positions(mask, base, out, at)


@kernel
def store_positions32_nb(mask: int, base: int, out: np.ndarray, at: int):
    return vectors.store_positions32(mask, base, out, at)


@kernel
def sums_nb(buf: np.ndarray, base: int, blocks: int, sums: np.ndarray, first: int, stop: int):
    for block in range(blocks):
        vectors.prefetch(buf, base + 64 * block + 2_048)
        vectors.add_block64(buf, base + 64 * block, sums, 64 * block)
    return vectors.sum_between(buf, base, sums, first, stop)


@kernel
def words_nb(values: np.ndarray, at: int, wanted: int, others: np.ndarray, others_at: int):
    return vectors.equal_mask16(values, at, wanted), vectors.equal_lanes16(
        values, at, others, others_at
    )


@kernel
def store_sums16_nb(
    base: int, offsets: np.ndarray, at: int, none: int, out: np.ndarray, out_at: int
):
    vectors.store_sums16(base, offsets, at, none, out, out_at)
    return 0


@kernel
def store_sixteen_nb(first: int, step: int, out: np.ndarray, at: int):
    vectors.store_steps16(first, step, out, at)
    vectors.fill16(out, at + 16, first)
    return 0


@kernel
def scalars_nb(buf: np.ndarray, at: int, mask: int):
    zeros = vectors.trailing_zeros(mask), vectors.leading_zeros(mask)
    return vectors.load_word(buf, at), zeros, vectors.count_bits(mask)


@kernel
def put_nb(buf: np.ndarray, at: int, out: np.ndarray, out_at: int, word: int):
    vectors.copy_block64(buf, at, out, out_at)
    vectors.store_word_swapped(out, out_at + 8, word)
    return 0


@given(blocks, st.integers(0, 5), st.sampled_from(b"\x01=\x00\xff"))
def test_bytes_that_are_equal(block: bytes, at: int, byte: int):
    block = block.replace(b"a", bytes([byte]))
    buf = np.frombuffer(b"=" * at + block, np.uint8)
    found = bits_of(equal_mask64_nb(buf, at, byte))
    assert found == [i for i, each in enumerate(block) if each == byte]


@given(blocks, st.integers(0, 5))
def test_bytes_that_are_digits(block: bytes, at: int):
    found = digit_mask64_nb(np.frombuffer(b"7" * at + block, np.uint8), at)
    assert bits_of(found) == [i for i, each in enumerate(block) if each in b"0123456789"]


@given(masks, masks, st.sampled_from([0, vectors.RUN_GOES_ON, vectors.RUN_BEGINS]))
def test_where_runs_end(ends: int, inside: int, state: int):
    inside &= ~ends  # a byte is a separator, or a digit
    firsts, found, state_after = run_ends_nb(signed(ends), signed(inside), state)
    expected_firsts, expected = [], []
    for bit in range(64):
        if bits_of(ends >> (bit - 1), 1) if bit else state == vectors.RUN_BEGINS:
            expected_firsts.append(bit)
            state = vectors.RUN_BEGINS
        if state and not inside >> bit & 1:
            expected.append(bit)
            state = 0
    assert bits_of(firsts) == expected_firsts
    assert bits_of(found) == expected
    goes_on = vectors.RUN_GOES_ON if state else 0
    assert state_after == (vectors.RUN_BEGINS if ends >> 63 else goes_on)


@given(masks, st.integers(0, 2**30), st.integers(0, 3))
def test_positions_of_bits(mask: int, base: int, at: int):
    out = np.full(at + MARGIN + 2, -7, np.int32)
    count = store_positions_nb(signed(mask), base, out, at)
    expected = [base + bit for bit in bits_of(mask)]
    assert count == len(expected)
    assert out[at : at + count].tolist() == expected
    assert (out[:at] == -7).all()
    assert (out[at + MARGIN :] == -7).all()


@given(masks, st.integers(0, 2**30), st.integers(0, 3))
def test_positions_of_32_bits(mask: int, base: int, at: int):
    out = np.full(at + 34, -7, np.int32)
    count = store_positions32_nb(signed(mask), base, out, at)
    expected = [base + bit for bit in bits_of(mask, 32)]
    assert out[at : at + count].tolist() == expected
    assert (out[:at] == -7).all()
    assert (out[at + 32 :] == -7).all()


@given(st.binary(min_size=256, max_size=256), st.integers(0, 3), st.data())
def test_sums_of_bytes(data: bytes, base: int, chance: st.DataObject):
    buf = np.frombuffer(b"\xff" * base + data, np.uint8)
    first = chance.draw(st.integers(0, 255))
    stop = chance.draw(st.integers(first, 255))
    sums = np.zeros(5 * 64, np.uint8)
    assert sums_nb(buf, base, 4, sums, first, stop) == sum(data[first:stop]) % 256


@given(sixteen, sixteen, st.integers(0, 3), st.integers(0, 3))
def test_words_that_are_equal(values: list[int], others: list[int], at: int, wanted: int):
    held = np.array([wanted] * at + values, np.int32)
    same, both = words_nb(held, at, wanted, np.array([9, *others], np.int32), 1)
    assert bits_of(same) == [i for i, each in enumerate(values) if each == wanted]
    assert bits_of(both) == [i for i in range(16) if values[i] == others[i]]


@given(st.lists(st.integers(-2, 50), min_size=16, max_size=16), st.integers(0, 3))
def test_sums_and_what_stands_for_none(offsets: list[int], at: int):
    out = np.full(at + 17, -7, np.int32)
    store_sums16_nb(100, np.array([5, *offsets], np.int32), 1, 3, out, at)
    assert out[at : at + 16].tolist() == [3 if each < 0 else 100 + each for each in offsets]
    assert (out[:at] == -7).all()
    assert out[-1] == -7


@given(st.integers(0, 2**20), st.integers(-3, 100), st.integers(0, 3))
def test_steps_and_repeated_values(first: int, step: int, at: int):
    out = np.full(at + 33, -7, np.int32)
    store_sixteen_nb(first, step, out, at)
    expected = [first + step * i for i in range(16)] + [first] * 16
    assert out.tolist() == [-7] * at + expected + [-7]


@given(st.binary(min_size=8, max_size=8), masks)
def test_words_zeros_and_bits(data: bytes, mask: int):
    word, zeros, bits = scalars_nb(np.frombuffer(b"x" + data, np.uint8), 1, signed(mask))
    assert word == int.from_bytes(data, "little", signed=True)
    assert zeros == (next(iter(bits_of(mask)), 64), 64 - mask.bit_length())
    assert bits == len(bits_of(mask))


@given(blocks, st.integers(0, 5), st.integers(0, 5), st.integers(-(2**63), 2**63 - 1))
def test_a_block_copied_and_a_word_put_into_it(block: bytes, at: int, out_at: int, word: int):
    out = np.full(out_at + 65, 7, np.uint8)
    put_nb(np.frombuffer(b"x" * at + block, np.uint8), at, out, out_at, word)
    expected = block[:8] + word.to_bytes(8, "big", signed=True) + block[16:]
    assert out.tobytes() == b"\x07" * out_at + expected + b"\x07"


REFUSED = """
import numpy as np
from protocols.vectors import copy_block64, equal_mask64, load_word, store_word_swapped
for refused in (lambda: equal_mask64(np.zeros(64, np.uint8), 1, 1),
                lambda: copy_block64(np.zeros(64, np.uint8), 0, np.zeros(64, np.uint8), 1),
                lambda: store_word_swapped(np.zeros(8, np.uint8), 1, 0),
                lambda: load_word(np.zeros(64, np.uint8), -1)):
    try:
        refused()
    except IndexError:
        continue
    raise AssertionError("not refused")
"""


def test_the_twins_refuse_what_lies_outside():
    """Machine code does not look, so its callers are tried out with the twins."""
    if not JIT_ENABLED:
        exec(REFUSED, {})
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1"}
    command = [sys.executable, "-c", REFUSED]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.compiled_only
@pytest.mark.timeout(600)
def test_a_processor_without_vector_compress_gives_the_same(tmp_path: Path):
    """These tests once more, and the decoder's, compiled for the plainest processor there is."""
    here = Path(__file__)
    decoder = here.parents[2] / "property" / "test_fix_kernels.py"
    tests = [f"{here}", f"{decoder}::test_kernels_find_what_the_twin_finds"]
    environment = {
        **os.environ,
        "NUMBA_CPU_NAME": "generic",
        "NUMBA_CPU_FEATURES": "",
        "NUMBA_CACHE_DIR": str(tmp_path),
    }
    pytest_command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    command = [*pytest_command, "--timeout=500", "-k", "not without_vector", *tests]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3_000:]
