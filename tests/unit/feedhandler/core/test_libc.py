import errno
import socket
import time

import numpy as np
import pytest

from feedhandler.core.libc import (
    CLOCK_MONOTONIC,
    CLOCK_REALTIME,
    CONTROL_BYTES,
    IOVEC,
    MMSGHDR,
    MSG_DONTWAIT,
    POLLFD,
    POLLIN,
    SO_TIMESTAMPNS,
    allocate_batch,
    clock_ns,
    errno_now,
    memcpy,
    poll,
    recvmmsg,
    sched_yield,
    send,
    sendmmsg,
    usleep,
    write,
)
from protocols.jit import kernel

SLOT_BYTES = 256
NS_PER_S = 1_000_000_000


@kernel
def copy_nb(to: np.ndarray, source: np.ndarray, size: int):
    memcpy(to.ctypes.data, source.ctypes.data, size)


def test_bytes_are_copied_up_to_the_size_and_no_further():
    to = np.zeros(6, np.uint8)
    copy_nb(to, np.arange(1, 7, dtype=np.uint8), 4)
    assert to.tolist() == [1, 2, 3, 4, 0, 0]


@kernel
def clock_nb(clock_id: int):
    return clock_ns(clock_id)


@kernel
def receive_nb(fd: int, headers_at: int, count: int):
    got = recvmmsg(fd, headers_at, count, MSG_DONTWAIT, 0)
    if got < 0:
        return -errno_now()
    return np.int64(got)


@kernel
def send_many_nb(fd: int, headers_at: int, count: int):
    return np.int64(sendmmsg(fd, headers_at, count, 0))


@kernel
def send_nb(fd: int, at: int, size: int):
    sent = send(fd, at, size, socket.MSG_NOSIGNAL)
    if sent < 0:
        return -errno_now()
    return np.int64(sent)


@kernel
def write_nb(fd: int, at: int, size: int):
    return np.int64(write(fd, at, size))


@kernel
def poll_nb(fds_at: int, count: int, timeout_ms: int):
    return np.int64(poll(fds_at, count, timeout_ms))


@kernel
def sleep_nb(us: int):
    before_ns = clock_ns(CLOCK_MONOTONIC)
    usleep(us)
    sched_yield()
    return clock_ns(CLOCK_MONOTONIC) - before_ns


@pytest.fixture
def sockets():
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender,
    ):
        receiver.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        receiver.bind(("127.0.0.1", 0))
        sender.connect(receiver.getsockname())
        yield receiver, sender


def wait_readable(receiver: socket.socket):
    descriptors = np.zeros(1, POLLFD)
    descriptors["fd"] = receiver.fileno()
    descriptors["events"] = POLLIN
    return poll_nb(descriptors.ctypes.data, 1, 2_000)


def test_the_layouts_have_the_sizes_of_the_system():
    assert (MMSGHDR.itemsize, IOVEC.itemsize, POLLFD.itemsize) == (64, 16, 8)
    assert MMSGHDR.fields["size"][1] == 56


def test_a_batch_points_at_its_own_slots():
    batch = allocate_batch(3, SLOT_BYTES)
    assert batch.payload.shape == (3 * SLOT_BYTES,)
    assert np.diff(batch.iov["base"].astype(np.int64)).tolist() == [SLOT_BYTES] * 2
    assert batch.iov["base"][0] == batch.payload.ctypes.data
    assert np.diff(batch.headers["control"].astype(np.int64)).tolist() == [CONTROL_BYTES] * 2
    assert batch.headers["iov"][2] == batch.iov.ctypes.data + 2 * IOVEC.itemsize


def test_clocks_are_those_of_the_system():
    before_ns = time.time_ns()
    assert before_ns <= clock_nb(CLOCK_REALTIME) <= time.time_ns()
    before_ns = time.monotonic_ns()
    assert before_ns <= clock_nb(CLOCK_MONOTONIC) <= time.monotonic_ns()


def test_datagrams_arrive_whole_in_order_and_with_the_kernels_receive_stamp(
    sockets: tuple[socket.socket, socket.socket],
):
    receiver, sender = sockets
    batch = allocate_batch(8, SLOT_BYTES)
    before_ns = time.time_ns()
    datagrams = [bytes([number]) * (10 + number) for number in range(5)]
    for datagram in datagrams:
        sender.send(datagram)
    assert wait_readable(receiver) == 1
    count = receive_nb(receiver.fileno(), batch.headers.ctypes.data, 8)
    assert count == 5
    for index, datagram in enumerate(datagrams):
        size = batch.headers["size"][index]
        start = index * SLOT_BYTES
        assert batch.payload[start : start + size].tobytes() == datagram
        stamp_ns = int(batch.control[index, 2]) * NS_PER_S + int(batch.control[index, 3])
        assert before_ns <= stamp_ns <= time.time_ns()


def test_an_empty_socket_gives_eagain_and_not_a_wait(sockets: tuple[socket.socket, socket.socket]):
    batch = allocate_batch(2, SLOT_BYTES)
    assert receive_nb(sockets[0].fileno(), batch.headers.ctypes.data, 2) == -errno.EAGAIN


def test_a_datagram_longer_than_its_slot_is_cut_and_flagged(
    sockets: tuple[socket.socket, socket.socket],
):
    receiver, sender = sockets
    batch = allocate_batch(1, SLOT_BYTES)
    sender.send(bytes(SLOT_BYTES + 50))
    assert wait_readable(receiver) == 1
    assert receive_nb(receiver.fileno(), batch.headers.ctypes.data, 1) == 1
    assert batch.headers["size"][0] == SLOT_BYTES
    assert batch.headers["flags"][0] & socket.MSG_TRUNC


def test_a_batch_is_sent_in_one_call(sockets: tuple[socket.socket, socket.socket]):
    receiver, sender = sockets
    batch = allocate_batch(3, SLOT_BYTES)
    batch.headers["control"] = 0
    batch.headers["controllen"] = 0
    batch.iov["len"] = [1, 2, 3]
    batch.payload[:] = np.repeat(np.array([65, 66, 67], np.uint8), SLOT_BYTES)
    assert send_many_nb(sender.fileno(), batch.headers.ctypes.data, 3) == 3
    receiver.settimeout(2)
    assert [receiver.recv(100) for _ in range(3)] == [b"A", b"BB", b"CCC"]


def test_send_and_write_move_bytes_of_a_stream():
    left, right = socket.socketpair()
    with left, right:
        data = np.frombuffer(b"hello", np.uint8).copy()
        assert send_nb(left.fileno(), data.ctypes.data, 5) == 5
        assert write_nb(left.fileno(), data.ctypes.data, 4) == 4
        assert right.recv(100) == b"hellohell"


def test_sending_into_a_closed_stream_is_an_error_and_no_signal():
    left, right = socket.socketpair()
    right.close()
    with left:
        data = np.zeros(1, np.uint8)
        assert send_nb(left.fileno(), data.ctypes.data, 1) == -errno.EPIPE


def test_poll_waits_no_longer_than_it_is_told(sockets: tuple[socket.socket, socket.socket]):
    descriptors = np.zeros(1, POLLFD)
    descriptors["fd"] = sockets[0].fileno()
    descriptors["events"] = POLLIN
    assert poll_nb(descriptors.ctypes.data, 1, 1) == 0


def test_usleep_sleeps_at_least_as_long_as_asked():
    assert sleep_nb(2_000) >= 2_000_000
