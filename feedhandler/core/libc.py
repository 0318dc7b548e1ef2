"""System calls by name, callable from kernels and cacheable (a ctypes pointer is not), and the
layouts that they need.

Linux on 64-bit machines (`man 2 recvmmsg`, `man 7 socket`, `man 3 cmsg`). With the JIT off the same
names are ctypes calls.
"""

import ctypes
import time
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

from feedhandler.core.lines import zeros
from protocols.jit import kernel
from protocols.kernel_cache import JIT_ENABLED

CLOCK_REALTIME = 0
CLOCK_MONOTONIC = 1
MSG_DONTWAIT = 0x40
MSG_NOSIGNAL = 0x4000
SO_TIMESTAMPNS = 35
SO_RCVBUFFORCE = 33
POLLIN = 0x001
CONTROL_BYTES = 64
_NS_PER_S = 1_000_000_000

MMSGHDR = np.dtype(
    [
        ("name", "u8"),
        ("namelen", "u4"),
        ("_pad_0", "u4"),
        ("iov", "u8"),
        ("iovlen", "u8"),
        ("control", "u8"),
        ("controllen", "u8"),
        ("flags", "i4"),
        ("_pad_1", "u4"),
        ("size", "u4"),
        ("_pad_2", "u4"),
    ]
)
"""struct mmsghdr: `size` is what recvmmsg received or sendmmsg sent for this message."""

IOVEC = np.dtype([("base", "u8"), ("len", "u8")])
POLLFD = np.dtype([("fd", "i4"), ("events", "i2"), ("revents", "i2")])

if TYPE_CHECKING or not JIT_ENABLED:
    _libc = ctypes.CDLL(None, use_errno=True)

    def clock_ns(clock_id: int) -> int:
        """Nanoseconds of the given clock."""
        return time.clock_gettime_ns(clock_id)

    def errno_now() -> int:
        """The errno of this thread after a call that returned -1."""
        return ctypes.get_errno()

    def recvmmsg(fd: int, headers_at: int, count: int, flags: int, timeout_at: int) -> int:
        """Datagrams received into the `count` headers at address `headers_at`, or -1."""
        arguments = (ctypes.c_int(fd), ctypes.c_void_p(int(headers_at)), ctypes.c_uint(count))
        result: int = _libc.recvmmsg(
            *arguments, ctypes.c_int(flags), ctypes.c_void_p(int(timeout_at))
        )
        return result

    def sendmmsg(fd: int, headers_at: int, count: int, flags: int) -> int:
        """Datagrams sent of the `count` headers at address `headers_at`, or -1."""
        arguments = (ctypes.c_int(fd), ctypes.c_void_p(int(headers_at)), ctypes.c_uint(count))
        result: int = _libc.sendmmsg(*arguments, ctypes.c_int(flags))
        return result

    def send(fd: int, at: int, size: int, flags: int) -> int:
        """Bytes sent from address `at`, or -1."""
        result: int = _libc.send(
            ctypes.c_int(fd), ctypes.c_void_p(int(at)), ctypes.c_size_t(size), ctypes.c_int(flags)
        )
        return result

    def recv(fd: int, at: int, size: int, flags: int) -> int:
        """Bytes received to address `at`, or -1."""
        result: int = _libc.recv(
            ctypes.c_int(fd), ctypes.c_void_p(int(at)), ctypes.c_size_t(size), ctypes.c_int(flags)
        )
        return result

    def memcpy(to: int, at: int, size: int) -> int:
        """Copy `size` bytes from address `at` to address `to`, which is returned."""
        ctypes.memmove(int(to), int(at), size)
        return to

    def write(fd: int, at: int, size: int) -> int:
        """Bytes written from address `at`, or -1."""
        result: int = _libc.write(ctypes.c_int(fd), ctypes.c_void_p(int(at)), ctypes.c_size_t(size))
        return result

    def read(fd: int, at: int, size: int) -> int:
        """Bytes read to address `at`, or -1."""
        result: int = _libc.read(ctypes.c_int(fd), ctypes.c_void_p(int(at)), ctypes.c_size_t(size))
        return result

    def poll(fds_at: int, count: int, timeout_ms: int) -> int:
        """Number of ready descriptors among the POLLFD rows at address `fds_at`."""
        result: int = _libc.poll(
            ctypes.c_void_p(int(fds_at)), ctypes.c_ulong(count), ctypes.c_int(timeout_ms)
        )
        return result

    def usleep(us: int) -> int:
        """Sleep at least `us` microseconds."""
        result: int = _libc.usleep(ctypes.c_uint(us))
        return result

    def sched_yield() -> int:
        """Let another thread of this core run."""
        result: int = _libc.sched_yield()
        return result

else:  # pragma: no cover - declarations for the compiler; the compiled tests call them
    recvmmsg = types.ExternalFunction(
        "recvmmsg", types.int32(types.int32, types.uintp, types.uint32, types.int32, types.uintp)
    )
    sendmmsg = types.ExternalFunction(
        "sendmmsg", types.int32(types.int32, types.uintp, types.uint32, types.int32)
    )
    send = types.ExternalFunction(
        "send", types.intp(types.int32, types.uintp, types.uintp, types.int32)
    )
    recv = types.ExternalFunction(
        "recv", types.intp(types.int32, types.uintp, types.uintp, types.int32)
    )
    memcpy = types.ExternalFunction("memcpy", types.uintp(types.uintp, types.uintp, types.uintp))
    write = types.ExternalFunction("write", types.intp(types.int32, types.uintp, types.uintp))
    read = types.ExternalFunction("read", types.intp(types.int32, types.uintp, types.uintp))
    poll = types.ExternalFunction("poll", types.int32(types.uintp, types.uintp, types.int32))
    usleep = types.ExternalFunction("usleep", types.int32(types.uint32))
    sched_yield = types.ExternalFunction("sched_yield", types.int32())

    @intrinsic
    def clock_ns(typingctx, clock_id):  # noqa: ANN001, ANN201
        """Nanoseconds of the given clock: one vDSO call, about 20 ns (AMD EPYC, tsc)."""

        def codegen(context, builder, signature, args):  # noqa: ANN001, ANN202
            i32, i64 = ir.IntType(32), ir.IntType(64)
            timespec = cgutils.alloca_once(builder, ir.ArrayType(i64, 2))
            function = ir.FunctionType(i32, [i32, timespec.type])
            callee = cgutils.get_or_insert_function(builder.module, function, "clock_gettime")
            builder.call(callee, [builder.trunc(args[0], i32), timespec])
            parts = [builder.load(cgutils.gep_inbounds(builder, timespec, 0, i)) for i in (0, 1)]
            return builder.add(builder.mul(parts[0], i64(_NS_PER_S)), parts[1])

        return types.int64(types.int64), codegen

    @intrinsic
    def errno_now(typingctx):  # noqa: ANN001, ANN201
        """The errno of this thread after a call that returned -1."""

        def codegen(context, builder, signature, args):  # noqa: ANN001, ANN202
            i32 = ir.IntType(32)
            function = ir.FunctionType(i32.as_pointer(), [])
            callee = cgutils.get_or_insert_function(builder.module, function, "__errno_location")
            return builder.sext(builder.load(builder.call(callee, [])), ir.IntType(64))

        return types.int64(), codegen


@kernel
def copy_bytes_nb(
    to: NDArray[np.uint8], to_at: int, source: NDArray[np.uint8], at: int, size: int
) -> None:
    """to[to_at : to_at + size] = source[at : at + size], which the caller knows to be within both:
    40 times as fast as byte by byte, with indices that the compiler cannot prove positive.
    """
    # Signed: Numba makes a float of a signed and an unsigned word.
    to_address, address = np.int64(to.ctypes.data), np.int64(source.ctypes.data)
    memcpy(to_address + to_at, address + at, size)


class DatagramBatch(NamedTuple):
    """Memory for one recvmmsg or sendmmsg call of up to `len(headers)` datagrams; wired up once,
    reused for ever.

    Shapes: payload u8[batch * slot_bytes] (datagram i starts at i * slot_bytes), control i64[batch,
             8], headers MMSGHDR[batch], iov IOVEC[batch].
    """

    payload: NDArray[np.uint8]
    control: NDArray[np.int64]
    headers: NDArray[np.void]
    iov: NDArray[np.void]


def allocate_batch(batch: int, slot_bytes: int) -> DatagramBatch:
    """A batch whose headers point at its own payload slots and control blocks."""
    payload = zeros(batch * slot_bytes, np.uint8)
    control = zeros((batch, CONTROL_BYTES // 8))
    iov = zeros(batch, IOVEC)
    headers = zeros(batch, MMSGHDR)
    order = np.arange(batch, dtype=np.uint64)
    iov["base"] = payload.ctypes.data + order * slot_bytes
    iov["len"] = slot_bytes
    headers["iov"] = iov.ctypes.data + order * IOVEC.itemsize
    headers["iovlen"] = 1
    headers["control"] = control.ctypes.data + order * CONTROL_BYTES
    headers["controllen"] = CONTROL_BYTES
    return DatagramBatch(payload, control, headers, iov)
