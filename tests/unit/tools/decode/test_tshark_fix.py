"""FIX in captures as tshark reads it: every message of every version, field by field."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from protocols.fix.dictionary.formats import DATA_TYPES
from protocols.fix.dictionary.load import load_dictionary
from protocols.fix.message import Identity, encode, join_fields
from protocols.pcap.frames import TcpConversation
from tests.reference.fix_messages import MessageMaker, Part
from tests.unit.protocols.pcap.support import CLIENT, CLIENT6, SERVER, SERVER6, save
from tests.unit.tools.decode.support import call, dialogue, muddle

Fields = list[tuple[int, bytes]]
"""Tags and values in the order of the wire."""
Read = Callable[[Path], list[tuple[list[str], Fields]]]

NAMED = load_dictionary("FIX.4.4").fields
"""tshark has one name a tag, that of FIX 4.4; some were others before, and later ones it lacks."""


@pytest.fixture
def tshark(debian_program: Callable[[str, str], str]) -> Read:
    """Names and fields of every message, whose checksum tshark found to be right."""
    program = debian_program("tshark", "tshark")

    def read(path: Path) -> list[tuple[list[str], Fields]]:
        command = [program, "-n", "-r", str(path), "-T", "pdml"]
        command += ["-d", f"tcp.port=={SERVER.port},fix"]
        command += ["-o", "tcp.reassemble_out_of_order:TRUE"]
        output = subprocess.run(command, capture_output=True, check=True, timeout=120)
        document = ET.fromstring(output.stdout)
        assert not document.findall(".//proto[@name='_ws.malformed']")
        protocols = document.iterfind("packet/proto[@name='fix']")
        return [message_of(protocol) for protocol in protocols if len(protocol)]

    return read


def message_of(protocol: ET.Element) -> tuple[list[str], Fields]:
    (good,) = protocol.findall("field/field[@name='fix.checksum_good']")
    assert good.get("show") == "1"
    fields: Fields = []
    for field in protocol.findall("field"):
        tag, _, value = bytes.fromhex(field.get("value", "")).partition(b"=")
        assert value.endswith(b"\x01")
        fields.append((int(tag), value[:-1]))
    return [field.get("name", "").removeprefix("fix.") for field in protocol], fields


def is_plain(part: Part, maker: MessageMaker) -> bool:
    """Whether a field is one of the body that tshark reads: it takes every separator for an end."""
    if part.section != "body" or part.definition.type in DATA_TYPES:
        return False
    return part.tag not in maker.home(b"D").data_tag_of_length


def messages_of(session: str, application: str, chance: Random) -> list[tuple[Fields, bytes]]:
    """A message of every type, some of them large, as fields and as our encoder writes them."""
    maker = MessageMaker(load_dictionary(session), load_dictionary(application), chance)
    identity = Identity("SENDER", "TARGET", session.encode(), sender_sub_id="desk")
    messages = []
    for seq, msg_type in enumerate(maker.types(), 1):
        parts = maker.make(msg_type, chance.choice((0, 0.1, 0.3)))
        body = [(part.tag, part.value) for part in parts if is_plain(part, maker)]
        time = b"20240102-03:04:05.%03d" % seq
        wire = encode(identity, msg_type, seq, time, join_fields(body))
        begin = [(35, msg_type), (34, b"%d" % seq), (49, b"SENDER"), (56, b"TARGET")]
        begin += [(52, time), (50, b"desk"), *body]
        sized = [(8, session.encode()), (9, b"%d" % len(join_fields(begin))), *begin]
        messages.append(([*sized, (10, wire[-4:-1])], wire))
    return messages


def flat(shown: dict[str, Any]) -> list[tuple[str, Any]]:
    """Names and values of an object of decode in the order of the wire; of a group its count."""
    fields: list[tuple[str, Any]] = []
    for name, value in shown.items():
        if not isinstance(value, list):
            fields.append((name, value))
        elif all(isinstance(item, dict) for item in value):
            fields.append((name, len(value)))
            fields += [field for entry in value for field in flat(entry)]
    return fields


@pytest.mark.parametrize(
    ("session", "application"),
    [("FIX.4.2", "FIX.4.2"), ("FIX.4.4", "FIX.4.4"), ("FIXT.1.1", "FIX.5.0SP2")],
)
@pytest.mark.parametrize("name", ["a.pcap", "a.pcapng.gz"])
def test_every_message_says_to_tshark_what_it_says_to_us(
    tshark: Read,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    name: str,
    session: str,
    application: str,
):
    chance = Random(name)
    client, server = (CLIENT, SERVER) if name == "a.pcap" else (CLIENT6, SERVER6)
    said = {side: messages_of(session, application, chance) for side in (client, server)}
    talk = TcpConversation(client, server)
    begin = talk.open()
    streams = {side: b"".join(wire for _, wire in messages) for side, messages in said.items()}
    segments = muddle(chance, dialogue(chance, talk, streams, 700))
    path = save(tmp_path / name, [*begin, *segments, talk.close(client), talk.close(server)])

    assert call([path, "--json"]) == 0
    printed = capsys.readouterr()
    rows = [json.loads(line) for line in printed.out.splitlines()]
    count = len(said[client])
    assert printed.err == f"messages {2 * count}, shown {2 * count}\n"

    theirs = tshark(path)
    sent = [fields for messages in said.values() for fields, _ in messages]
    assert sorted(fields for _, fields in theirs) == sorted(sent)
    assert {row["flow"] for row in rows} == {f"{client}>{server}#0", f"{server}>{client}#0"}
    for side, messages in said.items():
        ours = [row for row in rows if row["flow"].startswith(f"{side}>")]
        for row, (fields, _) in zip(ours, messages, strict=True):
            names = next(names for names, found in theirs if found == fields)
            shown = flat({key: row[key] for key in list(row)[5:]})
            for (our_name, value), their_name, (tag, raw) in zip(shown, names, fields, strict=True):
                text = raw.decode("latin-1")
                assert value in (text, int(text) if isinstance(value, int) else text), tag
                if tag in NAMED and NAMED[tag].name == our_name:
                    assert their_name == our_name
