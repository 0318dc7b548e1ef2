"""Imports that no layer contract can express: libraries that belong to one place only."""

import ast
from collections.abc import Iterator

from tools.check.sources import Finding, Source

_TEST_ONLY = ("dpkt", "hypothesis", "pcapng", "pytest", "tests", "unittest")
_EDGE_ONLY = (
    "cyclopts",
    "prometheus_client",
    "rich",
    "simplefix",
    "structlog",
    "uvloop",
)
_DATA_PLANE = ("protocols/", "feedhandler/core/")


def check_imports(source: Source) -> Iterator[Finding]:
    """Test libraries in shipped code, and libraries of the edge in protocols or engine."""
    if not source.is_shipped:
        return
    for node in ast.walk(ast.parse(source.text, source.path)):
        for module in _modules(node):
            line = getattr(node, "lineno", 1)
            if module in _TEST_ONLY:
                yield Finding(source.path, line, f"import {module}: belongs to the tests")
            elif module in _EDGE_ONLY and source.path.startswith(_DATA_PLANE):
                message = (
                    f"import {module}: belongs to the edge (feedhandler.server, oms_out, tools)"
                )
                yield Finding(source.path, line, message)


def _modules(node: ast.AST) -> list[str]:
    """Top-level names of what an import statement imports."""
    if isinstance(node, ast.Import):
        return [alias.name.split(".")[0] for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.module and not node.level:
        return [node.module.split(".")[0]]
    return []
