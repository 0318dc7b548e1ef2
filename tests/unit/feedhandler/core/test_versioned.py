import threading
import time

import numpy as np
import pytest

from feedhandler.core.atomics import load_acquire, spin_pause, store_release
from feedhandler.core.lines import zeros
from feedhandler.core.versioned import close_row_nb, open_row_nb, read_row_nb
from protocols.jit import kernel, outline_kernel

READS = 100
PAUSES = 20


def test_a_row_is_read_as_it_stands_and_its_version_tells_how_often_it_was_written():
    words, out = zeros(9), np.zeros(3, np.int64)
    open_row_nb(words, 4)
    words[5:7] = [7, 8]
    close_row_nb(words, 4)
    read_row_nb(words, 4, out)
    assert out.tolist() == [2, 7, 8]
    assert not words[:4].any()


@kernel
def write_row_nb(words: np.ndarray, number: int) -> None:
    open_row_nb(words, 0)
    for i in range(1, 8):
        store_release(words, i, number)
    close_row_nb(words, 0)


@outline_kernel
def write_until_nb(words: np.ndarray, stop: np.ndarray) -> None:
    number = 0
    while load_acquire(stop, 0) == 0:
        number += 1
        write_row_nb(words, number)
        # A reader that meets an open row begins again, and needs the time to come through.
        for _ in range(PAUSES):
            spin_pause()


@pytest.mark.compiled_only
def test_another_thread_never_sees_a_row_that_is_half_written():
    words, out = zeros(8), np.zeros(8, np.int64)
    write_row_nb(words, 1)
    read_row_nb(words, 0, out)
    stop = np.zeros(1, np.int64)
    writer = threading.Thread(target=write_until_nb, args=(words, stop))
    writer.start()
    seen = set()
    deadline = time.monotonic() + 30
    try:
        # On a busy machine one thread may run for long before the other does.
        while len(seen) < READS and time.monotonic() < deadline:
            read_row_nb(words, 0, out)
            assert len(set(out[1:].tolist())) == 1
            seen.add(int(out[1]))
    finally:
        stop[0] = 1
        writer.join()
    assert len(seen) == READS
