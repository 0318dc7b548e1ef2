"""How long a file and a function may be; exceptions are listed with their reasons."""

import ast
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from tools.check.sources import Finding, Source

FILE_LINES_MAX = 700
FUNCTION_LINES_MAX = 70
EXCEPTIONS_FILE = Path(__file__).with_name("exceptions.toml")


def load_exceptions(path: Path = EXCEPTIONS_FILE) -> Mapping[str, str]:
    """Reasons by "path" or "path::function"; ValueError when one gives no reason."""
    table: dict[str, str] = tomllib.loads(path.read_text(encoding="utf-8")).get("sizes", {})
    for key, reason in table.items():
        if not reason.strip():
            raise ValueError(f"{path.name}: {key} has no reason; say why it must be that long")
    return table


def check_sizes(sources: Iterable[Source], exceptions: Mapping[str, str]) -> Iterator[Finding]:
    """Files and functions over the limit, and exceptions that nothing needs any more."""
    unused = set(exceptions)
    for source in sources:
        for key, line, message in _oversized(source):
            if key in exceptions:
                unused.discard(key)
            else:
                yield Finding(source.path, line, message)
    for key in sorted(unused):
        yield Finding(EXCEPTIONS_FILE.name, 1, f"{key} is within the limits: remove the exception")


def _oversized(source: Source) -> Iterator[tuple[str, int, str]]:
    lines = source.text.count("\n")
    if lines > FILE_LINES_MAX:
        yield source.path, 1, f"{lines} lines, at most {FILE_LINES_MAX}: split the file"
    for node in ast.walk(ast.parse(source.text, source.path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if length > FUNCTION_LINES_MAX:
                message = f"{node.name}: {length} lines, at most {FUNCTION_LINES_MAX}: split it"
                yield f"{source.path}::{node.name}", node.lineno, message
