"""The command `feedhandler top`: a live table on a terminal, plain text anywhere else."""

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from feedhandler.core.counters import CounterFile, default_counter_path
from feedhandler.server.errors import ExitCode, UserError
from tools.top.render import Sample, render_table, take_sample

PLAIN_WIDTH = 120
MIN_INTERVAL_S = 0.05
MAX_INTERVAL_S = 3_600

app = App(name="top", help="Show the counters of a running server as a live table.")


@app.default
def top(
    counters: Annotated[Path | None, Parameter(name="--counters")] = None,
    *,
    once: bool = False,
    interval: float = 1.0,
) -> None:
    """Show rates, states, losses and latencies of a running server until interrupted.

    Parameters
    ----------
    counters
        The server's counter file; by default that of a server of this user.
    once
        Show one interval and end.
    interval
        Seconds between two samples, from 0.05 to 3,600.
    """
    if not MIN_INTERVAL_S <= interval <= MAX_INTERVAL_S:
        message = f"--interval {interval}: from {MIN_INTERVAL_S} to {MAX_INTERVAL_S} seconds"
        raise UserError(message, ExitCode.USAGE)
    tables = watch(counters or default_counter_path(), interval)
    if not sys.stdout.isatty():
        console = Console(width=PLAIN_WIDTH, color_system=None)
        for table in tables:
            console.print(table)
            if once:
                return
    elif once:
        Console().print(next(tables))
    else:
        with Live(screen=True, auto_refresh=False) as live:
            for table in tables:
                live.update(table, refresh=True)


def watch(path: Path, interval_s: float) -> Iterator[RenderableType]:
    """A table each interval, for ever; follows a server that starts again on the same file."""
    before_file = CounterFile.open(path)
    before: Sample | None = take_sample(before_file, time.time_ns())
    while True:
        time.sleep(interval_s)
        counter_file = CounterFile.open(path)
        if counter_file.start_time_ns != before_file.start_time_ns:
            before = None
        now = take_sample(counter_file, time.time_ns())
        table = render_table(counter_file, now, before)
        if not is_running(counter_file.pid):
            ended = Text(f"process {counter_file.pid} has ended; these are its last figures", "red")
            table = Group(ended, table)
        yield table
        before_file, before = counter_file, now


def is_running(pid: int) -> bool:
    """Whether a process of this number exists, be it another user's."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
