import threading

import numpy as np
import pytest

from feedhandler.core.atomics import store_release
from feedhandler.core.lines import zeros
from feedhandler.core.versioned import close_row_nb, open_row_nb, read_row_nb
from protocols.jit import outline_kernel

ROUNDS = 200_000


def test_a_row_is_read_as_it_stands_and_its_version_tells_how_often_it_was_written():
    words, out = zeros(9), np.zeros(3, np.int64)
    open_row_nb(words, 4)
    words[5:7] = [7, 8]
    close_row_nb(words, 4)
    read_row_nb(words, 4, out)
    assert out.tolist() == [2, 7, 8]
    assert not words[:4].any()


@outline_kernel
def write_rounds_nb(words: np.ndarray, rounds: int) -> None:
    for number in range(1, rounds + 1):
        open_row_nb(words, 0)
        for i in range(1, 8):
            store_release(words, i, number)
        close_row_nb(words, 0)


@pytest.mark.compiled_only
def test_another_thread_never_sees_a_row_that_is_half_written():
    words, out = zeros(8), np.zeros(8, np.int64)
    write_rounds_nb(words, 1)
    read_row_nb(words, 0, out)
    writer = threading.Thread(target=write_rounds_nb, args=(words, ROUNDS))
    writer.start()
    seen = set()
    while writer.is_alive():
        read_row_nb(words, 0, out)
        assert len(set(out[1:].tolist())) == 1
        seen.add(int(out[1]))
    writer.join()
    read_row_nb(words, 0, out)
    assert out.tolist() == [2 * ROUNDS + 2] + [ROUNDS] * 7
    assert seen
