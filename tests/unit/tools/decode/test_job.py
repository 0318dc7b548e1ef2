"""A job over the flows of TCP connections, as a source that puts segments together gives them."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from protocols.binaryfile.reader import DataFileError
from tests.unit.tools.decode.support import (
    ITCH,
    OUCH_IN,
    OUCH_OUT,
    fix_message,
    soup_packet,
    soup_stream,
)
from tools.decode.job import Job
from tools.decode.render import json_line
from tools.decode.selection import Wanted
from tools.decode.sniff import Protocol
from tools.decode.sources import Chunk, Source

FLOWS = {
    "feed": soup_stream(ITCH),
    "host": soup_stream(OUCH_OUT),
    "client": b"".join(soup_packet("U", message) for message in OUCH_IN),
    "fix": b"".join(fix_message(seq) for seq in range(1, 5)),
}
SIZES = {"feed": len(ITCH), "host": len(OUCH_OUT), "client": len(OUCH_IN), "fix": 4}


def interleaved(flows: dict[str, bytes], size: int) -> Iterator[Chunk]:
    """The flows in pieces of `size` bytes, taking turns."""
    for at in range(0, max(map(len, flows.values())), size):
        for name, data in flows.items():
            if at < len(data):
                yield Chunk(at, name, data[at : at + size], is_datagram=False)


def make_job(
    chunks: Iterator[Chunk], protocol: Protocol | None = None, *, is_capture: bool = True
) -> Job:
    source = Source(Path("file"), b"", is_capture=is_capture, chunks=chunks)
    return Job(source, protocol, None, Wanted(), json_line)


def rows_of(job: Job) -> list[dict[str, object]]:
    return [json.loads(line) for line in b"".join(job.batches()).splitlines()]


@pytest.mark.parametrize("size", [1, 7, 1460])
def test_every_connection_of_a_capture_is_decoded_for_itself(size: int):
    job = make_job(interleaved(FLOWS, size))
    rows = rows_of(job)
    assert not [row for row in rows if "fault" in row]
    assert {name: [row["flow"] for row in rows].count(name) for name in FLOWS} == SIZES
    assert [row["seq"] for row in rows if row["flow"] == "fix"] == [1, 2, 3, 4]
    assert [row["seq"] for row in rows if row["flow"] == "feed"] == list(range(1, 24))
    assert job.fault is None
    assert job.messages == job.shown == sum(SIZES.values())


@pytest.mark.parametrize("protocol", ["itch50", "ouch42", "fix"])
def test_the_protocol_that_the_user_named_decides(protocol: Protocol):
    flow = {"itch50": "feed", "ouch42": "host", "fix": "fix"}[protocol]
    job = make_job(interleaved({flow: FLOWS[flow]}, 100), protocol)
    assert len(rows_of(job)) == SIZES[flow]
    assert job.messages == SIZES[flow]


def test_a_connection_that_ends_within_a_message_is_counted_not_fatal():
    job = make_job(interleaved({"feed": FLOWS["feed"][:-1], "fix": FLOWS["fix"][:-1]}, 50))
    assert len(rows_of(job)) == SIZES["feed"] - 1 + SIZES["fix"] - 1
    assert job.counts()["incomplete"] == 2
    assert job.fault is None


def test_what_is_wrong_with_the_source_comes_before_what_is_cut_off_by_it():
    def broken() -> Iterator[Chunk]:
        yield Chunk(None, "", FLOWS["feed"][:-1], is_datagram=False)
        raise DataFileError(Path("file"), 7, "damaged")

    job = make_job(broken(), is_capture=False)
    assert len(rows_of(job)) == SIZES["feed"] - 1
    assert str(job.fault) == "file at byte 7: damaged"


def test_garbage_behind_the_last_message_is_shown_at_the_end():
    job = make_job(iter([Chunk(9, "fix", FLOWS["fix"] + b"junk", is_datagram=False)]), "fix")
    rows = rows_of(job)
    assert (rows[-1]["name"], rows[-1]["offset"]) == ("garbled", len(FLOWS["fix"]))
    assert job.counts() == {"garbled": 1}


def test_a_hole_in_a_connection_costs_the_messages_around_it_and_no_other():
    fix, feed = FLOWS["fix"], FLOWS["feed"]
    for name, data, rest in (("fix", fix, fix[150:]), ("feed", feed, feed[150:])):
        whole = rows_of(make_job(iter([Chunk(1, name, data, is_datagram=False)])))
        chunks = [
            Chunk(1, name, data[:140], is_datagram=False),
            Chunk(2, name, rest, is_datagram=False, lost_bytes=10),
        ]
        job = make_job(iter(chunks))
        rows = rows_of(job)
        sound = [row["type"] for row in rows if "fault" not in row]
        assert sound[-1] == whole[-1]["type"]
        assert len(whole) - 2 <= len(sound) < len(whole)
        assert job.counts()["lost_bytes"] == 10
        assert job.counts()["incomplete"] == 1
        assert job.fault is None
