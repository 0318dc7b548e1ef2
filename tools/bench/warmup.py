"""What the benchmarks compile at set-up: each runs once on a session of a few messages."""

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from protocols.itch50.spec import BY_TYPE
from protocols.message import Value
from tools.bench.benchmarks import BENCHMARKS
from tools.bench.measure import Run, Workload
from tools.bench.overload import critical_p999
from tools.bench.stages import STAGES

_COMPILED_ELSEWHERE = {
    "book_200",
    "book_8000",
    "book_million",
    "exchange_day",
    "exchange_day_single",
    "exchange_generate",
    "exchange_parts",
    "exchange_producers",
    "replay_file",
}
"""By the exchange and the replay, or by `book_deep`: these need a session of the exchange. A
market's day is compiled when somebody wants one."""
_EVENT: dict[str, Value] = {
    "stock_locate": 0,
    "tracking_number": 0,
    "timestamp": 0,
    "event_code": "O",
}


def steps() -> list[tuple[str, Callable[[], None]]]:
    """(title, function) of each step, for `feedhandler.server.warmup`."""
    ours = [each for each in BENCHMARKS if not each.is_peer]
    fix = [each.prepare for each in ours if each.name.startswith("fix_")]
    others = [
        each.prepare
        for each in ours
        if each.prepare not in (*fix, critical_p999) and each.name not in _COMPILED_ELSEWHERE
    ]
    return [
        ("FIX decoding", lambda: _run_once(fix)),
        ("ITCH decoding and other benchmarks", lambda: _run_once(others)),
    ]


def stage_steps() -> list[tuple[str, Callable[[], None]]]:
    """The same of what shares its kernels with the engine."""
    prepares = [critical_p999, *(stage.prepare for stage in STAGES)]
    return [("stages of a message", lambda: _run_once(prepares))]


def _run_once(prepares: list[Callable[[Workload], Run]]) -> None:
    message = BY_TYPE["S"].encode(_EVENT)
    with TemporaryDirectory() as name:
        folder = Path(name)
        path = folder / "session.bin"
        path.write_bytes(len(message).to_bytes(2, "big") + message)
        workload = Workload(folder, path, messages=1, loops=1)
        for prepare in prepares:
            prepare(workload)()
