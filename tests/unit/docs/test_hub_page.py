"""The page of the hub names everything that there is, and shows commands that are commands."""

import json
import re
from pathlib import Path
from typing import get_args

import pytest

from feedhandler.server.hub_messages import (
    COMMANDS,
    KINDS,
    Answer,
    Code,
    HubError,
    Message,
    Notice,
    What,
    decode_command,
)

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "hub.md").read_text(encoding="utf-8")
SESSION = re.search(r"^```text\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def lines(mark: str) -> list[bytes]:
    """What was sent (`>`) or came (`<`) in the session that the page shows, unfolded."""
    assert SESSION is not None
    unfolded = SESSION[1].replace("\n   ", "")
    return [line[2:].encode() for line in unfolded.splitlines() if line.startswith(mark)]


def test_every_command_code_and_type_has_a_row():
    for name in (*COMMANDS, *Code):
        assert re.search(rf"^\| `{name}` \|", PAGE, re.MULTILINE), name
    types = {kind.__struct_config__.tag for kind in get_args(Message | Notice)}
    assert set(KINDS) < types
    for name in types:
        assert re.search(rf"^\| `{name}` \|", PAGE, re.MULTILINE), name
    for what in get_args(What):
        assert f"`{what}`" in PAGE


def test_every_argument_is_named():
    for name, kind in COMMANDS.items():
        for argument in kind.__struct_fields__:
            assert f"`{argument}`" in PAGE, f"{name}: {argument}"


def test_the_session_is_one():
    sent = [line for line in lines(">") if b'unsubscrib"' not in line]
    assert len(sent) == 4
    for line in sent:
        decode_command(line)
    with pytest.raises(HubError, match="did you mean 'unsubscribe'"):
        decode_command(b'{"cmd":"unsubscrib","id":3,"sub":1}')
    said = [json.loads(line) for line in lines("<")]
    answers = [each for each in said if each["type"] == "answer"]
    assert [each["id"] for each in answers] == [1, 2, 3, 4, 5]
    assert set().union(*answers) == set(Answer.__struct_fields__) | {"type"}
    assert said[-1]["type"] == "end"
