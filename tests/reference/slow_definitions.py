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
        match node:
            case ast.Constant(value=value):
                return value
            case ast.Name(id=name):
                return self.named(name)
            case ast.Attribute(value=ast.Name(id="tick"), attr=name):
                return self.tick[name]
            case ast.Attribute(value=ast.Name(id=leg), attr=name):
                return self.rows[self.legs[leg]][name]
            case ast.Call(func=ast.Name(id="on"), args=[ast.Name(id=leg)]):
                return self.tick["instrument"] == self.legs[leg]
            case ast.Call(func=ast.Name(id="abs"), args=[one]):
                return abs(cut(self.of(one)))
            case ast.Call(func=ast.Name(id=name), args=several):
                return {"min": min, "max": max}[name](self.of(each) for each in several)
            case ast.UnaryOp(op=ast.Not(), operand=one):
                return not self.of(one)
            case ast.UnaryOp(op=ast.USub(), operand=one):
                return cut(-cut(self.of(one)))
            case ast.BoolOp(op=ast.And(), values=several):
                return all([self.of(each) for each in several])
            case ast.BoolOp(op=ast.Or(), values=several):
                return any([self.of(each) for each in several])
            case ast.BinOp(left=left, op=op, right=right):
                return self.computed(type(op), self.of(left), self.of(right))
            case ast.Compare(left=left, ops=ops, comparators=others):
                numbers = [self.of(left), *map(self.of, others)]
                pairs = zip(ops, numbers, numbers[1:], strict=False)
                return all(self.compared(type(op), one, other) for op, one, other in pairs)
        raise ValueError(ast.dump(node))

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
