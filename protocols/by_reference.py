"""Large tuples of arrays, which kernels pass on as one pointer.

Numba hands a NamedTuple to a function that is not inlined field by field, an array as seven words:
a shard of the engine is some 400 of them, loaded and stored again at each call, and its types are
part of each function's name. A class marked here goes as the address of its fields, which lie in
the frame of the wrapper that Python called; kernels read fields where they are wanted.

Fields of a tuple never change, so a field that was read once is known for good. A kernel can't make
such a tuple, give one back or keep one: the memory is gone when the call from Python returns.
"""

import hashlib
from typing import TYPE_CHECKING, TypeVar

from llvmlite import ir
from numba import typeof, types
from numba.core import cgutils
from numba.core.typing.templates import AttributeTemplate
from numba.extending import (
    NativeValue,
    infer_getattr,
    lower_getattr_generic,
    models,
    register_model,
    typeof_impl,
    unbox,
)

from protocols.kernel_cache import JIT_ENABLED

C = TypeVar("C", bound=type)

if TYPE_CHECKING or not JIT_ENABLED:

    def by_reference(cls: C) -> C:
        """Let kernels get instances of `cls`, a NamedTuple, by their address."""
        return cls

else:  # pragma: no cover - code generators, run by the compiler; compiled tests use the result

    class Reference(types.Type):
        """The type of a tuple of class `cls`, whose fields are of `members`."""

        def __init__(self, cls, members):  # noqa: ANN001, ANN204
            self.cls = cls
            self.members = tuple(members)
            # Names of functions are made of it, several thousand letters each with the members'.
            text = f"{cls.__module__}.{cls.__qualname__}{self.members}"
            digest = hashlib.sha256(text.encode()).hexdigest()[:16]
            super().__init__(f"{cls.__name__}_{digest}")

        @property
        def key(self):  # noqa: ANN201
            """What makes two of these the same type."""
            return self.cls, self.members

        def index(self, name):  # noqa: ANN001, ANN201
            """Place of a field among the members, or None."""
            fields = self.cls._fields
            return fields.index(name) if name in fields else None

        def layout(self, context):  # noqa: ANN001, ANN201
            """The fields as they lie in memory."""
            return ir.LiteralStructType([context.get_value_type(each) for each in self.members])

    @register_model(Reference)
    class _ReferenceModel(models.OpaqueModel):
        """A pointer."""

    @infer_getattr
    class _Fields(AttributeTemplate):
        key = Reference

        def generic_resolve(self, reference, name):  # noqa: ANN001, ANN202
            index = reference.index(name)
            return None if index is None else reference.members[index]

    def _field_pointer(builder, layout, memory, index):  # noqa: ANN001, ANN202
        fields = builder.bitcast(memory, layout.as_pointer())
        return cgutils.gep_inbounds(builder, fields, 0, index)

    def _load(builder, kind, pointer):  # noqa: ANN001, ANN202
        """The value at `pointer`, each word by a load of its own, so that what nobody uses is not
        read, and one that no store can be in the way of.
        """
        if not isinstance(kind, ir.LiteralStructType | ir.ArrayType):
            word = builder.load(pointer)
            word.set_metadata("invariant.load", builder.module.add_metadata([]))
            return word
        value = ir.Constant(kind, ir.Undefined)
        for i, element in enumerate(kind.elements):
            part = _load(builder, element, cgutils.gep_inbounds(builder, pointer, 0, i))
            value = builder.insert_value(value, part, i)
        return value

    @lower_getattr_generic(Reference)
    def _get_field(context, builder, reference, memory, name):  # noqa: ANN001, ANN202
        layout = reference.layout(context)
        index = reference.index(name)
        pointer = _field_pointer(builder, layout, memory, index)
        return _load(builder, layout.elements[index], pointer)

    @unbox(Reference)
    def _unbox(reference, instance, c):  # noqa: ANN001, ANN202
        layout = reference.layout(c.context)
        memory = cgutils.alloca_once(c.builder, layout)
        opaque = c.builder.bitcast(memory, cgutils.voidptr_t)
        failed = cgutils.alloca_once_value(c.builder, cgutils.false_bit)
        for index, member in enumerate(reference.members):
            native = c.unbox(member, c.pyapi.tuple_getitem(instance, index))
            with c.builder.if_then(native.is_error, likely=False):
                c.builder.store(cgutils.true_bit, failed)
            c.builder.store(native.value, _field_pointer(c.builder, layout, opaque, index))
        return NativeValue(opaque, is_error=c.builder.load(failed))

    def by_reference(cls):  # noqa: ANN001, ANN201
        """Let kernels get instances of `cls`, a NamedTuple, by their address."""
        typeof_impl.register(cls)(lambda value, _: Reference(cls, map(typeof, value)))
        return cls
