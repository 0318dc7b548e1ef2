"""mypy plugin: NumPy's signed integers and `int` stand for one another.

Kernels compute with both, and Numba sees one 64-bit integer in either. Without this, every element
of an integer array would need `int(...)` around it, which is a call in the interpreted run and
noise in the source. Floats and unsigned integers stay apart. mypy treats its own machine integers
(`i64`) in the same way, through the same attributes.
"""

from collections.abc import Callable

from mypy.plugin import ClassDefContext, Plugin
from mypy.types import AnyType, Instance, TypeOfAny

_SIGNED = "numpy.signedinteger"


def _promote(context: ClassDefContext) -> None:
    """Accept the class where an `int` is expected, and an `int` where the class is.

    mypy adds the second direction itself when it loads the class from its cache; adding it here
    makes a first run and a later one say the same.
    """
    signed = context.cls.info
    integer = context.api.named_type("builtins.int")
    signed.alt_promote = integer
    arguments = [AnyType(TypeOfAny.special_form) for _ in signed.type_vars]
    integer.type._promote.append(Instance(signed, arguments))  # noqa: SLF001 - no public way in


class IntegerPlugin(Plugin):
    """Hooks into the definition of NumPy's signed integers and nothing else."""

    def get_customize_class_mro_hook(
        self, fullname: str
    ) -> Callable[[ClassDefContext], None] | None:
        """The hook for `fullname`, or None for every other class."""
        return _promote if fullname == _SIGNED else None


def plugin(_version: str) -> type[Plugin]:
    """Entry point that mypy asks for; the plugin needs nothing that differs between versions."""
    return IntegerPlugin
