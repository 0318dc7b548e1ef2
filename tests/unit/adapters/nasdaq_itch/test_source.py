"""Our side of ITCH over SoupBinTCP, against the feed's own server."""

import pytest

from adapters.nasdaq_itch.source import SoupSource
from feedhandler.core.api import StreamWord
from protocols.errors import RemoteProtocolError
from protocols.soupbintcp.feed import FeedServer, SequencedFeed
from protocols.soupbintcp.session import Server
from protocols.soupbintcp.spec import HEARTBEAT_INTERVAL_NS, LOGIN_LIMIT_NS, SILENCE_LIMIT_NS

NOW = 1_000


def feed_of(*messages: bytes, session: str = "S1") -> SequencedFeed:
    feed = SequencedFeed(session, 100)
    for message in messages:
        feed.append(message)
    return feed


def log_in(source: SoupSource, feed: SequencedFeed) -> bytes:
    """A connection with a login; what came behind the answer."""
    server = FeedServer(NOW, feed, lambda name, word: (name, word) == ("me", "secret"))
    source.connected(NOW, 0)
    server.receive(source.data_to_send(NOW), NOW)
    while data := server.data_to_send(NOW):
        source.receive(data, NOW)
    return source.take_unread(NOW)


def test_the_first_login_asks_for_message_one_of_the_present_session():
    source = SoupSource("me", "secret", "")
    assert log_in(source, feed_of(b"one", b"two")) == b"\0\4Sone\0\4Stwo"
    assert (source.is_open, source.session, source.words[StreamWord.SEQ]) == (True, "S1", 1)


def test_the_next_login_goes_on_behind_what_was_read():
    source = SoupSource("me", "secret", "")
    log_in(source, feed_of(b"one", b"two", b"three"))
    source.words[StreamWord.SEQ] = 3
    source.disconnected()
    assert not source.is_open
    assert log_in(source, feed_of(b"one", b"two", b"three")) == b"\0\6Sthree"
    assert source.words[StreamWord.SEQ] == 3


@pytest.mark.parametrize(
    ("names", "session", "reason"),
    [
        (("me", "wrong"), "", "reason A: not authorised; check feed.soup.username and password"),
        (("me", "secret"), "S2", "reason S: session not available; check feed.session"),
    ],
)
def test_a_refused_login_says_what_to_check(names: tuple[str, str], session: str, reason: str):
    with pytest.raises(RemoteProtocolError, match=reason):
        log_in(SoupSource(*names, session), feed_of(b"one"))


@pytest.mark.parametrize(
    ("session", "sequence", "reason"),
    [
        ("S2", 1, "asked for session 'S1', let in to 'S2'"),
        ("S1", 4, "messages 1 to 3 are missing: the server goes on with 4"),
    ],
)
def test_a_server_that_goes_on_elsewhere_is_refused(session: str, sequence: int, reason: str):
    source = SoupSource("me", "secret", "S1")
    source.connected(NOW, 0)
    server = Server(NOW)
    server.receive(source.data_to_send(NOW), NOW)
    server.accept(session, sequence)
    with pytest.raises(RemoteProtocolError, match=reason):
        source.receive(server.data_to_send(NOW), NOW)
    assert source.is_closed


def test_a_server_may_begin_again_with_messages_that_are_known():
    source = SoupSource("me", "secret", "S1")
    source.words[StreamWord.SEQ] = 7
    source.connected(NOW, 0)
    server = Server(NOW)
    server.receive(source.data_to_send(NOW), NOW)
    server.accept("S1", 5)
    source.receive(server.data_to_send(NOW), NOW)
    assert source.words[StreamWord.SEQ] == 5


def test_we_say_heartbeats_and_give_a_silent_server_up():
    source = SoupSource("me", "secret", "")
    log_in(source, feed_of())
    assert source.timer_ns() == NOW + HEARTBEAT_INTERVAL_NS
    source.handle_timer(NOW + HEARTBEAT_INTERVAL_NS)
    assert source.data_to_send(NOW + HEARTBEAT_INTERVAL_NS) == b"\0\1R"
    source.heard(NOW + 5)
    source.handle_timer(NOW + SILENCE_LIMIT_NS + 4)
    assert not source.is_closed
    source.handle_timer(NOW + SILENCE_LIMIT_NS + 5)
    assert (source.is_closed, source.reason) == (True, "the server was silent for 15000 ms")


def test_a_login_without_an_answer_is_given_up():
    source = SoupSource("me", "secret", "")
    source.connected(NOW, 0)
    source.handle_timer(NOW + LOGIN_LIMIT_NS)
    assert (source.is_closed, source.reason) == (True, "no answer to the login for 30000 ms")


def test_leaving_is_said_once():
    source = SoupSource("me", "secret", "")
    log_in(source, feed_of())
    source.log_out(NOW)
    source.log_out(NOW)
    assert (source.data_to_send(NOW), source.is_closed) == (b"\0\1O", True)


def test_what_the_server_says_for_people_goes_to_the_log():
    source = SoupSource("me", "secret", "")
    source.connected(NOW, 0)
    source.receive(b"\0\6+hello", NOW)
    notice = source.next_notice()
    assert notice is not None
    assert (notice.event, notice.fields) == ("feed_debug", {"text": "hello"})
    assert source.next_notice() is None
