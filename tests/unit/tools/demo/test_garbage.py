"""The thrower of garbage: bounded in number, and not stopped by ports where nobody listens."""

import random
import socket

import pytest

from tools.demo import garbage


@pytest.fixture
def closed_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@pytest.fixture(autouse=True)
def kept_signal_handlers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(garbage.signal, "signal", lambda *_details: None)


def test_it_throws_as_many_as_it_was_told_at_both_kinds_of_port(
    capsys: pytest.CaptureFixture[str],
):
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp,
        socket.create_server(("127.0.0.1", 0)) as tcp,
    ):
        udp.bind(("127.0.0.1", 0))
        udp.setblocking(False)
        ports = udp.getsockname()[1], tcp.getsockname()[1]
        assert garbage.main([f"--count={50}", f"--udp={ports[0]}", f"--tcp={ports[1]}"]) == 0
        datagrams = 0
        while True:
            try:
                assert len(udp.recv(2_000)) < 1_500
            except BlockingIOError:
                break
            datagrams += 1
        tcp.settimeout(2)
        connection, _address = tcp.accept()
        with connection:
            connection.settimeout(2)
            received = b"".join(iter(lambda: connection.recv(4_096), b""))
    assert datagrams == 49
    assert received
    assert capsys.readouterr().out == "thrown 50, of which connections 1\n"


def test_ports_where_nobody_listens_do_not_stop_it(
    closed_port: int, capsys: pytest.CaptureFixture[str]
):
    assert garbage.main(["--count=3000", f"--udp={closed_port}", f"--tcp={closed_port}"]) == 0
    assert capsys.readouterr().out == "thrown 3000, of which connections 10\n"


def test_ports_of_one_kind_are_enough_but_none_is_refused(
    closed_port: int, capsys: pytest.CaptureFixture[str]
):
    assert garbage.main(["--count=7", f"--tcp={closed_port}"]) == 0
    assert capsys.readouterr().out == "thrown 7, of which connections 7\n"
    with pytest.raises(SystemExit) as caught:
        garbage.main(["--count=7"])
    assert caught.value.code == 2


def test_few_connections_are_open_at_a_time():
    left_open: garbage.deque[socket.socket] = garbage.deque()
    rng = random.Random(1)
    with socket.create_server(("127.0.0.1", 0), backlog=64) as tcp:
        for _ in range(40):
            garbage._connect(rng, tcp.getsockname()[1], left_open)
        assert len(left_open) == 16
    for sock in left_open:
        sock.close()


def test_half_of_the_pieces_look_like_the_feed_at_first():
    rng = random.Random(7)
    pieces = [garbage._piece(rng) for _ in range(1_000)]
    alike = sum(piece.startswith(b"FHDEMO") for piece in pieces)
    assert 400 < alike < 600
    assert all(len(piece) < 1_500 for piece in pieces)
