"""Signals of one tape by every number of shards, on one thread each or two, compiled and by the
interpreter, each in a process of its own.
"""

import hashlib
from pathlib import Path

import pytest

from tests.programs import run_program
from tests.unit.tools.replay.seeing import CONFIG, SYMBOLS
from tools.exchange.generate import generate_file
from tools.exchange.layout import FlowSettings

pytestmark = [pytest.mark.compiled_only, pytest.mark.timeout(600)]

SHARDS = (1, 2, 4)
TOPOLOGIES = ("inline", "pipelined")


def test_every_way_writes_the_same_signals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    tape, config = tmp_path / "day.bin", tmp_path / "server.toml"
    settings = FlowSettings(11, len(SYMBOLS), messages=1_200, orders_per_symbol=20)
    generate_file(settings, tape)
    config.write_text(CONFIG)
    found = {}
    for is_interpreted in (False, True):
        if is_interpreted:
            monkeypatch.setenv("NUMBA_DISABLE_JIT", "1")
        for shards in SHARDS:
            for topology in TOPOLOGIES:
                out = tmp_path / "signals.csv"
                how = ("--shards", shards, "--topology", topology, "--signals", out)
                done = run_program("feedhandler.server", "replay", tape, "--config", config, *how)
                assert done.returncode == 0, done.stderr
                text = out.read_bytes()
                assert text.count(b"\n") > 300
                digest = hashlib.sha256(text).hexdigest()
                found[is_interpreted, shards, topology] = digest, done.stdout.split()
    assert len({digest for digest, _ in found.values()}) == 1, found
