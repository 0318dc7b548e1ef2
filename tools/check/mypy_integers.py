"""mypy plugin: a NumPy signed integer is welcome wherever an `int` is asked for.

Kernels compute with both, and Numba sees one 64-bit integer in either. Without this, every element
of an integer array would need `int(...)` around it, which is a call in the interpreted run and
noise in the source. Only the one direction is opened: a variable that holds `np.int64` still
refuses a plain `int`, and floats and unsigned integers change nothing. mypy does the same for its
own machine integers (`i64`), through the same attribute.
"""

from collections.abc import Callable

from mypy.plugin import ClassDefContext, Plugin

_SIGNED = "numpy.signedinteger"


def _accept_as_int(context: ClassDefContext) -> None:
    """Let values of the class stand where an `int` is expected."""
    context.cls.info.alt_promote = context.api.named_type("builtins.int")


class IntegerPlugin(Plugin):
    """Hooks into the definition of NumPy's signed integers and nothing else."""

    def get_customize_class_mro_hook(
        self, fullname: str
    ) -> Callable[[ClassDefContext], None] | None:
        """The hook for `fullname`, or None for every other class."""
        return _accept_as_int if fullname == _SIGNED else None


def plugin(_version: str) -> type[Plugin]:
    """Entry point that mypy asks for; the plugin needs nothing that differs between versions."""
    return IntegerPlugin
