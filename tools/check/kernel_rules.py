"""What a kernel may contain, checked on the syntax tree (`CONTRIBUTING.md`, "Kernels")."""

import ast
from collections.abc import Iterator

from tools.check.sources import Finding, Source

ARGUMENTS_MAX = 8
_DECORATORS = {"kernel", "outline_kernel"}
_COMPILERS = {"cfunc", "guvectorize", "jit", "njit", "stencil", "vectorize"}
# Kernels in the one; functions of users and venues in the other, each to its signature.
_COMPILER_HOMES = {"protocols/jit.py", "feedhandler/core/calls.py"}

_BANNED_NODES: dict[type[ast.AST], str] = {
    ast.Assert: "assert: return a Status instead",
    ast.AsyncFunctionDef: "a coroutine",
    ast.Dict: "a dict: preallocate an array",
    ast.DictComp: "a dict: preallocate an array",
    ast.GeneratorExp: "a generator: write the loop",
    ast.JoinedStr: "an f-string: format outside",
    ast.Lambda: "a lambda: name a kernel",
    ast.List: "a list: preallocate an array",
    ast.ListComp: "a list: preallocate an array",
    ast.Raise: "raise: return a Status instead",
    ast.Set: "a set: preallocate an array",
    ast.SetComp: "a set: preallocate an array",
    ast.Try: "try: kernels raise nothing",
    ast.With: "with: nothing to release in a kernel",
    ast.Yield: "yield: do a bounded amount and return",
}
_BANNED_CALLS = {
    "bytes": "allocates",
    "dict": "allocates",
    "float": "no floats on the hot path",
    "input": "blocks",
    "list": "allocates",
    "open": "is I/O",
    "print": "is I/O",
    "set": "allocates",
    "str": "allocates",
}
_ALLOCATORS = {"arange", "array", "concatenate", "copy", "empty", "full", "ones", "zeros"}
_BANNED_MODULES = {"datetime", "logging", "random", "structlog", "time"}


def check_kernels(source: Source) -> Iterator[Finding]:
    """Findings for the kernels of one module, and for compilers that are used past `kernel`."""
    tree = ast.parse(source.text, source.path)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and _is_kernel(node):
            yield from _check_kernel(source, node)
        elif source.is_shipped and source.path not in _COMPILER_HOMES:
            yield from _check_compiler(source, node)


def _is_kernel(function: ast.FunctionDef) -> bool:
    return any(isinstance(d, ast.Name) and d.id in _DECORATORS for d in function.decorator_list)


def _check_kernel(source: Source, function: ast.FunctionDef) -> Iterator[Finding]:
    where = f"kernel {function.name}"
    if not function.name.endswith("_nb"):
        yield Finding(source.path, function.lineno, f"{where}: the name of a kernel ends in _nb")
    arguments = function.args
    if arguments.vararg or arguments.kwarg or arguments.kwonlyargs:
        yield Finding(source.path, function.lineno, f"{where}: plain positional arguments only")
    count = len(arguments.posonlyargs) + len(arguments.args)
    if count > ARGUMENTS_MAX:
        message = (
            f"{where}: {count} arguments, at most {ARGUMENTS_MAX}; pass a NamedTuple of arrays"
        )
        yield Finding(source.path, function.lineno, message)
    for statement in function.body:
        for node in ast.walk(statement):
            reason = _banned(node)
            if reason:
                line = getattr(node, "lineno", function.lineno)
                yield Finding(source.path, line, f"{where}: {reason}")


def _banned(node: ast.AST) -> str | None:
    """Why `node` has no place in a kernel, or None."""
    if type(node) in _BANNED_NODES:
        return _BANNED_NODES[type(node)]
    if isinstance(node, ast.Call):
        return _banned_call(node.func)
    module, name = _dotted(node)
    if module in _BANNED_MODULES:
        return f"{module}.{name}: no clock, log or chance inside; pass it in"
    return None


def _banned_call(function: ast.expr) -> str | None:
    if isinstance(function, ast.Name) and function.id in _BANNED_CALLS:
        return f"{function.id}(): {_BANNED_CALLS[function.id]}"
    module, name = _dotted(function)
    if module in {"np", "numpy"} and name in _ALLOCATORS:
        return f"np.{name}(): allocates; the caller owns the memory"
    return None


def _dotted(node: ast.AST) -> tuple[str, str]:
    """(module, name) of `module.name`, or two empty strings for anything else."""
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        return node.value.id, node.attr
    return "", ""


def _check_compiler(source: Source, node: ast.AST) -> Iterator[Finding]:
    if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "numba":
        names = [alias.name for alias in node.names if alias.name in _COMPILERS]
    else:
        module, name = _dotted(node)
        names = [name] if module in {"numba", "nb"} and name in _COMPILERS else []
    for name in names:
        message = f"numba.{name}: compile with protocols.jit.kernel, the home of compile flags"
        line = getattr(node, "lineno", 1)
        yield Finding(source.path, line, message)
