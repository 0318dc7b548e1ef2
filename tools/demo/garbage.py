"""Throws random bytes at ports of this machine: datagrams at UDP ports, connections with junk at
TCP ports.

    python -m tools.demo.garbage --count N --udp PORT … --tcp PORT …

Bounded in number, loopback only. Half of the datagrams look like MoldUDP64 up to some byte, so that
they get past the first checks.
"""

import argparse
import itertools
import random
import signal
import socket
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import islice

from protocols.moldudp64.spec import HEADER_BYTES

_HOST = "127.0.0.1"
_DATAGRAM_MAX = 1_500
_PIECES = 1_000
_ROUNDS_A_CONNECTION = 300
_TCP_TIMEOUT_S = 1.0
_LEFT_OPEN_MAX = 16
_ODD_BYTES = b"8=FIX.4.4\x019=5\x0135=A\x01"


def main(arguments: Sequence[str] | None = None) -> int:
    """Throw, then print how many of each were thrown."""
    parser = argparse.ArgumentParser(prog="garbage", description="random bytes for local ports")
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--udp", type=int, action="append", default=[])
    parser.add_argument("--tcp", type=int, action="append", default=[])
    options = parser.parse_args(arguments)
    if not options.udp and not options.tcp:
        parser.error("name at least one port")
    # Ended early is not what was asked for.
    signal.signal(signal.SIGTERM, lambda *_details: sys.exit(1))
    rng = random.Random(options.seed)
    connections = 0
    left_open: deque[socket.socket] = deque()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        for thrown, (port, is_tcp) in enumerate(islice(_targets(options), options.count)):
            if thrown % _PIECES == 0:
                pieces = [_piece(rng) for _ in range(_PIECES)]
            if is_tcp:
                _connect(rng, port, left_open)
                connections += 1
            else:
                udp.sendto(pieces[thrown % _PIECES], (_HOST, port))
    for tcp in left_open:
        tcp.close()
    print(f"thrown {options.count}, of which connections {connections}", flush=True)
    return 0


def _targets(options: argparse.Namespace) -> Iterator[tuple[int, bool]]:
    """Endless (port, whether TCP): a round of all UDP ports, now and then one of the others too."""
    for turn in itertools.count():
        yield from ((port, False) for port in options.udp)
        if turn % _ROUNDS_A_CONNECTION == 0 or not options.udp:
            yield from ((port, True) for port in options.tcp)


def _piece(rng: random.Random) -> bytes:
    size = rng.randrange(_DATAGRAM_MAX)
    junk = rng.randbytes(size)
    if rng.random() < 0.5:
        header = b"FHDEMO" + rng.randbytes(HEADER_BYTES - 6)
        return (header + junk)[: max(size, 1)]
    return junk


def _connect(rng: random.Random, port: int, left_open: deque[socket.socket]) -> None:
    """Send junk, and leave the connection open until some others were; a refusal is fine."""
    with suppress(OSError):
        left_open.append(socket.create_connection((_HOST, port), _TCP_TIMEOUT_S))
        left_open[-1].sendall(rng.choice((b"", _ODD_BYTES, b"GET ")) + _piece(rng))
    while len(left_open) > _LEFT_OPEN_MAX:
        left_open.popleft().close()


if __name__ == "__main__":
    sys.exit(main())
