"""Throws random bytes at ports of this machine: datagrams at UDP ports, connections with junk at
TCP ports.

    python -m tools.demo.garbage --count N --udp PORT … --tcp PORT …

Bounded in number, loopback only. Half of the datagrams look like MoldUDP64 up to some byte, so that
they get past the first checks.
"""

import argparse
import random
import signal
import socket
import sys
from collections.abc import Sequence

from protocols.moldudp64.spec import HEADER_BYTES

_HOST = "127.0.0.1"
_DATAGRAM_MAX = 1_500
_TCP_SHARE = 1_000
_TCP_TIMEOUT_S = 0.2
_ODD_BYTES = b"8=FIX.4.4\x019=5\x0135=A\x01"


def main(arguments: Sequence[str] | None = None) -> int:
    """Throw, then print how many of each were thrown."""
    parser = argparse.ArgumentParser(prog="garbage", description="random bytes for local ports")
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--udp", type=int, action="append", default=[])
    parser.add_argument("--tcp", type=int, action="append", default=[])
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_details: sys.exit(0))
    rng = random.Random(options.seed)
    pieces = [_piece(rng) for _ in range(_TCP_SHARE)]
    thrown = connections = 0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        while thrown < options.count:
            for port in options.udp:
                udp.sendto(pieces[thrown % _TCP_SHARE], (_HOST, port))
                thrown += 1
            if thrown % _TCP_SHARE < len(options.udp):
                pieces = [_piece(rng) for _ in range(_TCP_SHARE)]
                for port in options.tcp:
                    connections += _connect(rng, port)
                    thrown += 1
    print(f"thrown {thrown}, of which connections {connections}", flush=True)
    return 0


def _piece(rng: random.Random) -> bytes:
    size = rng.randrange(_DATAGRAM_MAX)
    junk = rng.randbytes(size)
    if rng.random() < 0.5:
        header = b"FHDEMO" + rng.randbytes(HEADER_BYTES - 6)
        return (header + junk)[: max(size, 1)]
    return junk


def _connect(rng: random.Random, port: int) -> int:
    try:
        with socket.create_connection((_HOST, port), _TCP_TIMEOUT_S) as tcp:
            tcp.sendall(rng.choice((b"", _ODD_BYTES, b"GET ")) + _piece(rng))
            if rng.random() < 0.5:
                tcp.recv(1)
    except OSError:
        pass
    return 1


if __name__ == "__main__":
    sys.exit(main())
