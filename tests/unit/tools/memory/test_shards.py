"""`feedhandler memory --shards`: each shard of a replay with its blocks."""

import json
from pathlib import Path

import pytest

from feedhandler.server.config import ServerConfig
from feedhandler.server.configfile import load_config
from feedhandler.server.errors import UserError
from feedhandler.server.memory import blocks
from tools.memory.command import memory
from tools.replay.player import Player

EXAMPLE = Path(__file__).resolve().parents[4] / "examples" / "server.toml"


def test_every_shard_is_shown_with_what_it_takes(capsys: pytest.CaptureFixture[str]):
    assert memory(config=EXAMPLE, shards=2, as_json=True) == 0
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    one = Player(load_config(EXAMPLE, ServerConfig), shards=2)
    sizes = [array.nbytes for owner in (one.shard, one.rx) for _name, array in blocks(owner)]
    assert found["shard_0_bytes"] == found["shard_1_bytes"] == sum(sizes)
    assert found["taken_at_start_bytes"] == 2 * sum(sizes)
    assert {row["part"] for row in found["blocks"]} == {"shard 0", "shard 1"}


def test_people_get_a_section_for_each(capsys: pytest.CaptureFixture[str]):
    assert memory(config=EXAMPLE, shards=1) == 0
    assert "shard 0: " in capsys.readouterr().out


@pytest.mark.parametrize("shards", [0, 65])
def test_a_number_of_shards_that_is_none_is_refused(shards: int):
    with pytest.raises(UserError, match="from 1 to 64"):
        memory(config=EXAMPLE, shards=shards)
