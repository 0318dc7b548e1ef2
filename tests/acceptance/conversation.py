"""The language of the session scenarios, and what plays them: a session, its peer's voice, and a
clock that moves only by `wait`.

    scenario TEXT            an acceptor named US facing PEER; `initiator TEXT` is the other side
    set NAME VALUE           a setting of SessionSettings, or a SubID of its Identity
    rule NAME yes|no         a rule of the dictionary's check
    connect | disconnect     the transport
    logged on                connect, and both Logons with number 1
    > TYPE tag=value|…       the peer sends; what it needs beyond the fields given is filled in,
                             unless it is left out by -tag; @-121 is relative to now in seconds
    < TYPE tag=value|…       the session must send this next, with at least these fields and none of
                             -tag; a value that ends in * is a beginning
    < nothing                the session must send nothing
    raw TEXT                 the peer sends these bytes; | is the separator, $BEGIN the version
    garbled HOW TYPE …       the peer sends a message with a wrong checksum, with a length that is
                             too short, or with another field before its type (third)
    send ID                  our side sends a NewOrderSingle with this ClOrdID
    app TYPE seq [resend]    the session must hand this message to its owner
    app nothing              it must hand over none
    told EVENT name=value|…  the session must have told its owner this next among events of its kind
    wait SECONDS             time passes, timers run
    logout                   our side begins the logout
    closed | open            the session must (not) ask for the connection to be closed

In an expected Reject `reason=13` is SessionRejectReason 13 where the version has that number, and
no such field where it does not.
"""

from collections import deque
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from protocols.fix.dictionary.check import ValidationRules
from protocols.fix.events import ApplicationMessage, Disconnect, Event
from protocols.fix.framing import Framer, checksum
from protocols.fix.message import Identity, decode, encode_fields
from protocols.fix.rules import SessionSettings
from protocols.fix.session import FixSession
from protocols.fix.store import MemoryStore
from protocols.fix.times import NS_PER_S, format_utc_timestamp
from protocols.fix.versions import Version

START_NS = 1_790_000_000 * NS_PER_S
OWN_WORDS = ("set", "rule")

FILLED_IN = {
    "A": "98=0|108=30",
    "8": "37=O|17=E|150=0|39=0|55=X|54=1|151=0|14=0|6=0",
    "B": "148=H|33=1|58=T",
    "D": "11=ONE|55=X|54=1|60=@0|38=1|40=2|44=1",
    "R": "131=Q|146=1|55=X",
}
FILLED_IN_BY_VERSION = {
    ("FIX.4.2", "8"): "20=0",
    ("FIX.4.2", "D"): "21=1",
    ("FIXT.1.1", "A"): "1137=9",
}


@dataclass(frozen=True)
class Scenario:
    """One conversation: its title, which side we are, and its lines."""

    title: str
    is_initiator: bool
    lines: list[str]


def read_scenarios(path: Path) -> list[Scenario]:
    scenarios: list[Scenario] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        word, _, rest = line.partition(" ")
        if not line.strip() or word == "#":
            continue
        if word in {"scenario", "initiator"}:
            scenarios.append(Scenario(rest, word == "initiator", []))
        else:
            scenarios[-1].lines.append(line)
    return scenarios


def settings_of(scenario: Scenario, version: Version) -> SessionSettings:
    """What the `set` and `rule` lines ask for."""
    given: dict[str, dict[str, Any]] = {"set": {}, "rule": {}}
    for line in scenario.lines:
        word, _, rest = line.partition(" ")
        if word in OWN_WORDS:
            name, value = rest.split()
            flag = {"yes": True, "no": False}.get(value)
            number = int(value) if value.isdigit() else value
            given[word][name] = number if flag is None else flag
    of_identity = {item.name for item in fields(Identity) if item.init}
    named = {key: given["set"].pop(key) for key in of_identity & given["set"].keys()}
    return SessionSettings(
        identity=Identity("US", "PEER", version.begin_string, **named),
        is_initiator=scenario.is_initiator,
        application_types=frozenset({b"8", b"D"}),
        validation=ValidationRules(**given["rule"]),
        **given["set"],
    )


@dataclass
class Conversation:
    """One scenario being played."""

    version: Version
    session: FixSession
    now_ns: int = START_NS
    sent: deque[dict[int, bytes]] = field(default_factory=deque)
    handed: deque[tuple[str, int, bool]] = field(default_factory=deque)
    told: list[Event] = field(default_factory=list)
    is_closed: bool = False
    framer: Framer = field(default_factory=Framer)

    @classmethod
    def of(cls, scenario: Scenario, version: Version) -> "Conversation":
        return cls(version, FixSession(settings_of(scenario, version), MemoryStore()))

    def play(self, line: str) -> None:
        word, _, rest = line.partition(" ")
        if word in OWN_WORDS:
            return
        if word in {"connect", "disconnect", "logged"}:
            self.play_transport(word)
        elif word in {">", "raw", "garbled"}:
            self.session.receive(self.said(word, rest), self.now_ns)
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

    def play_transport(self, word: str) -> None:
        if word == "disconnect":
            self.session.disconnected(self.now_ns)
            return
        self.is_closed = False
        self.sent.clear()
        self.framer.clear()
        self.session.connected(self.now_ns)
        if word == "logged":
            self.session.receive(self.said(">", "A 34=1"), self.now_ns)
            self.collect()
            self.expect("<", "A 34=1")

    def collect(self) -> None:
        """Everything that the session wants to tell or send."""
        while (event := self.session.next_event()) is not None:
            if isinstance(event, ApplicationMessage):
                assert event.message.get(34) == b"%d" % event.seq
                msg_type = event.message.msg_type.decode()
                self.handed.append((msg_type, event.seq, event.poss_resend))
            else:
                self.told.append(event)
                self.is_closed |= isinstance(event, Disconnect)
        while data := self.session.data_to_send(self.now_ns):
            self.framer.feed(data)
        while (frame := self.framer.next_frame()) is not None:
            self.sent.append(dict(decode(frame).fields))

    # -- the peer -----------------------------------------------------------------------------

    def said(self, word: str, rest: str) -> bytes:
        """Bytes of the peer."""
        if word == "raw":
            return rest.replace("$BEGIN", self.version.name).replace("|", "\x01").encode()
        if word == ">":
            return self.wire(*split_message(rest))
        how, _, text = rest.partition(" ")
        whole = self.wire(*split_message(text))
        if how == "checksum":
            return whole[:-4] + b"%03d\x01" % ((int(whole[-4:-1]) + 1) % 256)
        head, length, inner = whole[:-7].split(b"\x01", 2)
        if how == "third":
            kind, _, others = inner.partition(b"\x01")
            first, _, others = others.partition(b"\x01")
            inner = b"\x01".join((first, kind, others))
        else:
            assert how == "short", how
            length = b"9=%d" % (int(length[2:]) - 20)
        body = b"\x01".join((head, length, inner))
        return body + b"10=%03d\x01" % checksum(body)

    def wire(self, msg_type: str, given: list[tuple[str, str]]) -> bytes:
        """A message of the peer with what the script left out."""
        name = self.version.name
        extra = FILLED_IN.get(msg_type, ""), FILLED_IN_BY_VERSION.get((name, msg_type), "")
        filled = split_fields("|".join(extra))
        header = [("49", "PEER"), ("52", "@0"), ("56", "US")]
        # What is given stands where the script has it, so that order can be tried too.
        tags = {tag.lstrip("-") for tag, _ in given}
        body = [("35", msg_type), *((tag, value) for tag, value in header if tag not in tags)]
        body += [(tag, value) for tag, value in given if is_sent(tag, value)]
        body += [(tag, value) for tag, value in filled if tag not in tags]
        begin = dict(given).get("8", name)
        text = "".join(f"{tag}={self.moment(value)}\x01" for tag, value in body).encode()
        whole = f"8={begin}\x019={len(text)}\x01".encode() + text
        return whole + b"10=%03d\x01" % checksum(whole)

    def moment(self, value: str) -> str:
        if not value.startswith("@"):
            return value
        return format_utc_timestamp(self.now_ns + int(value[1:]) * NS_PER_S).decode()

    # -- what is expected ---------------------------------------------------------------------

    def expect(self, word: str, rest: str) -> None:
        if word == "<" and rest == "nothing":
            assert not self.sent
        elif word == "<":
            self.expect_sent(*split_message(rest))
        elif word == "app" and rest == "nothing":
            assert not self.handed
        elif word == "app":
            msg_type, seq, *flags = rest.split()
            assert self.handed.popleft() == (msg_type, int(seq), flags == ["resend"])
        elif word == "told":
            self.expect_told(*split_message(rest))
        else:
            assert word in {"closed", "open"}, f"unknown word in the script: {word}"
            assert self.is_closed == (word == "closed")

    def expect_sent(self, msg_type: str, wanted: list[tuple[str, str]]) -> None:
        assert self.sent, "nothing was sent"
        got = self.sent.popleft()
        assert got[35] == msg_type.encode(), got
        for tag, value in wanted:
            if tag == "reason":
                has_it = int(value) <= self.version.reject_reason_max
                assert got.get(373) == (value.encode() if has_it else None), got
            elif tag.startswith("-"):
                assert int(tag[1:]) not in got, got
            else:
                text = self.moment(value)
                found = got.get(int(tag), b"").decode()
                assert found == text or (text.endswith("*") and found.startswith(text[:-1])), got

    def expect_told(self, name: str, wanted: list[tuple[str, str]]) -> None:
        found = next(event for event in self.told if type(event).__name__ == name)
        self.told.remove(found)
        assert {key: str(getattr(found, key)) for key, _ in wanted} == dict(wanted), found


def is_sent(tag: str, value: str) -> bool:
    """`-35` leaves a field out, `-1=x` is a field whose tag is a negative number."""
    return tag != "8" and (not tag.startswith("-") or value != "")


def split_message(text: str) -> tuple[str, list[tuple[str, str]]]:
    msg_type, _, rest = text.partition(" ")
    return msg_type, split_fields(rest)


def split_fields(text: str) -> list[tuple[str, str]]:
    pairs = [item.partition("=") for item in text.split("|") if item]
    return [(tag, value) for tag, _, value in pairs]
