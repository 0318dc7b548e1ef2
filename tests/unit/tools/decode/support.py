"""What the tests of decode share: samples of every message, framed, and decoders run to the end."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

from cyclopts import CycloptsError

from feedhandler.server.errors import ExitCode, UserError, run_cli
from protocols.fix.framing import checksum
from protocols.pcap.flow import Endpoint
from protocols.pcap.frames import TcpConversation
from protocols.soupbintcp import spec as soup
from tools.decode.command import app
from tools.decode.entries import Decoder, Entry, Incomplete, Row
from tools.decode.render import json_line, text_line

GOLDEN = Path(__file__).parents[3] / "golden"


def call(words: Sequence[object]) -> int:
    """The exit code of `feedhandler decode` with these words."""

    def main() -> Any:
        arguments = [str(word) for word in words]
        try:
            return app(
                arguments, result_action="return_value", exit_on_error=False, print_error=False
            )
        except CycloptsError as error:
            raise UserError(str(error), ExitCode.USAGE) from None

    return run_cli(main)


def samples(name: str, way: str | None = None) -> list[bytes]:
    """The typed messages of a golden file."""
    typed = json.loads((GOLDEN / f"{name}_messages.json").read_text())
    return [bytes.fromhex(item["hex"]) for item in typed if item.get("way") == way]


ITCH = samples("itch50")
OUCH_IN = samples("ouch42", "inbound")
OUCH_OUT = samples("ouch42", "outbound")


class Outcome(NamedTuple):
    """What a decoder found, as (seq, offset, raw) and rows."""

    entries: list[tuple[int | None, int, bytes]]
    rows: list[Row]
    counts: Counter[str]
    incomplete: Incomplete | None


def run(decoder: Decoder, pieces: Iterable[bytes]) -> Outcome:
    """Feed all pieces; every message is read and shown both ways, which must not fail."""
    entries: list[Entry] = []
    for piece in pieces:
        entries += decoder.feed(piece)
    last, incomplete = decoder.finish()
    entries += last
    rows = [entry.reader.read(entry.raw) for entry in entries]
    for entry, row in zip(entries, rows, strict=True):
        shown = json.loads(json_line(entry, row, 1, "flow"))
        assert shown["seq"] == entry.seq
        assert ("fault" in shown) == bool(row.fault)
        text = text_line(entry, row, 1, "flow")
        assert text.count(b"\n") == 1
        assert text.endswith(b"\n")
        assert text[:-1].decode().isprintable()
    found = [(entry.seq, entry.offset, entry.raw) for entry in entries]
    return Outcome(found, rows, +decoder.counts, incomplete)


def bytes_of(data: bytes) -> Iterator[bytes]:
    """The data one byte at a time."""
    return (data[at : at + 1] for at in range(len(data)))


def flipped(data: bytes) -> Iterator[bytes]:
    """The data with each byte wrong: its lowest or highest bit, all bits zero, all bits set."""
    for at, good in enumerate(data):
        for byte in sorted({good ^ 1, good ^ 0x80, 0, 0xFF} - {good}):
            yield data[:at] + bytes([byte]) + data[at + 1 :]


def binary_file(messages: Sequence[bytes], *, end: bool = True) -> bytes:
    """Messages behind their lengths."""
    blocks = [len(message).to_bytes(2, "big") + message for message in messages]
    return b"".join(blocks) + (b"\0\0" if end else b"")


def soup_packet(kind: str, payload: bytes = b"") -> bytes:
    """A SoupBinTCP packet."""
    return (len(payload) + soup.TYPE_BYTES).to_bytes(2, "big") + kind.encode() + payload


def login_accepted(seq: int) -> bytes:
    """The packet that announces the next sequence number."""
    return soup_packet("A", f"{'SESSION':>10}{seq:>20}".encode())


def soup_stream(messages: Sequence[bytes], seq: int = 1) -> bytes:
    """The server's side of a connection."""
    data = b"".join(soup_packet("S", message) for message in messages)
    return login_accepted(seq) + soup_packet("H") + soup_packet("+", b"hi") + data


def fix_message(seq: int, msg_type: str = "D", body: str = "55=AAPL|54=1|") -> bytes:
    """A FIX 4.4 message with sound length and checksum; `|` separates the fields of `body`."""
    head = f"35={msg_type}|34={seq}|49=A|56=B|52=20240102-03:04:05.678|"
    inner = (head + body).replace("|", "\x01").encode("latin-1")
    whole = b"8=FIX.4.4\x019=%d\x01%b" % (len(inner), inner)
    return whole + b"10=%03d\x01" % checksum(whole)


def muddle(chance: Random, segments: Sequence[bytes]) -> list[bytes]:
    """Every segment, some of them twice, each up to four places late."""
    again = [*segments, *(segment for segment in segments if chance.random() < 0.2)]
    places = [number + chance.randrange(5) for number in range(len(again))]
    return [again[number] for number in sorted(range(len(again)), key=places.__getitem__)]


def dialogue(
    chance: Random, conversation: TcpConversation, said: dict[Endpoint, bytes], largest: int
) -> list[bytes]:
    """What both sides say as segments of random sizes, at most `largest`, taking random turns."""
    segments = []
    rest = {side: data for side, data in said.items() if data}
    while rest:
        side = chance.choice(list(rest))
        size = chance.randint(1, largest)
        segments += conversation.send(side, rest[side][:size])
        rest[side] = rest[side][size:]
        rest = {side: data for side, data in rest.items() if data}
    return segments
