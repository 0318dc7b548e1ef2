"""Commands run one after the other, each a line on the terminal."""

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tools.check.sources import ROOT


@dataclass(frozen=True, slots=True)
class Step:
    """One command: what it is called, its words, and what it adds to the environment."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)

    def run_quietly(self) -> bool:
        """Run, print one line, and the output only when it failed; whether it succeeded."""
        started = time.monotonic()
        done = subprocess.run(
            self.command,
            cwd=ROOT,
            check=False,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, **self.environment},
        )
        good = done.returncode == 0
        seconds = time.monotonic() - started
        print(f"{'ok' if good else 'FAILED':<7} {self.name:<10} {seconds:5.1f} s", flush=True)
        if not good:
            print(done.stdout, flush=True)
        return good

    def run_openly(self) -> bool:
        """Run with the output on the terminal as it comes; whether it succeeded."""
        print(f"-- {self.name}", flush=True)
        started = time.monotonic()
        environment = {**os.environ, **self.environment}
        done = subprocess.run(self.command, cwd=ROOT, check=False, env=environment)
        print(f"-- {self.name}: {time.monotonic() - started:.0f} s", flush=True)
        return done.returncode == 0


def module(name: str, *arguments: str) -> list[str]:
    """Words that run a module with this interpreter."""
    return [sys.executable, "-m", name, *arguments]
