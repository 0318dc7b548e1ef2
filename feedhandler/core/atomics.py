"""Loads and stores that another thread can rely on: the only way to touch a word that two threads
share.

A plain load of an array element in a loop is hoisted by LLVM (measured, Numba 0.68.1: the loop
never sees the other thread's store), so cursors, flags and sequence locks go through these. With
the JIT off the interpreter's own lock gives a stronger order than asked for, and the plain
operations stand in.
"""

import platform
from typing import TYPE_CHECKING, Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from protocols.kernel_cache import JIT_ENABLED

if TYPE_CHECKING or not JIT_ENABLED:
    # The interpreter's twins; mypy sees these signatures.
    def load_acquire(array: Any, index: int) -> int:
        """array[index], ordered before every later access of this thread."""
        value: int = array[index]
        return value

    def store_release(array: Any, index: int, value: int) -> None:
        """array[index] = value, ordered after every earlier access of this thread."""
        array[index] = value

    def compare_exchange(array: Any, index: int, expected: int, value: int) -> int:
        """1 and array[index] = value if it was `expected`, else 0: in one step, ordered before and
        after every other access of this thread.
        """
        if array[index] != expected:
            return 0
        array[index] = value
        return 1

    def spin_pause() -> None:
        """Tell the core that this is a spin loop."""

else:  # pragma: no cover - code generators, run by the compiler; compiled tests use the result

    def _element(context, builder, array_type, array, index):  # noqa: ANN001, ANN202
        return builder.gep(context.make_array(array_type)(context, builder, array).data, [index])

    @intrinsic
    def load_acquire(typingctx, array, index):  # noqa: ANN001, ANN201
        """array[index], ordered before every later access of this thread."""

        def codegen(context, builder, signature, args):  # noqa: ANN001, ANN202
            element = _element(context, builder, signature.args[0], *args)
            return builder.load_atomic(element, "acquire", 8)

        return array.dtype(array, types.intp), codegen

    @intrinsic
    def store_release(typingctx, array, index, value):  # noqa: ANN001, ANN201
        """array[index] = value, ordered after every earlier access of this thread."""

        def codegen(context, builder, signature, args):  # noqa: ANN001, ANN202
            element = _element(context, builder, signature.args[0], *args[:2])
            builder.store_atomic(args[2], element, "release", 8)
            return context.get_dummy_value()

        return types.void(array, types.intp, array.dtype), codegen

    @intrinsic
    def compare_exchange(typingctx, array, index, expected, value):  # noqa: ANN001, ANN201
        """1 and array[index] = value if it was `expected`, else 0: in one step, ordered before and
        after every other access of this thread.
        """

        def codegen(context, builder, signature, args):  # noqa: ANN001, ANN202
            element = _element(context, builder, signature.args[0], *args[:2])
            found = builder.cmpxchg(element, args[2], args[3], "acq_rel", "acquire")
            return builder.zext(builder.extract_value(found, 1), ir.IntType(64))

        return types.int64(array, types.intp, array.dtype, array.dtype), codegen

    @intrinsic
    def spin_pause(typingctx):  # noqa: ANN001, ANN201
        """Tell the core that this is a spin loop; a no-op where the architecture has no such
        instruction.
        """

        def codegen(context, builder, signature, args):  # noqa: ANN001, ANN202
            if platform.machine() in {"x86_64", "AMD64"}:
                function = ir.FunctionType(ir.VoidType(), [])
                name = "llvm.x86.sse2.pause"
                builder.call(cgutils.get_or_insert_function(builder.module, function, name), [])
            return context.get_dummy_value()

        return types.void(), codegen
