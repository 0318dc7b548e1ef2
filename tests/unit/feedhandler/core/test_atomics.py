import threading
import time

import numpy as np
import pytest

from feedhandler.core.atomics import (
    compare_exchange,
    load_acquire,
    spin_pause,
    store_release,
)
from feedhandler.core.libc import sched_yield
from protocols.jit import kernel


@kernel
def copy_word_nb(words: np.ndarray, source: int, target: int):
    store_release(words, target, load_acquire(words, source) + 1)


@kernel
def wait_for_nb(words: np.ndarray, spins: int):
    """Spin until words[0] is set, at most `spins` times; how many were left."""
    left = spins
    while left > 0 and load_acquire(words, 0) == 0:
        spin_pause()
        left -= 1
    store_release(words, 1, 1)
    return left


@kernel
def exchange_nb(words: np.ndarray, index: int, expected: int, value: int):
    return compare_exchange(words, index, expected, value)


@kernel
def add_under_lock_nb(words: np.ndarray, rounds: int):
    """words[1] + 1, `rounds` times, each while words[0] was changed from 0 to 1."""
    for _ in range(rounds):
        while not compare_exchange(words, 0, np.int64(0), np.int64(1)):
            sched_yield()
        words[1] += 1
        store_release(words, 0, np.int64(0))


def test_a_word_is_exchanged_only_for_the_expected_one():
    words = np.array([5, 7], np.int64)
    assert exchange_nb(words, 1, np.int64(5), np.int64(9)) == 0
    assert words.tolist() == [5, 7]
    assert exchange_nb(words, 1, np.int64(7), np.int64(9)) == 1
    assert words.tolist() == [5, 9]


@pytest.mark.compiled_only
def test_two_threads_never_exchange_the_same_word_at_once():
    words = np.zeros(2, np.int64)
    add_under_lock_nb(words, 0)
    rounds = 200_000
    threads = [threading.Thread(target=add_under_lock_nb, args=(words, rounds)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert words.tolist() == [0, 2 * rounds]


def test_a_stored_word_is_loaded_again():
    words = np.array([41, 0, 7], np.int64)
    copy_word_nb(words, 0, 1)
    assert words.tolist() == [41, 42, 7]


def test_a_spin_loop_ends_at_its_bound():
    words = np.zeros(2, np.int64)
    assert wait_for_nb(words, 10) == 0
    assert words[1] == 1


@pytest.mark.compiled_only
def test_a_spinning_kernel_sees_the_store_of_another_thread():
    words = np.zeros(2, np.int64)
    wait_for_nb(words, 1)
    words[1] = 0
    left = []
    thread = threading.Thread(target=lambda: left.append(wait_for_nb(words, 2_000_000_000)))
    thread.start()
    time.sleep(0.02)
    assert words[1] == 0, "the kernel must still wait"
    words[0] = 1
    thread.join(timeout=30)
    assert left
    assert left[0] > 0
