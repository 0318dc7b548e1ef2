"""Functions that are not known before the start, and how the engine calls them: a venue's as
first-class functions, a user's, for every tick, by address with five words and a count.

An array is seven words to Numba, and as a C argument each of them goes over the stack: calls of a
first-class function with four arrays took 6 ns, these take 2.3 ns (AMD EPYC, Numba 0.68.1). So the
function gets pointers, and an entry around it, compiled together with it, makes arrays of them.
"""

import hashlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from llvmlite import ir
from numba import cfunc, from_dtype, njit, types
from numba.core.serialize import dumps
from numba.extending import intrinsic
from numba.np.arrayobj import make_array, populate_array

from feedhandler.core.events import TICK
from protocols.kernel_cache import JIT_ENABLED

STATE_WORDS = 16
"""What a breaker or pattern keeps for each instrument."""
PARAM_WORDS = 16
"""Parameters that it gets from the configuration."""
OUT_WORDS = 8

Function = Callable[..., int]

if TYPE_CHECKING or not JIT_ENABLED:
    # The interpreter's twins: a place holds the function itself.
    def compile_function(function: Function, signature: Any) -> Any:
        """The machine code of `function`, which may be a kernel, for `signature`, cached. It is for
        what is not called for every tick.
        """
        return getattr(function, "py_func", function)

    def compile_entry(function: Function) -> Any:
        """What a place holds for `function(ticks, slot, params, state, out)`."""
        return function

    def make_places(entries: Sequence[Any]) -> Any:
        """The places that `call_place` finds its functions in."""
        return tuple(entries)

    def call_place(
        places: Any, place: int, ticks: Any, slot: int, params: Any, state: Any, out: Any
    ) -> int:
        """The result of the function in places[place].

        Shapes:  ticks TICK[n], params i64[PARAM_WORDS], state i64[STATE_WORDS], out i64[OUT_WORDS].
        """
        result: int = places[place](ticks, slot, params, state, out)
        return result

else:  # pragma: no cover - code generators, run by the compiler; compiled tests use the result
    _WORD = ir.IntType(64)
    _POINTER = ir.IntType(8).as_pointer()
    _ENTRY = types.int64(
        types.voidptr, types.int64, types.int64, types.voidptr, types.voidptr, types.voidptr
    )
    _ENTRY_SOURCE = """
def {name}(ticks, size, slot, params, state, out):
    return function(
        ticks_at(ticks, size),
        slot,
        words_at(params, PARAM_WORDS),
        words_at(state, STATE_WORDS),
        words_at(out, OUT_WORDS),
    )
"""
    _OPTIONS = {"error_model": "numpy", "_nrt": False}
    # Machine code lives as long as the object that compiled it, and a place is a mere address.
    # Numba never lets go of what it loads either, and each load looks through all those before.
    _kept = {}

    def compile_function(function, signature):  # noqa: ANN001, ANN201
        """The machine code of a function, which may be a kernel, for a signature, cached."""
        code = getattr(function, "py_func", function)
        if (code, signature) not in _kept:
            compiler = cfunc(signature, nopython=True, cache=True, **_OPTIONS)
            _kept[code, signature] = compiler(code)
        return _kept[code, signature]

    def _viewer(dtype):  # noqa: ANN001, ANN202
        """An intrinsic that makes an array of a pointer and a length."""
        kind = types.Array(dtype, 1, "C")

        @intrinsic
        def view(typingctx, pointer, size):  # noqa: ANN001, ANN202
            def codegen(context, builder, signature, args):  # noqa: ANN001, ANN202
                array = make_array(kind)(context, builder)
                item_bytes = context.get_abi_sizeof(context.get_data_type(dtype))
                stride = context.get_constant(types.intp, item_bytes)
                populate_array(
                    array,
                    data=builder.bitcast(args[0], array.data.type),
                    shape=[args[1]],
                    strides=[stride],
                    itemsize=stride,
                    meminfo=None,
                )
                return array._getvalue()  # noqa: SLF001 - as Numba's own arrays are made

            return kind(pointer, types.intp), codegen

        return view

    _NAMES = {
        "ticks_at": _viewer(from_dtype(TICK)),
        "words_at": _viewer(types.int64),
        "PARAM_WORDS": PARAM_WORDS,
        "STATE_WORDS": STATE_WORDS,
        "OUT_WORDS": OUT_WORDS,
    }

    def _entry_name(function):  # noqa: ANN001, ANN202
        """A name that no other function of the same file has: the cache goes by it. Closures of one
        function differ by what they hold.
        """
        held = [cell.cell_contents for cell in function.__closure__ or ()]
        identity = (function.__qualname__, function.__code__.co_firstlineno, held)
        return f"entry_{hashlib.sha256(dumps(identity)).hexdigest()[:16]}"

    def compile_entry(function):  # noqa: ANN001, ANN201
        """The entry of a function, compiled, or loaded from the cache: it is found there by the
        file of the function, and is compiled anew when that has changed.
        """
        if function in _kept:
            return _kept[function]
        name = _entry_name(function)
        names = {
            **_NAMES,
            "function": njit(forceinline=True, nogil=True, **_OPTIONS)(function),
            "__name__": function.__module__,
        }
        # A global and no closure: over a dispatcher, that would never be found in the cache.
        source = compile(_ENTRY_SOURCE.format(name=name), function.__code__.co_filename, "exec")
        exec(source, names)  # noqa: S102 - the text above
        _kept[function] = cfunc(_ENTRY, nopython=True, cache=True, **_OPTIONS)(names[name])
        return _kept[function]

    def make_places(entries):  # noqa: ANN001, ANN201
        """Addresses, i64[len(entries)]."""
        return np.array([entry.address for entry in entries], np.int64)

    @intrinsic
    def call_place(typingctx, places, place, ticks, slot, params, state, out):  # noqa: ANN001, ANN201
        """The result of the function in places[place]."""

        def codegen(context, builder, signature, args):  # noqa: ANN001, ANN202
            arrays = {
                at: make_array(signature.args[at])(context, builder, args[at])
                for at in (0, 2, 4, 5, 6)
            }
            address = builder.load(builder.gep(arrays[0].data, [args[1]]))
            kinds = [_POINTER, _WORD, _WORD, _POINTER, _POINTER, _POINTER]
            function = builder.inttoptr(address, ir.FunctionType(_WORD, kinds).as_pointer())
            pointers = {at: builder.bitcast(arrays[at].data, _POINTER) for at in (2, 4, 5, 6)}
            words = [pointers[2], arrays[2].nitems, args[3], pointers[4], pointers[5], pointers[6]]
            return builder.call(function, words)

        return types.int64(places, types.intp, ticks, types.int64, params, state, out), codegen
