"""Runs every conversation of fix_sessions.def; the language is described there."""

from collections import deque
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from protocols.fix.events import ApplicationMessage, Disconnect
from protocols.fix.framing import Framer, checksum
from protocols.fix.message import Identity, decode, encode_fields
from protocols.fix.rules import SessionSettings
from protocols.fix.session import FixSession
from protocols.fix.store import MemoryStore
from protocols.fix.times import NS_PER_S, format_utc_timestamp

SCRIPT = Path(__file__).with_name("fix_sessions.def")
START_NS = 1_790_000_000 * NS_PER_S
REPORT_FIELDS = "37=O|150=0|39=0|55=X|54=1|151=0|14=0|6=0"


def read_scenarios() -> list[tuple[str, str, list[str]]]:
    scenarios: list[tuple[str, str, list[str]]] = []
    for line in SCRIPT.read_text(encoding="utf-8").splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        word, _, rest = line.partition(" ")
        if word in {"scenario", "initiator"}:
            scenarios.append((word, rest, []))
        else:
            scenarios[-1][2].append(line)
    return scenarios


@dataclass
class Conversation:
    """A session, its peer's voice, and a clock that moves only by `wait`."""

    session: FixSession
    now_ns: int = START_NS
    sent: deque[dict[int, bytes]] = field(default_factory=deque)
    handed: deque[tuple[bytes, int]] = field(default_factory=deque)
    is_closed: bool = False
    framer: Framer = field(default_factory=Framer)

    def collect(self) -> None:
        while (event := self.session.next_event()) is not None:
            if isinstance(event, ApplicationMessage):
                self.handed.append((event.message.msg_type, event.seq))
            elif isinstance(event, Disconnect):
                self.is_closed = True
        while data := self.session.data_to_send(self.now_ns):
            self.framer.feed(data)
        while (frame := self.framer.next_frame()) is not None:
            self.sent.append(dict(decode(frame).fields))

    def wire(self, msg_type: str, fields: list[tuple[str, str]]) -> bytes:
        """A message of the peer with what the script left out."""
        given = {tag for tag, _ in fields}
        begin = dict(fields).get("8", "FIX.4.4")
        header = [("35", msg_type), ("49", "PEER"), ("52", "@0"), ("56", "US")]
        body = [(tag, value) for tag, value in header if tag not in given]
        body += [(tag, value) for tag, value in fields if tag != "8"]
        if msg_type == "8":
            extra = [item.split("=") for item in REPORT_FIELDS.split("|")]
            body += [(tag, value) for tag, value in extra if tag not in given]
        text = "".join(f"{tag}={self.moment(value)}\x01" for tag, value in body).encode()
        whole = f"8={begin}\x019={len(text)}\x01".encode() + text
        return whole + b"10=%03d\x01" % checksum(whole)

    def moment(self, value: str) -> str:
        if not value.startswith("@"):
            return value
        return format_utc_timestamp(self.now_ns + int(value[1:]) * NS_PER_S).decode()

    def play(self, line: str) -> None:
        word, _, rest = line.partition(" ")
        if word == "connect":
            self.is_closed = False
            self.sent.clear()
            self.framer.clear()
            self.session.connected(self.now_ns)
        elif word == "disconnect":
            self.session.disconnected(self.now_ns)
        elif word == ">":
            self.session.receive(self.wire(*split_message(rest)), self.now_ns)
        elif word == "raw":
            self.session.receive(rest.replace("|", "\x01").encode(), self.now_ns)
        elif word == "send":
            body = encode_fields((11, rest), (55, "X"), (54, 1), (60, self.moment("@0")))
            self.session.send(((b"D", body + b"38=1\x0140=2\x01"),), self.now_ns)
        elif word == "wait":
            for _ in range(int(rest)):
                self.now_ns += NS_PER_S
                self.session.handle_timer(self.now_ns)
                self.session.handle_timer(self.now_ns)
        elif word == "logout":
            self.session.logout("bye", self.now_ns)
        else:
            self.expect(word, rest)
        self.collect()

    def expect(self, word: str, rest: str) -> None:
        if word == "<" and rest == "nothing":
            assert not self.sent
        elif word == "<":
            msg_type, fields = split_message(rest)
            assert self.sent, "nothing was sent"
            got = self.sent.popleft()
            want = {int(tag): self.moment(value).encode() for tag, value in fields}
            assert got[35] == msg_type.encode(), got
            assert {tag: got.get(tag) for tag in want} == want
        elif word == "app" and rest == "nothing":
            assert not self.handed
        elif word == "app":
            msg_type, seq = rest.split()
            assert self.handed.popleft() == (msg_type.encode(), int(seq))
        elif word in {"closed", "open"}:
            assert self.is_closed == (word == "closed")
        else:
            raise AssertionError(f"unknown word in the script: {word}")


def split_message(text: str) -> tuple[str, list[tuple[str, str]]]:
    msg_type, _, fields = text.partition(" ")
    pairs = [item.partition("=") for item in fields.split("|") if item]
    return msg_type, [(tag, value) for tag, _, value in pairs]


SCENARIOS = read_scenarios()


@pytest.mark.parametrize(
    ("role", "name", "lines"), SCENARIOS, ids=[name for _, name, _ in SCENARIOS]
)
def test_session_follows_the_conversation(role: str, name: str, lines: list[str]):
    settings = SessionSettings(
        identity=Identity("US", "PEER"),
        is_initiator=role == "initiator",
        application_types=frozenset({b"8", b"D"}),
    )
    conversation = Conversation(FixSession(settings, MemoryStore()))
    for number, line in enumerate(lines, 1):
        try:
            conversation.play(line)
        except AssertionError as error:
            raise AssertionError(f"{name}, line {number}: {line}: {error}") from error
    assert not conversation.sent, f"left over: {list(conversation.sent)}"


def test_every_kind_of_line_is_used():
    words = {line.split(" ")[0] for _, _, lines in SCENARIOS for line in lines}
    assert words == {
        "connect", "disconnect", ">", "<", "raw", "send", "app", "wait", "logout", "closed", "open"
    }  # fmt: skip
