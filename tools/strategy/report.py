"""What a strategy test found: as one object, and as tables for a person."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from tools.strategy.planted import Planted
from tools.strategy.play import Cost, Played
from tools.strategy.score import Detection, Score

OPEN_NS, CLOSE_NS = 34_200_000_000_000, 57_600_000_000_000
_HOUR_NS = 3_600_000_000_000
_MS = 1_000_000
_PLAIN_WIDTH = 140
_SHOWN = 20


def clock_text(ts_ns: int) -> str:
    """The time of day of a stamp, to the microsecond."""
    seconds, rest_ns = divmod(ts_ns, 1_000_000_000)
    hours, seconds = divmod(seconds, 3_600)
    return f"{hours:02}:{seconds // 60:02}:{seconds % 60:02}.{rest_ns // 1_000:06}"


def as_object(
    title: str, function: str, played: Played, found: Score | None, cost: Cost | None, looked: int
) -> dict[str, Any]:
    """The object that `--json` prints; `found` None without a truth, `looked` is at how many
    instruments the function looked.
    """
    detections: Sequence[Detection] = found.detections if found else ()
    result: dict[str, Any] = {
        "tape": title,
        "function": function,
        "messages": played.outcome.messages,
        "signals": played.outcome.signals,
        "instruments_looked_at": looked,
        "held_back": played.held_back,
        "switched_off": played.off,
    }
    if found is not None:
        wrong = len(found.of) - found.right
        hours = _market_hours(played.best)
        result |= {
            "detections": len(detections),
            "right": found.right,
            "wrong": wrong,
            "precision": _rounded(found.precision),
            "recall": _rounded(found.recall()),
            "wrong_per_symbol_hour": round(wrong / max(hours * looked, 1e-9), 4),
            "market_hours": round(hours, 3),
            "kinds": [
                _of_kind(found, kind, played.best)
                for kind in dict.fromkeys(each.kind for each in found.planted)
            ],
        }
    if cost is not None:
        fired = played.outcome.signals
        result["cost"] = {
            "calls": cost.calls,
            "ns_per_call": round(cost.call_ns, 2),
            "ns_per_tick": round(cost.tick_ns, 2),
            "fired_share": fired / max(cost.calls, 1),
        }
    return result


def detections_as_objects(found: Score, names: Mapping[int, str]) -> list[dict[str, Any]]:
    """Each detection, with the planted thing that it is of (null: none) and how long after."""
    rows = []
    for each, at in zip(found.detections, found.of, strict=True):
        begin_ns = found.planted[at].begin_ns if at >= 0 else 0
        rows.append(
            {
                "ts_ns": each.ts_ns,
                "seq": each.seq,
                "symbols": [names.get(number, f"#{number}") for number in each.instruments],
                "side": each.side,
                "level": each.level,
                "price_e9": each.price_e9,
                "values": list(each.values),
                "confidence_bps": each.confidence_bps,
                "planted": found.planted[at].kind if at >= 0 else None,
                "delay_ns": each.ts_ns - begin_ns if at >= 0 else None,
            }
        )
    return rows


def missed_as_objects(found: Score, names: Mapping[int, str]) -> list[dict[str, Any]]:
    """Each planted thing that was not found."""
    return [
        {
            "kind": each.kind,
            "ts_ns": each.begin_ns,
            "until_ns": each.end_ns,
            "symbols": [names.get(number, f"#{number}") for number in each.instruments],
            "side": each.side,
        }
        for first, each in zip(found.first, found.planted, strict=True)
        if first < 0
    ]


def _market_hours(best: NDArray[np.void]) -> float:
    """How much of the session the tape has."""
    if not len(best):
        return 0.0
    first, last = int(best["ts_exch_ns"][0]), int(best["ts_exch_ns"][-1])
    return max(min(last, CLOSE_NS) - max(first, OPEN_NS), 0) / _HOUR_NS


def _of_kind(found: Score, kind: str, best: NDArray[np.void]) -> dict[str, Any]:
    there, planted = found.found(kind)
    of_kind = [
        (found.detections[first], each)
        for first, each in zip(found.first, found.planted, strict=True)
        if first >= 0 and each.kind == kind
    ]
    delays_ms = np.array([d.ts_ns - each.begin_ns for d, each in of_kind], np.float64) / _MS
    messages = np.array([d.seq - _first_seq(each, best) for d, each in of_kind], np.float64)
    return {
        "kind": kind,
        "planted": planted,
        "found": there,
        "recall": _rounded(found.recall(kind)),
        "detections": sum(at >= 0 and found.planted[at].kind == kind for at in found.of),
        "delay_ms_median": _quantile(delays_ms, 0.5),
        "delay_ms_p99": _quantile(delays_ms, 0.99),
        "delay_messages_median": _quantile(messages, 0.5),
        "delay_messages_p99": _quantile(messages, 0.99),
    }


def _first_seq(planted: Planted, best: NDArray[np.void]) -> int:
    """Its first message, or the first one at or behind its beginning that changed a best price."""
    if planted.seq or not len(best):
        return planted.seq
    at = int(np.searchsorted(best["ts_exch_ns"], planted.begin_ns))
    return int(best["seq"][min(at, len(best) - 1)])


def _quantile(values: NDArray[np.float64], share: float) -> float | None:
    return round(float(np.quantile(values, share, method="higher")), 3) if len(values) else None


def _rounded(share: float | None) -> float | None:
    return None if share is None else round(share, 4)


def print_report(result: Mapping[str, Any], *, is_terminal: bool) -> None:
    """The same as tables, with some of the detections and what was missed."""
    console = Console() if is_terminal else Console(width=_PLAIN_WIDTH, color_system=None)
    summary = Table("what", "value", title="strategy test", show_header=False)
    for name in ("tape", "function", "messages", "signals", "instruments_looked_at"):
        summary.add_row(name.replace("_", " "), _shown(result[name]))
    for reason, count in result["held_back"].items():
        summary.add_row("held back", f"{count:,}: {reason}")
    if result["switched_off"]:
        summary.add_row("switched off", result["switched_off"])
    for name in ("detections", "right", "wrong", "wrong_per_symbol_hour", "precision", "recall"):
        if name in result:
            summary.add_row(name.replace("_", " "), _shown(result[name]))
    if "cost" in result:
        cost = result["cost"]
        summary.add_row("calls", f"{cost['calls']:,}, of which fired {cost['fired_share']:.2g}")
        summary.add_row("ns a call", f"{cost['ns_per_call']}, an empty function taken off")
        summary.add_row("ns a tick of the tape", f"{cost['ns_per_tick']}")
    console.print(summary)
    if result.get("kinds"):
        console.print(_kinds_table(result["kinds"]))
    if result.get("detected"):
        console.print(_detections_table(result["detected"]))
    if result.get("missed"):
        console.print(_missed_table(result["missed"]))


def _kinds_table(kinds: Sequence[Mapping[str, Any]]) -> Table:
    names = [name.replace("_", " ") for name in kinds[0]]
    table = Table(*names, title="what was planted")
    for each in kinds:
        table.add_row(*(_shown(value) for value in each.values()))
    return table


def _detections_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """The first ones that are wrong, and the first ones."""
    wrong = [each for each in rows if each["planted"] is None][: _SHOWN // 2]
    right = [each for each in rows if each["planted"] is not None][: _SHOWN - len(wrong)]
    shown = sorted(wrong + right, key=lambda each: (each["ts_ns"], each["seq"]))
    title = f"detections: {len(shown)} of {len(rows)}"
    table = Table(
        "time", "message", "symbols", "side or level", "price", "values", "confidence", "of",
        "after ms", title=title,
    )  # fmt: skip
    for each in shown:
        delay = each["delay_ns"]
        table.add_row(
            clock_text(each["ts_ns"]),
            f"{each['seq']:,}",
            " ".join(each["symbols"]),
            {1: "buy", -1: "sell"}.get(each["side"], f"level {each['level']}"),
            f"{each['price_e9'] / 1e9:.4f}",
            " ".join(map(str, each["values"])),
            str(each["confidence_bps"]),
            each["planted"] or "nothing",
            "" if delay is None else f"{delay / _MS:.3f}",
        )
    return table


def _missed_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    shown = rows[:_SHOWN]
    table = Table(
        "kind", "from", "until", "symbols", "side", title=f"missed: {len(shown)} of {len(rows)}"
    )
    for each in shown:
        side = {1: "buy", -1: "sell"}.get(each["side"], "")
        times = (clock_text(each["ts_ns"]), clock_text(each["until_ns"]))
        table.add_row(each["kind"], *times, " ".join(each["symbols"][:8]), side)
    return table


def _shown(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:,.4g}" if isinstance(value, float) else str(value)
