"""Pattern definitions interpreted row by row: expressions by a walk over their tree with integers
of any size, sequences by every run there is.
"""

import ast
from collections.abc import Mapping, Sequence
from typing import Any

from feedhandler.core.events import Kind

LIMIT = 2**62 - 1
CONSTANTS = {"BUY": 1, "SELL": -1, **{kind.name: int(kind) for kind in Kind}}
Row = Mapping[str, int]


def cut(value: int) -> int:
    return max(-LIMIT, min(LIMIT, value))


class SlowDefinition:
    """One definition over its legs; `see` answers as the slow patterns do."""

    def __init__(self, given: Any, legs: Sequence[int]) -> None:
        self.given = given
        self.legs = dict(zip(given.legs, legs, strict=True))
        self.runs: list[tuple[int, int]] = []
        self.since: int | None = None
        self.told = False

    def value(self, text: str, tick: Row, rows: Mapping[int, Row]) -> Any:
        self.tick, self.rows = tick, rows
        return self.of(ast.parse(" ".join(text.split()), mode="eval").body)

    def of(self, node: Any) -> Any:
        """Value of a number, truth of a condition."""
        how = getattr(self, f"of_{type(node).__name__.lower()}")
        return how(node)

    def of_constant(self, node: Any) -> Any:
        return node.value

    def of_name(self, node: Any) -> Any:
        return self.named(node.id)

    def of_attribute(self, node: Any) -> Any:
        owner = node.value.id
        return (self.tick if owner == "tick" else self.rows[self.legs[owner]])[node.attr]

    def of_call(self, node: Any) -> Any:
        name = node.func.id
        if name == "on":
            return self.tick["instrument"] == self.legs[node.args[0].id]
        numbers = [self.of(each) for each in node.args]
        return abs(cut(*numbers)) if name == "abs" else {"min": min, "max": max}[name](numbers)

    def of_unaryop(self, node: Any) -> Any:
        operand = self.of(node.operand)
        return not operand if isinstance(node.op, ast.Not) else cut(-cut(operand))

    def of_boolop(self, node: Any) -> Any:
        values = [self.of(each) for each in node.values]
        return all(values) if isinstance(node.op, ast.And) else any(values)

    def of_binop(self, node: Any) -> Any:
        return self.computed(type(node.op), self.of(node.left), self.of(node.right))

    def of_compare(self, node: Any) -> Any:
        numbers = [self.of(node.left), *map(self.of, node.comparators)]
        pairs = zip(node.ops, numbers, numbers[1:], strict=False)
        return all(self.compared(type(op), one, other) for op, one, other in pairs)

    def named(self, name: str) -> int:
        if name in self.given.params:
            return self.given.params[name]
        if name in CONSTANTS:
            return CONSTANTS[name]
        first = self.rows[self.legs[self.given.legs[0]]]
        return first[name] if name in first else self.tick[name]

    @staticmethod
    def computed(op: type, left: int, right: int) -> int:
        if op is ast.BitAnd:
            return left & right
        left, right = cut(left), cut(right)
        if op in {ast.FloorDiv, ast.Mod} and right == 0:
            return 0
        results = {
            ast.Add: lambda: left + right,
            ast.Sub: lambda: left - right,
            ast.Mult: lambda: left * right,
            ast.FloorDiv: lambda: left // right,
            ast.Mod: lambda: left % right,
        }
        return cut(results[op]())

    @staticmethod
    def compared(op: type, one: int, other: int) -> bool:
        return {
            ast.Lt: one < other,
            ast.LtE: one <= other,
            ast.Gt: one > other,
            ast.GtE: one >= other,
            ast.Eq: one == other,
            ast.NotEq: one != other,
        }[op]

    def see(self, tick: Row, rows: Mapping[int, Row]) -> Any:
        if tick["seq"] < rows[tick["instrument"]]["seq"]:
            return None
        mine = [rows[leg] for leg in self.legs.values()]
        now = tick["ts_exch_ns"]
        times = [seconds(text) * 10**9 for text in self.given.between] or [0, 2**63]
        usable = all(row["seq"] and not row["flags"] for row in mine)
        if not usable or not times[0] <= now < times[1]:
            self.runs, self.since, self.told = [], None, False
            return None
        if self.given.sequence:
            return self.follow(now, tick, rows)
        if not self.value(self.given.when, tick, rows):
            self.since, self.told = None, False
            return None
        if self.since is None:
            self.since = now
        if self.told or now - self.since < self.given.for_ms * 10**6:
            return None
        found = self.order(tick, rows)
        self.told = found is not None
        return found

    def follow(self, now: int, tick: Row, rows: Mapping[int, Row]) -> Any:
        if self.given.unless and self.value(self.given.unless, tick, rows):
            self.runs = []
            return None
        within = self.given.within_ms * 10**6
        holds = [self.value(step.split(":", 1)[1], tick, rows) for step in self.given.sequence]
        live = [run for run in self.runs if now - run[1] <= within]
        further = [(done + 1, start) for done, start in live if holds[done]]
        if any(done == len(holds) for done, _ in further):
            self.runs = []
            return self.order(tick, rows)
        begun = [(1, now)] if holds[0] else []
        # What is dead on this tick may live on one that bears an earlier stamp.
        self.runs = list(dict.fromkeys([*self.runs, *further, *begun]))
        return None

    def order(self, tick: Row, rows: Mapping[int, Row]) -> Any:
        def number(given: int | str) -> int:
            return given if isinstance(given, int) else self.value(given, tick, rows)

        row = rows[self.legs[self.given.legs[0]]]
        side = {"buy": 1, "sell": -1}.get(self.given.side)
        if side is None:
            direction = number(self.given.side)
            side = (direction > 0) - (direction < 0)
        touch = ("ask_price_e9", "ask_qty") if side > 0 else ("bid_price_e9", "bid_qty")
        if side == 0 or row[touch[1]] <= 0:
            return None
        price = number(self.given.price) if self.given.price else row[touch[0]]
        values = [*map(number, self.given.values), 0, 0, 0][:3]
        sure = min(max(number(self.given.confidence_bps), 0), 10_000)
        return side, price, max(number(self.given.qty), 0), tuple(values), sure


def seconds(text: str) -> int:
    hours, minutes, rest = map(int, text.split(":"))
    return (hours * 60 + minutes) * 60 + rest
