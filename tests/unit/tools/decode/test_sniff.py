"""What a file is, by its first bytes."""

import pytest

from tests.unit.tools.decode.support import (
    ITCH,
    OUCH_IN,
    OUCH_OUT,
    binary_file,
    fix_message,
    login_accepted,
    soup_packet,
    soup_stream,
)
from tools.decode.sniff import Protocol, sniff

FIX = fix_message(1) + fix_message(2)
PIPES = FIX.replace(b"\x01", b"|")


@pytest.mark.parametrize(
    ("head", "found"),
    [
        (binary_file(ITCH), ("itch50", "binaryfile")),
        (binary_file(ITCH, end=False)[:100], ("itch50", "binaryfile")),
        (binary_file([b"unknown", *ITCH]), ("itch50", "binaryfile")),
        (binary_file([b"unknown"]), ("itch50", "binaryfile")),
        (b"\0\0", ("itch50", "binaryfile")),
        (soup_stream(ITCH), (None, "soupbintcp")),
        (soup_stream(OUCH_OUT), (None, "soupbintcp")),
        (soup_packet("R") + soup_packet("U", OUCH_IN[0]), (None, "soupbintcp")),
        (login_accepted(1), (None, "soupbintcp")),
        (soup_packet("S", ITCH[0])[:-1] + b"", None),
        (FIX, ("fix", "stream")),
        (FIX[:30], ("fix", "stream")),
        (FIX.replace(b"8=FIX", b"\n8=FIX"), ("fix", "lines")),
        (fix_message(1) + b"\n", ("fix", "lines")),
        (fix_message(1)[:-1] + b"\r\n", ("fix", "lines")),
        (b"09:30 " + FIX, ("fix", "lines")),
        (PIPES, ("fix", "lines")),
        (PIPES.replace(b"|", b"^A"), ("fix", "lines")),
        (b"35=d\x0148=736\x0155=ESM9\x01\n", ("fix", "lines")),
        (b"\0", None),
        (b"some text, and nothing of ours\n" * 10, None),
        (bytes(range(256)), None),
    ],
)
def test_a_file_is_known_by_its_first_bytes(head: bytes, found: object):
    assert sniff(head, None) == found


@pytest.mark.parametrize(
    ("head", "protocol", "found"),
    [
        (b"nothing of ours", "itch50", ("itch50", "binaryfile")),
        (soup_stream(ITCH), "itch50", ("itch50", "soupbintcp")),
        (b"nothing of ours", "ouch42", ("ouch42", "soupbintcp")),
        (b"nothing of ours", "fix", ("fix", "lines")),
        (FIX, "fix", ("fix", "stream")),
        (PIPES, "itch50", ("itch50", "binaryfile")),
    ],
)
def test_what_the_user_said_is_believed(head: bytes, protocol: Protocol, found: object):
    assert sniff(head, protocol) == found
