"""The expressions of pattern definitions: read by Python's own parser, checked against a small
grammar, and written out as Python source of the same meaning. Nothing of a user's is ever run here.

    condition   comparison, `not` c, c `and` c, c `or` c, (c), on(leg)
    comparison  number (< <= > >= == != number)+          chains as in Python
    number      integer, name, leg.field, tick.field, - n, n + n, n - n, n * n, n // n, n % n,
                n & n, abs(n), min(n, n, ...), max(n, n, ...)
    name        a parameter of the definition, a constant (BUY, SELL, a kind such as EXECUTE), or a
                field: of the first leg's row, or else of the tick
"""

import ast
import difflib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NoReturn

from feedhandler.core.events import TICK, Kind
from feedhandler.core.guards import LIMIT
from feedhandler.core.market import MARKET
from feedhandler.server.errors import ConfigError

MARKET_FIELDS = tuple(name for name in MARKET.names or () if name != "epoch")
"""Fields of a row; `epoch` is the engine's own."""
TICK_FIELDS: tuple[str, ...] = TICK.names or ()
CONSTANTS: Mapping[str, int] = {
    "BUY": 1,
    "SELL": -1,
    **{kind.name: int(kind) for kind in Kind if kind},
}
FUNCTIONS = ("abs", "max", "min", "on")
TICK_NAME = "tick"

_TEXT_MAX = 2_000
_NODES_MAX = 400
_DEPTH_MAX = 40
_ARGUMENTS_MAX = 8
_NOT_ALLOWED = re.compile(r"[^A-Za-z0-9_ \t\n.,()<>=!+\-*/%&]")
_COMPARISONS: Mapping[type[ast.cmpop], str] = {
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
    ast.Eq: "==",
    ast.NotEq: "!=",
}
_ARITHMETIC: Mapping[type[ast.operator], str] = {
    ast.Add: "plus_nb({}, {})",
    ast.Sub: "minus_nb({}, {})",
    ast.Mult: "times_nb({}, {})",
    ast.FloorDiv: "over_nb({}, {})",
    ast.Mod: "rest_nb({}, {})",
    ast.BitAnd: "({} & {})",
}
_HINTS: Mapping[type[ast.AST], str] = {
    ast.Div: "/ makes fractions: write //",
    ast.Pow: "** is not possible: write a product",
    ast.LShift: "<< is not possible: write * with a power of two",
    ast.RShift: ">> is not possible: write // with a power of two",
    ast.IfExp: "if ... else is not possible: write two definitions, or min and max",
    ast.Tuple: "a comma has no meaning here",
    ast.Is: "is has no meaning for numbers: write ==",
    ast.IsNot: "is not has no meaning for numbers: write !=",
    ast.In: "in is not possible: write a chain of comparisons",
    ast.NotIn: "not in is not possible: write a chain of comparisons",
    ast.Lambda: "a function cannot be made here",
    ast.keyword: "a function takes no named arguments",
    ast.Starred: "* unpacks nothing here",
}


@dataclass(frozen=True, slots=True)
class Names:
    """What an expression may name: legs and parameters, in their order."""

    legs: tuple[str, ...]
    params: tuple[str, ...] = ()

    def known(self) -> list[str]:
        """Every name that may stand alone."""
        return [*self.params, *MARKET_FIELDS, *TICK_FIELDS, *CONSTANTS]


@dataclass(slots=True)
class Expression:
    """An expression read and checked; `key` is where it stands in the definition."""

    where: str
    key: str
    text: str
    names: Names
    shift: int = 0
    """Characters of the key's text before it."""
    count: int = field(default=0, init=False)

    def condition(self) -> str:
        """Python source of what must be a condition. Raises ConfigError."""
        return self._condition(self._parse(), 0)

    def number(self) -> str:
        """Python source of what must be a number. Raises ConfigError."""
        return self._number(self._parse(), 0)

    def _parse(self) -> ast.expr:
        if len(self.text) > _TEXT_MAX:
            raise ConfigError(f"{self.where}: {self.key}: longer than {_TEXT_MAX} characters")
        wrong = _NOT_ALLOWED.search(self.text)
        if wrong:
            raise self._fault(wrong.start(), f"{wrong[0]!r} has no meaning in an expression")
        # One line of the same length: where something stands is then its column.
        line = re.sub(r"\s", " ", self.text)
        start = len(line) - len(line.lstrip())
        self.shift += start
        text = line[start:].rstrip()
        if not text:
            raise self._fault(0, "nothing is there")
        try:
            return ast.parse(text, mode="eval").body
        except SyntaxError as error:
            # Of what ends too soon the parser names no place.
            at = error.offset - 1 if error.offset else len(text)
            raise self._fault(at, f"not an expression: {error.msg}") from None
        except (ValueError, MemoryError, RecursionError):
            raise ConfigError(
                f"{self.where}: {self.key}: nested too deeply, or a number too long"
            ) from None

    def _fault(self, at: int, reason: str) -> ConfigError:
        column = at + 1 + self.shift
        return ConfigError(f"{self.where}: {self.key}: column {column}: {reason}")

    def _unknown(self, at: int, what: str, name: str, known: Iterable[str]) -> ConfigError:
        choices = list(dict.fromkeys(known))
        close = difflib.get_close_matches(name, choices, n=1)
        hint = f", did you mean {close[0]!r}?" if close else "."
        return self._fault(at, f"no {what} {name!r}{hint} Known: {', '.join(choices)}")

    def _enter(self, node: ast.expr, depth: int) -> None:
        """Keep an expression within its bounds: a kernel has a budget."""
        self.count += 1
        if self.count > _NODES_MAX or depth > _DEPTH_MAX:
            raise self._fault(node.col_offset, "too long: split the definition")

    def _meaningless(self, node: ast.expr, kind: ast.AST | None = None) -> ConfigError:
        hint = _HINTS.get(type(kind or node), "this has no meaning in an expression")
        return self._fault(node.col_offset, hint)

    def _condition(self, node: ast.expr, depth: int) -> str:
        self._enter(node, depth)
        if isinstance(node, ast.BoolOp):
            word = " and " if isinstance(node.op, ast.And) else " or "
            return f"({word.join(self._condition(each, depth + 1) for each in node.values)})"
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            return f"(not {self._condition(node.operand, depth + 1)})"
        if isinstance(node, ast.Compare):
            return self._comparison(node, depth)
        if isinstance(node, ast.Call) and self._function(node) == "on":
            return self._on(node)
        self._number(node, depth)
        reason = "a number where a condition belongs: compare it, as in x > 0"
        raise self._fault(node.col_offset, reason)

    def _comparison(self, node: ast.Compare, depth: int) -> str:
        operands = [node.left, *node.comparators]
        for operand, operator in zip(operands[1:], node.ops, strict=True):
            if type(operator) not in _COMPARISONS:
                raise self._meaningless(operand, operator)
        numbers = [self._number(each, depth + 1) for each in operands]
        signs = [_COMPARISONS[type(each)] for each in node.ops]
        pairs = zip(numbers, signs, numbers[1:], strict=False)
        return f"({' and '.join(f'{left} {sign} {right}' for left, sign, right in pairs)})"

    def _number(self, node: ast.expr, depth: int) -> str:
        self._enter(node, depth)
        if isinstance(node, ast.Constant):
            return self._integer(node)
        if isinstance(node, ast.Name):
            return self._name(node)
        if isinstance(node, ast.Attribute):
            return self._field(node)
        if isinstance(node, ast.Call):
            return self._call(node, depth)
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
            operand = self._number(node.operand, depth + 1)
            return operand if isinstance(node.op, ast.UAdd) else f"minus_nb(0, {operand})"
        if isinstance(node, ast.BinOp):
            form = _ARITHMETIC.get(type(node.op))
            if form is None:
                raise self._meaningless(node.right, node.op)
            return form.format(
                self._number(node.left, depth + 1), self._number(node.right, depth + 1)
            )
        if isinstance(node, ast.Compare | ast.BoolOp | ast.UnaryOp):
            raise self._fault(node.col_offset, "a condition where a number belongs")
        raise self._meaningless(node)

    def _integer(self, node: ast.Constant) -> str:
        if type(node.value) is not int:
            raise self._fault(
                node.col_offset, f"{node.value!r} is no integer; scale it, as fields are"
            )
        if node.value > LIMIT:
            raise self._fault(node.col_offset, f"{node.value} is above {LIMIT}")
        return str(node.value)

    def _name(self, node: ast.Name) -> str:
        name = node.id
        if name in self.names.params:
            return f"params[{self.names.params.index(name)}]"
        if name in CONSTANTS:
            return str(CONSTANTS[name])
        if name in MARKET_FIELDS:
            return f'np.int64(leg_0["{name}"])'
        if name in TICK_FIELDS:
            return f'np.int64(tick["{name}"])'
        if name in (*self.names.legs, TICK_NAME):
            raise self._fault(node.col_offset, f"name a field of {name!r}, as in {name}.bid_qty")
        raise self._unknown(node.col_offset, "field or parameter", name, self.names.known())

    def _field(self, node: ast.Attribute) -> str:
        if not isinstance(node.value, ast.Name):
            raise self._fault(node.col_offset, "only a leg or tick has fields")
        owner, name = node.value.id, node.attr
        if owner not in (*self.names.legs, TICK_NAME):
            raise self._unknown(node.col_offset, "leg", owner, (*self.names.legs, TICK_NAME))
        fields = TICK_FIELDS if owner == TICK_NAME else MARKET_FIELDS
        if name not in fields:
            at = node.col_offset + len(owner) + 1
            raise self._unknown(at, f"field of {owner}", name, fields)
        row = "tick" if owner == TICK_NAME else f"leg_{self.names.legs.index(owner)}"
        return f'np.int64({row}["{name}"])'

    def _function(self, node: ast.Call) -> str:
        if not isinstance(node.func, ast.Name) or node.func.id not in FUNCTIONS:
            name = node.func.id if isinstance(node.func, ast.Name) else "this"
            raise self._unknown(node.col_offset, "function", name, FUNCTIONS)
        if node.keywords:
            raise self._meaningless(node, node.keywords[0])
        return node.func.id

    def _on(self, node: ast.Call) -> str:
        """Whether the tick is of a leg."""
        if len(node.args) != 1 or not isinstance(node.args[0], ast.Name):
            raise self._fault(node.col_offset, "on() takes a leg, as in on(a)")
        name = node.args[0].id
        if name not in self.names.legs:
            raise self._unknown(node.args[0].col_offset, "leg", name, self.names.legs)
        return f'(np.int64(tick["instrument"]) == legs[{self.names.legs.index(name)}])'

    def _call(self, node: ast.Call, depth: int) -> str:
        name = self._function(node)
        if name == "on":
            raise self._fault(node.col_offset, "a condition where a number belongs")
        least, most = (1, 1) if name == "abs" else (2, _ARGUMENTS_MAX)
        if not least <= len(node.args) <= most:
            expected = "one number" if name == "abs" else f"2 to {most} numbers"
            raise self._fault(node.col_offset, f"{name}() takes {expected}, not {len(node.args)}")
        numbers = [self._number(each, depth + 1) for each in node.args]
        if name == "abs":
            return f"magnitude_nb({numbers[0]})"
        return _nested(name, numbers)


def _nested(name: str, numbers: Sequence[str]) -> str:
    """min or max of several as calls with two."""
    source = f"np.int64({numbers[0]})"
    for number in numbers[1:]:
        source = f"{name}({source}, np.int64({number}))"
    return source


def check_names(names: Names, refuse: Callable[[str], NoReturn]) -> None:
    """Refuse legs and parameters whose names mean something else, or are none."""
    taken = {TICK_NAME, *FUNCTIONS, *CONSTANTS, *MARKET_FIELDS, *TICK_FIELDS}
    for title, chosen in (("legs", names.legs), ("params", names.params)):
        for name in chosen:
            if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or name in {"and", "or", "not", "in"}:
                refuse(f"{title}: {name!r} is no name: lower-case letters, digits and _")
            if name in taken:
                refuse(f"{title}: {name!r} already means something else; choose another name")
            taken.add(name)
