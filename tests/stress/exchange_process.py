"""The exchange as a process of its own, as `exchange run` starts it."""

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.end_to_end.support import wait_for
from tools.demo.processes import read_json

START_S = 600
"""With kernels to compile it takes minutes."""
STOP_S = 60


class ExchangeProcess:
    """One run; `report` is what it wrote at its end."""

    def __init__(self, folder: Path, tables: Mapping[str, Mapping[str, Any]]) -> None:
        self.report: dict[str, Any] = {}
        self._status, self._report = folder / "status.json", folder / "report.json"
        lines = [f"status_file = {json.dumps(str(self._status))}"]
        lines.append(f"report_file = {json.dumps(str(self._report))}")
        for name, table in tables.items():
            lines.append(f"[{name}]")
            lines += [f"{key} = {json.dumps(value)}" for key, value in table.items()]
        config = folder / "exchange.toml"
        config.write_text("\n".join(lines) + "\n")
        words = ["-m", "tools.exchange", "run", "--config", str(config), "--wait"]
        self._child = subprocess.Popen(
            [sys.executable, *words], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL
        )

    def status(self) -> dict[str, Any]:
        """What it says of itself; nothing at first."""
        return read_json(self._status)

    def wait_for(self, state: str, within_s: float = START_S) -> dict[str, Any]:
        """Its status once it is in `state`."""
        wait_for(f"exchange {state}", lambda: self._is_in(state), within_s)
        return self.status()

    def begin(self) -> None:
        """The first message is due now."""
        assert self._child.stdin is not None
        self._child.stdin.close()

    def stop(self) -> None:
        """Ask it to close the session."""
        self._child.terminate()

    def wait_for_end(self, within_s: float = STOP_S) -> None:
        """Until it has ended by itself, or since it was asked to."""
        assert self._child.wait(within_s) == 0
        self.report = read_json(self._report)

    def kill(self) -> None:
        """End it whatever it does; harmless when it has ended."""
        self._child.kill()
        self._child.wait()
        if self._child.stdin is not None:
            self._child.stdin.close()

    def _is_in(self, state: str) -> bool:
        assert self._child.poll() is None, "the exchange ended by itself"
        return self.status().get("state") == state


@contextlib.contextmanager
def exchange(folder: Path, tables: Mapping[str, Mapping[str, Any]]) -> Iterator[ExchangeProcess]:
    """An exchange that waits until it may `begin`; `tables` is its configuration by section."""
    process = ExchangeProcess(folder, tables)
    try:
        yield process
    finally:
        process.kill()
