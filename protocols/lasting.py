"""Large tuples of arrays within an array of words: for a function with a fixed signature, which can
take arrays but no tuple of somebody's own.

`lay_out` copies what `by_reference` passes on, the addresses of a tuple's arrays, behind words of
the caller's; a view made by `reference_view` is that tuple again, for kernels. The memory that the
addresses lead to is not kept alive by it: whoever made the tuples holds on to them.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numba import typeof, types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

from protocols.jit import outline_kernel
from protocols.kernel_cache import JIT_ENABLED

if TYPE_CHECKING or not JIT_ENABLED:

    class _Words(np.ndarray[Any, np.dtype[np.int64]]):
        """The interpreter's twin: words that know the tuples themselves."""

        kept: dict[int, Any]

    def lay_out(own_words: int, *values: Any) -> tuple[NDArray[np.int64], list[int]]:
        """Words: `own_words` zeros, then each of `values`, instances of classes marked
        `by_reference`; and where each of them begins.
        """
        places = list(range(own_words, own_words + len(values)))
        words = np.zeros(own_words + len(values), np.int64).view(_Words)
        words.kept = dict(zip(places, values, strict=True))
        return words, places

    def reference_view(example: Any) -> Callable[[Any, int], Any]:
        """A function (words, at) that gives the tuple which `lay_out` put at words[at]; `example`
        is any other one of its type.
        """

        def view(words: Any, at: int) -> Any:
            return words.kept[int(at)]

        return view

else:  # pragma: no cover - code generators, run by the compiler; compiled tests use the result

    @intrinsic
    def _size_bytes(typingctx, reference):  # noqa: ANN001, ANN202
        def codegen(context, builder, signature, args):  # noqa: ANN001, ANN202
            size = context.get_abi_sizeof(signature.args[0].layout(context))
            return context.get_constant(types.int64, size)

        return types.int64(reference), codegen

    @intrinsic
    def _copy_fields(typingctx, reference, words, at):  # noqa: ANN001, ANN202
        def codegen(context, builder, signature, args):  # noqa: ANN001, ANN202
            size = context.get_abi_sizeof(signature.args[0].layout(context))
            array = context.make_array(signature.args[1])(context, builder, args[1])
            target = builder.gep(array.data, [args[2]])
            cgutils.raw_memcpy(builder, target, args[0], context.get_constant(types.intp, size), 1)
            return context.get_constant(types.int64, 0)

        return types.int64(reference, words, types.intp), codegen

    @outline_kernel
    def _size_bytes_nb(reference):  # noqa: ANN001, ANN202
        return _size_bytes(reference)

    @outline_kernel
    def _copy_fields_nb(reference, words, at):  # noqa: ANN001, ANN202
        return _copy_fields(reference, words, at)

    def lay_out(own_words, *values):  # noqa: ANN001, ANN002, ANN201
        """Words: `own_words` zeros, then each of `values`, instances of classes marked
        `by_reference`; and where each of them begins.
        """
        sizes = [(_size_bytes_nb(value) + 7) // 8 for value in values]
        places = [own_words + sum(sizes[:i]) for i in range(len(sizes))]
        words = np.zeros(own_words + sum(sizes), np.int64)
        for value, place in zip(values, places, strict=True):
            _copy_fields_nb(value, words, place)
        return words, places

    def reference_view(example):  # noqa: ANN001, ANN201
        """A function (words, at) that gives the tuple which `lay_out` put at words[at]; `example`
        is any other one of its type.
        """
        reference = typeof(example)

        @intrinsic
        def view(typingctx, words, at):  # noqa: ANN001, ANN202
            def codegen(context, builder, signature, args):  # noqa: ANN001, ANN202
                array = context.make_array(signature.args[0])(context, builder, args[0])
                return builder.bitcast(builder.gep(array.data, [args[1]]), cgutils.voidptr_t)

            return reference(words, types.intp), codegen

        return view
