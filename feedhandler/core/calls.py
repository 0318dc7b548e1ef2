"""Functions that are not known before the start, and how the engine calls them: a venue's as
first-class functions, a user's, for every tick, by address with pointers and counts.

An array is seven words to Numba, and as an argument each of them goes over the stack: calls of a
first-class function with four arrays took 6 ns. So the caller lays pointers and counts into a
frame, and an entry around the function, compiled together with it, makes arrays of them. It is
called as Numba calls its own functions (pointers to the result and to an exception, then the
arguments; 0 when all is well), and not by the C function around it, which is a call more and hands
every argument on. With the pointers as eleven arguments of that, a pattern that did not fire took
11.6 ns a tick, and 7.5 so (AMD EPYC, Numba 0.68.1).

So the caller also learns of an exception: compiled with checks of its indices, as a user's function
is unless it says otherwise, an index outside an array makes `call_place` return FAULT.
"""

import hashlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from llvmlite import ir
from numba import cfunc, from_dtype, njit, types
from numba.core.cgutils import alloca_once
from numba.core.serialize import dumps
from numba.extending import intrinsic
from numba.np.arrayobj import make_array, populate_array

from feedhandler.core.events import TICK
from feedhandler.core.lines import zeros
from feedhandler.core.market import MARKET
from protocols.kernel_cache import JIT_ENABLED

PARAM_WORDS = 32
"""Parameters that a function gets from the configuration, at most."""
OUT_WORDS = 8
FAULT = -(1 << 62)
"""What an entry returns when its function used an index outside an array."""

Function = Callable[..., int]

if TYPE_CHECKING or not JIT_ENABLED:
    # The interpreter's twins: a place holds the number of a function.
    def compile_function(function: Function, signature: Any) -> Any:
        """The machine code of `function`, which may be a kernel, for `signature`, cached. It is for
        what is not called for every tick.
        """
        return getattr(function, "py_func", function)

    def compile_entry(function: Function) -> Any:
        """What a place holds for `function(ticks, slot, market, legs, params, state, out)`."""
        return function

    _functions: list[Any] = []
    _numbers: dict[Any, int] = {}

    def make_places(entries: Sequence[Any]) -> Any:
        """The places that `call_place` finds its functions in."""
        places = allocate_places(len(entries))
        for place, entry in enumerate(entries):
            if entry not in _numbers:
                _numbers[entry] = len(_functions)
                _functions.append(entry)
            places[place] = _numbers[entry]
        return places

    def allocate_places(count: int) -> Any:
        """Places that nothing is in yet, i64[count]."""
        return zeros(count)

    def call_place(
        places: Any, place: int, ticks: Any, slot: int, market: Any, arrays: Any, at: Any
    ) -> int:
        """The result of the function in places[place], or FAULT.

        Shapes:  ticks TICK[n], market MARKET[n]; arrays = (legs i64[n], params i64[n, PARAM_WORDS],
                 state i64[n], out i64[OUT_WORDS]), of which the function gets what `at` says: first
                 leg, how many, row of params, first word of state, how many.
        """
        legs, params, state, out = arrays
        first, count, row, begin, words = at
        own = (legs[first : first + count], params[row], state[begin : begin + words], out)
        try:
            result: int = _functions[places[place]](ticks, slot, market, *own)
        except IndexError:
            return FAULT
        return result

else:  # pragma: no cover - code generators, run by the compiler; compiled tests use the result
    _WORD = ir.IntType(64)
    _POINTER = ir.IntType(8).as_pointer()
    _FRAME_WORDS = 10
    # What words of a frame are: ticks, how many, market, how many, legs, how many, params, state,
    # how many, out.
    _ENTRY = types.int64(types.voidptr, types.int64)
    _ENTRY_TYPE = ir.FunctionType(ir.IntType(32), [_POINTER, _POINTER, _POINTER, _WORD])
    _ENTRY_SOURCE = """
def {name}(frame, slot):
    return function(
        ticks_of(frame),
        slot,
        market_of(frame),
        legs_of(frame),
        params_of(frame),
        state_of(frame),
        out_of(frame),
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

    def _viewer(dtype, place, size=None):  # noqa: ANN001, ANN202
        """An intrinsic that makes an array of the pointer that frame[place] is and a length, the
        word behind it unless that is known.
        """
        kind = types.Array(dtype, 1, "C")

        @intrinsic
        def view(typingctx, frame):  # noqa: ANN001, ANN202
            def codegen(context, builder, signature, args):  # noqa: ANN001, ANN202
                def word(at):  # noqa: ANN001, ANN202
                    words = builder.bitcast(args[0], _WORD.as_pointer())
                    return builder.load(builder.gep(words, [ir.Constant(_WORD, at)]))

                array = make_array(kind)(context, builder)
                item_bytes = context.get_abi_sizeof(context.get_data_type(dtype))
                stride = context.get_constant(types.intp, item_bytes)
                populate_array(
                    array,
                    data=builder.inttoptr(word(place), array.data.type),
                    shape=[word(place + 1) if size is None else ir.Constant(_WORD, size)],
                    strides=[stride],
                    itemsize=stride,
                    meminfo=None,
                )
                return array._getvalue()  # noqa: SLF001 - as Numba's own arrays are made

            return kind(frame), codegen

        return view

    _NAMES = {
        "ticks_of": _viewer(from_dtype(TICK), 0),
        "market_of": _viewer(from_dtype(MARKET), 2),
        "legs_of": _viewer(types.int64, 4),
        "params_of": _viewer(types.int64, 6, PARAM_WORDS),
        "state_of": _viewer(types.int64, 7),
        "out_of": _viewer(types.int64, 9, OUT_WORDS),
    }

    class Entry(NamedTuple):
        """Machine code, which lives as long as this, and where it begins."""

        code: Any
        address: int

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
        checked = getattr(function, "is_checked", True)
        names = {
            **_NAMES,
            "function": njit(forceinline=True, nogil=True, boundscheck=checked, **_OPTIONS)(
                function
            ),
            "__name__": function.__module__,
        }
        # A global and no closure: over a dispatcher, that would never be found in the cache.
        source = compile(_ENTRY_SOURCE.format(name=name), function.__code__.co_filename, "exec")
        exec(source, names)  # noqa: S102 - the text above
        code = cfunc(_ENTRY, nopython=True, cache=True, **_OPTIONS)(names[name])
        own_name = code.native_name.removeprefix("cfunc.")
        address = code._library.get_pointer_to_function(own_name)  # noqa: SLF001 - the only way
        _kept[function] = Entry(code, address)
        return _kept[function]

    def make_places(entries):  # noqa: ANN001, ANN201
        """Addresses, i64[len(entries)]."""
        places = allocate_places(len(entries))
        places[:] = [entry.address for entry in entries]
        return places

    def allocate_places(count):  # noqa: ANN001, ANN201
        """Addresses, i64[count], none of them set yet."""
        return zeros(count)

    @intrinsic
    def call_place(typingctx, places, place, ticks, slot, market, arrays, at):  # noqa: ANN001, ANN201
        """The result of the function in places[place]. What it gets of the arrays is pointed to:
        slices would cost a look at each end.
        """

        def codegen(context, builder, signature, args):  # noqa: ANN001, ANN202
            def array(place):  # noqa: ANN001, ANN202
                return make_array(signature.args[place])(context, builder, args[place])

            def pointer(made, offset=None):  # noqa: ANN001, ANN202
                data = made.data if offset is None else builder.gep(made.data, [offset])
                return builder.ptrtoint(data, _WORD)

            legs, params, state, out = (
                make_array(kind)(context, builder, builder.extract_value(args[5], i))
                for i, kind in enumerate(signature.args[5])
            )
            first, count, row, begin, words = (
                builder.extract_value(args[6], i) for i in range(len(signature.args[6]))
            )
            own_params = builder.mul(row, ir.Constant(row.type, PARAM_WORDS))
            given = [
                *(pointer(array(2)), array(2).nitems),
                *(pointer(array(4)), array(4).nitems),
                *(pointer(legs, first), count),
                *(pointer(params, own_params), pointer(state, begin), words, pointer(out)),
            ]
            frame = alloca_once(builder, ir.ArrayType(_WORD, _FRAME_WORDS))
            for i, word in enumerate(given):
                at = [ir.Constant(_WORD, 0), ir.Constant(_WORD, i)]
                builder.store(word, builder.gep(frame, at))
            answer = alloca_once(builder, _WORD)
            error = alloca_once(builder, _POINTER)
            address = builder.load(builder.gep(array(0).data, [args[1]]))
            entry = builder.inttoptr(address, _ENTRY_TYPE.as_pointer())
            told = [builder.bitcast(each, _POINTER) for each in (answer, error, frame)]
            status = builder.call(entry, [*told, args[3]])
            is_well = builder.icmp_signed("==", status, ir.Constant(status.type, 0))
            return builder.select(is_well, builder.load(answer), ir.Constant(_WORD, FAULT))

        return types.int64(places, types.intp, ticks, types.int64, market, arrays, at), codegen
